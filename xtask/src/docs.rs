//! `cargo xtask docs`: everything in the documentation that the code knows better.

use std::path::Path;

use crate::Stop;
use crate::host;
use crate::process::{command, output, root, run, target};

const REFERENCE: &str = "docs/reference";
const PAGES: [&str; 6] =
    ["command-line.md", "diagnosis.md", "exit-codes.md", "flow-logs.md", "requirements.md", "templates.md"];
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Writes the reference pages, and manual pages and completions into the target folder.
pub fn write() -> Result<(), Stop> {
    let program = host::program(false)?;
    reference(&program, &root().join(REFERENCE))?;
    let generated = target().join("generated");
    run(&mut command(&program, &["man", &generated.join("man").to_string_lossy()]))?;
    let folder = generated.join("completions");
    std::fs::create_dir_all(&folder).map_err(|error| cannot(&folder, &error))?;
    for shell in SHELLS {
        let script = output(&mut command(&program, &["completions", shell]))?.stdout;
        let file = folder.join(format!("aks-jumpbox.{shell}"));
        std::fs::write(&file, script).map_err(|error| cannot(&file, &error))?;
    }
    eprintln!("\nwrote {REFERENCE}, and manual pages and completions to {}", generated.display());
    Ok(())
}

/// Compares the reference pages with what the code says now.
pub fn check() -> Result<(), Stop> {
    let program = host::program(false)?;
    let fresh = target().join("generated/reference");
    reference(&program, &fresh)?;
    for page in PAGES {
        let (have, want) = (root().join(REFERENCE).join(page), fresh.join(page));
        let text = |file: &Path| std::fs::read_to_string(file).map_err(|error| cannot(file, &error));
        if text(&have).unwrap_or_default() != text(&want)? {
            return Err(Stop::failed(format!("{REFERENCE}/{page} is out of date; run `cargo xtask docs`")));
        }
    }
    Ok(())
}

fn reference(program: &Path, folder: &Path) -> Result<(), Stop> {
    run(&mut command(program, &["__reference", &folder.to_string_lossy()]))
}

fn cannot(file: &Path, error: &std::io::Error) -> Stop {
    Stop::not_able(format!("cannot read or write {}: {error}", file.display()))
}
