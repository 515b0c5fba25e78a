//! The root of a sandbox, put together in its own mount namespace.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::kernel_files;
use crate::spec::{Bind, Overlay, Spec};
use crate::trees::{self, Places};

type Result<T> = std::result::Result<T, String>;

/// Why the root could not be put together.
#[derive(Debug)]
pub enum Trouble {
    /// This machine does not do what it should.
    Machine(String),
    /// The image lacks what is needed, or has something else in its place.
    Image(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Machine(why)
    }
}

const NONE: Option<&str> = None;

/// Where the host's paths are attached and the root is put together: a folder that every host has.
const WORKSHOP: &str = "/tmp";
/// Where a job finds the overlay.
const IMAGE: &str = "image";
/// What a job needs of the host to run the host's programs.
const HOST_PROGRAMS: [&str; 9] = ["bin", "etc", "lib", "lib32", "lib64", "nix", "opt", "sbin", "usr"];

/// No mount of ours may reach the host.
pub fn make_private() -> Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(|error| format!("failed to detach from the host's mounts: {error}"))
}

/// Makes the overlay the root, with what the specification makes visible in it, and forgets the host's files.
/// Returns the sources of its uploads.
pub fn enter_for_program(spec: &Spec, trees: &[OwnedFd]) -> std::result::Result<Vec<File>, Trouble> {
    let (places, root) = workshop(spec, trees)?;
    mount_overlay_of(
        spec.overlay.as_ref().ok_or_else(|| "a program needs a root file system".to_owned())?,
        &places,
        &root,
    )?;
    kernel_files::mount_below(&root, spec.limits)?;
    let sources = spec.binds.iter().map(|bind| Sources::open(bind, &places)).collect::<Result<Vec<_>>>()?;
    let open =
        |source: &Path| File::open(source).map_err(|error| format!("failed to open an upload: {error}"));
    let uploads =
        spec.uploads.iter().map(|upload| open(places.of(&upload.source)?)).collect::<Result<Vec<_>>>()?;
    change_root(&root)?;
    for (bind, source) in spec.binds.iter().zip(&sources) {
        source.mount_at(bind).map_err(Trouble::Image)?;
    }
    if spec.network {
        resolver().map_err(Trouble::Image)?;
    }
    leave_old_root()?;
    kernel_files::protect()?;
    Ok(uploads)
}

/// Makes a root of the host's programs, read-only, and the job's own folders; returns where the overlay is in it.
pub fn enter_for_job(spec: &Spec, trees: &[OwnedFd]) -> std::result::Result<Option<PathBuf>, Trouble> {
    let (places, root) = workshop(spec, trees)?;
    tmpfs(&root, "mode=0755")?;
    HOST_PROGRAMS.iter().try_for_each(|name| host_programs(name, &root))?;
    let temporary = root.join("tmp");
    make_folder(&temporary)?;
    tmpfs(&temporary, "mode=1777")?;
    kernel_files::mount_below(&root, spec.limits)?;
    for folder in &spec.folders {
        let target = root.join(folder.strip_prefix("/").unwrap_or(folder));
        trees::attach(&trees::open(places.of(folder)?, None)?, &target)?;
    }
    if let Some(overlay) = &spec.overlay {
        make_folder(&root.join(IMAGE))?;
        mount_overlay_of(overlay, &places, &root.join(IMAGE))?;
    }
    change_root(&root)?;
    leave_old_root()?;
    kernel_files::protect()?;
    Ok(spec.overlay.is_some().then(|| Path::new("/").join(IMAGE)))
}

/// The host's paths at hand, and an empty folder for the root.
fn workshop(spec: &Spec, trees: &[OwnedFd]) -> Result<(Places, PathBuf)> {
    let workshop = Path::new(WORKSHOP);
    let places = Places::attach(workshop, &spec.host_paths(), trees)?;
    let root = workshop.join("root");
    make_folder(&root)?;
    Ok((places, root))
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(|error| format!("failed to make {}: {error}", path.display()))
}

/// A folder of the host's root, or its link to one, the same below `root`.
fn host_programs(name: &str, root: &Path) -> Result<()> {
    let (host, target) = (Path::new("/").join(name), root.join(name));
    match fs::symlink_metadata(&host) {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_symlink() => fs::read_link(&host)
            .and_then(|to| symlink(to, &target))
            .map_err(|error| format!("failed to make {}: {error}", target.display())),
        Ok(_) => {
            let tree = trees::open(&host, None)?;
            trees::read_only(&tree)?;
            trees::attach(&tree, &target)
        }
    }
}

/// Mounts the overlay of a specification; names relative to its store keep the kernel's option short.
fn mount_overlay_of(overlay: &Overlay, places: &Places, target: &Path) -> Result<()> {
    let relative = |path: &Path| path.strip_prefix(&overlay.store).unwrap_or(path).display().to_string();
    let lowers: Vec<_> = overlay.lowers.iter().map(|lower| relative(lower)).collect();
    let scratch = relative(&overlay.scratch);
    std::env::set_current_dir(places.of(&overlay.store)?)
        .map_err(|error| format!("failed to enter {}: {error}", overlay.store.display()))?;
    let (upper, work) = (format!("{scratch}/upper"), format!("{scratch}/work"));
    mount_overlay(target, &lowers.join(":"), &upper, &work, overlay.volatile)
}

/// `userxattr` keeps the overlay's marks in `user.overlay.*`, the same for root and for an ordinary user, so that
/// layers are interchangeable.
fn mount_overlay(target: &Path, lowers: &str, upper: &str, work: &str, volatile: bool) -> Result<()> {
    /// mount(2) takes one page of options and cuts the rest without a word.
    const LONGEST: usize = 4095;
    let volatile = if volatile { ",volatile" } else { "" };
    let options = format!("lowerdir={lowers},upperdir={upper},workdir={work},userxattr{volatile}");
    if options.len() > LONGEST {
        let layers = lowers.split(':').count();
        return Err(format!("{layers} layers are more than the kernel stacks: join some of the steps"));
    }
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|error| format!("failed to mount the overlay: {error}"))
}

/// A fresh file system in memory.
pub fn tmpfs(target: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options))
        .map_err(|error| format!("failed to mount a tmpfs at {}: {error}", target.display()))
}

/// The old root stays below the new one, at the same place, until it is left.
fn change_root(root: &Path) -> Result<()> {
    std::env::set_current_dir(root).map_err(|error| error.to_string())?;
    nix::unistd::pivot_root(".", ".").map_err(|error| format!("failed to change the root: {error}"))
}

fn leave_old_root() -> Result<()> {
    umount2(".", MntFlags::MNT_DETACH)
        .map_err(|error| format!("failed to let go of the host's root: {error}"))?;
    std::env::set_current_dir("/").map_err(|error| error.to_string())
}

/// Open host paths of a bind: after `pivot_root` they can still be reached through /proc/self/fd, while every
/// link in the target path then resolves inside the image.
struct Sources {
    host: File,
    scratch: Option<(File, File)>,
}

impl Sources {
    fn open(bind: &Bind, places: &Places) -> Result<Self> {
        let scratch = match &bind.scratch {
            None => None,
            Some(folder) => {
                let folder = places.of(folder)?;
                Some((path_only(&folder.join("upper"))?, path_only(&folder.join("work"))?))
            }
        };
        Ok(Self { host: path_only(places.of(&bind.host)?)?, scratch })
    }

    fn mount_at(&self, bind: &Bind) -> Result<()> {
        let target = &bind.inside;
        make_target(target, self.host.metadata().is_ok_and(|meta| meta.is_dir()))?;
        if let Some((upper, work)) = &self.scratch {
            return mount_overlay(target, &by_fd(&self.host), &by_fd(upper), &by_fd(work), false);
        }
        let fail = |error| format!("failed to make {} visible inside: {error}", bind.host.display());
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(by_fd(&self.host).as_str()), target, NONE, flags, NONE).map_err(fail)?;
        if bind.read_only { kernel_files::read_only(target) } else { Ok(()) }
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
