//! The validators' place in a build.

use std::path::PathBuf;

use super::{Build, Made, nothing};
use crate::customize::Stack;
use crate::error::{BuildError, Result};
use crate::event::{Event, Phase};
use crate::run::Context;
use crate::step::Machine;
use crate::task::Task;
use crate::timeline::VALIDATE;
use crate::validate;

impl Build<'_> {
    /// Runs the validators on the layers that the disk is being written from. With `continueDistributeOnFailure` a
    /// failure is returned, to be reported once the image is in place.
    pub(super) fn validated(
        &self,
        context: &Context<'_>,
        machine: &Machine<'_>,
        generalised: Vec<PathBuf>,
        validators: &[Task],
    ) -> Result<Option<BuildError>> {
        if validators.is_empty() {
            return Ok(None);
        }
        self.enter(context, Phase::Validate);
        let ran = context.timeline.part(VALIDATE, || {
            let layers = validate::with_user(context, generalised)?;
            self.run_validators(context, machine, layers, validators)
        });
        match ran {
            Err(error @ BuildError::Step(_)) => {
                let validate = self.request.template.validate.as_ref();
                if !validate.is_some_and(|validate| validate.continue_distribute_on_failure) {
                    return Err(error);
                }
                let text =
                    "a validator failed; the image is placed all the same (continueDistributeOnFailure)";
                self.warn(context, text.to_owned());
                Ok(Some(error))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(None),
        }
    }

    /// `sourceValidationOnly`: the validators run on the source itself; nothing is customized and nothing is made.
    pub(super) fn validate_source(
        &self,
        context: &Context<'_>,
        machine: &Machine<'_>,
        source: &Stack,
        validators: &[Task],
    ) -> Result<Made> {
        self.enter(context, Phase::Validate);
        let text = "sourceValidationOnly: the source is validated, no step runs and no image is made";
        (context.observer)(&Event::Note { text: text.to_owned() });
        self.run_validators(context, machine, source.lowers.clone(), validators).map(|()| nothing())
    }

    fn run_validators(
        &self,
        context: &Context<'_>,
        machine: &Machine<'_>,
        lowers: Vec<PathBuf>,
        validators: &[Task],
    ) -> Result<()> {
        let log = self.request.output.join("validation.log");
        let on_error = self.request.template.error_handling.on_validation_error;
        validate::run(context, machine, lowers, validators, &log, self.notes.borrow().len())
            .inspect_err(|error| self.keep_after(context, error, on_error))
    }
}
