//! Why work ended without its result. What was begun stays written down.

use std::io;
use std::path::PathBuf;

use azure::ServiceError;

/// Why work ended without its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Azure refused a request, or could not be asked.
    #[error("could not {doing}")]
    Azure {
        /// What was being done.
        doing: String,
        /// Why not.
        #[source]
        error: azure::Error,
    },
    /// An operation that Azure had accepted failed.
    #[error("could not {doing}: {error}")]
    Operation {
        /// What was being done.
        doing: String,
        /// Why not.
        error: ServiceError,
    },
    /// A run ended without an image.
    #[error("the run ended as {state}: {message}")]
    Run {
        /// The state in the service's own words.
        state: String,
        /// What the service says of it.
        message: String,
        /// What was made in spite of it, by resource id or address.
        outputs: Vec<String>,
    },
    /// What was asked for would not be right.
    #[error("{what}")]
    Refused {
        /// What is not done, and why.
        what: String,
        /// What to do.
        hint: String,
    },
    /// Waiting would not end.
    #[error("gave up waiting for {what} after {minutes} minutes")]
    OutOfTime {
        /// What was waited for.
        what: String,
        /// How long.
        minutes: u64,
    },
    /// The user stopped the work.
    #[error("stopped; what goes on in Azure goes on")]
    Stopped,
    /// A file cannot be used.
    #[error("could not use {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another process holds the state.
    #[error("another process works with {0}")]
    InUse(PathBuf),
    /// A file is not a state.
    #[error("{path} does not say how a deployment stands: {why}")]
    NotState {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A state is of another place.
    #[error("{path} is about {own}, and not about {asked}")]
    OtherPlace {
        /// Which.
        path: PathBuf,
        /// What it is about.
        own: String,
        /// What was asked about.
        asked: String,
    },
}

/// Names what was being done when Azure refused.
pub(crate) trait While<T> {
    fn to(self, doing: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> While<T> for Result<T, azure::Error> {
    fn to(self, doing: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::Azure { doing: doing(), error })
    }
}

impl Error {
    /// Whether a role that was assigned may not have reached whoever refused. Some messages say it in words alone
    /// (azure-image-builder.md 7: S03, S26).
    pub fn is_authorization(&self) -> bool {
        match self {
            Self::Azure { error, .. } => error.is_authorization(),
            Self::Operation { error, .. } => lacks_a_role(error),
            _ => false,
        }
    }
}

impl Error {
    /// Whether a code, or a message that holds it, is among the reasons.
    pub(crate) fn mentions(&self, code: &str) -> bool {
        match self {
            Self::Azure { error, .. } => error.to_string().contains(code),
            Self::Operation { error, .. } => error.to_string().contains(code),
            _ => false,
        }
    }
}

fn lacks_a_role(error: &ServiceError) -> bool {
    const TOLD: [&str; 3] = [
        "AuthorizationFailed",
        "Not authorized to access the resource",
        "does not have authorization to perform",
    ];
    let here = TOLD.iter().any(|told| error.code.contains(told) || error.message.contains(told));
    here || error.details.iter().any(lacks_a_role)
}
