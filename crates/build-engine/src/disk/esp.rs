//! The EFI system partition: shim, signed GRUB and a stub that hands over to the menu inside the root.
//!
//! Shim is signed by Microsoft and GRUB by the distribution, so the disk boots with Secure Boot on. The files stand
//! where firmware looks on a disk it has never seen (`EFI/BOOT`) and where the distribution's own tools keep them
//! (`EFI/debian` or `EFI/ubuntu`, which is also where its signed GRUB looks for its configuration).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use super::plan::{EFI_OFFSET, ROOT_OFFSET};
use super::{DiskError, DiskIds};
use crate::rooted::Rooted;
use crate::tools::{self, Tool};

const LARGEST_FILE: u64 = 32 << 20;
const SHIM: &str = "/usr/lib/shim/shimx64.efi.signed";
const KEY_MANAGER: &str = "/usr/lib/shim/mmx64.efi.signed";
const GRUB: &str = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";

/// A file on the EFI system partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EfiFile {
    /// Path from the partition's top, with `/`.
    pub path: String,
    /// What is in it.
    pub content: Vec<u8>,
}

/// The partition's files, taken from the image in `root`.
///
/// # Errors
/// [`DiskError::NotBootable`] when the image lacks the signed boot loaders, [`DiskError::Image`] when they cannot be
/// read.
pub fn efi_files(root: &Rooted, ids: &DiskIds) -> Result<Vec<EfiFile>, DiskError> {
    let needed = |path, package| -> Result<Vec<u8>, DiskError> {
        root.read(path, LARGEST_FILE)?.ok_or(DiskError::NotBootable { path, package })
    };
    let shim = needed(SHIM, "shim-signed")?;
    let grub = needed(GRUB, "grub-efi-amd64-signed")?;
    let stub = format!(
        "search.fs_uuid {} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n",
        ids.root
    );
    let mut out = Vec::new();
    let mut put = |folder: &str, name: &str, content: &[u8]| {
        out.push(EfiFile { path: format!("EFI/{folder}/{name}"), content: content.to_vec() });
    };
    let manager = root.read(KEY_MANAGER, LARGEST_FILE)?;
    for (folder, first) in [("BOOT", "BOOTX64.EFI"), (vendor(root)?, "shimx64.efi")] {
        put(folder, first, &shim);
        put(folder, "grubx64.efi", &grub);
        put(folder, "grub.cfg", stub.as_bytes());
        if let Some(manager) = &manager {
            put(folder, "mmx64.efi", manager);
        }
    }
    Ok(out)
}

/// The distribution's folder, as its GRUB has it built in.
fn vendor(root: &Rooted) -> Result<&'static str, DiskError> {
    let release = root.read("/etc/os-release", 1 << 20)?.unwrap_or_default();
    let ubuntu = String::from_utf8_lossy(&release).lines().any(|line| line == "ID=ubuntu");
    Ok(if ubuntu { "ubuntu" } else { "debian" })
}

/// Formats the partition in the disk image `file` as FAT32 and fills it. `scratch` is an empty folder for staging.
pub(super) fn write_efi(
    file: &Path,
    serial: u32,
    files: &[EfiFile],
    scratch: &Path,
) -> Result<(), DiskError> {
    for EfiFile { path, content } in files {
        let staged = scratch.join(path);
        if let Some(folder) = staged.parent() {
            std::fs::create_dir_all(folder).map_err(DiskError::io("make", folder))?;
        }
        std::fs::write(&staged, content).map_err(DiskError::io("write", &staged))?;
    }
    let sectors = (ROOT_OFFSET - EFI_OFFSET) / 512;
    let mut image = file.as_os_str().to_owned();
    image.push(format!("@@{EFI_OFFSET}"));
    // One sector per cluster: with more, 124 MiB hold too few clusters to be FAT32, which the specification wants.
    tools::run(
        mtool(Tool::Mformat)?
            .arg("-i")
            .arg(&image)
            .args(["-F", "-c", "1", "-h", "255", "-s", "63", "-v", "EFI", "-T"])
            .arg(sectors.to_string())
            .args(["-H", &(EFI_OFFSET / 512).to_string(), "-N", &format!("{serial:08x}"), "::"]),
    )?;
    remove_nested_table(file).map_err(DiskError::io("write", file))?;
    tools::run(
        mtool(Tool::Mcopy)?.arg("-i").arg(&image).args(["-s", "-m"]).arg(scratch.join("EFI")).arg("::"),
    )?;
    Ok(())
}

/// `mformat` also writes a partition table into the boot sector, as on a disk without another; GRUB's tools would take
/// it for one nested in the partition and warn about it at each update.
fn remove_nested_table(file: &Path) -> io::Result<()> {
    File::options().write(true).open(file)?.write_all_at(&[0; 64], EFI_OFFSET + 446)
}

/// A command of mtools that the user's own mtools configuration cannot change.
fn mtool(tool: Tool) -> Result<Command, DiskError> {
    let mut command = tool.command()?;
    command.env("MTOOLSRC", "/dev/null");
    Ok(command)
}
