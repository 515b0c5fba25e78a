//! `build --target azure`: deployed where something is missing, run, followed, and told what came of it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde_json::json;
use workflow::{Design, Error, Finished, Workflow};

use super::arguments::{Place, Target};
use super::{Teller, open};
use crate::context::{Context, stop_on_signals};
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output::{self, Format};

/// Builds in Azure, and says how it went.
pub fn build(
    place: &Place,
    template: Option<&Path>,
    folder: &Path,
    context: &Context,
) -> Result<ExitStatus, Failure> {
    let ended = build_and_tell(place, template, folder, context);
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
    template: Option<&Path>,
    folder: &Path,
    context: &Context,
) -> Result<ExitStatus, Failure> {
    let teller = Teller::new(context.output, stop_on_signals()?);
    let session = open(Target::Azure, &place.endpoint, context)?;
    let (design, _) = place.design(template, context, session.subscription.as_deref())?;
    let mut workflow = session.workflow(&design.subscription, &teller)?;
    let ended = deploy_and_run(&mut workflow, &design);
    let stopped = matches!(ended, Err(Error::Stopped));
    if stopped {
        offer_to_cancel(&mut workflow, &design, context);
    }
    let logs = if stopped { Vec::new() } else { save_logs(&mut workflow, &design, folder, context) };
    match ended {
        Ok(finished) => told(&finished, &logs, context),
        Err(error) => Err(Failure::from(error)),
    }
}

fn deploy_and_run(workflow: &mut Workflow<'_>, design: &Design) -> Result<Finished, Error> {
    workflow.deploy(design)?;
    workflow.run(&design.template_id())
}

/// The logs of the run, where there are any: a build without them is still a build.
fn save_logs(workflow: &mut Workflow<'_>, design: &Design, folder: &Path, context: &Context) -> Vec<PathBuf> {
    workflow.save_logs(&design.template_id(), &folder.join("logs"), false).unwrap_or_else(|error| {
        context.output.warn(&format!("the logs were not saved: {error}"));
        Vec::new()
    })
}

/// The run goes on in Azure unless somebody who can be asked wants it stopped.
fn offer_to_cancel(workflow: &mut Workflow<'_>, design: &Design, context: &Context) {
    let goes_on = "the same command follows it again, `aks-jumpbox cancel` stops it";
    let asked = std::io::stdin().is_terminal() && workflow.record().run.is_some();
    if asked && context.agreed("The run goes on in Azure. Stop it?") {
        match workflow.cancel(&design.template_id()) {
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
            let mut text = String::new();
            for made in outputs {
                text.push_str(&format!("{}  {}\n", made.name, made.artifact));
            }
            for log in logs {
                text.push_str(&format!("log  {}\n", log.display()));
            }
            text.push_str("\nnext: aks-jumpbox try --target azure, aks-jumpbox clean\n");
            output::print(&text)?;
        }
    }
    Ok(ExitStatus::Yes)
}
