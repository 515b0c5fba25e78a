//! Reads a finished disk's frame strictly: what Azure or a firmware would stumble over is an error here.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::DiskError;
use super::gpt::{EFI_SYSTEM, Gpt, HEAD_LEN, Partition, ROOT_X86_64, TAIL_LEN};
use super::vhd::{FOOTER_BYTES, FOOTER_LEN, Footer, MIB};

/// Footer and partitions of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The VHD footer.
    pub footer: Footer,
    /// The partition table.
    pub gpt: Gpt,
    /// The one root partition.
    pub root: Partition,
    /// The one EFI system partition.
    pub efi: Partition,
}

/// Reads the footer and the partition table of the fixed VHD `vhd`.
///
/// # Errors
/// [`DiskError::NotVhd`], [`DiskError::NotPartitioned`], or [`DiskError::Unsound`] when the size is not the footer's
/// or not a whole number of MiB (Azure, "Prepare a VHD"), or there is not exactly one root and one EFI partition.
pub fn inspect(vhd: &Path) -> Result<Layout, DiskError> {
    let file = File::open(vhd).map_err(DiskError::io("open", vhd))?;
    let length = file.metadata().map_err(DiskError::io("look at", vhd))?.len();
    let Some(virtual_bytes) = length.checked_sub(FOOTER_BYTES) else {
        return Err(DiskError::unsound(vhd, format!("its {length} bytes cannot hold a VHD footer")));
    };
    let read = |at: u64, bytes: &mut [u8]| file.read_exact_at(bytes, at).map_err(DiskError::io("read", vhd));
    let mut footer = [0; FOOTER_LEN];
    read(virtual_bytes, &mut footer)?;
    let footer =
        Footer::decode(&footer).map_err(|source| DiskError::NotVhd { path: vhd.to_owned(), source })?;
    if footer.virtual_bytes != virtual_bytes {
        let problem = format!("its footer says {} bytes, but it holds {virtual_bytes}", footer.virtual_bytes);
        return Err(DiskError::unsound(vhd, problem));
    }
    if !virtual_bytes.is_multiple_of(MIB) || virtual_bytes == 0 {
        return Err(DiskError::unsound(
            vhd,
            format!("its {virtual_bytes} bytes are not a whole number of MiB"),
        ));
    }
    let (mut head, mut tail) = (vec![0; HEAD_LEN], vec![0; TAIL_LEN]);
    read(0, &mut head)?;
    read(virtual_bytes - TAIL_LEN as u64, &mut tail)?;
    let gpt = Gpt::decode(&head, &tail, virtual_bytes)
        .map_err(|source| DiskError::NotPartitioned { path: vhd.to_owned(), source })?;
    let only = |kind, what: &str| {
        let mut found = gpt.partitions.iter().filter(|partition| partition.kind == kind);
        match (found.next(), found.next()) {
            (Some(partition), None) => Ok(partition.clone()),
            (None, _) => Err(DiskError::unsound(vhd, format!("it has no {what} partition"))),
            _ => Err(DiskError::unsound(vhd, format!("it has more than one {what} partition"))),
        }
    };
    let (root, efi) = (only(ROOT_X86_64, "root")?, only(EFI_SYSTEM, "EFI system")?);
    Ok(Layout { footer, gpt, root, efi })
}
