//! The steps of a build in a virtual machine: upload, execution, and what is told about them.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use egress_gateway::Connection;

use crate::boot::{BuildGuest, Output};
use crate::cache::LayerRecord;
use crate::customize::{Customizing, Step};
use crate::error::{BuildError, Result};
use crate::event::{StepState, Stream};
use crate::output_lines::send_lines;
use crate::run::{Context, OUT_OF_TIME};
use crate::step::{Delivery, LastLines, exit_reason};
use crate::task::Task;

/// Between two looks whether a step that prints nothing may go on.
const POLL: Duration = Duration::from_millis(200);

/// The steps of one virtual machine.
pub(super) struct Steps<'a> {
    pub(super) customizing: &'a Customizing<'a>,
    pub(super) tasks: &'a [Task],
    /// Key of the layer of all of them.
    pub(super) key: String,
}

impl Steps<'_> {
    /// The layer that these steps made before, told and logged; or why there is none that counts.
    pub(super) fn cached(&self, context: &Context<'_>) -> Result<std::result::Result<LayerRecord, String>> {
        let Some(first) = self.tasks.first() else { return Ok(Err(String::new())) };
        let layer = match self.customizing.usable(context.cache, &self.step(first)) {
            Ok(layer) => layer,
            Err(why) => return Ok(Err(why)),
        };
        for task in self.tasks {
            self.customizing.tell_reuse(context, &self.step(task), &layer)?;
        }
        context.earlier_connections.borrow_mut().extend(layer.connections.iter().cloned());
        Ok(Ok(layer))
    }

    fn step<'t>(&self, task: &'t Task) -> Step<'t> {
        let of = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX).max(task.index);
        Step::new(task, of, self.key.clone())
    }

    /// Puts the files that exist only while steps run below `/run` of the guest.
    pub(super) fn provide_build_only(&self, guest: &BuildGuest) -> Result<()> {
        for bind in &self.customizing.machine.build_only.binds {
            let folder = quoted(&bind.inside.parent().unwrap_or(Path::new("/run")).display().to_string());
            let file = quoted(&bind.inside.display().to_string());
            let command = format!("sudo -n sh -c \"mkdir -p {folder} && cat > {file} && chmod 644 {file}\"");
            expect(&guest.feed(&bind.host, &command)?, "place the build's own files")?;
        }
        Ok(())
    }

    /// Runs one step to its end; `stop_serving` ends its network, which completes its rows in the record.
    pub(super) fn one(
        &self,
        context: &Context<'_>,
        guest: &BuildGuest,
        task: &Task,
        why: &str,
        stop_serving: impl FnOnce(),
    ) -> Result<Vec<Connection>> {
        let step = self.step(task);
        let started = Instant::now();
        (context.observer)(&step.event(StepState::Started, None, Some(why.to_owned()), None));
        context.log.borrow_mut().telemetry("Starting provisioner", task.provisioner())?;
        let mut last_lines = LastLines::default();
        let reason = self.execute(context, guest, task, &mut last_lines);
        stop_serving();
        let outcome =
            reason.and_then(|reason| self.customizing.machine.judge(task, task.index, reason, last_lines));
        let logged = context.log.borrow_mut().telemetry("ending", task.provisioner());
        let seconds = started.elapsed().as_secs_f64();
        let connections = outcome.inspect_err(|error| {
            self.customizing.tell_end(context, &step, Some(error), seconds);
        })?;
        self.customizing.tell_end(context, &step, None, seconds);
        logged?;
        Ok(connections)
    }

    /// Uploads and runs; returns why it failed.
    fn execute(
        &self,
        context: &Context<'_>,
        guest: &BuildGuest,
        task: &Task,
        last_lines: &mut LastLines,
    ) -> Result<Option<String>> {
        let Delivery { path, bytes, command } = task.delivery();
        let mut file = tempfile::NamedTempFile::new_in(context.work.path())
            .map_err(BuildError::io("write in", context.work.path()))?;
        file.write_all(bytes).map_err(BuildError::io("write", file.path()))?;
        let target = quoted(&path);
        let upload = guest.feed(file.path(), &format!("cat > {target} && chmod 644 {target}"))?;
        if upload.exit != Some(0) {
            last_lines.push(upload.stderr.trim_end());
            return Ok(Some(format!("could not upload to {path}")));
        }
        let env = &self.customizing.machine.build_only.env;
        let exports = env.iter().map(|(name, value)| format!("export {name}={}; ", quoted(value)));
        let exports = exports.collect::<Vec<_>>().concat();
        let status = follow(context, guest, guest.start(&format!("{exports}{command}"))?, |stream, line| {
            last_lines.push(line);
            context.pass_on(task.index, stream, line);
        })?;
        Ok(match status {
            None => Some(OUT_OF_TIME.to_owned()),
            Some(status) => match status.code() {
                Some(code) => exit_reason(code),
                None => Some("the connection to the virtual machine was lost".to_owned()),
            },
        })
    }
}

/// Follows a command to its end, or until the build is out of time: then there is no status.
fn follow(
    context: &Context<'_>,
    guest: &BuildGuest,
    mut child: Child,
    mut on_line: impl FnMut(Stream, &str),
) -> Result<Option<ExitStatus>> {
    let (sender, lines) = sync_channel(1024);
    send_lines(child.stdout.take(), Stream::Stdout, sender.clone());
    send_lines(child.stderr.take(), Stream::Stderr, sender);
    let fail = |error: std::io::Error| BuildError::host(format!("failed to follow the SSH client: {error}"));
    loop {
        let left = context.deadline.saturating_duration_since(Instant::now());
        let going_on = if left.is_zero() { Ok(None) } else { guest.check().map(Some) };
        if !matches!(going_on, Ok(Some(()))) {
            child.kill().and_then(|()| child.wait()).map_err(fail)?;
            return going_on.map(|_| None).map_err(Into::into);
        }
        match lines.recv_timeout(left.min(POLL)) {
            Ok((stream, line)) => on_line(stream, &line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return child.wait().map(Some).map_err(fail),
        }
    }
}

fn expect(output: &Output, what: &str) -> Result<()> {
    match output.exit {
        Some(0) => Ok(()),
        _ => Err(BuildError::host(format!(
            "failed to {what} in the virtual machine: {}",
            output.stderr.trim()
        ))),
    }
}

/// A word for the guest's shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
