//! `render`: what a recipe stands for, in the forms that Azure takes.

use crate::context::Context;
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::input::load_recipe;
use crate::output;

/// Print what jumpbox.toml stands for, in the forms that Azure takes
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  aks-jumpbox render template > image.json")]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The image template, as the file that `az image builder create --image-template` takes
    Template,
}

/// Prints it.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let loaded = load_recipe(context)?;
    loaded.warnings.iter().for_each(|warning| context.output.warn(warning));
    match args.what {
        What::Template => output::print(&loaded.recipe.template().to_json())?,
    }
    Ok(ExitStatus::Yes)
}
