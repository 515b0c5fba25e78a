//! What the program's exit code tells the script that called it.

use std::process::ExitCode;

/// The answer as an exit code. Scripts branch on these; they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// Done, allowed, every requirement met.
    Yes,
    /// A requirement is not met, a flow is denied, a customizer, validator or smoke test failed.
    No,
    /// Bad arguments or a bad file.
    WrongQuestion,
    /// What was given does not decide it.
    CannotTell,
    /// A host tool is missing, no credentials, an outage.
    NotAble,
    /// Stopped by the user or by a termination signal.
    Interrupted,
}

impl ExitStatus {
    /// Every status, in the order of the codes.
    pub const ALL: [Self; 6] =
        [Self::Yes, Self::No, Self::WrongQuestion, Self::CannotTell, Self::NotAble, Self::Interrupted];

    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::WrongQuestion => 2,
            Self::CannotTell => 3,
            Self::NotAble => 4,
            Self::Interrupted => 130,
        }
    }

    /// The meaning, as the reference page states it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Yes => "yes: done, allowed, every requirement met",
            Self::No => {
                "no: a requirement is not met, a flow is denied, a customizer, validator or smoke test failed"
            }
            Self::WrongQuestion => {
                "the question is wrong: bad arguments, or a bad file (with line, column, what was expected and the \
                 nearest right spelling)"
            }
            Self::CannotTell => "cannot tell: what was given does not decide it (and what would)",
            Self::NotAble => {
                "this machine or Azure is not able: a host tool is missing, no credentials, an outage (and the \
                 command that mends it)"
            }
            Self::Interrupted => "interrupted; everything started was stopped and removed",
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
