//! Two kinds of error: what a client is told, in Azure's words, and what keeps the endpoint from starting.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::StatusCode;
use serde_json::{Value, json};

/// Why the endpoint cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the state's folder.
    #[error("use {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// A certificate or key of the state's folder.
    #[error("use the certificate or key in {}: {}", .0.display(), .1)]
    Tls(PathBuf, String),
    /// The database of the state's folder.
    #[error("use the database in {}: {}", .0.display(), .1)]
    Database(PathBuf, String),
    /// Something in the state's folder that another program wrote.
    #[error("read {}: {}", .0.display(), .1)]
    State(PathBuf, String),
    /// Another server uses the state's folder.
    #[error("use {}: another endpoint is running on it", .0.display())]
    InUse(PathBuf),
    /// The address to listen on.
    #[error("listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// What every state begins with.
    #[error("write the first resources: {0}")]
    Begin(String),
    /// Resources of documents; which, and why not.
    #[error("{0}")]
    Seed(String),
    /// The state's folder is of one subscription, and another is asked for.
    #[error("{} is of the subscription {there}, and {wanted} is asked for", .folder.display())]
    OtherSubscription {
        /// The folder.
        folder: PathBuf,
        /// Its subscription.
        there: String,
        /// The one that is asked for.
        wanted: String,
    },
}

impl Error {
    pub(crate) fn file(path: &Path, error: std::io::Error) -> Self {
        Self::File(path.to_owned(), error)
    }

    pub(crate) fn tls(path: &Path, error: &dyn Display) -> Self {
        Self::Tls(path.to_owned(), error.to_string())
    }
}

/// What a client is told: Azure's envelope, and for the log what the client is not told.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmError {
    /// HTTP status.
    pub status: StatusCode,
    /// Azure's code, such as `ResourceNotFound`.
    pub code: String,
    /// What went wrong, for the client.
    pub message: String,
    /// Errors inside it.
    pub details: Vec<ArmError>,
    /// What only the log is told.
    pub internal: Option<String>,
}

impl ArmError {
    /// An error with Azure's code for it.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), details: Vec::new(), internal: None }
    }

    /// The request is wrong.
    pub fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// What is there does not allow it.
    pub fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// What was asked for is not there.
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// No such resource, in Azure's words.
    pub fn no_resource(resource_type: &str, name: &str, group: Option<&str>) -> Self {
        let place = group.map_or_else(String::new, |group| format!(" under resource group '{group}'"));
        Self::not_found(
            "ResourceNotFound",
            format!(
                "The Resource '{resource_type}/{name}'{place} was not found. For more details please go to \
                 https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    /// No such resource group, in Azure's words.
    pub fn no_group(name: &str) -> Self {
        Self::not_found("ResourceGroupNotFound", format!("Resource group '{name}' could not be found."))
    }

    /// The caller is not known.
    pub fn unauthenticated(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// The caller may not.
    pub fn forbidden(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// Azure offers it, this endpoint does not: never a success that is none.
    pub fn not_implemented(what: impl Display) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplementedLocally",
            format!("{what} is not offered by the local endpoint; Azure itself may do it"),
        )
    }

    pub(crate) fn request_too_large(limit: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestContentTooLarge",
            format!("The request content size exceeds the maximum size of {limit} bytes."),
        )
    }

    /// The endpoint itself failed; the client gets no detail.
    pub fn internal(internal: impl Into<String>) -> Self {
        let message = "The local endpoint failed; its log says why.";
        Self {
            internal: Some(internal.into()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
        }
    }

    /// The same, with errors inside it.
    #[must_use]
    pub fn because(mut self, details: Vec<Self>) -> Self {
        self.details = details;
        self
    }

    /// The inner part of the envelope.
    pub fn to_json(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if !self.details.is_empty() {
            error["details"] = self.details.iter().map(Self::to_json).collect();
        }
        error
    }
}

impl From<rusqlite::Error> for ArmError {
    fn from(error: rusqlite::Error) -> Self {
        Self::internal(format!("database: {error}"))
    }
}

impl From<std::io::Error> for ArmError {
    fn from(error: std::io::Error) -> Self {
        Self::internal(format!("file: {error}"))
    }
}
