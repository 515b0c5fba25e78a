//! Customizers and validators with everything they point to, as AIB prepares them (azure-image-builder.md 8.1, 8.2).

use egress_gateway::Connection;
use image_template::{Customizer, FileStep, Script, ShellStep, Validator};

use crate::differences;
use crate::digest::KeyBuilder;
use crate::error::{BuildError, Result};
use crate::event::Phase;
use crate::fetch::Fetcher;
use crate::isolation::Isolation;

/// Where a customizer leaves what is to run instead of the service's own last step.
pub const DEPROVISIONING_SCRIPT: &str = "/tmp/DeprovisioningScript.sh";

/// One customizer or validator, with everything it needs at hand.
#[derive(Debug)]
pub struct Task {
    /// Its position, from 1.
    pub index: u32,
    /// Its name, or what it does.
    pub name: String,
    /// [`Phase::Customize`] or [`Phase::Validate`].
    pub phase: Phase,
    /// `Shell` or `File`.
    pub type_name: &'static str,
    /// Where its script leans on what a local build does not have.
    pub warnings: Vec<String>,
    /// What it does.
    pub action: Action,
}

/// What a task does.
#[derive(Debug)]
pub enum Action {
    /// Runs a script.
    Script {
        /// Its text, with its `#!`.
        bytes: Vec<u8>,
    },
    /// Puts a file into place.
    File {
        /// Absolute path below `/tmp`.
        destination: String,
        /// Content.
        bytes: Vec<u8>,
    },
}

impl Task {
    /// Reads what a customizer points to, which is to run in `isolation`.
    ///
    /// # Errors
    /// For customizers of Windows, and when a source cannot be had or does not match its checksum.
    pub fn of_customizer(
        index: u32,
        customizer: &Customizer,
        fetch: &Fetch<'_>,
        isolation: Isolation,
    ) -> Result<Self> {
        match customizer {
            Customizer::Shell(step) => Self::shell(index, Phase::Customize, step, fetch, isolation),
            Customizer::File(step) => Self::file(index, Phase::Customize, step, fetch),
            other => Err(windows(index, other.type_name())),
        }
    }

    /// Reads what a validator points to.
    ///
    /// # Errors
    /// As for a customizer.
    pub fn of_validator(index: u32, validator: &Validator, fetch: &Fetch<'_>) -> Result<Self> {
        match validator {
            Validator::Shell(step) => Self::shell(index, Phase::Validate, step, fetch, Isolation::Namespaces),
            Validator::File(step) => Self::file(index, Phase::Validate, step, fetch),
            Validator::PowerShell(_) => Err(windows(index, "PowerShell")),
        }
    }

    /// The hidden last step, when a customizer has left a script of its own for it: the script is printed, then run
    /// by root (azure-image-builder.md 8.5; that it is run by root is our reading of the default's need for it).
    pub fn deprovision(index: u32) -> Self {
        let lines = [format!("cat {DEPROVISIONING_SCRIPT}"), format!("sudo /bin/sh {DEPROVISIONING_SCRIPT}")];
        Self {
            index,
            name: "deprovision".to_owned(),
            phase: Phase::Customize,
            type_name: "Shell",
            warnings: Vec::new(),
            action: Action::Script { bytes: inline_script(&lines) },
        }
    }

    fn shell(
        index: u32,
        phase: Phase,
        step: &ShellStep,
        fetch: &Fetch<'_>,
        isolation: Isolation,
    ) -> Result<Self> {
        let (bytes, what) = match &step.script {
            Script::Inline(lines) => (inline_script(lines), first_line(lines)),
            Script::Uri { uri, sha256 } => {
                let sha256 = sha256.as_ref().and_then(image_template::Text::known);
                (without_carriage_returns(fetch.get(uri, sha256)?), uri.to_string())
            }
        };
        let name = step.name.clone().unwrap_or(what);
        let label = format!("{} {index} '{name}'", noun(phase));
        let warnings = differences::warnings(&step.script, &bytes, &label, isolation);
        Ok(Self { index, name, phase, type_name: "Shell", warnings, action: Action::Script { bytes } })
    }

    fn file(index: u32, phase: Phase, step: &FileStep, fetch: &Fetch<'_>) -> Result<Self> {
        let destination = step.destination.to_string();
        if !destination.starts_with("/tmp/") || destination.split('/').any(|part| part == "..") {
            return Err(BuildError::Input {
                message: format!("{} {index}: the destination {destination} is not below /tmp", noun(phase)),
                hint: Some("put the file below /tmp and move it with a Shell customizer and sudo".to_owned()),
            });
        }
        let sha256 = step.sha256.as_ref().and_then(image_template::Text::known);
        let bytes = fetch.get(&step.source_uri, sha256)?;
        let name = step.name.clone().unwrap_or_else(|| format!("{} to {destination}", step.source_uri));
        let action = Action::File { destination, bytes };
        Ok(Self { index, name, phase, type_name: "File", warnings: Vec::new(), action })
    }

    /// Where to look when it fails without another hint.
    pub fn differences(&self) -> Option<String> {
        match self.warnings.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(format!(
                "{} warnings at the start of the build tell where this step leans on what a local build does not have",
                many.len()
            )),
        }
    }

    /// Digest of what the task does: its type, its script or its file and where that goes.
    pub fn content(&self) -> String {
        let key = KeyBuilder::new("task").part("type", self.type_name.as_bytes());
        match &self.action {
            Action::Script { bytes } => key.part("script", bytes).finish(),
            Action::File { destination, bytes } => {
                key.part("destination", destination.as_bytes()).part("file", bytes).finish()
            }
        }
    }

    /// The provisioner's name in Packer's log.
    pub fn provisioner(&self) -> &'static str {
        if self.type_name == "File" { "file" } else { "shell" }
    }
}

/// What a person calls a customizer or a validator.
pub const fn noun(phase: Phase) -> &'static str {
    if matches!(phase, Phase::Validate) { "validator" } else { "step" }
}

fn windows(index: u32, type_name: &str) -> BuildError {
    BuildError::Input {
        message: format!("step {index} is of type {type_name}, which needs Windows and so needs Azure"),
        hint: Some("a local build runs Shell and File on Linux sources".to_owned()),
    }
}

/// All lines joined into one script (Packer's shell provisioner): `/bin/sh -e` unless they bring their own `#!`.
fn inline_script(lines: &[String]) -> Vec<u8> {
    let text = lines.join("\n");
    let head = if text.starts_with("#!") { "" } else { "#!/bin/sh -e\n" };
    without_carriage_returns(format!("{head}{text}\n").into_bytes())
}

/// Packer turns CRLF into LF on upload.
fn without_carriage_returns(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.contains(&b'\r') {
        return bytes;
    }
    let mut clean = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        if byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            clean.push(byte);
        }
    }
    clean
}

fn first_line(lines: &[String]) -> String {
    let line = lines.iter().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap_or("empty script");
    let mut short: String = line.chars().take(60).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

/// Gets sources and notes what was fetched.
#[derive(Clone, Copy, Debug)]
pub struct Fetch<'a> {
    /// Does the fetching.
    pub fetcher: &'a Fetcher,
    /// Where remote sources are noted: step 0 of the egress record.
    pub note: &'a std::cell::RefCell<Vec<Connection>>,
}

impl Fetch<'_> {
    fn get(&self, uri: &image_template::Text, sha256: Option<&str>) -> Result<Vec<u8>> {
        let Some(known) = uri.known() else {
            return Err(BuildError::Input {
                message: format!("the source {uri} holds a placeholder or an expression"),
                hint: Some("give it a value to build with".to_owned()),
            });
        };
        let fetched = self.fetcher.fetch(known, sha256)?;
        if let Some((name, port)) = fetched.remote {
            let bytes_in = fetched.bytes.len() as u64;
            self.note.borrow_mut().push(crate::egress::own_download(&name, port, bytes_in));
        }
        Ok(fetched.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_lines_become_one_script_under_sh_e() {
        let lines = ["cd /tmp".to_owned(), "echo a\r\nb".to_owned()];
        assert_eq!(inline_script(&lines), b"#!/bin/sh -e\ncd /tmp\necho a\nb\n");
        let own = ["#!/bin/bash".to_owned(), "x".to_owned()];
        assert_eq!(inline_script(&own), b"#!/bin/bash\nx\n");
    }

    #[test]
    fn a_lone_carriage_return_stays() {
        assert_eq!(without_carriage_returns(b"a\rb\r\n".to_vec()), b"a\rb\n");
    }
}
