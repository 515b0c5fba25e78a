//! How a build reaches the outside: the gateway's settings, the certificates steps may trust, the apt settings.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egress_gateway::{Config, Gateway, Mirror, Mode, UpstreamProxy};
use network_policy::{Endpoint, NetworkPolicy};
use sandbox::Bind;

use crate::base::{Base, host_apt_options, lists};
use crate::digest::sha256;
use crate::error::{BuildError, Result};
use crate::rooted::Rooted;

/// What the configuration says about reaching the outside from this machine.
#[derive(Clone, Default)]
#[allow(missing_debug_implementations, reason = "may hold a proxy's credentials")]
pub struct Outbound {
    /// Proxy through which everything goes that it leads to.
    pub upstream_proxy: Option<UpstreamProxy>,
    /// The same proxy's address for the engine's own downloads; may hold credentials, never shown.
    pub proxy_address: Option<String>,
    /// Archive host name -> what is dialled in its place.
    pub mirrors: BTreeMap<String, Mirror>,
    /// Certificate authorities (PEM files) that steps trust beside the image's own.
    pub authorities: Vec<PathBuf>,
    /// For tests only: names that resolve to an address of this machine.
    pub test_names: BTreeMap<String, SocketAddr>,
    /// Called with every connection.
    pub observer: Option<egress_gateway::Observer>,
    /// Lets flows through that the policy leaves undecided.
    pub allow_undecided: bool,
}

/// The allow list of the default policy: what the recipe asks for, and the base's own archive.
pub fn default_policy(allow: &[Endpoint], archive_hosts: &[String]) -> NetworkPolicy {
    let mut all = allow.to_vec();
    for host in archive_hosts {
        for port in [80, 443] {
            all.extend(Endpoint::parse(&format!("{host}:{port}")));
        }
    }
    NetworkPolicy::default_for(&all)
}

impl Outbound {
    /// Starts a gateway.
    ///
    /// # Errors
    /// When its threads cannot be started.
    pub fn gateway(&self, mode: Mode, policy: Option<&NetworkPolicy>) -> Result<Gateway> {
        let policy = policy.cloned().unwrap_or_default();
        let source = match policy.build_machine() {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let mut config = Config::new(Arc::new(policy.compile()), source);
        config.mode = mode;
        config.allow_undecided = self.allow_undecided;
        config.upstream_proxy.clone_from(&self.upstream_proxy);
        config.mirrors.clone_from(&self.mirrors);
        config.test_names.clone_from(&self.test_names);
        config.observer.clone_from(&self.observer);
        Gateway::start(config).map_err(|error| BuildError::host(error.to_string()))
    }
}

/// The certificates that the base itself trusts.
fn own_authorities(base: &Base) -> Result<Vec<u8>> {
    let read =
        Rooted::open(&base.root).and_then(|root| root.read("/etc/ssl/certs/ca-certificates.crt", 64 << 20));
    Ok(read.map_err(|error| BuildError::host(error.to_string()))?.unwrap_or_default())
}

/// Files and variables that exist only while a step runs: nothing of them is in the image.
#[derive(Clone, Debug)]
pub struct BuildOnly {
    /// Files below `/run`, which is the sandbox's own.
    pub binds: Vec<Bind>,
    /// Variables that name them.
    pub env: Vec<(String, String)>,
    fingerprint: String,
}

/// Variables that programs read the path of a certificate bundle from.
const BUNDLE_VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
];

impl BuildOnly {
    /// Names of every variable that may be set: `sudo` has to keep them.
    pub fn variable_names() -> Vec<&'static str> {
        std::iter::once("APT_CONFIG").chain(BUNDLE_VARIABLES).collect()
    }

    /// Writes the files into `folder`.
    ///
    /// # Errors
    /// When a certificate cannot be read or a file not written.
    pub fn prepare(folder: &Path, base: &Base, authorities: &[PathBuf]) -> Result<Self> {
        let mut this = Self { binds: Vec::new(), env: Vec::new(), fingerprint: String::new() };
        let mut options = vec![
            "APT::Keep-Downloaded-Packages \"true\"".to_owned(),
            "Binary::apt::APT::Keep-Downloaded-Packages \"true\"".to_owned(),
            // A layer counts only when its step has ended: nobody needs each of its files on the disk before that.
            "DPkg::Options { \"--force-unsafe-io\"; }".to_owned(),
        ];
        options.extend(host_apt_options());
        options.extend(lists::apt_options());
        this.add(folder, lists::SCRIPT_NAME, lists::SCRIPT.as_bytes(), &[])?;
        let (host, inside) = (base.lists(), lists::FOLDER.into());
        this.binds.push(Bind { host, inside, read_only: true, scratch: None });
        let text = options.join(";\n") + ";\n";
        this.add(folder, "apt.conf", text.as_bytes(), &["APT_CONFIG"])?;
        if !authorities.is_empty() {
            let mut bundle = own_authorities(base)?;
            for path in authorities {
                bundle.extend(fs::read(path).map_err(BuildError::io("read", path))?);
                bundle.push(b'\n');
            }
            this.add(folder, "ca.crt", &bundle, &BUNDLE_VARIABLES)?;
        }
        Ok(this)
    }

    /// Digest of the files' content.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn add(&mut self, folder: &Path, name: &str, content: &[u8], variables: &[&str]) -> Result<()> {
        let host = folder.join(name);
        fs::write(&host, content).map_err(BuildError::io("write", &host))?;
        self.fingerprint.push_str(&sha256(content));
        let inside = Path::new("/run/aks-jumpbox").join(name);
        let value = inside.display().to_string();
        self.binds.push(Bind { host, inside, read_only: true, scratch: None });
        self.env.extend(variables.iter().map(|&variable| (variable.to_owned(), value.clone())));
        Ok(())
    }
}
