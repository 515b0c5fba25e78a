//! What this machine must have: asked of the program's own `doctor`, installed after asking.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Stop;
use crate::process::{cargo, command, output, render, run, succeeds};

/// Builds the program and returns its path.
pub fn program(release: bool) -> Result<PathBuf, Stop> {
    let mut build = cargo(&["build", "--package", "aks-jumpbox"]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    Ok(crate::process::target().join(if release { "release" } else { "debug" }).join("aks-jumpbox"))
}

/// Installs what is missing, after asking once for all of it unless `yes`: the packages that `doctor` misses, those
/// in `packages` (what `apt-get install` takes: a name, or a name and a version), and cargo's `subcommands`.
pub fn prepare(program: &Path, packages: &[String], subcommands: &[&str], yes: bool) -> Result<(), Stop> {
    let doctor = output(&mut command(program, &["doctor", "--packages"]))?;
    let missing = String::from_utf8_lossy(&doctor.stdout);
    let packages: Vec<_> = missing.lines().chain(packages.iter().map(String::as_str)).collect();
    let mut installs: Vec<_> = subcommands
        .iter()
        .filter(|name| !succeeds(&mut cargo(&[name, "--version"])))
        .map(|name| cargo(&["install", "--locked", &format!("cargo-{name}")]))
        .collect();
    if !packages.is_empty() {
        let options = ["install", "--yes", "--no-install-recommends", "--allow-downgrades"];
        let mut install = privileged("apt-get", &options);
        install.args(packages);
        installs.insert(0, install);
        installs.insert(0, privileged("apt-get", &["update"]));
    }
    if installs.is_empty() {
        return Ok(());
    }
    consent(&installs.iter().map(render).collect::<Vec<_>>(), yes)?;
    installs.iter_mut().try_for_each(|install| run(install).map_err(|stop| Stop::not_able(stop.message)))
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

fn consent(commands: &[String], yes: bool) -> Result<(), Stop> {
    let commands = commands.join("\n  ");
    eprintln!("\nThis machine lacks something. What installs it:\n  {commands}");
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Stop::not_able(format!(
            "nobody is there to agree; add --yes, or run it yourself:\n  {commands}"
        )));
    }
    eprint!("Run it? [Y/n] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).unwrap_or(0);
    if read > 0 && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes") {
        return Ok(());
    }
    Err(Stop::not_able(format!("not installed; when you are ready:\n  {commands}")))
}
