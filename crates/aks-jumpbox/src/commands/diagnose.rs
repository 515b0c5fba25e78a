//! `diagnose`: why a build failed, from its log or from what Azure answered.

use std::fs::File;
use std::path::{Path, PathBuf};

use diagnosis::{Kind, Outcome};

use crate::commands::check;
use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input;
use crate::output::{self, Format};
use crate::show::diagnosis::{Answer, Json};

/// Explain why a build failed, from its log or an error of Azure
///
/// The file is a customization.log or validation.log, of Azure or of a local build, also cut off; or what Azure answered
/// as JSON: an error, the status of an operation, an image template; or anything a client printed. With documents of the
/// environment, the requirements that would explain the failure are checked. Keys, tokens and passwords are not shown.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the failure is explained, or the file tells of none; 2 a file is wrong, or holds no text; 3 the \
    failure is not known, or the file says only that something failed.\n\nExamples:\n  \
    aks-jumpbox diagnose customization.log\n  \
    aks-jumpbox diagnose customization.log --environment environment.toml --template image.json\n  \
    az image builder show --resource-group rg --name jump-box | aks-jumpbox diagnose -\n  \
    aks-jumpbox diagnose error.json --format json | jq -r '.causes[0].fix'"
)]
pub struct Arguments {
    /// The log or the answer; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An environment file (TOML), or any single document it can name, as Azure's JSON; may be given several times
    #[arg(long, value_name = "FILE")]
    environment: Vec<PathBuf>,
    /// The image template of the build
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
}

/// Explains.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let (name, text) = read(&args.file)?;
    let is_asked = !args.environment.is_empty() || args.template.is_some();
    let checked = is_asked.then(|| check::findings(&args.environment, args.template.as_deref(), context));
    let (report, warnings) = checked.transpose()?.unzip();
    let diagnosis = diagnosis::diagnose(Kind::of(&text), &text);
    let answer = Answer { diagnosis: &diagnosis, file: &name, report: report.as_ref() };
    let warnings = warnings.unwrap_or_default();
    match context.output.format {
        Format::Json => output::json(&Json::of(&answer, warnings))?,
        Format::Text => {
            for warning in &warnings {
                context.output.warn(warning);
            }
            output::print(&answer.text(context.output))?;
        }
    }
    Ok(match diagnosis.outcome {
        Outcome::Explained | Outcome::NoFailure => ExitStatus::Yes,
        Outcome::Unexplained => ExitStatus::CannotTell,
    })
}

/// The file's name for people, and its text. Scripts print what is no UTF-8, too; that alone does not make a log useless.
fn read(file: &Path) -> Result<(String, String), Failure> {
    let (name, bytes) = if file == Path::new("-") {
        let name = Path::new("standard input");
        (name, input::bytes(name, std::io::stdin().lock())?)
    } else {
        let open = File::open(file).map_err(|error| Failure::io("read", file, &error))?;
        (file, input::bytes(file, open)?)
    };
    let shown = name.display().to_string();
    let problem = |message: String| Problem::new(Category::Input, message).in_file(name);
    if bytes.len() > document::MAX_BYTES {
        let message = format!("{shown} has more than {}", output::bytes(document::MAX_BYTES as u64));
        return Err(problem(message).hint("the end of a log tells why it failed: keep that").into());
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(problem(format!("{shown} is not a text file (byte {at} is 0)")).into());
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text.trim_matches('\u{feff}').trim().is_empty() {
        return Err(problem(format!("{shown} is empty")).into());
    }
    Ok((shown, text))
}
