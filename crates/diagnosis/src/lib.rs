//! Why an image build failed: known signatures, looked for in its log or in Azure's answer.
//!
//! [`diagnose`] reads a whole text and says what caused the failure, what only followed from it, and what looks bad and
//! does not matter. The rules are data (`rules.toml`), each with how well it is known. In a log, only what stands between
//! the start of the step that failed and the failure can be a cause. No text makes it panic, and whatever it shows of a
//! text has gone through [`redact`].
//!
//! Sources: azure-image-builder.md 2.1, 2.3, 2.4 (bodies), 3.3 (logs), 7 (rules).

mod body;
mod diagnose;
mod log;
mod reading;
mod redact;
mod rules;
mod scan;
#[cfg(test)]
mod tests;

pub use diagnose::{Diagnosis, Finding, Outcome, Place, diagnose};
pub use log::Step;
pub use reading::Kind;
pub use redact::redact;
pub use rules::{Evidence, Input, Phase, Rule, Severity, rules};
