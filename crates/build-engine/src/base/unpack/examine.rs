//! Whether a tree is a system that a build can start from and Azure can boot, as Azure's own images are.

use std::path::Path;

use super::UnpackError;
use crate::rooted::{Kind, Rooted, RootedError};
use crate::user;

const LARGEST: u64 = 1 << 20;

/// What an image needs before the first customizer runs.
struct Need {
    what: &'static str,
    path: &'static str,
    /// The package of Debian and Ubuntu that brings it.
    package: &'static str,
}

const NEEDS: [Need; 6] = [
    Need {
        what: "a signed first boot loader",
        path: "/usr/lib/shim/shimx64.efi.signed",
        package: "shim-signed",
    },
    Need {
        what: "a signed boot loader",
        path: "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
        package: "grub-efi-amd64-signed",
    },
    Need { what: "process 1", path: "/usr/lib/systemd/systemd", package: "systemd" },
    Need { what: "the set-up of each new machine", path: "/usr/bin/cloud-init", package: "cloud-init" },
    Need { what: "the server for Azure's connection", path: "/usr/sbin/sshd", package: "openssh-server" },
    Need { what: "the build user's way to root", path: "/usr/bin/sudo", package: "sudo" },
];
const KERNEL: Need = Need { what: "a kernel", path: "/boot/vmlinuz-*", package: "linux-image-cloud-amd64" };
const KERNEL_OF_UBUNTU: Need = Need { package: "linux-image-azure", ..KERNEL };

/// Checks the tree at `root`.
///
/// # Errors
/// [`UnpackError::Refused`] naming what it is or everything that it lacks.
pub(super) fn examine(root: &Path) -> Result<(), UnpackError> {
    let root = Rooted::open(root)?;
    let release = Release::of(&root)?;
    if !has(&root, "/usr/bin/dpkg")? || !has(&root, "/usr/bin/apt-get")? {
        let found = match &release {
            Some(release) => {
                format!("it holds {} (ID={}), which has no dpkg and apt", release.name, release.id)
            }
            None => "it holds no Linux root file system: there is no /etc/os-release".to_owned(),
        };
        return Err(UnpackError::refused(found).hint(
            "Debian, Ubuntu and what is made of them can be built on; other distributions cannot yet",
        ));
    }
    let mut lacking = Vec::new();
    if !root.list("/boot")?.iter().any(|(name, _)| name.to_string_lossy().starts_with("vmlinuz-")) {
        let ubuntu = release.is_some_and(|release| release.id == "ubuntu");
        lacking.push(if ubuntu { &KERNEL_OF_UBUNTU } else { &KERNEL });
    }
    for need in &NEEDS {
        if !has(&root, need.path)? {
            lacking.push(need);
        }
    }
    if lacking.is_empty() { accounts(&root) } else { Err(not_bootable(&lacking)) }
}

fn not_bootable(lacking: &[&Need]) -> UnpackError {
    let lines = lacking.iter().map(|need| format!("{} ({}, package {})", need.what, need.path, need.package));
    let packages = lacking.iter().map(|need| need.package).collect::<Vec<_>>().join(" ");
    UnpackError::refused(format!("it lacks {}", lines.collect::<Vec<_>>().join(", ")))
        .hint(format!("in the base, before it is packed: apt-get install {packages}"))
}

/// The build user needs an account that nobody has.
fn accounts(root: &Rooted) -> Result<(), UnpackError> {
    let passwd = root.read("/etc/passwd", LARGEST)?.unwrap_or_default();
    let passwd = String::from_utf8_lossy(&passwd);
    let taken = passwd.lines().find(|line| {
        let mut fields = line.split(':');
        fields.next() == Some(user::NAME) || fields.nth(1) == Some(&user::ID.to_string())
    });
    match taken.and_then(|line| line.split(':').next()) {
        None => Ok(()),
        Some(name) => Err(UnpackError::refused(format!(
            "it has an account {name} with the name or number of the build user ({}, {})",
            user::NAME,
            user::ID
        ))
        .hint("generalise the base: `userdel --remove` its account")),
    }
}

/// Whether a file is there; links are followed as the booted machine would.
fn has(root: &Rooted, path: &str) -> Result<bool, RootedError> {
    let (folder, name) = path.rsplit_once('/').unwrap_or_default();
    let is_it = |(found, kind): &(std::ffi::OsString, Kind)| found == name && *kind != Kind::Folder;
    Ok(root.list(folder)?.iter().any(is_it))
}

/// `/etc/os-release`, as os-release(5) has it.
struct Release {
    id: String,
    name: String,
}

impl Release {
    fn of(root: &Rooted) -> Result<Option<Self>, RootedError> {
        let text = match root.read("/etc/os-release", LARGEST)? {
            Some(text) => Some(text),
            None => root.read("/usr/lib/os-release", LARGEST)?,
        };
        Ok(text.map(|text| {
            let text = String::from_utf8_lossy(&text);
            let field = |name: &str| {
                let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
                let printable = |c: &char| !c.is_control() && *c != '"' && *c != '\'';
                value.map(|value| value.chars().filter(printable).take(100).collect::<String>())
            };
            // The default that os-release(5) gives.
            let id = field("ID").unwrap_or_else(|| "linux".to_owned());
            let name = field("PRETTY_NAME").or_else(|| field("NAME")).unwrap_or_else(|| "Linux".to_owned());
            Self { id, name }
        }))
    }
}
