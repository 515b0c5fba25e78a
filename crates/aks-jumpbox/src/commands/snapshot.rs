//! `snapshot`: an environment as one file of resolved resources.

use std::path::PathBuf;

use crate::cloud::{self, Endpoint, Target};
use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input::Input;
use crate::network::Documents;
use crate::output::{self, Format};

/// Save what an environment's documents evaluate to, or what Azure says now, as one file of resources
///
/// Templates are evaluated, and documents that describe one resource are put together. What is not known is written
/// as an expression that says why. An environment file names such a file as a source of the kind `snapshot`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 written, 2 a file is wrong.\n\nExamples:\n  \
    aks-jumpbox snapshot --environment environment.toml\n  \
    aks-jumpbox snapshot --live --output today.json\n  \
    aks-jumpbox snapshot --environment environment.toml --format json | jq '.value[].id'")]
pub struct Arguments {
    /// An environment file (TOML), or any single document it can name, as Azure's JSON
    #[arg(long, value_name = "FILE", required_unless_present = "live")]
    environment: Option<PathBuf>,
    /// Ask Azure: the subnets, identity and subscription are those of `[azure]` in jumpbox.toml
    #[arg(long, conflicts_with = "environment")]
    live: bool,
    /// Where `--live` asks
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    #[command(flatten)]
    endpoint: Endpoint,
    /// File to write [default: snapshot.json; with --format json, standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes it.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let documents = if let Some(file) = &args.environment {
        Documents::open(file)?
    } else {
        let input = Input::load(None, context)?;
        let live = cloud::live::documents(args.target, &args.endpoint, (&input, false), context)?;
        live.missing.iter().chain(&live.notes).for_each(|missing| context.output.warn(missing));
        live.documents.ok_or_else(|| Problem::new(Category::Access, "nothing of it may be read"))?
    };
    let documents = documents.sound(context.output)?;
    let text = documents.inventory.snapshot().to_json_pretty();
    let file = match (&args.output, context.output.format) {
        (None, Format::Json) => {
            output::print_as_it_is(&text)?;
            return Ok(ExitStatus::Yes);
        }
        (file, _) => file.clone().unwrap_or_else(|| PathBuf::from("snapshot.json")),
    };
    if args.output.is_none() && file.exists() {
        let message = format!("{} is there already", file.display());
        return Err(Problem::new(Category::Input, message)
            .hint("name another file with --output FILE")
            .into());
    }
    output::write_whole(&file, text.as_bytes())?;
    let count = documents.inventory.resources().count();
    context.output.note(&format!("{count} resources in {}", file.display()));
    Ok(ExitStatus::Yes)
}
