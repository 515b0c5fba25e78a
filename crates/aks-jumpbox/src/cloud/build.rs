//! `build --target azure`: deployed where something is missing, run, followed, and told what came of it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use diagnosis::{Kind, Outcome};
use serde_json::json;
use workflow::{Error, Finished, Workflow};

use super::arguments::{Place, Target};
use super::{Teller, deployed, open, require};
use crate::context::{Context, stop_on_signals};
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output::{self, Format};
use crate::show::diagnosis::{Answer, Json};

/// What is built.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// The image of a template file, or the one that `jumpbox.toml` stands for.
    Described(Option<&'a Path>),
    /// The template that is deployed.
    Deployed,
}

/// Builds in Azure, and says how it went.
pub fn build(place: &Place, what: What<'_>, folder: &Path, context: &Context) -> Result<ExitStatus, Failure> {
    let ended = build_and_tell(place, what, folder, context);
    match ended {
        // From the first event on, a stream of events has to end with one.
        Err(failure) if context.output.format == Format::Json => {
            output::json_line(&failure.to_event())?;
            Ok(failure.status())
        }
        ended => ended,
    }
}

fn build_and_tell(
    place: &Place,
    what: What<'_>,
    folder: &Path,
    context: &Context,
) -> Result<ExitStatus, Failure> {
    let teller = Teller::streaming(context.output, stop_on_signals()?);
    let session = open(Target::Azure, &place.endpoint, context)?;
    let (mut workflow, template, deployed) = match what {
        What::Described(template) => {
            let (design, input) = place.design(template, context, session.subscription.as_deref())?;
            if !place.skip_check {
                require(&session, &design, &input, context)?;
            }
            let mut workflow = session.workflow(&design.subscription, &teller)?;
            let deployed = workflow.deploy(&design);
            (workflow, design.template_id(), deployed)
        }
        What::Deployed => {
            let workflow = session.earlier(&teller)?;
            let template = deployed(&workflow)?;
            (workflow, template, Ok(()))
        }
    };
    let ended = deployed.and_then(|()| workflow.run(&template));
    teller.rest();
    let stopped = matches!(ended, Err(Error::Stopped));
    if stopped {
        offer_to_cancel(&mut workflow, &template, context);
    }
    let ran = matches!(ended, Ok(_) | Err(Error::Run { .. }));
    let logs = if ran { save_logs(&mut workflow, &template, folder, context) } else { Vec::new() };
    teller.rest();
    match ended {
        Ok(finished) => told(&finished, &logs, context),
        Err(error) => {
            explain(&error, &logs, context)?;
            Err(Failure::from(error))
        }
    }
}

/// Says why a build failed, as `diagnose` does: by the log where there is one, else by what Azure said.
fn explain(error: &Error, logs: &[PathBuf], context: &Context) -> Result<(), Failure> {
    let said = match error {
        Error::Run { .. } | Error::Operation { .. } | Error::Azure { .. } => with_causes(error),
        _ => return Ok(()),
    };
    // The validators' log is asked first: where it tells of a failure, the other one tells of none.
    let logs = logs.iter().rev().filter_map(|file| {
        let text = String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned();
        Some((file.display().to_string(), Kind::Log, text))
    });
    let texts = logs.chain([("what Azure says".to_owned(), Kind::Text, said)]);
    let mut told: Vec<_> = texts.map(|(name, kind, text)| (name, diagnosis::diagnose(kind, &text))).collect();
    told.retain(|(_, diagnosis)| diagnosis.outcome != Outcome::NoFailure);
    // Of those that explain nothing, a log has at least the step and what it printed.
    told.sort_by_key(|(_, diagnosis)| diagnosis.outcome != Outcome::Explained);
    let Some((name, diagnosis)) = told.into_iter().next() else { return Ok(()) };
    let answer = Answer { diagnosis: &diagnosis, file: &name, report: None };
    match context.output.format {
        Format::Json => {
            output::json_line(&json!({ "event": "diagnosis", "diagnosis": Json::of(&answer, Vec::new()) }))
        }
        Format::Text => {
            output::tell(&answer.text(context.output));
            Ok(())
        }
    }
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}\n{cause}");
        next = cause.source();
    }
    text
}

/// The logs of the run, where there are any: a build without them is still a build.
fn save_logs(workflow: &mut Workflow<'_>, template: &str, folder: &Path, context: &Context) -> Vec<PathBuf> {
    workflow.save_logs(template, &folder.join("logs"), false).unwrap_or_else(|error| {
        context.output.warn(&format!("the logs were not saved: {error}"));
        Vec::new()
    })
}

/// The run goes on in Azure unless somebody who can be asked wants it stopped.
fn offer_to_cancel(workflow: &mut Workflow<'_>, template: &str, context: &Context) {
    let goes_on = "the same command follows it again, `aks-jumpbox cancel` stops it";
    let asked = std::io::stdin().is_terminal() && workflow.record().run.is_some();
    if asked && context.agreed("The run goes on in Azure. Stop it?") {
        match workflow.cancel(template) {
            Ok(()) => context.output.note("the run was asked to stop"),
            Err(error) => context.output.warn(&format!("the run was not stopped: {error}; {goes_on}")),
        }
    } else {
        context.output.note(&format!("what was begun is written down; {goes_on}"));
    }
}

fn told(finished: &Finished, logs: &[PathBuf], context: &Context) -> Result<ExitStatus, Failure> {
    let Finished { template, run_state, outputs } = finished;
    match context.output.format {
        Format::Json => output::json_line(&json!({
            "event": "done", "template": template, "run_state": run_state, "outputs": outputs, "logs": logs,
        }))?,
        Format::Text => {
            let made = outputs.iter().map(|made| format!("{}  {}\n", made.name, made.artifact));
            let logs = logs.iter().map(|log| format!("log  {}\n", log.display()));
            let mut text: String = made.chain(logs).collect();
            text.push_str("\nnext: aks-jumpbox try --target azure --subnet ID, aks-jumpbox clean\n");
            output::print(&text)?;
        }
    }
    Ok(ExitStatus::Yes)
}
