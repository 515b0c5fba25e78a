//! Digests of a disk that cost what its data costs, not what its holes would.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::vhd::FOOTER_BYTES;
use super::{DiskError, joined};

const BLOCK: usize = 4096;
const CHUNK: usize = 1024 * BLOCK;
const BITMAP: usize = CHUNK / BLOCK / 8;
static ZEROES: [u8; CHUNK] = [0; CHUNK];

/// Identity of a fixed VHD's content: the extent map and the data, whatever the file's own holes are.
///
/// The disk, without the footer (which carries a date), is cut into chunks of 4 MiB. A chunk that holds anything but
/// zeroes has the digest SHA-256(map, data): a bit map of its 1024 blocks of 4 KiB, lowest bit first, in which 1 means
/// "not all zero", then those blocks. The result is SHA-256(`"disk content 1\n"`, virtual size, then for each such
/// chunk its number and digest), numbers as 64-bit little-endian, in lower-case hexadecimal.
///
/// # Errors
/// [`DiskError::Io`] when the file cannot be read or is shorter than a footer.
pub fn content_sha256(vhd: &Path) -> Result<String, DiskError> {
    let file = File::open(vhd).map_err(DiskError::io("open", vhd))?;
    let digest = || {
        let virtual_bytes = file.metadata()?.len().checked_sub(FOOTER_BYTES).ok_or_else(too_short)?;
        content_digest(&file, virtual_bytes)
    };
    digest().map_err(DiskError::io("read", vhd))
}

fn too_short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is shorter than a VHD footer")
}

fn content_digest(file: &File, virtual_bytes: u64) -> io::Result<String> {
    let chunks = chunks_with_data(file, virtual_bytes)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut out, mut buffer) = (Vec::new(), vec![0; CHUNK]);
        while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = chunk * CHUNK as u64;
            let length = usize::try_from(virtual_bytes - start).unwrap_or(CHUNK).min(CHUNK);
            file.read_exact_at(&mut buffer[..length], start)?;
            out.extend(chunk_digest(&buffer[..length]).map(|digest| (*chunk, digest)));
        }
        io::Result::Ok(out)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let mut digests = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::with_capacity(chunks.len());
        for worker in workers {
            all.extend(joined(worker)?);
        }
        io::Result::Ok(all)
    })?;
    digests.sort_unstable_by_key(|(chunk, _)| *chunk);
    let mut whole = Sha256::new();
    whole.update(b"disk content 1\n");
    whole.update(virtual_bytes.to_le_bytes());
    for (chunk, digest) in digests {
        whole.update(chunk.to_le_bytes());
        whole.update(digest);
    }
    Ok(hex(&whole.finalize()))
}

/// The digest of a chunk; `None` when it is all zero.
fn chunk_digest(chunk: &[u8]) -> Option<[u8; 32]> {
    // Comparing with a block of zeroes is one memcmp, which is fast in every build profile.
    let used = |block: &[u8]| block != &ZEROES[..block.len()];
    let mut map = [0_u8; BITMAP];
    let mut blocks = Vec::new();
    for (index, block) in chunk.chunks(BLOCK).enumerate().filter(|(_, block)| used(block)) {
        map[index / 8] |= 1 << (index % 8);
        blocks.push(block);
    }
    if blocks.is_empty() {
        return None;
    }
    let mut hasher = Sha256::new();
    hasher.update(map);
    for block in blocks {
        hasher.update(block);
    }
    Some(hasher.finalize().into())
}

/// SHA-256 of the whole file, footer included, in lower-case hexadecimal: what a download is compared with.
/// Holes are hashed from memory, so nothing is read for them; that still takes half a second per GiB.
///
/// # Errors
/// [`DiskError::Io`] when the file cannot be read.
pub fn full_sha256(vhd: &Path) -> Result<String, DiskError> {
    let file = File::open(vhd).map_err(DiskError::io("open", vhd))?;
    full_digest(&file).map_err(DiskError::io("read", vhd))
}

fn full_digest(file: &File) -> io::Result<String> {
    let end = file.metadata()?.len();
    let (mut hasher, mut buffer, mut at) = (Sha256::new(), vec![0; CHUNK], 0);
    for (start, stop) in data_extents(file, end)? {
        while at < start {
            let length = usize::try_from(start - at).unwrap_or(CHUNK).min(CHUNK);
            hasher.update(&ZEROES[..length]);
            at += length as u64;
        }
        while at < stop {
            let length = usize::try_from(stop - at).unwrap_or(CHUNK).min(CHUNK);
            file.read_exact_at(&mut buffer[..length], at)?;
            hasher.update(&buffer[..length]);
            at += length as u64;
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// Numbers of the chunks in which the file has data, ascending.
fn chunks_with_data(file: &File, end: u64) -> io::Result<Vec<u64>> {
    let mut out: Vec<u64> = Vec::new();
    for (start, stop) in data_extents(file, end)?.into_iter().filter(|(start, stop)| start < stop) {
        let first = (start / CHUNK as u64).max(out.last().map_or(0, |last| last + 1));
        out.extend(first..stop.div_ceil(CHUNK as u64));
    }
    Ok(out)
}

/// Where the file has data, up to `end`, as (start, stop) in order; the last one is empty and at `end`.
fn data_extents(file: &File, end: u64) -> io::Result<Vec<(u64, u64)>> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < end {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) if start < end => start,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let stop = seek(file, SeekFrom::Hole(start))?.min(end);
        out.push((start, stop));
        at = stop;
    }
    out.push((end, end));
    Ok(out)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        out.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('?')));
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of 33 MiB and a bit, with data in the given places; with `dense` no hole is left.
    fn disk(places: &[(u64, &[u8])], dense: bool) -> (tempfile::NamedTempFile, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = (33 << 20) + 512;
        file.as_file().set_len(bytes + FOOTER_BYTES).unwrap();
        if dense {
            file.as_file().write_all_at(&vec![0; usize::try_from(bytes).unwrap()], 0).unwrap();
        }
        for (at, data) in places {
            file.as_file().write_all_at(data, *at).unwrap();
        }
        (file, bytes)
    }

    #[test]
    fn holes_do_not_matter_and_data_does() {
        let places: [(u64, &[u8]); 4] =
            [(5, b"a"), (4095, b"bc"), (9 << 20, &[7; 10_000]), ((33 << 20) + 511, b"end")];
        let digest = |places: &[_], dense| content_sha256(disk(places, dense).0.path()).unwrap();
        let wanted = digest(&places, false);
        assert_eq!(digest(&places, true), wanted);
        let mut moved = places;
        moved[2].0 += 4096;
        assert_ne!(digest(&moved, false), wanted, "the same blocks in another place");
        let mut changed = places;
        changed[0].1 = b"b";
        assert_ne!(digest(&changed, false), wanted);
    }

    #[test]
    fn the_footer_does_not_count() {
        let (file, bytes) = disk(&[(5, b"a")], false);
        let before = content_sha256(file.path()).unwrap();
        file.as_file().write_all_at(&[1; 512], bytes).unwrap();
        assert_eq!(content_sha256(file.path()).unwrap(), before);
    }

    #[test]
    fn the_digest_is_the_documented_one() {
        let (file, bytes) = disk(&[((4 << 20) + 4096, b"x")], false);
        let mut block = vec![0; 4096];
        block[0] = b'x';
        let mut map = [0; 128];
        map[0] = 0b10;
        let chunk = Sha256::digest([&map[..], &block].concat());
        let whole = [b"disk content 1\n", &bytes.to_le_bytes()[..], &1_u64.to_le_bytes(), &chunk].concat();
        assert_eq!(content_sha256(file.path()).unwrap(), hex(&Sha256::digest(whole)));
    }

    #[test]
    fn the_full_digest_is_that_of_the_bytes() {
        let (file, _) = disk(&[(5, b"a"), (9 << 20, &[7; 10_000])], false);
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(full_sha256(file.path()).unwrap(), hex(&Sha256::digest(&bytes)));
    }

    #[test]
    fn a_file_without_room_for_a_footer_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = content_sha256(file.path()).unwrap_err();
        assert!(error.to_string().contains("read"), "{error}");
    }
}
