//! Running other programs, with what is run shown first.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::Stop;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo's target folder: where this very program was built.
pub fn target() -> PathBuf {
    let built = std::env::current_exe().ok();
    built
        .as_deref()
        .and_then(Path::parent)
        .and_then(Path::parent)
        .map_or_else(|| root().join("target"), Path::to_owned)
}

/// A command in the repository.
pub fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// A cargo command, of the toolchain that runs us.
pub fn cargo(arguments: &[&str]) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
}

/// The command as a person could type it.
pub fn render(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.strip_prefix(root()).unwrap_or(program);
    let name = if program.ends_with("cargo") { Path::new("cargo") } else { program };
    let mut text = name.display().to_string();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Shows a command and runs it with our own input and output.
pub fn run(command: &mut Command) -> Result<(), Stop> {
    let text = render(command);
    eprintln!("\n$ {text}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            Err(Stop { code, message: format!("`{text}` failed ({status})") })
        }
        Err(error) => Err(could_not_run(&text, &error)),
    }
}

/// Runs a command quietly and returns all it printed, whatever its exit code.
pub fn output(command: &mut Command) -> Result<Output, Stop> {
    let text = render(command);
    command.stdin(Stdio::null()).output().map_err(|error| could_not_run(&text, &error))
}

/// Whether a command can be run and succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn could_not_run(text: &str, error: &std::io::Error) -> Stop {
    let hint = if error.kind() == ErrorKind::NotFound { "; is it installed?" } else { "" };
    Stop::not_able(format!("could not run `{text}`: {error}{hint}"))
}
