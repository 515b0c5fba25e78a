//! `inVMValidations`: run on the generalised layers while the disk is written from these. What they find counts once
//! the finished disk was found to hold exactly these layers, so that what is checked is what Azure would boot.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::event::{Event, Phase, StepState};
use crate::log::PackerLog;
use crate::run::Context;
use crate::step::Machine;
use crate::task::Task;
use crate::user;

/// Layers of a generalised image, topmost first, with a user of the same kind as on the service's validation machine.
///
/// # Errors
/// When the user cannot be added.
pub fn with_user(context: &Context<'_>, mut layers: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let added = context.work.overlay("validation-user")?;
    context.run_job(&user::JOB, "", Some(context.volatile_overlay(&layers, &added)), &[])?;
    layers.insert(0, added.join("upper"));
    Ok(layers)
}

/// Runs the validators in order on `layers`, topmost first; the first failure ends them. `steps_before` is what they
/// are counted on from.
///
/// # Errors
/// [`BuildError::Step`] when one fails.
pub fn run(
    context: &Context<'_>,
    machine: &Machine<'_>,
    layers: Vec<PathBuf>,
    validators: &[Task],
    log: &Path,
    steps_before: usize,
) -> Result<()> {
    let log = RefCell::new(PackerLog::create(log, &uuid::Uuid::new_v4().to_string())?);
    let context = Context { log: &log, ..*context };
    let result = in_order(&context, machine, layers, validators, steps_before);
    let mut log = log.borrow_mut();
    if let Err(error) = &result {
        log.errored(error)?;
    }
    let logged = log.finish();
    result.and(logged)
}

fn in_order(
    context: &Context<'_>,
    machine: &Machine<'_>,
    mut lowers: Vec<PathBuf>,
    validators: &[Task],
    steps_before: usize,
) -> Result<()> {
    for task in validators {
        let step = u32::try_from(steps_before).unwrap_or(u32::MAX).saturating_add(task.index);
        let scratch = context.work.overlay("validator")?;
        let event = |state, seconds, why| Event::Step {
            phase: Phase::Validate,
            index: task.index,
            of: u32::try_from(validators.len()).unwrap_or(u32::MAX),
            name: format!("validate: {}", task.name),
            state,
            seconds,
            why,
            age_seconds: None,
        };
        (context.observer)(&event(StepState::Started, None, None));
        context.log.borrow_mut().telemetry("Starting provisioner", task.provisioner())?;
        let name = format!("validator {}: {}", task.index, task.name);
        let run = || machine.run(context, task, step, &lowers, &scratch);
        let outcome = context.timeline.part(name, run);
        let logged = context.log.borrow_mut().telemetry("ending", task.provisioner());
        match outcome {
            Ok(outcome) => (context.observer)(&event(StepState::Succeeded, Some(outcome.seconds), None)),
            Err(error) => {
                (context.observer)(&event(StepState::Failed, None, Some(error.to_string())));
                return Err(error);
            }
        }
        logged?;
        lowers.insert(0, scratch.join("upper"));
    }
    Ok(())
}
