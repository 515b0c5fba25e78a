//! The endpoint's own certificate authority, made at first start and kept, and the certificate of each start.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::error::Error;
use crate::private;

/// Days for which a server's certificate holds; clients refuse more than 825.
const DAYS: i64 = 397;

/// A certificate authority of its own, that clients are told to trust.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority of a state folder: what is kept there, else a new one.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (file, key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
        let key = match private::read(&key_file)? {
            Some(text) => KeyPair::from_pem(&text).map_err(|error| Error::tls(&key_file, &error))?,
            None => KeyPair::generate().map_err(|error| Error::tls(&key_file, &error))?,
        };
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "aks-jumpbox local Azure");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        if private::read(&file)?.is_none() {
            let certificate = params.self_signed(&key).map_err(|error| Error::tls(&file, &error))?;
            // The key first: a certificate without its key would be of no use to the next start.
            private::write(&key_file, key.serialize_pem().as_bytes())?;
            private::write(&file, certificate.pem().as_bytes())?;
        }
        // What was signed by this name and key is trusted with the certificate that was written at first start.
        Ok(Self { issuer: Issuer::new(params, key), file })
    }

    /// The certificate, for clients.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What a server of these addresses speaks TLS with: a new key, never written down.
    pub fn server(&self, addresses: &[IpAddr]) -> Result<Arc<ServerConfig>, Error> {
        let wrong = |error: &rcgen::Error| Error::tls(&self.file, error);
        let key = KeyPair::generate().map_err(|error| wrong(&error))?;
        let names = vec!["localhost".to_owned()];
        let mut params = CertificateParams::new(names).map_err(|error| wrong(&error))?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let today = jiff::Timestamp::now().as_second();
        let day = |days: i64| {
            let date =
                jiff::Timestamp::from_second(today + days * 86_400).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            let date = date.to_zoned(jiff::tz::TimeZone::UTC).date();
            rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
        };
        (params.not_before, params.not_after) = (day(-1), day(DAYS));
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| wrong(&error))?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|error| Error::tls(&self.file, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
