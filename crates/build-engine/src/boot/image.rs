//! What is to be booted: a raw disk, or a fixed VHD, which is a raw disk and a 512-byte footer.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::disk::vhd::Footer;

const SECTOR: u64 = 512;
const COOKIE: &[u8] = b"conectix";

/// A disk image and how much of its file is the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskImage {
    path: PathBuf,
    size: u64,
}

/// Why a file is not a disk that can be booted here.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file could not be read.
    #[error("could not read the image {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file was read and is not a raw disk or a fixed VHD.
    #[error("{path} is not a disk image that can be booted: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl DiskImage {
    /// Looks at a file and finds out how much of it is disk.
    ///
    /// # Errors
    /// [`ImageError`] when it cannot be read, is a dynamic VHD, has a damaged footer, or has a length that no disk has.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let unreadable = |source| ImageError::Unreadable { path: path.to_owned(), source };
        let path = path.canonicalize().map_err(unreadable)?;
        let mut file = File::open(&path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let unusable = |reason: String| ImageError::Unusable { path: path.clone(), reason };
        if length < 2 * SECTOR || !length.is_multiple_of(SECTOR) {
            return Err(unusable(format!("{length} bytes are no whole number of sectors")));
        }
        let mut first = [0; 512];
        let mut last = [0; 512];
        file.read_exact(&mut first).map_err(unreadable)?;
        file.seek(SeekFrom::Start(length - SECTOR)).map_err(unreadable)?;
        file.read_exact(&mut last).map_err(unreadable)?;
        let size = disk_size(length, &first, &last).map_err(unusable)?;
        Ok(Self { path, size })
    }

    /// Absolute path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of disk, without a footer; a multiple of 512.
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// How many bytes of a file are disk, from its length, first and last sector.
fn disk_size(length: u64, first: &[u8; 512], last: &[u8; 512]) -> Result<u64, String> {
    if first.starts_with(COOKIE) {
        return Err("it is a dynamic VHD; Azure takes fixed ones".to_owned());
    }
    if first.starts_with(b"QFI\xfb") || first.starts_with(b"vhdxfile") {
        return Err("only raw disks and fixed VHDs can be booted".to_owned());
    }
    if !last.starts_with(COOKIE) {
        return Ok(length);
    }
    let footer = Footer::decode(last).map_err(|error| error.to_string())?;
    if footer.virtual_bytes != length - SECTOR {
        return Err(format!(
            "its VHD footer says {} bytes, the file holds {} before the footer",
            footer.virtual_bytes,
            length - SECTOR
        ));
    }
    Ok(footer.virtual_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn footer(size: u64) -> [u8; 512] {
        Footer { virtual_bytes: size, created: 0, id: uuid::Uuid::nil() }.encode()
    }

    fn open(content: &[u8]) -> Result<DiskImage, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        DiskImage::open(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_footer_is_not_part_of_the_disk() {
        let mut content = vec![0; 1 << 20];
        assert_eq!(open(&content).unwrap().size(), 1 << 20);
        content.extend(footer(1 << 20));
        assert_eq!(open(&content).unwrap().size(), 1 << 20);
    }

    #[test]
    fn what_is_not_a_fixed_vhd_is_refused_with_the_reason() {
        let with = |footer: [u8; 512]| [vec![0; 1 << 20], footer.to_vec()].concat();
        let mut damaged = footer(1 << 20);
        damaged[8] ^= 1;
        let cases = [
            (with(damaged), "checksum"),
            (with(footer(2 << 20)), "says 2097152 bytes, the file holds 1048576"),
            (footer(512).into_iter().chain([0; 1024]).collect(), "dynamic VHD"),
            (b"QFI\xfb".iter().copied().chain([0; 1020]).collect(), "raw disks and fixed VHDs"),
            (vec![0; 700], "700 bytes"),
            (Vec::new(), "0 bytes"),
        ];
        for (content, expected) in cases {
            let message = open(&content).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
