//! Requests that change something: written down, asked for, waited for.

use std::time::Duration;

use azure::{Operation, Poll};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::Workflow;
use crate::error::{Error, While};
use crate::event::Event;
use crate::state::{Kind, Waiting};

/// Polls that may fail one after the other before the wait is given up: a failed poll says nothing about the operation
/// (azure-image-builder.md 2.1).
const FAILED_POLLS: u32 = 5;
/// How long the wait is after a poll that failed.
const AFTER_FAILED_POLL: Duration = Duration::from_secs(10);

impl Workflow<'_> {
    /// Makes something and waits until it is made. It is written down before it is asked for.
    pub(crate) fn make<B: Serialize, T: DeserializeOwned>(
        &mut self,
        kind: Kind,
        (id, version): (&str, &str),
        body: &B,
    ) -> Result<Option<T>, Error> {
        self.check_stopped()?;
        self.state.intend(kind, id)?;
        self.audit.asked("write", id)?;
        let asked = self.client.put::<B, T>(id, version, body);
        self.audit.ended("write", id, asked.as_ref().err())?;
        let started = asked.to(|| format!("make {id}"))?;
        if let Some(operation) = started.operation {
            self.wait_for(id, &operation, false)?;
        }
        self.state.confirm(id)?;
        Ok(started.value)
    }

    /// Changes parts of something that is there, and waits until they are.
    pub(crate) fn change<B: Serialize>(
        &mut self,
        (id, version): (&str, &str),
        body: &B,
    ) -> Result<(), Error> {
        self.check_stopped()?;
        self.audit.asked("change", id)?;
        let asked = self.client.patch::<B, IgnoredAny>(id, version, body);
        self.audit.ended("change", id, asked.as_ref().err())?;
        match asked.to(|| format!("change {id}"))?.operation {
            Some(operation) => self.wait_for(id, &operation, false),
            None => Ok(()),
        }
    }

    /// Deletes something and waits until it is gone. What is not there is gone, when it is not there twice: what was made
    /// a moment ago is not everywhere yet.
    pub(crate) fn delete(&mut self, id: &str, version: &str) -> Result<(), Error> {
        self.check_stopped()?;
        self.audit.asked("delete", id)?;
        let asked = self.client.delete(id, version);
        self.audit.ended("delete", id, asked.as_ref().err())?;
        if let Some(operation) = asked.to(|| format!("delete {id}"))? {
            self.wait_for(id, &operation, false)?;
        }
        if self.is_there(id, version)? {
            let hint = "the same command again asks again".to_owned();
            return Err(Error::Refused { what: format!("{id} is still there"), hint });
        }
        self.state.forget(id)
    }

    /// Waits for an operation, asking no more often than the service says. `at_once` is for one of an earlier process.
    pub(crate) fn wait_for(&mut self, id: &str, operation: &Operation, at_once: bool) -> Result<(), Error> {
        self.state.record.waiting = Some(Waiting { id: id.to_owned(), operation: operation.clone() });
        self.state.save()?;
        let doing = || format!("finish {id}");
        let mut after = if at_once { Duration::ZERO } else { Duration::from_millis(operation.after_ms) };
        let mut failed = 0;
        let ended = loop {
            self.let_pass(after);
            self.check_stopped()?;
            match self.client.poll(operation) {
                Ok(Poll::Running { after: hint }) => (after, failed) = (hint, 0),
                Ok(Poll::Succeeded) => break Ok(()),
                Ok(Poll::Failed(error)) => break Err(Error::Operation { doing: doing(), error }),
                Ok(Poll::Canceled) => {
                    let hint = "ask for it again";
                    break Err(Error::Refused { what: format!("{id} was canceled"), hint: hint.to_owned() });
                }
                Err(error) if error.is_transient() && failed < FAILED_POLLS => {
                    failed += 1;
                    after = AFTER_FAILED_POLL;
                    self.waiting(format!("{id}: asking how it stands failed: {error}"), after);
                }
                Err(error) => return Err(error).to(doing),
            }
        };
        self.state.record.waiting = None;
        self.state.save()?;
        ended
    }

    /// Goes on waiting for what an earlier process waited for. An operation that the service no longer knows has ended.
    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        let Some(Waiting { id, operation }) = self.state.record.waiting.clone() else { return Ok(()) };
        self.watch.tell(&Event::Waiting { text: format!("{id}, which was begun earlier"), seconds: 0 });
        match self.wait_for(&id, &operation, true) {
            Err(Error::Azure { error, .. }) if error.is_not_found() => {}
            // How it ended is seen by looking at what it was to make.
            Ok(()) | Err(Error::Operation { .. } | Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        self.state.record.waiting = None;
        self.state.save()
    }

    pub(crate) fn waiting(&self, text: String, time: Duration) {
        self.watch.tell(&Event::Waiting { text, seconds: time.as_secs() });
    }
}
