//! Root file systems as tar archives: POSIX (pax), GNU and the older forms, with extended attributes and holes.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tar::{Archive, Entry, EntryType};

use super::UnpackError;
use super::tree::{Meta, Tree};

type Result<T> = std::result::Result<T, UnpackError>;

const CHUNK: usize = 1 << 20;
/// What may stand between the data of two files: headers, long names, attributes. The reader holds it in memory.
const LARGEST_HEADERS: u64 = 8 << 20;
/// Zeroes that may follow an archive's end: more than any program pads with.
const LARGEST_PADDING: u64 = 1 << 20;
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";
const SPARSE: &str = "GNU.sparse.";
/// Pieces of one file with holes.
const MOST_PIECES: u64 = 1 << 20;

/// Unpacks an archive into `tree`.
pub(super) fn unpack(reader: impl Read, tree: &mut Tree) -> Result<()> {
    let allowance = Rc::new(Cell::new(LARGEST_HEADERS));
    let mut archive = Archive::new(Measured { reader, allowance: Rc::clone(&allowance) });
    let mut entries = archive.entries()?;
    let mut number = 0_u64;
    loop {
        allowance.set(LARGEST_HEADERS);
        number += 1;
        let entry = match entries.next() {
            None => break,
            Some(entry) => entry.map_err(|error| unreadable(&error, &format!("entry {number}")))?,
        };
        allowance.set(u64::MAX);
        let at = format!("entry {number} (at byte {} of the archive)", entry.raw_header_position());
        one(entry, tree).map_err(|error| error.at(&at))?;
    }
    let mut rest = archive.into_inner();
    rest.allowance.set(LARGEST_PADDING);
    // Read to the end, because only there a compressed archive's checksum stands.
    io::copy(&mut rest, &mut io::sink()).map_err(|error| unreadable(&error, "its end"))?;
    if number == 1 { Err(UnpackError::refused("an archive without entries")) } else { Ok(()) }
}

/// A reader that yields so many bytes and then fails.
struct Measured<R> {
    reader: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        let left = self.allowance.get().checked_sub(length as u64);
        self.allowance.set(left.ok_or_else(|| io::Error::other("its headers have no end"))?);
        Ok(length)
    }
}

/// What the `tar` library says of an archive is about the archive.
fn unreadable(error: &io::Error, at: &str) -> UnpackError {
    UnpackError::refused(format!("{at}: no sound tar archive: {error}"))
}

fn one<R: Read>(mut entry: Entry<'_, R>, tree: &mut Tree) -> Result<()> {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        io::copy(&mut entry, &mut io::sink())?;
        return Ok(());
    }
    let name = entry.path_bytes().into_owned();
    let extended = Extended::read(&mut entry)?;
    let path = extended.sparse_name.clone().unwrap_or_else(|| PathBuf::from(OsStr::from_bytes(&name)));
    let target = entry.link_name_bytes().map(|target| OsString::from_vec(target.into_owned()));
    let meta = meta(&entry, &extended)?;
    let written = match kind {
        // As archives before POSIX have folders.
        EntryType::Regular if name.ends_with(b"/") => tree.folder(&path, &meta),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            file(&mut entry, &path, &extended, &meta, tree)
        }
        EntryType::Directory => tree.folder(&path, &meta),
        EntryType::Symlink => tree.link(&path, target.as_deref().unwrap_or_default(), &meta),
        EntryType::Link => tree.another_name(&path, Path::new(target.as_deref().unwrap_or_default())),
        EntryType::Char | EntryType::Block => tree.device(&path),
        EntryType::Fifo => tree.pipe(&path),
        other => {
            Err(UnpackError::refused(format!("an entry of the unknown type {:?}", other.as_byte() as char)))
        }
    };
    written.map_err(|error| error.at(&path.display().to_string()))?;
    // Data that nothing asked for, so that only headers are left to read.
    io::copy(&mut entry, &mut io::sink())?;
    Ok(())
}

/// What the extended header of an entry says.
#[derive(Default)]
struct Extended {
    attributes: Vec<(OsString, Vec<u8>)>,
    modified: Option<(i64, u32)>,
    sparse_name: Option<PathBuf>,
    /// Length of a file with holes whose data begin with a map of them.
    sparse_bytes: Option<u64>,
}

impl Extended {
    fn read<R: Read>(entry: &mut Entry<'_, R>) -> Result<Self> {
        let mut out = Self::default();
        let mut version = (None, None);
        let mut other_sparse = false;
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record.map_err(|error| unreadable(&error, "its extended header"))?;
            let (key, value) = (record.key_bytes(), record.value_bytes());
            let text = String::from_utf8_lossy(value);
            if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                out.attributes.push((OsStr::from_bytes(name).to_owned(), value.to_vec()));
                continue;
            }
            match String::from_utf8_lossy(key).strip_prefix(SPARSE) {
                Some("major") => version.0 = text.parse().ok(),
                Some("minor") => version.1 = text.parse().ok(),
                Some("name") => out.sparse_name = Some(PathBuf::from(OsStr::from_bytes(value))),
                Some("realsize") => out.sparse_bytes = text.parse().ok(),
                Some(_) => other_sparse = true,
                None if key == b"mtime" => out.modified = Some(seconds(&text)),
                None => {}
            }
        }
        let sparse = other_sparse || version != (None, None) || out.sparse_bytes.is_some();
        if sparse && (other_sparse || version != (Some(1), Some(0)) || out.sparse_bytes.is_none()) {
            let form = "a file with holes in an older form of pax archives: make the archive with --sparse-version=1.0";
            return Err(UnpackError::refused(form));
        }
        Ok(out)
    }
}

/// `1731000000.25`; what is no time is 1970.
fn seconds(text: &str) -> (i64, u32) {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<9}");
    (
        whole.parse().unwrap_or_default(),
        fraction.get(..9).and_then(|text| text.parse().ok()).unwrap_or_default(),
    )
}

fn meta<R: Read>(entry: &Entry<'_, R>, extended: &Extended) -> Result<Meta> {
    let header = entry.header();
    let id = |id: io::Result<u64>| {
        let id = id.map_err(|error| unreadable(&error, "its header"))?;
        u32::try_from(id).map_err(|_| UnpackError::refused(format!("the owner {id}")))
    };
    let mtime = || (header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or_default(), 0);
    Ok(Meta {
        mode: header.mode().map_err(|error| unreadable(&error, "its header"))?,
        uid: id(header.uid())?,
        gid: id(header.gid())?,
        modified: extended.modified.unwrap_or_else(mtime),
        attributes: extended.attributes.clone(),
    })
}

fn file<R: Read>(
    entry: &mut Entry<'_, R>,
    path: &Path,
    extended: &Extended,
    meta: &Meta,
    tree: &mut Tree,
) -> Result<()> {
    let bytes = extended.sparse_bytes.unwrap_or(entry.size());
    let mut file = tree.file(path)?;
    file.claim(bytes)?;
    let pieces = match extended.sparse_bytes {
        Some(_) => holes(entry)?,
        None => vec![(0, bytes)],
    };
    let mut buffer = vec![0; CHUNK];
    let mut end = 0;
    for (offset, length) in pieces {
        let stop = offset.checked_add(length).filter(|stop| offset >= end && *stop <= bytes);
        end = stop.ok_or_else(|| UnpackError::refused("a map of holes that contradicts itself"))?;
        let mut at = offset;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            entry
                .read_exact(&mut buffer[..wanted])
                .map_err(|_| UnpackError::refused("the archive ends within it"))?;
            file.write_at(at, &buffer[..wanted])?;
            at += wanted as u64;
        }
    }
    file.finish(bytes, meta)
}

/// The map that the data of a file with holes begin with (GNU tar, "PAX Format, Version 1.0"): lines with the number
/// of pieces, then offset and length of each, up to a full block.
fn holes(data: &mut impl Read) -> Result<Vec<(u64, u64)>> {
    let bad = || UnpackError::refused("a map of holes that cannot be read");
    let mut block = [0; 512];
    let mut rest: Vec<u8> = Vec::new();
    let mut number = |data: &mut dyn Read| -> Result<u64> {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let digits = std::str::from_utf8(&line[..end]).map_err(|_| bad())?;
                return digits.parse().map_err(|_| bad());
            }
            if rest.len() > 20 {
                return Err(bad());
            }
            data.read_exact(&mut block).map_err(|_| bad())?;
            rest.extend(block);
        }
    };
    let count = number(data)?;
    if count > MOST_PIECES {
        return Err(bad());
    }
    (0..count).map(|_| Ok((number(data)?, number(data)?))).collect()
}
