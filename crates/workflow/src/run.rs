//! A run of a template: started once, followed to its end by whoever comes, and judged by what it made.

use std::time::Duration;

use azure::{Operation, Poll};
use serde::Serialize;
use uuid::Uuid;

use crate::Workflow;
use crate::error::{Error, While};
use crate::event::Event;
use crate::log::Reader;
use crate::state::{Kind, Run};
use azure::resources::{RunOutput, RunStatus, Template, version};

/// What is waited when the service gives no hint (azure-image-builder.md 2.1).
const PAUSE: Duration = Duration::from_secs(30);
/// What is waited before a request to start is sent again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often a run is asked for, all told.
const STARTS: u32 = 4;
/// Looks at a template that tells of no run although the operation has ended: it may hear late.
const LATE_LOOKS: u32 = 20;
/// Looks at a template that may fail one after the other.
const FAILED_LOOKS: u32 = 20;

/// A run that ended with an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finished {
    /// Resource id of the template.
    pub template: String,
    /// What the service calls the end: `Succeeded`, or `PartiallySucceeded`.
    pub run_state: String,
    /// What was made.
    pub outputs: Vec<Output>,
}

/// Something that a run made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Output {
    /// Its name in the template.
    pub name: String,
    /// Resource id of a managed image or gallery image version, or the address of a VHD.
    pub artifact: String,
}

impl Workflow<'_> {
    /// Runs a template and follows it to its end. A run that goes on already is followed, and none is started beside it.
    ///
    /// # Errors
    /// When the run ended without an image, cannot be started, or the work was stopped: the run goes on then, and following
    /// it again goes on from there.
    pub fn run(&mut self, template: &str) -> Result<Finished, Error> {
        self.end_trials()?;
        self.start(template)?;
        self.follow(template)
    }

    fn start(&mut self, id: &str) -> Result<(), Error> {
        let template = self.there(id)?;
        let last = template.properties.last_run_status.unwrap_or_default();
        if let Some(run) = self.own_run(id) {
            // Asked for by an earlier process: its answer may have been lost.
            if has_begun(&last, &run) || run.operation.is_some() {
                return Ok(());
            }
        } else {
            let follows = last.goes_on();
            self.state.record.run = Some(Run {
                template: id.to_owned(),
                request: Uuid::new_v4().to_string(),
                // One that somebody else began is this one.
                before: last.start_time.filter(|_| !follows),
                operation: None,
                state: None,
            });
            self.state.save()?;
            if follows {
                return Ok(());
            }
        }
        self.ask_to_run(id)
    }

    /// The run that is written down and has not ended, of this template.
    fn own_run(&self, id: &str) -> Option<Run> {
        let run = self.state.record.run.as_ref();
        run.filter(|run| run.template.eq_ignore_ascii_case(id) && run.state.is_none()).cloned()
    }

    /// Asks for the run until the service has heard of it, and no oftener: after each lost answer the template's own state
    /// says whether it had.
    fn ask_to_run(&mut self, id: &str) -> Result<(), Error> {
        let path = format!("{id}/run");
        for attempt in 1.. {
            self.check_stopped()?;
            let Some(run) = self.own_run(id) else { return Ok(()) };
            self.audit.asked("run", id)?;
            let asked = self.client.post_once(&path, version::TEMPLATES, &run.request);
            self.audit.ended("run", id, asked.as_ref().err())?;
            let error = match asked {
                Ok(started) => return self.note_run(|run| run.operation = started.operation),
                Err(error) => error,
            };
            if !(error.is_transient() || error.is_conflict()) || attempt == STARTS {
                return Err(error).to(|| format!("run {id}"));
            }
            self.waiting(format!("whether the run began: {error}"), AGAIN);
            self.watch.wait(AGAIN);
            let last = self.there(id)?.properties.last_run_status.unwrap_or_default();
            if has_begun(&last, &run) {
                return Ok(());
            }
            if error.is_conflict() {
                return Err(error).to(|| format!("run {id}"));
            }
        }
        Ok(())
    }

    fn note_run(&mut self, change: impl FnOnce(&mut Run)) -> Result<(), Error> {
        if let Some(run) = &mut self.state.record.run {
            change(run);
            self.state.save()?;
        }
        Ok(())
    }

    pub(crate) fn there(&self, id: &str) -> Result<Template, Error> {
        self.look(id)?.ok_or_else(|| Error::Refused {
            what: format!("there is no image template {id}"),
            hint: "deploy it first".to_owned(),
        })
    }

    /// Follows the last run of a template to its end: its states, and its log as it grows.
    ///
    /// # Errors
    /// As [`Workflow::run`].
    pub fn follow(&mut self, id: &str) -> Result<Finished, Error> {
        let operation = self
            .state
            .record
            .run
            .as_ref()
            .filter(|run| run.state.is_none())
            .and_then(|run| run.operation.clone());
        let mut following = Following { operation, ..Following::default() };
        let last = loop {
            let template = match self.there(id) {
                Ok(template) => template,
                Err(Error::Azure { error, .. })
                    if error.is_transient() && following.failed < FAILED_LOOKS =>
                {
                    following.failed += 1;
                    self.pause(&following, &format!("asking how the run stands failed: {error}"))?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            following.failed = 0;
            if let Some(last) = self.tell_run(&mut following, &template)? {
                break last;
            }
            self.pause(&following, "")?;
            self.poll(&mut following);
        };
        self.judge(id, last)
    }

    fn pause(&self, following: &Following, why: &str) -> Result<(), Error> {
        let hinted = following.operation.as_ref().map(|own| Duration::from_millis(own.after_ms));
        let pause = hinted.unwrap_or(PAUSE);
        if !why.is_empty() {
            self.waiting(why.to_owned(), pause);
        }
        self.watch.wait(pause);
        self.check_stopped()
    }

    /// Asks the operation, whose hints say when to ask again. How the run ended, the template tells; a poll that failed
    /// tells nothing.
    fn poll(&self, following: &mut Following) {
        let Some(operation) = &mut following.operation else { return };
        match self.client.poll(operation) {
            Ok(Poll::Running { after }) => {
                operation.after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            }
            Ok(Poll::Failed(error)) => following.failure = Some(error.to_string()),
            Ok(Poll::Succeeded | Poll::Canceled) => following.ended += 1,
            Err(_) => {}
        }
    }

    /// Tells what is new; the last status once the run has ended.
    fn tell_run(
        &mut self,
        following: &mut Following,
        template: &Template,
    ) -> Result<Option<RunStatus>, Error> {
        let last = template.properties.last_run_status.clone().unwrap_or_default();
        let begun = match &self.state.record.run {
            Some(run) if run.state.is_none() => has_begun(&last, run),
            _ => !last.run_state.is_empty(),
        };
        if begun && following.told != (last.run_state.clone(), last.run_sub_state.clone()) {
            let (run_state, run_sub_state) = (last.run_state.clone(), last.run_sub_state.clone());
            following.told = (run_state.clone(), run_sub_state.clone());
            self.watch.tell(&Event::Run { run_state, run_sub_state });
        }
        following.log.read(self, template)?;
        // An operation that failed before the template's run began, such as for want of a quota, has a reason of its own.
        if let (false, Some(failure)) = (last.goes_on(), following.failure.clone()) {
            let message = last.message.clone().or(Some(failure));
            let run_state = if begun { last.run_state.clone() } else { "Failed".to_owned() };
            return Ok(Some(RunStatus { run_state, message, ..last }));
        }
        if !begun && following.ended > LATE_LOOKS {
            let message = Some("the service ended the request, and tells of no run".to_owned());
            return Ok(Some(RunStatus { run_state: "Unknown".to_owned(), message, ..RunStatus::default() }));
        }
        Ok((begun && !last.goes_on()).then_some(last))
    }

    /// What a run came to. Its outputs are asked for before it is called a failure.
    fn judge(&mut self, id: &str, last: RunStatus) -> Result<Finished, Error> {
        let state = last.run_state;
        let outputs = self.outputs(id)?;
        for output in outputs.iter().filter(|output| output.artifact.starts_with('/')) {
            self.state.intend(Kind::Image, &output.artifact)?;
            self.state.confirm(&output.artifact)?;
        }
        self.note_run(|run| run.state = Some(state.clone()))?;
        if matches!(state.to_ascii_lowercase().as_str(), "succeeded" | "partiallysucceeded") {
            return Ok(Finished { template: id.to_owned(), run_state: state, outputs });
        }
        let message = last.message.unwrap_or_else(|| "the service does not say why".to_owned());
        let outputs = outputs.into_iter().map(|output| output.artifact).collect();
        Err(Error::Run { state, message, outputs })
    }

    /// What the last run made.
    ///
    /// # Errors
    /// When Azure cannot be asked.
    pub fn outputs(&self, id: &str) -> Result<Vec<Output>, Error> {
        let all: Vec<RunOutput> = self
            .client
            .list(&format!("{id}/runOutputs"), version::TEMPLATES)
            .to(|| format!("look at what {id} made"))?;
        let artifact = |output: RunOutput| {
            let properties = output.properties;
            let artifact = properties.artifact_id.or(properties.artifact_uri)?;
            Some(Output { name: output.name, artifact })
        };
        Ok(all.into_iter().filter_map(artifact).collect())
    }

    /// Asks the run of a template to stop, and does not wait until it has.
    ///
    /// # Errors
    /// When none goes on, or Azure refuses.
    pub fn cancel(&mut self, id: &str) -> Result<(), Error> {
        let last = self.there(id)?.properties.last_run_status.unwrap_or_default();
        if !last.goes_on() {
            let what = format!("no run of {id} goes on");
            return Err(Error::Refused { what, hint: "`status` shows how the last one ended".to_owned() });
        }
        self.audit.asked("cancel", id)?;
        let path = format!("{id}/cancel");
        let asked = self.client.post::<(), serde::de::IgnoredAny>(&path, version::TEMPLATES, None);
        self.audit.ended("cancel", id, asked.as_ref().err())?;
        asked.to(|| format!("cancel the run of {id}")).map(|_| ())
    }
}

/// What is known while a run is followed.
#[derive(Default)]
struct Following {
    operation: Option<Operation>,
    told: (String, Option<String>),
    failure: Option<String>,
    /// Polls that said that the operation has ended.
    ended: u32,
    log: Reader,
    failed: u32,
}

/// Whether what a template says of its last run is about this one, and not about the one before.
fn has_begun(last: &RunStatus, run: &Run) -> bool {
    last.start_time.is_some() && last.start_time != run.before
}
