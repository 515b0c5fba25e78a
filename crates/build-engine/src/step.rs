//! Runs customizers and validators as AIB runs them (azure-image-builder.md section 8): a script below `/tmp`, an
//! ordinary user with sudo, two variables, no terminal, no input; only exit code 0 is success.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use egress_gateway::{Connection, Gateway};
use network_policy::NetworkPolicy;
use sandbox::{Bind, Entry, Program, SandboxError, Spec, Upload};

use crate::error::{BuildError, Result, StepFailure};
use crate::network::BuildOnly;
use crate::run::{self, Bounds, Context, Ended};
use crate::space::SpaceGuard;
use crate::task::{Action, Task};
use crate::user;

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
    /// Bytes of the image's disk, which no step may write more than.
    pub disk_bytes: u64,
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
        let spawned = context.timeline.part("sandbox", || -> Result<_> {
            let mut running = sandbox::spawn(&spec)?;
            let session = run::attach(self.gateway, step, &mut running)?;
            Ok((running, session))
        });
        let (running, session) = match spawned {
            // What an earlier step left is in the way: the template's fault, not this machine's.
            Err(BuildError::Sandbox(error @ (SandboxError::Upload(_) | SandboxError::Image(_)))) => {
                let reason = match error {
                    SandboxError::Upload(why) => format!("Upload failed: {why}"),
                    other => other.to_string(),
                };
                return Err(BuildError::Step(Box::new(self.failure(task, reason, last_lines, &[]))));
            }
            spawned => spawned?,
        };
        let space = Some(SpaceGuard::new(&[scratch, &added_packages], self.disk_bytes));
        let ended = context.timeline.part("run", || {
            context.drive(running, Bounds { space, time: None }, |stream, line| {
                last_lines.push(line);
                context.pass_on(step, stream, line);
            })
        });
        drop(session);
        let reason = match ended? {
            Ended::Exit(exit) => run::failure(&exit).or_else(|| left_behind(task, scratch)),
            Ended::Stopped(why) => Some(why),
        };
        let connections = self.judge(task, step, reason, last_lines)?;
        Ok(Outcome {
            added_packages,
            used_network: connections.iter().any(|row| row.bytes_in > 0),
            connections,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// What a task that ended tried to reach under the number `step`.
    ///
    /// # Errors
    /// [`BuildError::Step`] when there is a reason why it failed.
    pub fn judge(
        &self,
        task: &Task,
        step: u32,
        reason: Option<String>,
        last_lines: LastLines,
    ) -> Result<Vec<Connection>> {
        let connections = self.connections_of(step);
        match reason {
            None => Ok(connections),
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
        let out_of_tasks = lines.name_a_failed_fork().then(|| {
            format!("a step in the sandbox has at most {} processes and threads at once", sandbox::MOST_TASKS)
        });
        StepFailure {
            index: task.index,
            name: task.name.clone(),
            phase: task.phase,
            reason,
            last_lines: lines.0.into(),
            hint: crate::egress::suggestions(self.policy, &refused)
                .or(out_of_tasks)
                .or_else(|| task.differences()),
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
        let Delivery { path, bytes, command } = task.delivery();
        fs::write(&source, bytes).map_err(BuildError::io("write", &source))?;
        let (uid, gid) = (user::ID, user::ID);
        let mut binds = self.build_only.binds.clone();
        binds.push(Bind {
            host: self.packages.clone(),
            inside: "/var/cache/apt/archives".into(),
            read_only: false,
            scratch: Some(added_packages.to_path_buf()),
        });
        let entry = Entry::Program(Program {
            argv: ["/bin/sh", "-c", &command].map(str::to_owned).to_vec(),
            env: self.environment(),
            cwd: user::HOME.into(),
            uid,
            gid,
        });
        Ok(Spec {
            overlay: Some(context.overlay(lowers, scratch)),
            hostname: "pkrvm".into(),
            network: true,
            binds,
            uploads: vec![Upload { path: path.into(), source, mode: 0o644, uid, gid }],
            ..Spec::new(context.id_map.clone(), entry)
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
        let entry = Entry::Program(Program {
            argv: vec!["/bin/bash".into(), "-i".into()],
            env,
            cwd: user::HOME.into(),
            uid: user::ID,
            gid: user::ID,
        });
        let spec = Spec {
            overlay: Some(context.overlay(lowers, &scratch)),
            hostname: "pkrvm".into(),
            network: true,
            binds: self.build_only.binds.clone(),
            interactive: true,
            ..Spec::new(context.id_map.clone(), entry)
        };
        let mut running = sandbox::spawn(&spec)?;
        let session = run::attach(self.gateway, 0, &mut running)?;
        running.wait()?;
        drop(session);
        Ok(())
    }
}

/// A file for the build user, mode 0644, and the command that follows.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Where it goes.
    pub path: String,
    /// What is in it.
    pub bytes: &'a [u8],
    /// For the build user's shell.
    pub command: String,
}

impl Task {
    /// What is put where and what is run then.
    pub fn delivery(&self) -> Delivery<'_> {
        match &self.action {
            Action::Script { bytes } => {
                let path = script_path(bytes);
                let command = script_command(&path);
                Delivery { path, bytes, command }
            }
            Action::File { destination, bytes } => {
                Delivery { path: destination.clone(), bytes, command: "exit 0".to_owned() }
            }
        }
    }
}

/// Why a task failed that ended with this code; only 0 is success.
pub fn exit_reason(code: i32) -> Option<String> {
    (code != 0)
        .then(|| format!("Script exited with non-zero exit status: {code}. Allowed exit codes are: [0]"))
}

/// `/tmp/script_<number>.sh`, as Packer names it; the number follows the content so that a layer is reproducible.
fn script_path(bytes: &[u8]) -> String {
    let digest = crate::digest::sha256(bytes);
    let number = u32::from_str_radix(&digest[..6], 16).unwrap_or_default() % 9999;
    format!("/tmp/script_{number}.sh")
}

/// A script is removed by the shell that ran it: one that is still there was never run, whatever the exit code.
fn left_behind(task: &Task, scratch: &Path) -> Option<String> {
    let Action::Script { bytes } = &task.action else { return None };
    let path = script_path(bytes);
    let there = fs::symlink_metadata(scratch.join("upper").join(path.trim_start_matches('/'))).is_ok();
    there.then(|| format!("{path} was not run: /bin/sh of the image is no shell"))
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
pub struct LastLines(std::collections::VecDeque<String>);

impl LastLines {
    const KEPT: usize = 20;

    /// Adds a line; the oldest goes when there are many.
    pub fn push(&mut self, line: &str) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(crate::log::printable(line));
    }

    /// As the shells of a Debian image say it, and the C library.
    fn name_a_failed_fork(&self) -> bool {
        let words = ["Cannot fork", "Resource temporarily unavailable"];
        self.0.iter().any(|line| words.iter().any(|word| line.contains(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_gets_packers_two_variables_in_packers_order() {
        let command = script_command("/tmp/script_7.sh");
        assert!(command.contains(
            "chmod +x /tmp/script_7.sh; PACKER_BUILDER_TYPE='azure-arm' PACKER_BUILD_NAME='azure-arm'  /tmp/script_7.sh;"
        ));
    }
}
