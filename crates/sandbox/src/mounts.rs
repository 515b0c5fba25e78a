//! The mounts of a sandbox, all made in its own mount namespace.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::spec::{Bind, Overlay, Spec};

type Result<T> = std::result::Result<T, String>;

const NONE: Option<&str> = None;

/// No mount of ours may reach the host.
pub fn make_private() -> Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(|error| format!("failed to detach from the host's mounts: {error}"))
}

/// Mounts the overlay and returns where.
pub fn overlay(overlay: &Overlay) -> Result<PathBuf> {
    let merged = overlay.scratch.join("merged");
    fs::create_dir_all(&merged).map_err(|error| format!("failed to make {}: {error}", merged.display()))?;
    std::env::set_current_dir(&overlay.store)
        .map_err(|error| format!("failed to enter {}: {error}", overlay.store.display()))?;
    let lowers = overlay.lowers.iter().map(|lower| lower.display().to_string()).collect::<Vec<_>>().join(":");
    let scratch = overlay.scratch.display();
    mount_overlay(&merged, &lowers, &format!("{scratch}/upper"), &format!("{scratch}/work"))?;
    std::env::set_current_dir("/").map_err(|error| error.to_string())?;
    Ok(merged)
}

/// `userxattr` keeps the overlay's marks in `user.overlay.*`, the same for root and for an ordinary user, so that
/// layers are interchangeable.
fn mount_overlay(target: &Path, lowers: &str, upper: &str, work: &str) -> Result<()> {
    /// mount(2) takes one page of options and cuts the rest without a word.
    const LONGEST: usize = 4095;
    let options = format!("lowerdir={lowers},upperdir={upper},workdir={work},userxattr");
    if options.len() > LONGEST {
        let layers = lowers.split(':').count();
        return Err(format!("{layers} layers are more than the kernel stacks: join some of the steps"));
    }
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|error| format!("failed to mount the overlay at {}: {error}", target.display()))
}

/// A fresh /proc that shows only the sandbox's processes.
pub fn proc_of_this_namespace(target: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), target, Some("proc"), flags, NONE)
        .map_err(|error| format!("failed to mount {}: {error}", target.display()))
}

/// Makes `root` the root: kernel file systems, binds, resolver; then forgets the host's files.
pub fn enter(root: &Path, spec: &Spec) -> Result<()> {
    for name in ["proc", "sys", "dev", "run"] {
        mount_point(&root.join(name))?;
    }
    proc_of_this_namespace(&root.join("proc"))?;
    kernel_objects(&root.join("sys"))?;
    devices(&root.join("dev"))?;
    tmpfs(&root.join("run"), "mode=0755")?;
    let sources = spec.binds.iter().map(Sources::open).collect::<Result<Vec<_>>>()?;

    std::env::set_current_dir(root).map_err(|error| error.to_string())?;
    nix::unistd::pivot_root(".", ".").map_err(|error| format!("failed to change the root: {error}"))?;
    for (bind, source) in spec.binds.iter().zip(&sources) {
        source.mount_at(bind)?;
    }
    if spec.network {
        resolver()?;
    }
    umount2(".", MntFlags::MNT_DETACH)
        .map_err(|error| format!("failed to let go of the host's root: {error}"))?;
    std::env::set_current_dir("/").map_err(|error| error.to_string())?;
    protect_kernel_settings()
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

fn tmpfs(target: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options))
        .map_err(|error| format!("failed to mount a tmpfs at {}: {error}", target.display()))
}

/// /sys read-only; an empty one where this kernel does not let a user namespace have its own.
fn kernel_objects(target: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    if mount(Some("sysfs"), target, Some("sysfs"), flags, NONE).is_ok() {
        return Ok(());
    }
    tmpfs(target, "mode=0555")
}

/// The six harmless devices, terminals of our own, shared memory.
fn devices(dev: &Path) -> Result<()> {
    let fail = |what: &str, error: &dyn std::fmt::Display| format!("failed to make /dev/{what}: {error}");
    mount(Some("tmpfs"), dev, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=0755"))
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
    tmpfs(&dev.join("shm"), "mode=1777")
}

/// Open host paths of a bind: after `pivot_root` they can still be reached through /proc/self/fd, while every
/// link in the target path then resolves inside the image.
struct Sources {
    host: File,
    scratch: Option<(File, File)>,
}

impl Sources {
    fn open(bind: &Bind) -> Result<Self> {
        let scratch = match &bind.scratch {
            None => None,
            Some(folder) => Some((path_only(&folder.join("upper"))?, path_only(&folder.join("work"))?)),
        };
        Ok(Self { host: path_only(&bind.host)?, scratch })
    }

    fn mount_at(&self, bind: &Bind) -> Result<()> {
        let target = &bind.inside;
        make_target(target, self.host.metadata().is_ok_and(|meta| meta.is_dir()))?;
        if let Some((upper, work)) = &self.scratch {
            return mount_overlay(target, &by_fd(&self.host), &by_fd(upper), &by_fd(work));
        }
        let fail = |error| format!("failed to make {} visible inside: {error}", bind.host.display());
        mount(Some(by_fd(&self.host).as_str()), target, NONE, MsFlags::MS_BIND, NONE).map_err(fail)?;
        if bind.read_only { read_only(target) } else { Ok(()) }
    }
}

fn path_only(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
        .map_err(|error| format!("failed to open {}: {error}", path.display()))
}

fn by_fd(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Targets below /run live on the sandbox's own tmpfs and may be made; any other must exist.
fn make_target(target: &Path, folder: bool) -> Result<()> {
    if !target.starts_with("/run") || target.exists() {
        return Ok(());
    }
    let fail = |error| format!("failed to make {}: {error}", target.display());
    if folder {
        return fs::create_dir_all(target).map_err(fail);
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    File::create(target).map(drop).map_err(fail)
}

/// Remounts read-only, keeping the flags that this namespace is not allowed to clear.
fn read_only(target: &Path) -> Result<()> {
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

/// Azure's resolver address, written where the image's own link points, so that the image stays untouched.
fn resolver() -> Result<()> {
    const CONTENT: &str = "nameserver 168.63.129.16\noptions edns0\n";
    let own = Path::new("/run/aks-jumpbox/resolv.conf");
    let conf = Path::new("/etc/resolv.conf");
    let fail = |error: std::io::Error| format!("failed to write the resolver's configuration: {error}");
    let target = match fs::symlink_metadata(conf) {
        // The C library then asks 127.0.0.1, which the gateway answers too.
        Err(_) => return Ok(()),
        Ok(meta) if meta.is_symlink() => Path::new("/etc").join(fs::read_link(conf).map_err(fail)?),
        Ok(_) => own.to_path_buf(),
    };
    let target = lexical(&target);
    if !target.starts_with("/run") {
        return Err(format!("/etc/resolv.conf of the image points to {}, not below /run", target.display()));
    }
    fs::create_dir_all(target.parent().unwrap_or(Path::new("/run"))).map_err(fail)?;
    fs::write(&target, CONTENT).map_err(fail)?;
    if target == own {
        mount(Some(own), conf, NONE, MsFlags::MS_BIND, NONE)
            .map_err(|error| format!("failed to place the resolver's configuration: {error}"))?;
    }
    Ok(())
}

/// `..` and `.` removed by name alone: the path is about to be made on our own tmpfs.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    clean
}

/// Kernel settings and the kernel's memory stay out of reach even for a root that the host knows as root.
fn protect_kernel_settings() -> Result<()> {
    for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"] {
        let path = Path::new(path);
        if path.exists() {
            mount(Some(path), path, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
                .map_err(|error| format!("failed to protect {}: {error}", path.display()))?;
            read_only(path)?;
        }
    }
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms"] {
        if Path::new(path).exists() {
            mount(Some("/dev/null"), path, NONE, MsFlags::MS_BIND, NONE)
                .map_err(|error| format!("failed to hide {path}: {error}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_target_is_cleaned_by_name() {
        let link = Path::new("/etc").join("../run/systemd/resolve/./stub-resolv.conf");
        assert_eq!(lexical(&link), Path::new("/run/systemd/resolve/stub-resolv.conf"));
        assert_eq!(lexical(Path::new("/etc/../../..")), Path::new("/"));
    }
}
