//! `deploy`: everything that a build in Azure needs, made where it is missing.

use std::path::PathBuf;
use std::time::Instant;

use arm::ResourceId;
use serde_json::json;
use workflow::Planned;

use crate::cloud::{self, Place, Target, Teller};
use crate::context::{Context, stop_on_signals};
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::output::{self, Format};

/// Make everything that a build in Azure needs: providers, groups, gallery, identity, roles, image template
///
/// What is there already stays as it is; the same command again goes on where it was stopped. What was made is written into
/// a state file, which `clean` reads, and every request that changed something into a record beside it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is there, 1 Azure refused something, 2 a file or argument is wrong, 4 Azure cannot be \
    reached or nobody is logged in, 130 interrupted; the same command goes on.\n\nExamples:\n  \
    aks-jumpbox deploy --what-if\n  \
    aks-jumpbox deploy --subscription GUID --location eastus2 --build-subnet ID --container-subnet ID\n  \
    aks-jumpbox deploy --target local --location eastus2          against the local Azure\n  \
    aks-jumpbox deploy --adopt ID                                 a template that somebody else made\n  \
    aks-jumpbox deploy --built-in-roles                           for whoever may not define roles"
)]
pub struct Arguments {
    /// Where
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    what_if: bool,
    /// Take over an image template that is there, by its resource id, and make nothing: `build --as-deployed` runs it, and
    /// `clean --template` removes it
    #[arg(long, value_name = "ID", conflicts_with_all = ["what_if", "template"])]
    adopt: Option<String>,
    /// Image template of Azure Image Builder [default: the one that jumpbox.toml stands for]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Deploys, or tells what that would do.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let cancel = stop_on_signals()?;
    let teller = if args.what_if || args.adopt.is_some() {
        Teller::new(context.output, cancel)
    } else {
        Teller::streaming(context.output, cancel)
    };
    let session = cloud::open(args.target, &args.place.endpoint, context)?;
    if let Some(id) = &args.adopt {
        let mut workflow = session.workflow(&subscription_of(id)?, &teller)?;
        workflow.adopt(id)?;
        context.output.note(&format!("{id} is taken over"));
        return Ok(ExitStatus::Yes);
    }
    let (design, input) =
        args.place.design(args.template.as_deref(), context, session.subscription.as_deref())?;
    let mut workflow = session.workflow(&design.subscription, &teller)?;
    if args.what_if {
        let planned = workflow.preview(&design)?;
        match context.output.format {
            Format::Json => output::json(&json!({ "planned": planned }))?,
            Format::Text => output::print(&planned.iter().map(line).collect::<String>())?,
        }
        return Ok(ExitStatus::Yes);
    }
    if !args.place.skip_check {
        cloud::require(&session, &design, &input, context)?;
    }
    let begun = Instant::now();
    workflow.deploy(&design)?;
    teller.rest();
    let (seconds, waited) = (begun.elapsed().as_secs_f64(), teller.waited().as_secs_f64());
    let id = design.template_id();
    match context.output.format {
        Format::Json => output::json_line(&json!({
            "event": "done", "template": id, "seconds": seconds, "waited_seconds": waited,
        }))?,
        Format::Text => output::print(&format!("{id}\n"))?,
    }
    Ok(ExitStatus::Yes)
}

/// `/subscriptions/{guid}` of the id of an image template.
fn subscription_of(id: &str) -> Result<String, Failure> {
    let parsed = ResourceId::parse(id).ok().filter(|id| id.is_type(image_template::RESOURCE_TYPE));
    let subscription = parsed.as_ref().and_then(ResourceId::subscription);
    subscription.map(|guid| format!("/subscriptions/{guid}")).ok_or_else(|| {
        Problem::new(Category::Input, format!("{id} is not the resource id of an image template"))
            .expecting(
                "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}",
            )
            .into()
    })
}

fn line(planned: &Planned) -> String {
    let detail = planned.detail.as_ref().map(|detail| format!("  ({detail})")).unwrap_or_default();
    format!("{:<8} {}{detail}\n", planned.action, planned.id)
}
