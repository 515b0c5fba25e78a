//! Who asks: tokens from what the environment has, by the libraries of Azure.

use std::env;
use std::fmt;
use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diagnosis::redact;
use serde::Deserialize;

use crate::cloud::Cloud;
use crate::error::{Error, ErrorKind};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The first of those below that the environment has.
    Auto,
    /// A service principal of the environment: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`.
    Environment,
    /// A federated token, as AKS and pipelines have: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity,
    /// The managed identity of this machine; of several, the one with this client id.
    ManagedIdentity {
        /// Its client id.
        client_id: Option<String>,
    },
    /// Whoever is logged in to the Azure CLI, or to the Azure Developer CLI.
    DeveloperTools,
    /// A service principal.
    Secret {
        /// Its tenant.
        tenant: String,
        /// Its client id.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
}

/// Whom a token is for, as far as it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The tenant's id.
    pub tenant: Option<String>,
    /// Object id in its directory.
    pub object_id: Option<String>,
    /// The application's id.
    pub client_id: Option<String>,
}

const NOBODY: &str = "log in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or \
                      AZURE_FEDERATED_TOKEN_FILE";

/// An error about who asks.
pub(crate) fn nobody(message: impl fmt::Display) -> Error {
    Error::local(ErrorKind::Credential { message: redact(&message.to_string()), hint: NOBODY.to_owned() })
}

impl Login {
    /// What `Auto` stands for in this environment.
    fn resolved(&self) -> Self {
        let has = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Auto if has("AZURE_CLIENT_SECRET") => Self::Environment,
            Self::Auto if has("AZURE_FEDERATED_TOKEN_FILE") => Self::WorkloadIdentity,
            Self::Auto if has("IDENTITY_ENDPOINT") => {
                Self::ManagedIdentity { client_id: env::var("AZURE_CLIENT_ID").ok() }
            }
            Self::Auto => Self::DeveloperTools,
            other => other.clone(),
        }
    }

    /// A source of tokens that has none yet.
    pub(crate) fn credential(
        &self,
        cloud: &Cloud,
        transport: &Transport,
    ) -> Result<Arc<dyn TokenCredential>, Error> {
        let options = || client_options(cloud, transport);
        let credential: azure_core::Result<Arc<dyn TokenCredential>> = match self.resolved() {
            Self::Environment => {
                let [tenant, client_id, client_secret] = service_principal()?;
                return Self::Secret { tenant, client_id, client_secret: Secret(client_secret) }
                    .credential(cloud, transport);
            }
            Self::Secret { tenant, client_id, client_secret: Secret(secret) } => {
                let options = ClientSecretCredentialOptions { client_options: options() };
                ClientSecretCredential::new(&tenant, client_id, secret.into(), Some(options))
                    .map(|own| own as _)
            }
            Self::WorkloadIdentity => {
                let credential_options = ClientAssertionCredentialOptions { client_options: options() };
                let options = WorkloadIdentityCredentialOptions { credential_options, ..Default::default() };
                WorkloadIdentityCredential::new(Some(options)).map(|own| own as _)
            }
            Self::ManagedIdentity { client_id } => {
                let user_assigned_id = client_id.map(UserAssignedId::ClientId);
                let client_options = options();
                let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
                ManagedIdentityCredential::new(Some(options)).map(|own| own as _)
            }
            Self::Auto | Self::DeveloperTools => DeveloperToolsCredential::new(None).map(|own| own as _),
        };
        credential.map_err(nobody)
    }
}

/// Options of the libraries' clients. They repeat nothing: whether a request may go out again is decided in one place.
pub(crate) fn client_options(cloud: &Cloud, transport: &Transport) -> ClientOptions {
    let mut own = CustomConfiguration::default();
    own.authority_host.clone_from(&cloud.authority);
    ClientOptions {
        transport: Some(transport.clone()),
        cloud: Some(Arc::new(CloudConfiguration::Custom(own))),
        ..ClientOptions::default()
    }
}

fn service_principal() -> Result<[String; 3], Error> {
    let names = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"];
    let missing: Vec<_> =
        names.into_iter().filter(|name| env::var(name).map_or(true, |v| v.is_empty())).collect();
    if !missing.is_empty() {
        return Err(nobody(format!("the environment lacks {}", missing.join(", "))));
    }
    Ok(names.map(|name| env::var(name).unwrap_or_default()))
}

impl Who {
    /// What the claims of a token tell. One that is none tells nothing.
    pub(crate) fn of(token: &str) -> Self {
        #[derive(Default, Deserialize)]
        struct Claims {
            tid: Option<String>,
            oid: Option<String>,
            appid: Option<String>,
            azp: Option<String>,
        }
        let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Claims = claims.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        Self { tenant: claims.tid, object_id: claims.oid, client_id: claims.appid.or(claims.azp) }
    }
}
