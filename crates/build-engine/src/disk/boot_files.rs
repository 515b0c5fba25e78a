//! The files inside the image that make it boot from the disk it is written to, on Azure's serial console.
//!
//! Kernel arguments and serial settings: Azure, "Prepare a Debian VHD for Azure". `rootdelay`, which older advice
//! adds, is left out: with initramfs-tools it is a flat wait of that many seconds.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::{DiskError, DiskIds};
use crate::rooted::{Kind, Rooted};

/// What the kernel is told besides where its root is.
pub const KERNEL_ARGUMENTS: &str =
    "console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0 net.ifnames=0";

/// Where the EFI system partition is mounted.
const EFI_MOUNT: &str = "/boot/efi";
const FSTAB: &str = "/etc/fstab";
const SMALL_FILE: u64 = 1 << 20;

/// A file to put into the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFile {
    /// Where, as the image sees it.
    pub path: &'static str,
    /// What is in it.
    pub content: String,
}

/// The boot files of the image in `root` for a disk with these identities: GRUB's menu, GRUB's settings for the
/// next `update-grub`, and `/etc/fstab`, in which other lines than those of `/`, `/boot` and `/boot/efi` are kept.
/// `arguments` is what the kernel is told besides [`KERNEL_ARGUMENTS`]; it stands in the menu as it is.
///
/// # Errors
/// [`DiskError::NotBootable`] when no kernel is installed, [`DiskError::Image`] when the image cannot be read.
pub fn boot_files(root: &Rooted, ids: &DiskIds, arguments: &str) -> Result<Vec<BootFile>, DiskError> {
    let names = names_in_boot(root)?;
    let kernels = kernels(&names)?;
    let text = |path| -> Result<String, DiskError> {
        let content = root.read(path, SMALL_FILE)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&content).into_owned())
    };
    let title = os_name(&text("/etc/os-release")?);
    Ok(vec![
        BootFile { path: "/boot/grub/grub.cfg", content: grub_menu(&title, &kernels, ids, arguments) },
        BootFile { path: "/etc/default/grub.d/10-azure-serial-console.cfg", content: grub_settings() },
        BootFile { path: FSTAB, content: fstab(&text(FSTAB)?, ids) },
    ])
}

/// Puts the boot files, and the folder on which the EFI system partition is mounted, into the writable image at
/// `root`.
///
/// # Errors
/// As [`boot_files`], and [`DiskError::Image`] when a file cannot be written.
pub fn install_boot_files(root: &Rooted, ids: &DiskIds, arguments: &str) -> Result<Vec<BootFile>, DiskError> {
    let files = boot_files(root, ids, arguments)?;
    for file in &files {
        root.write(file.path, file.content.as_bytes(), 0o644)?;
    }
    root.make_folder(EFI_MOUNT)?;
    Ok(files)
}

/// The newest kernel of the image in `root` and its initial RAM disk, as the image sees them: what GRUB's menu starts
/// by default.
///
/// # Errors
/// As [`boot_files`]; a kernel without an initial RAM disk counts as none.
pub fn newest_kernel(root: &Rooted) -> Result<(String, String), DiskError> {
    let names = names_in_boot(root)?;
    match kernels(&names)?.first() {
        Some(Kernel { version, initrd: true }) => {
            Ok((format!("/boot/vmlinuz-{version}"), format!("/boot/initrd.img-{version}")))
        }
        _ => Err(DiskError::NotBootable { path: "/boot/initrd.img-*", package: "initramfs-tools" }),
    }
}

fn names_in_boot(root: &Rooted) -> Result<Vec<String>, DiskError> {
    let files = root.list("/boot")?.into_iter().filter(|(_, kind)| matches!(kind, Kind::File | Kind::Link));
    Ok(files.filter_map(|(name, _)| name.into_string().ok()).collect())
}

/// A kernel and whether it has an initial RAM disk.
#[derive(Debug, PartialEq, Eq)]
struct Kernel<'a> {
    version: &'a str,
    initrd: bool,
}

/// The kernels among the names in `/boot`, the newest first; at least one.
fn kernels(names: &[String]) -> Result<Vec<Kernel<'_>>, DiskError> {
    // A name goes into GRUB's script unquoted, so one with other characters is no kernel of a distribution.
    let plain = |version: &&str| version.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c));
    let initrd = |version: &str| names.iter().any(|name| name.strip_prefix("initrd.img-") == Some(version));
    let mut out: Vec<_> = names
        .iter()
        .filter_map(|name| name.strip_prefix("vmlinuz-"))
        .filter(plain)
        .map(|version| Kernel { version, initrd: initrd(version) })
        .collect();
    out.sort_by(|a, b| natural_order(b.version, a.version));
    if out.is_empty() {
        return Err(DiskError::NotBootable { path: "/boot/vmlinuz-*", package: "linux-image-cloud-amd64" });
    }
    Ok(out)
}

/// Compares runs of digits as numbers and everything else by character.
fn natural_order(a: &str, b: &str) -> Ordering {
    let run = |text: &str| {
        let digits = text.starts_with(|c: char| c.is_ascii_digit());
        text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len())
    };
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let ((run_a, rest_a), (run_b, rest_b)) = (a.split_at(run(a)), b.split_at(run(b)));
        let order = match (run_a.parse::<u64>(), run_b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => run_a.cmp(run_b),
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.len().cmp(&b.len())
}

fn grub_menu(title: &str, kernels: &[Kernel<'_>], ids: &DiskIds, arguments: &str) -> String {
    let root = ids.root;
    let arguments = format!("{KERNEL_ARGUMENTS} {arguments}");
    let arguments = arguments.trim_end();
    let mut out = format!(
        "# Written when the image was made; update-grub writes it anew.\n\
         set default=0\n\
         set timeout=1\n\
         serial --unit=0 --speed=115200\n\
         terminal_input console serial\n\
         terminal_output console serial\n\
         search --no-floppy --fs-uuid --set=root {root}\n"
    );
    for Kernel { version, initrd } in kernels {
        let initrd = if *initrd { format!("  initrd /boot/initrd.img-{version}\n") } else { String::new() };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "menuentry '{title}, Linux {version}' {{\n  \
             linux /boot/vmlinuz-{version} root=UUID={root} ro {arguments}\n{initrd}}}\n"
        );
    }
    out
}

fn grub_settings() -> String {
    format!(
        "# Azure's serial console, also after update-grub.\n\
         GRUB_CMDLINE_LINUX=\"{KERNEL_ARGUMENTS} $GRUB_CMDLINE_LINUX\"\n\
         GRUB_TERMINAL=\"console serial\"\n\
         GRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n\
         GRUB_TIMEOUT=1\n\
         GRUB_DISTRIBUTOR=\"${{GRUB_DISTRIBUTOR:-$(. /etc/os-release && echo \"$NAME\")}}\"\n"
    )
}

fn fstab(old: &str, ids: &DiskIds) -> String {
    let ours = |line: &&str| {
        let mount = line.split_whitespace().nth(1);
        line.starts_with("# UNCONFIGURED FSTAB")
            || !line.trim_start().starts_with('#') && matches!(mount, Some("/" | "/boot" | EFI_MOUNT))
    };
    let mut out = format!(
        "UUID={} / ext4 rw,discard,errors=remount-ro 0 1\n\
         UUID={} {EFI_MOUNT} vfat umask=0077 0 2\n",
        ids.root,
        ids.efi_uuid()
    );
    for line in old.lines().filter(|line| !ours(line)) {
        out += line;
        out.push('\n');
    }
    out
}

/// `PRETTY_NAME` of `/etc/os-release`, without characters that mean something to GRUB's script.
fn os_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    name.chars().filter(|c| c.is_alphanumeric() || " /._()-".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn ids() -> DiskIds {
        DiskIds { root: Uuid::from_u128(0xabc), efi: 0x1234_abcd, ..DiskIds::random() }
    }

    #[test]
    fn the_newest_kernel_comes_first_and_odd_names_are_no_kernels() {
        let names = [
            "config-6.9.1",
            "initrd.img-6.12.9+deb13-cloud-amd64",
            "vmlinuz-6.12.9+deb13-cloud-amd64",
            "vmlinuz-6.12.117+deb13-cloud-amd64",
            "vmlinuz-6.9.1",
            "vmlinuz-x;reboot",
        ]
        .map(String::from);
        let found: Vec<_> =
            kernels(&names).unwrap().iter().map(|kernel| (kernel.version, kernel.initrd)).collect();
        let wanted =
            [("6.12.117+deb13-cloud-amd64", false), ("6.12.9+deb13-cloud-amd64", true), ("6.9.1", false)];
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_menu_boots_each_kernel_by_the_root_file_systems_identity() {
        let kernels = [Kernel { version: "6.12", initrd: true }, Kernel { version: "6.1", initrd: false }];
        insta::assert_snapshot!(grub_menu("Debian GNU/Linux 13 (trixie)", &kernels, &ids(), "audit=1"), @r"
        # Written when the image was made; update-grub writes it anew.
        set default=0
        set timeout=1
        serial --unit=0 --speed=115200
        terminal_input console serial
        terminal_output console serial
        search --no-floppy --fs-uuid --set=root 00000000-0000-0000-0000-000000000abc
        menuentry 'Debian GNU/Linux 13 (trixie), Linux 6.12' {
          linux /boot/vmlinuz-6.12 root=UUID=00000000-0000-0000-0000-000000000abc ro console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0 net.ifnames=0 audit=1
          initrd /boot/initrd.img-6.12
        }
        menuentry 'Debian GNU/Linux 13 (trixie), Linux 6.1' {
          linux /boot/vmlinuz-6.1 root=UUID=00000000-0000-0000-0000-000000000abc ro console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0 net.ifnames=0 audit=1
        }
        ");
    }

    #[test]
    fn lines_that_a_customizer_added_to_fstab_stay() {
        let old = "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n/dev/sda1 / ext4 defaults 0 1\n# data\n\
                   nfs.example.org:/x /data nfs ro 0 0\nLABEL=BOOT /boot ext4 defaults 0 2\nLABEL=x /boot/efi vfat defaults 0 0\n";
        insta::assert_snapshot!(fstab(old, &ids()), @r"
        UUID=00000000-0000-0000-0000-000000000abc / ext4 rw,discard,errors=remount-ro 0 1
        UUID=1234-ABCD /boot/efi vfat umask=0077 0 2
        # data
        nfs.example.org:/x /data nfs ro 0 0
        ");
    }

    #[test]
    fn a_systems_name_cannot_leave_its_quotes() {
        assert_eq!(
            os_name("ID=x\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"),
            "Debian GNU/Linux 13 (trixie)"
        );
        assert_eq!(os_name("PRETTY_NAME=\"x' { reboot } '\"\n"), "x  reboot  ");
        assert_eq!(os_name(""), "Linux");
    }
}
