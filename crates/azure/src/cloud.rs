//! Clouds: where their services are.

use serde::Deserialize;

use crate::error::{Error, ErrorKind};
use crate::wire::{Wire, WireRequest};

/// A cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// Its name, such as `AzureCloud`.
    pub name: String,
    /// Origin of the resource manager, without a slash at the end.
    pub resource_manager: String,
    /// Where tokens are issued.
    pub authority: String,
    /// Whom tokens for the resource manager are for.
    pub audience: String,
    /// What names of storage accounts end with, behind `blob.`.
    pub storage_suffix: String,
}

/// What a resource manager says of its cloud (2022-09-01).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    authentication: Authentication,
    resource_manager: String,
    #[serde(default)]
    suffixes: Suffixes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authentication {
    login_endpoint: String,
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Suffixes {
    #[serde(default)]
    storage: String,
}

impl Cloud {
    fn of([name, resource_manager, authority, storage_suffix]: [&str; 4]) -> Self {
        Self {
            name: name.to_owned(),
            resource_manager: resource_manager.to_owned(),
            authority: authority.to_owned(),
            audience: resource_manager.to_owned(),
            storage_suffix: storage_suffix.to_owned(),
        }
    }

    /// A cloud by the name that the Azure CLI has for it, or a short one.
    pub fn named(name: &str) -> Option<Self> {
        let parts = match name.to_ascii_lowercase().as_str() {
            "public" | "azurecloud" => [
                "AzureCloud",
                "https://management.azure.com",
                "https://login.microsoftonline.com",
                "core.windows.net",
            ],
            "usgov" | "azureusgovernment" => [
                "AzureUSGovernment",
                "https://management.usgovcloudapi.net",
                "https://login.microsoftonline.us",
                "core.usgovcloudapi.net",
            ],
            "china" | "azurechinacloud" => [
                "AzureChinaCloud",
                "https://management.chinacloudapi.cn",
                "https://login.chinacloudapi.cn",
                "core.chinacloudapi.cn",
            ],
            _ => return None,
        };
        Some(Self::of(parts))
    }

    /// Asks a resource manager about its cloud. Nobody need be logged in for that.
    ///
    /// # Errors
    /// When it cannot be reached, or says something else.
    pub fn discover(origin: &str, wire: &dyn Wire) -> Result<Self, Error> {
        let request = WireRequest {
            method: "GET".to_owned(),
            url: format!("{origin}/metadata/endpoints?api-version=2022-09-01"),
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: Vec::new(),
        };
        let asked = format!("GET {origin}/metadata/endpoints");
        let failed = |kind| Error { request: asked.clone(), ..Error::local(kind) };
        let answer = wire
            .exchange(&request)
            .map_err(|error| failed(ErrorKind::Connection { message: error.message, sent: error.sent }))?;
        let told = serde_json::from_slice::<Metadata>(&answer.body);
        let malformed = |message: String| failed(ErrorKind::Malformed { message });
        let told = told.map_err(|error| malformed(format!("status {}: {error}", answer.status)))?;
        let audience = told.authentication.audiences.into_iter().next();
        let audience = audience.ok_or_else(|| malformed("it names no audience".to_owned()))?;
        let own = told.resource_manager.trim_end_matches('/').to_owned();
        if own != origin.trim_end_matches('/') {
            return Err(malformed(format!("it says that it is {own}")));
        }
        Ok(Self {
            name: told.name,
            resource_manager: own,
            authority: told.authentication.login_endpoint,
            audience,
            storage_suffix: told.suffixes.storage,
        })
    }
}
