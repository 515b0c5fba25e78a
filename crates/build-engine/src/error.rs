//! Why a build ended badly: categories that decide the exit code, each with cause and hint.

use std::path::PathBuf;

use crate::event::{Phase, RunState};
use crate::tools::ToolError;

/// Why a build, or a part of it, did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The template or the arguments ask for something that cannot be built here.
    #[error("{message}")]
    Input {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A customizer or validator failed.
    #[error("{0}")]
    Step(Box<StepFailure>),
    /// This machine is not able.
    #[error("{message}")]
    Host {
        /// What failed.
        message: String,
        /// What mends it.
        hint: Option<String>,
    },
    /// Something on the network could not be had.
    #[error("{message}")]
    Network {
        /// What could not be had and why.
        message: String,
        /// What mends it.
        hint: Option<String>,
    },
    /// A file of the cache or of the output could not be used.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was being done, in the words that follow "failed to".
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An external program did not do its work.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The sandbox failed, not what ran in it.
    #[error(transparent)]
    Sandbox(#[from] sandbox::SandboxError),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// A customizer or validator that failed.
#[derive(Clone, Debug)]
pub struct StepFailure {
    /// Its position, from 1.
    pub index: u32,
    /// Its name, or what it does.
    pub name: String,
    /// [`Phase::Customize`] or [`Phase::Validate`].
    pub phase: Phase,
    /// What happened, in AIB's words where AIB has some.
    pub reason: String,
    /// The end of what it printed.
    pub last_lines: Vec<String>,
    /// Every connection that was refused during it.
    pub refused: Vec<egress_gateway::Connection>,
    /// What would mend it.
    pub hint: Option<String>,
}

impl std::fmt::Display for StepFailure {
    /// Refused connections come first: they are what AIB's own message does not tell.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} '{}' failed: ", crate::task::noun(self.phase), self.index, self.name)?;
        if let Some(first) = self.refused.first() {
            write!(formatter, "{}", crate::egress::sentence(first))?;
            match self.refused.len() - 1 {
                0 => write!(formatter, "; ")?,
                more => write!(formatter, ", and {more} more; ")?,
            }
        }
        write!(formatter, "{}", self.reason)
    }
}

impl BuildError {
    /// An [`BuildError::Io`] maker for `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A [`BuildError::Host`] without a hint.
    pub fn host(message: impl Into<String>) -> Self {
        Self::Host { message: message.into(), hint: None }
    }

    /// The service's word for a run that ended so.
    pub const fn run_state(&self) -> RunState {
        match self {
            Self::Interrupted => RunState::Canceled,
            _ => RunState::Failed,
        }
    }

    /// The error with its causes in one text.
    pub fn with_causes(&self) -> String {
        full_text(self)
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Input { hint, .. } | Self::Host { hint, .. } | Self::Network { hint, .. } => hint.clone(),
            Self::Step(failure) => failure.hint.clone(),
            Self::Tool(ToolError::Missing { tool }) => Some(format!("apt-get install {}", tool.package())),
            Self::Io { source, .. } if source.raw_os_error() == Some(28) => {
                Some("the disk is full: free some space, or `aks-jumpbox cache prune`".to_owned())
            }
            _ => None,
        }
    }
}

/// An error with its causes in one text.
pub(crate) fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Result of the engine's functions.
pub type Result<T> = std::result::Result<T, BuildError>;
