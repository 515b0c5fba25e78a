//! Runs mmdebstrap in namespaces of our own, so that killing it leaves no mount behind.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sandbox::{Exit, Job, JobContext, Spec};
use serde::{Deserialize, Serialize};

use super::apt::host_apt_options;
use super::catalogue::Distribution;
use super::{LISTS, lists};
use crate::error::{BuildError, Result};
use crate::run::Context;
use crate::tools::{self, Tool};

/// The function that runs inside.
pub const JOB: Job = Job { name: "bootstrap", run: inside };

/// Files of the base that no package brings: what the distribution's Azure image has, and a second data source so
/// that the same image can be tried on this machine.
pub const FILES: &[(&str, &str)] = &[
    (
        "etc/cloud/cloud.cfg.d/90-azure.cfg",
        "# Azure's own data source; NoCloud answers only where a seed disk is attached.\n\
         datasource_list: [ Azure, NoCloud, None ]\n",
    ),
    (
        "etc/default/grub",
        "# Read by update-grub as shell, before the files of /etc/default/grub.d.\n\
         GRUB_DEFAULT=0\n\
         GRUB_TIMEOUT=5\n\
         GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n\
         GRUB_CMDLINE_LINUX=\"\"\n",
    ),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("etc/hostname", "localhost\n"),
    ("etc/modprobe.d/blacklist-azure.conf", "# Azure's synthetic devices replace these.\nblacklist floppy\n"),
];

#[derive(Debug, Serialize, Deserialize)]
struct Input {
    suite: String,
    packages: Vec<String>,
    apt_options: Vec<String>,
    root: PathBuf,
    lists: PathBuf,
    temporary: PathBuf,
}

/// The initial RAM file system takes seconds to make, and every kernel hook and trigger makes it anew: made once, at
/// the end. `$1` is the root.
const WITHOUT_INITRAMFS: &str = "chroot \"$1\" dpkg-divert --quiet --local --rename --add /usr/sbin/update-initramfs \
                                 && ln -s /bin/true \"$1/usr/sbin/update-initramfs\"";
const WITH_INITRAMFS: &str = "rm \"$1/usr/sbin/update-initramfs\" && chroot \"$1\" dpkg-divert --quiet --local \
                              --rename --remove /usr/sbin/update-initramfs && chroot \"$1\" update-initramfs -c -k all";
/// Before mmdebstrap removes them.
const KEEP_LISTS: &str = "cp --archive \"$1/var/lib/apt/lists\" \"$KEPT_LISTS\"";

/// Makes `staging/root`.
pub(super) fn run(context: &Context<'_>, distribution: &Distribution, staging: &Path) -> Result<()> {
    Tool::Mmdebstrap.command()?;
    let (keyring, package) = distribution.keyring;
    if !Path::new(keyring).is_file() {
        return Err(BuildError::Host {
            message: format!(
                "{keyring} is missing, which checks the signatures of the archive of {}",
                distribution.image()
            ),
            hint: Some(format!("apt-get install {package}")),
        });
    }
    let temporary = context.work.folder("tmp")?;
    let input = Input {
        suite: distribution.suite.to_owned(),
        packages: distribution.packages().into_iter().map(str::to_owned).collect(),
        apt_options: host_apt_options(),
        root: staging.join("root"),
        lists: staging.join(LISTS),
        temporary,
    };
    let spec = Spec {
        network: true,
        may_mount: true,
        folders: vec![staging.to_path_buf(), input.temporary.clone()],
        ..context.job(&JOB, serde_json::to_string(&input).unwrap_or_default())
    };
    match context.run_engine_job(&spec, 0)? {
        Exit::Job(_) => Ok(()),
        other => Err(BuildError::host(format!("the bootstrap ended unexpectedly: {other:?}"))),
    }
}

fn inside(_: &JobContext, input: &str) -> std::result::Result<String, String> {
    let input: Input = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let mut command = Tool::Mmdebstrap.command().map_err(|error| error.to_string())?;
    command
        .args(["--mode=root", "--format=directory", "--variant=minbase"])
        .arg(format!("--include={}", input.packages.join(",")))
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        // What a step's apt, without a locale, wants to have.
        .arg("--aptopt=Acquire::Languages \"en\"")
        .arg(format!("--essential-hook={WITHOUT_INITRAMFS}"))
        .arg(format!("--customize-hook={WITH_INITRAMFS}"))
        .arg(format!("--customize-hook={KEEP_LISTS}"))
        .env("KEPT_LISTS", &input.lists);
    for option in &input.apt_options {
        command.arg(format!("--aptopt={option}"));
    }
    command.arg(&input.suite).arg(&input.root).env("TMPDIR", &input.temporary);
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let output = tools::run(&mut command).map_err(|error| error.to_string())?;
    // Progress of a long step belongs into the log even when it went well.
    let _ = std::io::stdout().write_all(&output.stderr);
    finish(&input.root)
        .and_then(|()| lists::keep(&input.lists))
        .map_err(|error| format!("failed to finish the base: {error}"))?;
    Ok(String::new())
}

/// Removes what mmdebstrap left of this machine and adds what the platform image has.
fn finish(root: &Path) -> std::io::Result<()> {
    for leftover in ["etc/apt/apt.conf.d/99mmdebstrap", "etc/resolv.conf", "etc/machine-id"] {
        match fs::remove_file(root.join(leftover)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::write(root.join("etc/machine-id"), "")?;
    symlink("../run/systemd/resolve/stub-resolv.conf", root.join("etc/resolv.conf"))?;
    for (path, content) in FILES {
        let target = root.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(target, content)?;
    }
    Ok(())
}
