//! The customizers' place in a build: in namespaces or in a virtual machine, and what follows a failure.

use image_template::OnError;

use super::{Build, number};
use crate::customize::{Customizing, Failed, Stack};
use crate::error::{BuildError, Result};
use crate::event::Event;
use crate::isolation::{self, Isolation, Vm};
use crate::run::Context;
use crate::step::Machine;
use crate::task::Task;

/// Size of the disk of Azure's Debian images in GiB.
const SOURCE_GIB: u32 = 30;

impl Build<'_> {
    /// The stack with the customizers' results.
    pub(super) fn customized(
        &self,
        context: &Context<'_>,
        customizing: &Customizing<'_>,
        stack: Stack,
        tasks: &[Task],
        all: bool,
    ) -> Result<Stack> {
        let on_error = self.request.template.error_handling.on_customizer_error;
        if self.request.options.isolation == Isolation::Vm && !tasks.is_empty() {
            let vm = Vm {
                size_gib: self.guest_gib(),
                shell_on_error: self.request.options.shell_on_error,
                deprovision: all.then(|| Task::deprovision(number(tasks.len()))),
            };
            return isolation::run_in_vm(context, customizing, &vm, stack, tasks)
                .inspect_err(|error| self.keep_after(context, error, on_error));
        }
        let ran = customizing.run(context, stack, tasks).and_then(|stack| {
            if all { customizing.deprovision(context, stack, number(tasks.len())) } else { Ok(stack) }
        });
        ran.map_err(|failed| {
            self.shell_after(context, customizing.machine, &failed);
            self.keep_after(context, &failed.error, on_error);
            failed.error
        })
    }

    /// Size of the disk that a virtual machine builds on.
    fn guest_gib(&self) -> u32 {
        match self.request.template.vm_profile.os_disk_size_gb {
            0 => SOURCE_GIB,
            size => size,
        }
    }

    /// Opens a shell in what a failed step left, when a person asked for one.
    fn shell_after(&self, context: &Context<'_>, machine: &Machine<'_>, failed: &Failed) {
        if !self.request.options.shell_on_error || !matches!(failed.error, BuildError::Step(_)) {
            return;
        }
        let text = format!("{}\na shell in what the step left; leave it with exit", failed.error);
        (context.observer)(&Event::Note { text });
        if let Err(error) = machine.shell(context, &failed.lowers()) {
            (context.observer)(&Event::Warning { text: format!("failed to open the shell: {error}") });
        }
    }

    /// Keeps what a failed step or validator left when the template says so.
    pub(super) fn keep_after(&self, context: &Context<'_>, error: &BuildError, on_error: OnError) {
        if matches!(error, BuildError::Step(_)) && on_error == OnError::Abort {
            let folder = context.work.path();
            let text = format!(
                "errorHandling is abort: what the step left stays in {} until `cache prune`",
                folder.display()
            );
            self.manifest.borrow_mut().kept = Some(folder.to_owned());
            (context.observer)(&Event::Note { text });
        }
    }
}
