//! `cargo xtask test`: every check and every test. The last line is the test runner's own summary.

use std::path::Path;

use crate::Stop;
use crate::docs;
use crate::fuzz;
use crate::host;
use crate::process::{self, cargo, command, output, succeeds};
use crate::python;

/// Sets up and checks everything; `yes` answers every question.
pub fn run(yes: bool) -> Result<(), Stop> {
    let program = host::program(false)?;
    host::prepare(&program, &[], &["nextest", "deny"], yes)?;
    // Asked only now: installing the emulator may have removed a `qemu-img` of another version.
    host::prepare(&program, &test_packages()?, &[], yes)?;
    python::solver()?;
    python::azure_clients()?;

    process::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    process::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    process::run(&mut cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    advisories()?;
    docs::check()?;
    fuzz::check()?;
    process::run(&mut cargo(&["test", "--workspace", "--doc", "--quiet"]))?;
    let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
    process::run(&mut cargo(&["nextest", "run", "--workspace", "--profile", profile]))
}

/// What tests need and a build of a known source does not. `qemu-img` judges our disks independently; its package must
/// be of the version of the emulator, for a newer one from elsewhere would replace it.
fn test_packages() -> Result<Vec<String>, Stop> {
    let mut packages = Vec::new();
    // Run by root, the tests build as an ordinary user, too.
    if !Path::new("/usr/bin/newuidmap").is_file() {
        packages.push("uidmap".to_owned());
    }
    for (program, asked, package) in
        [("zstd", "--version", "zstd"), ("xz", "--version", "xz-utils"), ("pdftotext", "-v", "poppler-utils")]
    {
        if !succeeds(&mut command(program, &[asked])) {
            packages.push(package.to_owned());
        }
    }
    // Looks at the pages that we write; where another Chromium is, it will do.
    let browsers = ["chromium-headless-shell", "chromium", "google-chrome", "chrome"];
    if !browsers.iter().any(|program| succeeds(&mut command(program, &["--version"]))) {
        packages.push("chromium-headless-shell".to_owned());
    }
    // Makes the folders that Python packages are installed into.
    if !succeeds(&mut command("python3", &["-c", "import venv, ensurepip"])) {
        packages.push("python3-venv".to_owned());
    }
    if !succeeds(&mut command("qemu-img", &["--version"])) {
        let policy = output(command("apt-cache", &["policy", "qemu-system-x86"]).env("LC_ALL", "C"))?;
        let version = emulator_version(&String::from_utf8_lossy(&policy.stdout));
        packages
            .push(version.map_or_else(|| "qemu-utils".to_owned(), |version| format!("qemu-utils={version}")));
    }
    Ok(packages)
}

/// The installed version in `apt-cache policy`'s answer, else the candidate.
fn emulator_version(policy: &str) -> Option<String> {
    ["Installed:", "Candidate:"].into_iter().find_map(|label| {
        let version = policy.lines().find_map(|line| line.trim().strip_prefix(label))?.trim();
        (version != "(none)").then(|| version.to_owned())
    })
}

/// Known vulnerabilities, where their database can be reached; what could not be checked is said.
fn advisories() -> Result<(), Stop> {
    let fetch = output(&mut cargo(&["deny", "fetch", "db"]))?;
    if !fetch.status.success() {
        let reason = String::from_utf8_lossy(&fetch.stderr);
        let reason = reason.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim();
        eprintln!("\nNOT CHECKED: security advisories; their database cannot be reached ({reason})");
        return Ok(());
    }
    process::run(&mut cargo(&["deny", "--log-level", "error", "check", "--disable-fetch", "advisories"]))
}

#[cfg(test)]
mod tests {
    use super::emulator_version;

    #[test]
    fn the_installed_emulator_decides_the_version() {
        let policy = "qemu-system-x86:\n  Installed: 1:7.2+x\n  Candidate: 1:10.0\n  Version table:\n";
        assert_eq!(emulator_version(policy).as_deref(), Some("1:7.2+x"));
        let policy = "qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:10.0\n";
        assert_eq!(emulator_version(policy).as_deref(), Some("1:10.0"));
        assert_eq!(emulator_version(""), None);
    }
}
