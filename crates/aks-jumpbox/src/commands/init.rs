//! `init`: a commented `jumpbox.toml` that builds as it stands.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::output;
use crate::output::Format;
use crate::settings::FILE_NAME;

/// Write a commented jumpbox.toml, ready to build as it stands
#[derive(Debug, clap::Args)]
#[command(after_help = "An existing file is never overwritten.\n\nExample:\n  aks-jumpbox init my-jumpbox")]
pub struct Arguments {
    /// Folder to write into; made when missing
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

/// Writes the file.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    std::fs::create_dir_all(&args.folder).map_err(|error| Failure::io("make", &args.folder, &error))?;
    let file = args.folder.join(FILE_NAME);
    let written = File::create_new(&file).and_then(|mut new| new.write_all(recipe::init_text().as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Problem::new(Category::Input, format!("{} is there already", file.display()))
                .in_file(&file)
                .hint("name another folder, or move the file away first")
                .into()
        }
        _ => Failure::io("write", &file, &error),
    })?;
    match context.output.format {
        Format::Json => output::json(&json!({"path": file}))?,
        Format::Text => output::print(&format!(
            "wrote {}\nnext: read it, change it, then `aks-jumpbox build` in that folder\n",
            file.display()
        ))?,
    }
    Ok(ExitStatus::Yes)
}
