//! Runs customizers and validators as AIB runs them (azure-image-builder.md section 8): a script below `/tmp`, an
//! ordinary user with sudo, two variables, no terminal, no input; only exit code 0 is success.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use egress_gateway::{Connection, Gateway};
use image_template::{Customizer, FileStep, Script, ShellStep, Validator};
use network_policy::NetworkPolicy;
use sandbox::{Bind, Entry, Exit, Overlay, Program, Spec, Upload};

use crate::digest::KeyBuilder;
use crate::error::{BuildError, Result, StepFailure};
use crate::fetch::Fetcher;
use crate::network::BuildOnly;
use crate::run::{self, Context, Ended};
use crate::user;

/// One customizer or validator, with everything it needs at hand.
#[derive(Debug)]
pub struct Task {
    /// Its position, from 1.
    pub index: u32,
    /// Its name, or what it does.
    pub name: String,
    /// `customizer` or `validator`.
    pub kind: &'static str,
    /// `Shell` or `File`.
    pub type_name: &'static str,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Script { bytes: Vec<u8> },
    File { destination: String, bytes: Vec<u8> },
}

impl Task {
    /// Reads what a customizer points to.
    ///
    /// # Errors
    /// For customizers of Windows, and when a source cannot be had or does not match its checksum.
    pub fn of_customizer(index: u32, customizer: &Customizer, fetch: &Fetch<'_>) -> Result<Self> {
        match customizer {
            Customizer::Shell(step) => Self::shell(index, "customizer", step, fetch),
            Customizer::File(step) => Self::file(index, "customizer", step, fetch),
            other => Err(windows(index, other.type_name())),
        }
    }

    /// Reads what a validator points to.
    ///
    /// # Errors
    /// As for a customizer.
    pub fn of_validator(index: u32, validator: &Validator, fetch: &Fetch<'_>) -> Result<Self> {
        match validator {
            Validator::Shell(step) => Self::shell(index, "validator", step, fetch),
            Validator::File(step) => Self::file(index, "validator", step, fetch),
            Validator::PowerShell(_) => Err(windows(index, "PowerShell")),
        }
    }

    fn shell(index: u32, kind: &'static str, step: &ShellStep, fetch: &Fetch<'_>) -> Result<Self> {
        let (bytes, what) = match &step.script {
            Script::Inline(lines) => (inline_script(lines), first_line(lines)),
            Script::Uri { uri, sha256 } => {
                let sha256 = sha256.as_ref().and_then(image_template::Text::known);
                (without_carriage_returns(fetch.get(uri, sha256)?), uri.to_string())
            }
        };
        let name = step.name.clone().unwrap_or(what);
        Ok(Self { index, name, kind, type_name: "Shell", action: Action::Script { bytes } })
    }

    fn file(index: u32, kind: &'static str, step: &FileStep, fetch: &Fetch<'_>) -> Result<Self> {
        let destination = step.destination.to_string();
        if !destination.starts_with("/tmp/") || destination.split('/').any(|part| part == "..") {
            return Err(BuildError::Input {
                message: format!("{kind} {index}: the destination {destination} is not below /tmp"),
                hint: Some("put the file below /tmp and move it with a Shell customizer and sudo".to_owned()),
            });
        }
        let sha256 = step.sha256.as_ref().and_then(image_template::Text::known);
        let bytes = fetch.get(&step.source_uri, sha256)?;
        let name = step.name.clone().unwrap_or_else(|| format!("{} to {destination}", step.source_uri));
        Ok(Self { index, name, kind, type_name: "File", action: Action::File { destination, bytes } })
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

/// Where tasks run: a stack of layers and the means to reach the outside.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The gateway of the network policy in force.
    pub gateway: &'a Gateway,
    /// The policy itself.
    pub policy: &'a NetworkPolicy,
    /// Files and variables that only exist while a step runs.
    pub build_only: &'a BuildOnly,
    /// The shared package store that steps may read.
    pub packages: PathBuf,
}

/// What a task that succeeded leaves.
#[derive(Debug)]
pub struct Outcome {
    /// Scratch folder whose `upper` holds what it put into the package cache.
    pub added_packages: PathBuf,
    /// It reached something over the network.
    pub used_network: bool,
    /// Everything it tried to reach.
    pub connections: Vec<Connection>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Machine<'_> {
    /// Runs one task on top of `lowers` (topmost first, relative to the cache); what it changes is then in
    /// `upper` of `scratch`, also when it fails.
    ///
    /// # Errors
    /// [`BuildError::Step`] when it fails.
    pub fn run(
        &self,
        context: &Context<'_>,
        task: &Task,
        step: u32,
        lowers: &[PathBuf],
        scratch: &Path,
    ) -> Result<Outcome> {
        let started = Instant::now();
        let added_packages = context.work.overlay("packages")?;
        let spec = self.spec(context, task, lowers, scratch, &added_packages)?;
        let mut last_lines = LastLines::default();
        let (running, session) = context.timeline.part("sandbox", || -> Result<_> {
            let mut running = sandbox::spawn(&spec)?;
            let session = run::attach(self.gateway, step, &mut running)?;
            Ok((running, session))
        })?;
        let ended = context.timeline.part("run", || {
            context.drive(running, |stream, line| {
                last_lines.push(line);
                context.pass_on(step, stream, line);
            })
        });
        drop(session);
        let reason = match ended? {
            Ended::Exit(Exit::Code(0)) => None,
            Ended::Exit(Exit::Code(code)) => {
                Some(format!("Script exited with non-zero exit status: {code}. Allowed exit codes are: [0]"))
            }
            Ended::Exit(Exit::Signal(signal)) => Some(format!("ended by signal {signal}")),
            Ended::Exit(Exit::Job(_)) => Some("ended unexpectedly".to_owned()),
            Ended::TimedOut => Some("the build's total time (buildTimeoutInMinutes) is over".to_owned()),
        };
        let connections = self.connections_of(step);
        match reason {
            None => Ok(Outcome {
                added_packages,
                used_network: connections.iter().any(|row| row.bytes_in > 0),
                connections,
                seconds: started.elapsed().as_secs_f64(),
            }),
            Some(reason) => {
                Err(BuildError::Step(Box::new(self.failure(task, reason, last_lines, &connections))))
            }
        }
    }

    fn failure(
        &self,
        task: &Task,
        reason: String,
        lines: LastLines,
        connections: &[Connection],
    ) -> StepFailure {
        let refused: Vec<_> = crate::egress::telling(connections).into_iter().cloned().collect();
        StepFailure {
            index: task.index,
            name: task.name.clone(),
            kind: task.kind,
            reason,
            last_lines: lines.0.into(),
            hint: crate::egress::suggestions(self.policy, &refused),
            refused,
        }
    }

    fn connections_of(&self, step: u32) -> Vec<Connection> {
        self.gateway.record().connections.into_iter().filter(|row| row.step == step).collect()
    }

    fn spec(
        &self,
        context: &Context<'_>,
        task: &Task,
        lowers: &[PathBuf],
        scratch: &Path,
        added_packages: &Path,
    ) -> Result<Spec> {
        let source = context.work.folder("upload")?.join("content");
        let (path, bytes, command) = match &task.action {
            Action::Script { bytes } => {
                let path = script_path(bytes);
                let command = script_command(&path);
                (path, bytes, command)
            }
            Action::File { destination, bytes } => (destination.clone(), bytes, "exit 0".to_owned()),
        };
        fs::write(&source, bytes).map_err(BuildError::io("write", &source))?;
        let (uid, gid) = (user::ID, user::ID);
        let mut binds = self.build_only.binds.clone();
        binds.push(Bind {
            host: self.packages.clone(),
            inside: "/var/cache/apt/archives".into(),
            read_only: false,
            scratch: Some(added_packages.to_path_buf()),
        });
        Ok(Spec {
            overlay: Some(Overlay {
                store: context.cache.root().to_path_buf(),
                lowers: lowers.to_vec(),
                scratch: scratch.to_path_buf(),
            }),
            hostname: "pkrvm".into(),
            network: true,
            binds,
            uploads: vec![Upload { path: path.into(), source, mode: 0o644, uid, gid }],
            entry: Entry::Program(Program {
                argv: ["/bin/sh", "-c", &command].map(str::to_owned).to_vec(),
                env: self.environment(),
                cwd: user::HOME.into(),
                uid,
                gid,
            }),
            interactive: false,
        })
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut env = user::environment();
        env.extend(self.build_only.env.iter().cloned());
        env
    }

    /// A person's shell on top of what a failed step left.
    ///
    /// # Errors
    /// When the sandbox cannot be made.
    pub fn shell(&self, context: &Context<'_>, lowers: &[PathBuf]) -> Result<()> {
        let scratch = context.work.overlay("shell")?;
        let mut env = self.environment();
        env.push(("TERM".into(), std::env::var("TERM").unwrap_or_else(|_| "dumb".into())));
        let spec = Spec {
            overlay: Some(Overlay {
                store: context.cache.root().to_path_buf(),
                lowers: lowers.to_vec(),
                scratch,
            }),
            hostname: "pkrvm".into(),
            network: true,
            binds: self.build_only.binds.clone(),
            uploads: Vec::new(),
            entry: Entry::Program(Program {
                argv: vec!["/bin/bash".into(), "-i".into()],
                env,
                cwd: user::HOME.into(),
                uid: user::ID,
                gid: user::ID,
            }),
            interactive: true,
        };
        let mut running = sandbox::spawn(&spec)?;
        let session = run::attach(self.gateway, 0, &mut running)?;
        running.wait()?;
        drop(session);
        Ok(())
    }
}

/// `/tmp/script_<number>.sh`, as Packer names it; the number follows the content so that a layer is reproducible.
fn script_path(bytes: &[u8]) -> String {
    let digest = crate::digest::sha256(bytes);
    let number = u32::from_str_radix(&digest[..6], 16).unwrap_or_default() % 9999;
    format!("/tmp/script_{number}.sh")
}

/// Packer's execute command, then its removal of the script, whose failure is an error of its own.
fn script_command(path: &str) -> String {
    format!(
        "chmod +x {path}; PACKER_BUILDER_TYPE='azure-arm' PACKER_BUILD_NAME='azure-arm'  {path}; code=$?; \
         rm -f {path} || {{ echo 'Error removing temporary script at {path}' >&2; exit 1; }}; exit $code"
    )
}

/// The end of what a step printed.
#[derive(Debug, Default)]
struct LastLines(std::collections::VecDeque<String>);

impl LastLines {
    const KEPT: usize = 20;

    fn push(&mut self, line: &str) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(crate::log::printable(line));
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

    #[test]
    fn the_script_gets_packers_two_variables_in_packers_order() {
        let command = script_command("/tmp/script_7.sh");
        assert!(command.contains(
            "chmod +x /tmp/script_7.sh; PACKER_BUILDER_TYPE='azure-arm' PACKER_BUILD_NAME='azure-arm'  /tmp/script_7.sh;"
        ));
    }
}
