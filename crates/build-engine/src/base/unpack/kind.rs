//! What a file is, by its first and last bytes: its name proves nothing.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::{UnpackError, disk};
use crate::tools::Tool;

/// What a base can be given as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A tar archive.
    Archive,
    /// One that this tool decompresses.
    Compressed(Tool),
    /// A disk as it is; a fixed VHD is one with a footer.
    Disk,
    /// A disk in a format that has to be converted.
    Converted(Format),
}

/// Formats of disks, by QEMU's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Qcow2,
    /// A dynamic VHD.
    Vpc,
}

impl Format {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Vpc => "vpc",
        }
    }
}

/// Largest operating system disk of Azure, in bytes.
const LARGEST_DISK: u64 = 4095 << 30;
/// Where tar's `ustar` stands; in archives before POSIX nothing does.
const TAR_AT: usize = 257;
const COMPRESSED: [(&[u8], Tool); 3] = [
    (&[0x1f, 0x8b], Tool::Gzip),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Tool::Xz),
    (&[0x28, 0xb5, 0x2f, 0xfd], Tool::Zstd),
];
/// Formats that are not read, and what turns them into one that is.
const OTHERS: [(&[u8], &str, &str); 5] = [
    (b"vhdxfile", "a VHDX disk", "qemu-img convert -O qcow2 IN.vhdx OUT.qcow2"),
    (b"KDMV", "a VMDK disk", "qemu-img convert -O qcow2 IN.vmdk OUT.qcow2"),
    (b"BZh", "compressed with bzip2", "bunzip2 FILE"),
    (b"PK\x03\x04", "a zip archive", "unzip FILE"),
    (b"hsqs", "a squashfs file system", "unsquashfs FILE, then tar of the folder"),
];

impl Kind {
    /// What `file` is.
    ///
    /// # Errors
    /// [`UnpackError::Refused`] with what it is instead.
    pub(super) fn of(file: &File) -> Result<Self, UnpackError> {
        let mut head = [0; 1024];
        let length = read_some(file, &mut head)?;
        let head = &head[..length];
        if let Some((_, tool)) = COMPRESSED.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Ok(Self::Compressed(*tool));
        }
        if head.get(TAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
            return Ok(Self::Archive);
        }
        if head.starts_with(b"QFI\xfb") {
            return qcow2(head).map(|()| Self::Converted(Format::Qcow2));
        }
        if head.starts_with(b"conectix") {
            return dynamic_vhd(head).map(|()| Self::Converted(Format::Vpc));
        }
        if head.get(512..).is_some_and(|rest| rest.starts_with(b"EFI PART")) {
            return Ok(Self::Disk);
        }
        if let Some((_, what, how)) = OTHERS.iter().find(|(magic, ..)| head.starts_with(magic)) {
            return Err(UnpackError::refused(format!("it is {what}")).hint(format!("convert it: {how}")));
        }
        if head.get(510..512) == Some(&[0x55, 0xaa]) {
            return Err(UnpackError::refused(
                "it is a disk without a GUID partition table, as of generation 1",
            )
            .hint("give a generation 2 disk, or a tar archive of its root file system"));
        }
        if disk::is_file_system(file)? {
            return Ok(Self::Disk);
        }
        Err(UnpackError::refused("it is neither an archive nor a disk that can be read").hint(SUPPORTED))
    }
}

const SUPPORTED: &str =
    "a base is a root file system as tar, tar.gz, tar.xz or tar.zst, or a disk as raw, VHD or qcow2";

/// What is true of whatever is read from a disk.
const OF_DISKS: &str = ", of whose extended attributes only file capabilities are kept";

/// Big-endian number of a header that has been read as far as it goes.
fn number(head: &[u8], at: usize, bytes: usize) -> u64 {
    let digits = head.get(at..at + bytes).unwrap_or_default();
    digits.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Refuses an image that names other files, which would be read in its place (QEMU, "docs/interop/qcow2").
fn qcow2(head: &[u8]) -> Result<(), UnpackError> {
    const EXTERNAL_DATA: u64 = 1 << 2;
    if number(head, 8, 8) != 0 {
        return Err(UnpackError::refused("it holds only what differs from a backing file")
            .hint("join them: qemu-img convert -O qcow2 IN.qcow2 OUT.qcow2"));
    }
    if number(head, 4, 4) > 2 && number(head, 72, 8) & EXTERNAL_DATA != 0 {
        return Err(UnpackError::refused("its data are in another file")
            .hint("join them: qemu-img convert -O qcow2 IN.qcow2 OUT.qcow2"));
    }
    if number(head, 32, 4) != 0 {
        return Err(UnpackError::refused("it is encrypted"));
    }
    size(number(head, 24, 8))
}

/// The copy of the footer that a dynamic VHD begins with.
fn dynamic_vhd(head: &[u8]) -> Result<(), UnpackError> {
    const DYNAMIC: u64 = 3;
    if number(head, 60, 4) != DYNAMIC {
        return Err(UnpackError::refused("it is a VHD that holds only what differs from another")
            .hint("merge them first: Merge-VHD"));
    }
    size(number(head, 48, 8))
}

fn size(bytes: u64) -> Result<(), UnpackError> {
    if bytes > LARGEST_DISK {
        return Err(UnpackError::refused(format!(
            "it is a disk of {} GiB; the largest has 4095",
            bytes >> 30
        )));
    }
    Ok(())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive => f.write_str("a tar archive"),
            Self::Compressed(tool) => write!(f, "a tar archive compressed with {}", tool.program()),
            Self::Disk => write!(f, "a disk{OF_DISKS}"),
            Self::Converted(Format::Qcow2) => write!(f, "a disk in qcow2 format{OF_DISKS}"),
            Self::Converted(Format::Vpc) => write!(f, "a dynamic VHD{OF_DISKS}"),
        }
    }
}

/// As much as there is, up to the buffer's length.
fn read_some(file: &File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}
