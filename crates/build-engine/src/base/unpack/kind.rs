//! What a file is, by its first and last bytes: its name proves nothing.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::UnpackError;
use crate::tools::Tool;

/// What a base can be given as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A tar archive.
    Archive,
    /// One that this tool decompresses.
    Compressed(Tool),
}

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
        if let Some((_, what, how)) = OTHERS.iter().find(|(magic, ..)| head.starts_with(magic)) {
            return Err(UnpackError::refused(format!("it is {what}")).hint(format!("convert it: {how}")));
        }
        Err(UnpackError::refused("it is neither an archive nor a disk that can be read").hint(SUPPORTED))
    }
}

const SUPPORTED: &str = "a base is a root file system as tar, tar.gz, tar.xz or tar.zst";

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive => f.write_str("a tar archive"),
            Self::Compressed(tool) => write!(f, "a tar archive compressed with {}", tool.program()),
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
