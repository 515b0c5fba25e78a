//! `inVMValidations`: run on what is read back from the finished disk, not on the layers it was written from, so
//! that what is checked is what Azure would boot.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{BuildError, Result};
use crate::event::{Event, Phase, StepState};
use crate::log::PackerLog;
use crate::run::Context;
use crate::step::Machine;
use crate::task::Task;
use crate::user;

/// A finished disk as layers to run validators on: what is read back from it and, as on the service's validation
/// machine, a user of the same kind.
///
/// # Errors
/// When the disk cannot be read.
pub fn layers_of(context: &Context<'_>, disk: &Path) -> Result<Vec<PathBuf>> {
    let root = context.work.folder("read-back")?;
    disk::read_back(disk, &root).map_err(|error| BuildError::host(error.to_string()))?;
    let with_user = context.work.overlay("validation-user")?;
    let lowers = vec![root];
    context.run_job(&user::JOB, "", &lowers, &with_user)?;
    Ok(vec![with_user.join("upper")].into_iter().chain(lowers).collect())
}

/// Runs the validators in order on top of `lowers`; the first failure ends them. `steps_before` is what they are
/// counted on from.
///
/// # Errors
/// [`BuildError::Step`] when one fails.
pub fn run(
    context: &Context<'_>,
    machine: &Machine<'_>,
    lowers: Vec<PathBuf>,
    validators: &[Task],
    log: &Path,
    steps_before: usize,
) -> Result<()> {
    let log = RefCell::new(PackerLog::create(log, &uuid::Uuid::new_v4().to_string())?);
    let context = Context { log: &log, ..*context };
    let result = in_order(&context, machine, lowers, validators, steps_before);
    let logged = log.borrow_mut().finish();
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
        let outcome = machine.run(context, task, step, &lowers, &scratch);
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
