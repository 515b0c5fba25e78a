//! What this machine must have: asked of the program's own `doctor`, installed after asking.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Stop;
use crate::process::{cargo, command, output, run, succeeds};

/// Builds the program and returns its path.
pub fn program(release: bool) -> Result<PathBuf, Stop> {
    let mut build = cargo(&["build", "--package", "aks-jumpbox"]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    Ok(crate::process::target().join(if release { "release" } else { "debug" }).join("aks-jumpbox"))
}

/// Installs the packages that `doctor` misses and those in `more`, after asking unless `yes`.
///
/// A package in `more` is what `apt-get install` takes: a name, or a name and a version.
pub fn prepare(program: &Path, more: &[String], yes: bool) -> Result<(), Stop> {
    let doctor = output(&mut command(program, &["doctor", "--packages"]))?;
    let mut packages: Vec<_> = String::from_utf8_lossy(&doctor.stdout).lines().map(str::to_owned).collect();
    packages.extend_from_slice(more);
    if packages.is_empty() {
        return Ok(());
    }
    let mut install =
        privileged("apt-get", &["install", "--yes", "--no-install-recommends", "--allow-downgrades"]);
    install.args(&packages);
    consent(&format!("This machine lacks: {}", packages.join(" ")), &crate::process::render(&install), yes)?;
    // Old lists name packages that are gone; a failing refresh is told by apt itself, and the install decides.
    let _ = run(&mut privileged("apt-get", &["update"]));
    run(&mut install).map_err(|stop| Stop::not_able(stop.message))
}

/// Installs a cargo subcommand when it is missing, after asking unless `yes`.
pub fn cargo_tool(name: &str, yes: bool) -> Result<(), Stop> {
    if succeeds(&mut cargo(&[name, "--version"])) {
        return Ok(());
    }
    let package = format!("cargo-{name}");
    let mut install = cargo(&["install", "--locked", &package]);
    consent(&format!("This machine lacks {package}"), &crate::process::render(&install), yes)?;
    run(&mut install).map_err(|stop| Stop::not_able(stop.message))
}

/// A command of this machine's administrator.
pub fn privileged(program: &str, arguments: &[&str]) -> Command {
    if is_root() {
        let mut command = command(program, arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        return command;
    }
    let mut sudo = command("sudo", &["DEBIAN_FRONTEND=noninteractive", program]);
    sudo.args(arguments);
    sudo
}

/// Whether we run as root.
pub fn is_root() -> bool {
    output(&mut command("id", &["-u"])).is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn consent(need: &str, what: &str, yes: bool) -> Result<(), Stop> {
    eprintln!("\n{need}\n  {what}");
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Stop::not_able(format!(
            "nobody is there to agree to it; run it yourself, or add --yes:\n  {what}"
        )));
    }
    eprint!("Run it? [Y/n] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).unwrap_or(0);
    if read > 0 && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes") {
        return Ok(());
    }
    Err(Stop::not_able(format!("not installed; when you are ready:\n  {what}")))
}
