//! `doctor`: what this machine lacks for local builds, and the exact command that installs it.

use std::path::{Path, PathBuf};

use build_engine::boot::Firmware;
use build_engine::limits::Limits;
use build_engine::probe;
use build_engine::tools::Tool;
use sandbox::{Account, Choice, IdMap, Obstacle};
use serde::Serialize;

use crate::context::Context;
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output;
use crate::output::{BOLD, Format, GREEN, RED, bytes};

/// Room that a first build of the default jump box needs in the cache, with headroom: base, layers, disk.
const ROOM: u64 = 4 << 30;

/// What mmdebstrap checks the archive's signatures with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Say what this machine lacks for local builds, and the command that installs it
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 ready, 4 something is missing.\n\nExamples:\n  aks-jumpbox doctor\n  \
    aks-jumpbox doctor --packages | xargs -r sudo apt-get install --yes")]
pub struct Arguments {
    /// Print only the names of the Debian packages to install, one a line
    #[arg(long)]
    packages: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    missing: Vec<Missing>,
    notes: Vec<Note>,
}

#[derive(Debug, Serialize)]
struct Missing {
    what: String,
    needed_for: String,
    install: String,
    #[serde(skip)]
    package: Option<&'static str>,
}

/// A fact about this machine that decides nothing.
#[derive(Debug, Serialize)]
struct Note {
    what: &'static str,
    detail: String,
}

/// Examines the machine and prints what it found.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let report = examine(&context.cache());
    let status = if report.ready { ExitStatus::Yes } else { ExitStatus::NotAble };
    match context.output.format {
        Format::Json => output::json(&report)?,
        Format::Text if args.packages => {
            output::print(&report.packages().flat_map(|name| [name, "\n"]).collect::<String>())?;
        }
        Format::Text => output::print(&report.to_text(context))?,
    }
    Ok(status)
}

fn examine(cache: &Path) -> Report {
    let mut missing: Vec<_> = Tool::ALL
        .into_iter()
        .filter(|tool| tool.find().is_none())
        .map(|tool| lacking(tool.program(), tool.package(), tool.needed_for()))
        .collect();
    if Firmware::find(false).is_err() {
        missing.push(lacking("UEFI firmware", "ovmf", "booting the image"));
    }
    if !Path::new(KEYRING).is_file() {
        missing.push(lacking(KEYRING, "debian-archive-keyring", "checking the archive's signatures"));
    }
    let folder = cache.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let mut notes = vec![acceleration()];
    let obstacles = sandbox::obstacles(Path::new("/"), &Account::current(), &own_path());
    if obstacles.is_empty() {
        match probe::sandbox(folder) {
            Ok(choice) => notes.extend([ids(&choice), limits(&choice.id_map)]),
            // Without `ip` and `nft` there is no sandbox, and that is said already.
            Err(_) if !missing.is_empty() => {}
            Err(error) => missing.push(no_sandbox(&error.with_causes())),
        }
    }
    missing.extend(obstacles.into_iter().map(standing_in_the_way));
    missing.extend(lacking_room(folder));
    Report { ready: missing.is_empty(), missing, notes }
}

fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("aks-jumpbox"))
}

fn lacking(what: &str, package: &'static str, needed_for: &str) -> Missing {
    Missing {
        what: what.to_owned(),
        needed_for: needed_for.to_owned(),
        install: install_command([package]),
        package: Some(package),
    }
}

fn install_command(packages: impl IntoIterator<Item = &'static str>) -> String {
    let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
    packages
        .into_iter()
        .fold(format!("{sudo}apt-get install --yes"), |command, package| command + " " + package)
}

const SANDBOX: &str = "the sandbox in which build steps run";

fn standing_in_the_way(obstacle: Obstacle) -> Missing {
    let needed_for = SANDBOX.to_owned();
    Missing { what: obstacle.what, needed_for, install: obstacle.cure, package: obstacle.package }
}

fn no_sandbox(why: &str) -> Missing {
    let install = "is this a container? it must be allowed to make namespaces and mounts";
    Missing {
        what: format!("namespaces ({why})"),
        needed_for: SANDBOX.to_owned(),
        install: install.to_owned(),
        package: None,
    }
}

fn ids(choice: &Choice) -> Note {
    let detail = match (&choice.id_map, &choice.fallback) {
        (IdMap::Shifted(range), _) => format!("root inside is id {} outside, which is nobody", range.start),
        (IdMap::Subordinate { .. }, _) => "root inside is you outside; this needs no root".to_owned(),
        (IdMap::Identity, why) => format!(
            "root inside owns what root owns outside, without root's powers: {}",
            why.as_deref().unwrap_or("no other map is possible")
        ),
    };
    Note { what: "sandbox", detail }
}

fn limits(id_map: &IdMap) -> Note {
    let Limits { memory_bytes, no_control_group, tasks, tasks_of } = Limits::of(id_map);
    let whose = match tasks_of.as_str() {
        "each-user" => " of each user inside",
        "not-root" => " of each user inside but root",
        _ => "",
    };
    let memory = match (memory_bytes, no_control_group) {
        (Some(most), _) => format!("and {} of memory at once", bytes(most)),
        (None, why) => format!(
            "at once; no limit of memory: {}; under `systemd-run {}--scope --property=Delegate=yes` there is one",
            why.unwrap_or_default(),
            if rustix::process::geteuid().is_root() { "" } else { "--user " },
        ),
    };
    Note { what: "limits of each sandbox", detail: format!("{tasks} processes and threads{whose} {memory}") }
}

fn lacking_room(folder: &Path) -> Option<Missing> {
    let room = rustix::fs::statvfs(folder).ok().map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize))?;
    (room < ROOM).then(|| Missing {
        what: format!("{} free in {} ({} are free)", bytes(ROOM), folder.display(), bytes(room)),
        needed_for: "the base, the layers and the disk image".to_owned(),
        install: "aks-jumpbox cache prune, or name a roomier folder with --cache-dir".to_owned(),
        package: None,
    })
}

fn acceleration() -> Note {
    let detail = if Path::new("/dev/kvm").exists() {
        "/dev/kvm is there; `try` uses it when a probe shows that it works, else it emulates"
    } else {
        "no /dev/kvm: `try` emulates, which takes about 40 s to boot instead of a few"
    };
    Note { what: "acceleration", detail: detail.to_owned() }
}

impl Report {
    fn packages(&self) -> impl Iterator<Item = &'static str> {
        let packages = self.missing.iter().filter_map(|missing| missing.package);
        packages.collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    fn to_text(&self, context: &Context) -> String {
        let output = context.output;
        let mut lines = Vec::new();
        if self.ready {
            lines.push(format!("{} this machine is ready for local builds", output.paint(GREEN, "✓")));
        }
        for missing in &self.missing {
            let mark = output.paint(RED, "✗");
            lines.push(format!("{mark} {}, for {}", output.paint(BOLD, &missing.what), missing.needed_for));
            if missing.package.is_none() {
                lines.extend(missing.install.lines().map(|line| format!("    {line}")));
            }
        }
        lines.extend(self.notes.iter().map(|note| format!("  {}: {}", note.what, note.detail)));
        if self.packages().next().is_some() {
            lines.push(format!("\nTo install what is missing:\n  {}", install_command(self.packages())));
        }
        lines.join("\n") + "\n"
    }
}
