//! Image templates: what Azure Image Builder does with them, in its order and at its moments.

mod distribute;
mod needs;
mod outputs;
mod provision;
mod remains;
mod run;
mod source;
mod sources;
mod staging;
mod status;
mod template;
pub(crate) mod triggers;

pub(crate) use outputs::show as show_output;
pub(crate) use run::Runs;
pub(crate) use source::version;
pub(crate) use template::{cancel, delete, patch, put, run};

/// The type of image templates.
pub(crate) const IMAGE_TEMPLATE: &str = "Microsoft.VirtualMachineImages/imageTemplates";
/// The type of what runs make.
pub(crate) const RUN_OUTPUT: &str = "Microsoft.VirtualMachineImages/imageTemplates/runOutputs";
/// The type of what starts runs by itself.
pub(crate) const TRIGGER: &str = "Microsoft.VirtualMachineImages/imageTemplates/triggers";
/// The provider.
pub(crate) const NAMESPACE: &str = "Microsoft.VirtualMachineImages";
