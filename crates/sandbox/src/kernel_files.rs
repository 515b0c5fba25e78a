//! `/proc`, `/sys`, `/dev` and `/run` of a sandbox.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::limits::{self, Limits};
use crate::mounts::{Trouble, tmpfs};

type Result<T> = std::result::Result<T, String>;

const NONE: Option<&str> = None;

/// Mounts all of them below `root`.
pub fn mount_below(root: &Path, limits: Limits) -> std::result::Result<(), Trouble> {
    for name in ["proc", "sys", "dev", "run"] {
        mount_point(&root.join(name)).map_err(Trouble::Image)?;
    }
    processes(&root.join("proc"))?;
    if limits.namespace {
        limits::tasks_of_namespace(&root.join("proc"))?;
    }
    objects(&root.join("sys"))?;
    devices(&root.join("dev"))?;
    Ok(tmpfs(&root.join("run"), "mode=0755,size=10%,nr_inodes=200k")?)
}

/// A layer may have turned a mount point into a link; following it would mount over the host's view.
fn mount_point(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(format!("/{} of the image is not a folder", last(path))),
        Err(_) => fs::create_dir(path).map_err(|error| format!("failed to make /{}: {error}", last(path))),
    }
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A fresh /proc that shows only the sandbox's processes.
fn processes(target: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), target, Some("proc"), flags, NONE)
        .map_err(|error| format!("failed to mount {}: {error}", target.display()))
}

/// /sys read-only; an empty one where this kernel does not let a user namespace have its own.
fn objects(target: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    if mount(Some("sysfs"), target, Some("sysfs"), flags, NONE).is_ok() {
        return Ok(());
    }
    tmpfs(target, "mode=0555")
}

/// The six harmless devices, terminals of our own, shared memory.
fn devices(dev: &Path) -> Result<()> {
    let fail = |what: &str, error: &dyn std::fmt::Display| format!("failed to make /dev/{what}: {error}");
    mount(Some("tmpfs"), dev, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=0755,size=1m"))
        .map_err(|e| fail("", &e))?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let target = dev.join(name);
        File::create(&target).map_err(|error| fail(name, &error))?;
        mount(Some(&Path::new("/dev").join(name)), &target, NONE, MsFlags::MS_BIND, NONE)
            .map_err(|error| fail(name, &error))?;
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    for (name, to) in links {
        symlink(to, dev.join(name)).map_err(|error| fail(name, &error))?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name)).map_err(|error| fail(name, &error))?;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = Some("newinstance,ptmxmode=0666,mode=0620,gid=5");
    mount(Some("devpts"), &dev.join("pts"), Some("devpts"), flags, options).map_err(|e| fail("pts", &e))?;
    tmpfs(&dev.join("shm"), "mode=1777,size=10%,nr_inodes=200k")
}

/// What may be read and never written.
const READ_ONLY: [&str; 5] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];
/// What tells of the host: memory, keys, timers, messages, firmware.
const HIDDEN: [&str; 14] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
    "/sys/kernel/debug",
];

/// Kernel settings and the kernel's memory stay out of reach even for a root that the host knows as root. The kernel lets
/// whoever may mount have a fresh /proc all the same, since these mounts are of its own namespace.
pub fn protect() -> Result<()> {
    for path in READ_ONLY.map(Path::new).into_iter().filter(|path| path.exists()) {
        mount(Some(path), path, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
            .map_err(|error| format!("failed to protect {}: {error}", path.display()))?;
        read_only(path)?;
    }
    for path in HIDDEN.map(Path::new).into_iter().filter(|path| path.exists()) {
        if path.is_dir() {
            tmpfs(path, "mode=0555,size=4k")?;
            read_only(path)?;
        } else {
            mount(Some("/dev/null"), path, NONE, MsFlags::MS_BIND, NONE)
                .map_err(|error| format!("failed to hide {}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// Remounts read-only, keeping the flags that this namespace is not allowed to clear.
pub fn read_only(target: &Path) -> Result<()> {
    let fail = |error| format!("failed to protect {}: {error}", target.display());
    let now = statvfs(target).map_err(fail)?.flags();
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    for (has, keep) in kept {
        if now.contains(has) {
            flags |= keep;
        }
    }
    mount(NONE, target, NONE, flags, NONE).map_err(fail)
}
