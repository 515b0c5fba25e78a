//! Why a request has no result: with the ids that a service's support asks for, and without a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

use diagnosis::redact;

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What happened.
    pub kind: ErrorKind,
    /// Method and path of the request, without its query.
    pub request: String,
    /// Our own id of the request; the same for every attempt.
    pub client_request_id: String,
    /// The service's id of the last attempt.
    pub request_id: Option<String>,
    /// The service's id of everything that the request caused.
    pub correlation_id: Option<String>,
}

/// What happened to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum ErrorKind {
    /// The service answered, and not as hoped.
    Refused {
        /// Status of the answer.
        status: u16,
        /// What it says.
        error: ServiceError,
    },
    /// There is no whole answer.
    Connection {
        /// What happened.
        message: String,
        /// Whether the service may have got the request.
        sent: bool,
    },
    /// There is nobody to ask as.
    Credential {
        /// What happened.
        message: String,
        /// What mends it.
        hint: String,
    },
    /// An answer, or something else that was read, is not what it should be.
    Malformed {
        /// What is wrong.
        message: String,
    },
}

/// An error in a service's own words (Common API contracts: error response).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceError {
    /// A word for it.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What that came from.
    #[serde(deserialize_with = "or_none", skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ServiceError>,
}

/// Services write `null` where there is none.
fn or_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<ServiceError>, D::Error> {
    Option::<Vec<ServiceError>>::deserialize(from).map(Option::unwrap_or_default)
}

/// How deep messages inside messages are read.
const DEEPEST: usize = 8;

impl ServiceError {
    /// Reads the body of an answer: `{"error": {...}}`, the older `{"code", "message"}`, or neither.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Envelope {
            error: ServiceError,
        }
        let envelope = serde_json::from_slice::<Envelope>(body).map(|envelope| envelope.error);
        let read = envelope.or_else(|_| serde_json::from_slice::<Self>(body)).map(Self::without_secrets);
        read.ok().filter(|error| !error.code.is_empty() || !error.message.is_empty()).unwrap_or_else(|| {
            let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
            Self { code: format!("HTTP {status}"), message: redact(text.trim()), details: Vec::new() }
        })
    }

    /// Services repeat what they were sent.
    pub(crate) fn without_secrets(self) -> Self {
        let details = self.details.into_iter().map(Self::without_secrets).collect();
        Self { message: redact(&self.message), details, ..self }
    }

    /// This error and those that it came from, outermost first.
    pub fn chain(&self) -> Vec<&Self> {
        let mut all = vec![self];
        let mut next = self.details.first();
        while let Some(error) = next.filter(|_| all.len() < DEEPEST) {
            all.push(error);
            next = error.details.first();
        }
        all
    }

    /// Whether a code is the error's, or of anything that it came from.
    pub fn mentions(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code) || self.details.iter().any(|inner| inner.mentions(code))
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.chain().into_iter().enumerate() {
            f.write_str(if index > 0 { ": " } else { "" })?;
            match (error.code.as_str(), error.message.trim()) {
                ("", message) => f.write_str(message)?,
                (code, "") => f.write_str(code)?,
                (code, message) => write!(f, "{code}: {message}")?,
            }
        }
        Ok(())
    }
}

impl Error {
    /// An error that no request led to.
    pub(crate) fn local(kind: ErrorKind) -> Self {
        Self {
            kind,
            request: String::new(),
            client_request_id: String::new(),
            request_id: None,
            correlation_id: None,
        }
    }

    /// Status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            ErrorKind::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The service's word for it.
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            ErrorKind::Refused { error, .. } => Some(&error.code),
            _ => None,
        }
    }

    /// Whether somebody may not do something: whoever asks, or an identity that acts for it.
    pub fn is_authorization(&self) -> bool {
        let ErrorKind::Refused { status, error } = &self.kind else { return false };
        *status == 403
            || ["AuthorizationFailed", "LinkedAuthorizationFailed"].iter().any(|code| error.mentions(code))
    }

    /// Whether what was asked about is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether what is there is in the way.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// Whether asking later may go better.
    pub fn is_transient(&self) -> bool {
        match &self.kind {
            ErrorKind::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            ErrorKind::Connection { .. } => true,
            ErrorKind::Malformed { .. } => !self.request.is_empty(),
            ErrorKind::Credential { .. } => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ErrorKind::Refused { status, error } => {
                write!(f, "{} was refused ({status}): {error}", self.request)?;
            }
            ErrorKind::Connection { message, sent } => {
                let when = if *sent { "lost" } else { "could not be sent" };
                write!(f, "{} was {when}: {message}", self.request)?;
            }
            ErrorKind::Credential { message, .. } => f.write_str(message)?,
            ErrorKind::Malformed { message } if self.request.is_empty() => f.write_str(message)?,
            ErrorKind::Malformed { message } => {
                write!(f, "{} had an answer that cannot be read: {message}", self.request)?;
            }
        }
        let ids = [
            ("correlation id", self.correlation_id.as_deref()),
            ("request id", self.request_id.as_deref()),
            ("client request id", Some(self.client_request_id.as_str()).filter(|id| !id.is_empty())),
        ];
        let told: Vec<_> = ids.iter().filter_map(|(name, id)| Some(format!("{name} {}", (*id)?))).collect();
        if told.is_empty() { Ok(()) } else { write!(f, " ({})", told.join(", ")) }
    }
}

impl std::error::Error for Error {}
