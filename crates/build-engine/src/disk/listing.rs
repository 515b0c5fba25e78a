//! What `debugfs` prints, parsed: `ls -p` of folders, `ea_get -x` and `ex -l` of files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::FileType;

/// One name in a folder of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Path from the top, without a leading `/`.
    pub(crate) path: PathBuf,
    pub(crate) inode: u32,
    /// Type and permissions, as in `st_mode`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Length; 0 for a folder.
    pub(crate) bytes: u64,
}

impl Node {
    pub(crate) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

/// The output of one `ls -p <inode>` per folder, in order of `folders` (inode and path).
///
/// An entry is `/inode/mode/uid/gid/name/size/` and a line feed. A name may hold anything but `/` and NUL, line feeds
/// too, so entries are found by counting slashes, never by lines.
///
/// # Errors
/// What was not understood.
pub(super) fn parse(printed: &[u8], folders: &[(u32, PathBuf)]) -> Result<Vec<Node>, String> {
    let (mut rest, mut out) = (printed, Vec::new());
    for (inode, folder) in folders {
        let echo = format!("debugfs: ls -p <{inode}>\n");
        rest = rest
            .strip_prefix(echo.as_bytes())
            .ok_or_else(|| format!("debugfs did not list inode {inode}"))?;
        while let Some(entry) = rest.strip_prefix(b"/") {
            let mut fields = entry.splitn(7, |byte| *byte == b'/');
            let mut field = || fields.next().ok_or_else(|| "debugfs's listing is cut short".to_owned());
            let (inode, mode) = (number(field()?, 10)?, number(field()?, 8)?);
            let (uid, gid, name) = (number(field()?, 10)?, number(field()?, 10)?, field()?);
            let size = field()?;
            let bytes = if size.is_empty() { 0 } else { number(size, 10)? };
            rest = field()?.strip_prefix(b"\n").ok_or("debugfs's listing is not as expected")?;
            if name != b"." && name != b".." && inode != 0 {
                out.push(Node { path: folder.join(OsStr::from_bytes(name)), inode, mode, uid, gid, bytes });
            }
        }
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    Ok(out)
}

fn number<T: TryFrom<u64>>(digits: &[u8], radix: u32) -> Result<T, String> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| u64::from_str_radix(text, radix).ok())
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| format!("debugfs printed `{}` for a number", String::from_utf8_lossy(digits)))
}

/// The output of `ea_get -x <inode> NAME` for many inodes: the value of each that has one, as
/// `NAME (2) = 01 0a` after the request's echo.
pub(super) fn attributes(printed: &str, name: &str) -> HashMap<u32, Vec<u8>> {
    let (mut out, mut inode) = (HashMap::new(), None);
    for line in printed.lines() {
        if let Some(request) = line.strip_prefix("debugfs: ea_get -x <") {
            inode = request.split('>').next().and_then(|digits| digits.parse().ok());
        } else if let (Some(inode), Some((head, value))) = (inode, line.split_once(" = "))
            && head.starts_with(name)
        {
            let bytes = value.split_whitespace().map(|byte| u8::from_str_radix(byte, 16)).collect();
            if let Ok(bytes) = bytes {
                out.insert(inode, bytes);
            }
        }
    }
    out
}

/// The names that `ea_list <inode>` lists for many inodes, as `  NAME (2) = value` after the request's echo.
pub(super) fn attribute_names(printed: &str) -> Vec<(u32, String)> {
    let (mut out, mut inode) = (Vec::new(), None);
    for line in printed.lines() {
        if let Some(request) = line.strip_prefix("debugfs: ea_list <") {
            inode = request.strip_suffix('>').and_then(|digits| digits.parse().ok());
        } else if let (Some(inode), Some(entry)) = (inode, line.strip_prefix("  "))
            && let Some((name, _)) = entry.split_once(" (")
        {
            out.push((inode, name.to_owned()));
        }
    }
    out
}

/// The modification times that `stat <inode>` prints for many inodes, in seconds and nanoseconds: after the request's
/// echo a line such as ` mtime: 0x6743f1c2:5d3b1d7c -- Mon Nov 25 ...`, whose second number holds two more bits of the
/// first below the nanoseconds (ext4, "Inode Timestamps").
pub(super) fn modified(printed: &str) -> HashMap<u32, (i64, u32)> {
    let (mut out, mut inode) = (HashMap::new(), None);
    for line in printed.lines() {
        if let Some(request) = line.strip_prefix("debugfs: stat <") {
            inode = request.strip_suffix('>').and_then(|digits| digits.parse().ok());
        } else if let (Some(inode), Some(time)) = (inode, line.trim_start().strip_prefix("mtime: 0x")) {
            let time = time.split(' ').next().unwrap_or_default();
            let (seconds, extra) = time.split_once(':').unwrap_or((time, "0"));
            if let (Ok(low), Ok(extra)) = (u32::from_str_radix(seconds, 16), u32::from_str_radix(extra, 16)) {
                let seconds = i64::from(low.cast_signed()) + (i64::from(extra & 3) << 32);
                out.insert(inode, (seconds, extra >> 2));
            }
        }
    }
    out
}

/// The output of `inode_dump -b <inode>` for many inodes: what stands in each in place of block numbers.
pub(super) fn inline(printed: &str) -> HashMap<u32, Vec<u8>> {
    dumps(printed, "debugfs: inode_dump -b <", 60)
}

/// The output of `inode_dump <inode>` for many inodes: the first 256 bytes of each.
pub(super) fn inodes(printed: &str) -> HashMap<u32, Vec<u8>> {
    dumps(printed, "debugfs: inode_dump <", 256)
}

/// After a request's echo come lines such as `0020  7573 722f 6269 6e00  usr/bin.`: an octal offset, 16 bytes, the same
/// as text; `*` for lines like the one before, up to `length` bytes. What cannot be read is left out.
fn dumps(printed: &str, echo: &str, length: usize) -> HashMap<u32, Vec<u8>> {
    const LINE: usize = 16;
    let mut out = HashMap::new();
    let mut inode: Option<u32> = None;
    for line in printed.lines() {
        if let Some(request) = line.strip_prefix(echo) {
            inode = request.strip_suffix('>').and_then(|digits| digits.parse().ok());
        } else if let Some(inode) = inode {
            let bytes: &mut Vec<u8> = out.entry(inode).or_default();
            if line == "*" && bytes.len() >= LINE {
                while bytes.len() < length {
                    bytes.extend_from_within(bytes.len() - LINE..);
                }
            } else if let Some((offset, rest)) = line.split_once("  ")
                && let Ok(offset) = usize::from_str_radix(offset, 8)
                && offset <= length
            {
                let digits = rest.split("  ").next().unwrap_or_default().split(' ');
                let words = digits.filter_map(|word| u16::from_str_radix(word, 16).ok());
                bytes.resize(offset, 0);
                bytes.extend(words.flat_map(u16::to_be_bytes));
            }
        }
    }
    out
}

/// Neighbouring blocks of a file that are neighbours on the disk too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First block in the file.
    pub(crate) logical: u64,
    /// First block on the file system.
    pub(crate) physical: u64,
    pub(crate) blocks: u64,
    /// Without data of its own, it reads as zeroes.
    pub(crate) written: bool,
}

/// The output of `ex -l <inode>` for many inodes: after the request's echo a heading, then lines such as
/// ` 1/ 1   2/ 11   917 -   936   60761 -   61676     20 Uninit` (level, entry, logical, physical, blocks, flags).
///
/// # Errors
/// What was not understood.
pub(super) fn extents(printed: &str) -> Result<HashMap<u32, Vec<Extent>>, String> {
    let mut out = HashMap::new();
    let mut current: Option<&mut Vec<Extent>> = None;
    for line in printed.lines() {
        if let Some(request) = line.strip_prefix("debugfs: ex -l <") {
            current = request.strip_suffix('>').and_then(|digits| digits.parse().ok()).map(|inode: u32| {
                // Most files have one.
                out.insert(inode, Vec::with_capacity(1));
                out.entry(inode).or_default()
            });
        } else if let Some(extents) = current.as_mut().filter(|_| line.contains('/')) {
            extents.push(extent(line).ok_or_else(|| format!("debugfs printed `{line}` for an extent"))?);
        }
    }
    Ok(out)
}

fn extent(line: &str) -> Option<Extent> {
    let mut words = line.split([' ', '/', '-']).filter(|word| !word.is_empty());
    // Level, depth, entry, entries.
    let mut number = |skipped: usize| words.nth(skipped)?.parse::<u64>().ok();
    let (logical, physical, blocks) = (number(4)?, number(1)?, number(1)?);
    let written = match words.next() {
        None => true,
        Some("Uninit") => false,
        Some(_) => return None,
    };
    Some(Extent { logical, physical, blocks, written })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_slashes_whatever_their_names_hold() {
        let printed =
            b"debugfs: ls -p <2>\n/2/040755/0/0/.//\n/2/040755/0/0/..//\n/12/104755/1000/1001/su id/43/\n\
            /13/040700/0/0/a\ndebugfs: ls -p <13>\nb//\n/14/120777/0/0/link/3/\n\ndebugfs: ls -p <11>\n\
            /15/100644/0/0/x/18446744073709551615/\n\n";
        let folders = [(2, PathBuf::new()), (11, PathBuf::from("lost"))];
        let nodes = parse(printed, &folders).unwrap();
        let names: Vec<_> = nodes.iter().map(|node| node.path.to_str().unwrap()).collect();
        assert_eq!(names, ["su id", "a\ndebugfs: ls -p <13>\nb", "link", "lost/x"]);
        assert_eq!((nodes[0].mode, nodes[0].uid, nodes[0].gid, nodes[0].bytes), (0o104_755, 1000, 1001, 43));
        assert_eq!(nodes[3].bytes, u64::MAX);
    }

    #[test]
    fn a_listing_that_is_not_as_expected_is_an_error() {
        let folders = [(2, PathBuf::new())];
        for printed in
            ["", "debugfs: ls -p <3>\n", "debugfs: ls -p <2>\n/12/10", "debugfs: ls -p <2>\n/x/1/1/1/n/1/\n"]
        {
            assert!(parse(printed.as_bytes(), &folders).is_err(), "{printed}");
        }
    }

    #[test]
    fn names_of_attributes_and_times_belong_to_the_request_before_them() {
        let printed = "debugfs: ea_list <12>\ndebugfs: ea_list <13>\nExtended attributes:\n  user.a (3) = \"b (c\"\n  \
                       security.capability (2) = 01 00 \n";
        let names = [(13, "user.a".to_owned()), (13, "security.capability".to_owned())];
        assert_eq!(attribute_names(printed), names);
        let printed = "debugfs: stat <12>\nInode: 12   Type: regular\n mtime: 0x6a030405:00000005 -- x\n\
                       debugfs: stat <13>\n mtime: 0xffffffff -- x\n";
        assert_eq!(modified(printed), HashMap::from([(12, (0x1_6a03_0405, 1)), (13, (-1, 0))]));
    }

    #[test]
    fn attributes_belong_to_the_request_before_them() {
        let printed = "debugfs: ea_get -x <12> security.capability\n\
            debugfs: ea_get -x <13> security.capability\nsecurity.capability (4) = 01 00 0a ff \n";
        assert_eq!(attributes(printed, "security.capability"), HashMap::from([(13, vec![1, 0, 10, 255])]));
    }

    #[test]
    fn short_targets_are_read_from_the_inode() {
        let printed = "debugfs: inode_dump -b <12>\n\
            0000  7573 722f 6269 6e00 0000 0000 0000 0000  usr/bin.........\n\
            0020  0000 0000 0000 0000 0000 0000 0000 0000  ................\n*\n\n\
            debugfs: inode_dump -b <13>\n0000  6161 6161 6161 6161 6161 6161 6161 6161  aaaaaaaaaaaaaaaa\n*\n\
            0060  6120 2a00 0000 0000 0000 0000            a *.........\n";
        let found = inline(printed);
        assert!(found[&12].starts_with(b"usr/bin\0\0"));
        assert_eq!(found[&13][..52], [&[b'a'; 49][..], b" *\0"].concat());
    }

    #[test]
    fn extents_belong_to_the_request_before_them() {
        let printed = "debugfs: ex -l <12>\ndebugfs: ex -l <13>\n\
            Level Entries       Logical          Physical Length Flags\n \
            1/ 1   1/ 11     0 -   915   60761 -   61676    916 \n \
            1/ 1   2/ 11   917 -   936   61677 -   61696     20 Uninit\n";
        let found = extents(printed).unwrap();
        let extent = |logical, physical, blocks, written| Extent { logical, physical, blocks, written };
        assert_eq!(found[&12], []);
        assert_eq!(found[&13], [extent(0, 60761, 916, true), extent(917, 61677, 20, false)]);
        for line in [" 1/ 1", " 0/ 0   1/  1     0 -     0    8743 -    8743      1 Odd"] {
            assert!(extents(&format!("debugfs: ex -l <1>\n{line}\n")).is_err(), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_output_never_panics(printed in proptest::collection::vec(0_u8..=255, 0..200)) {
            let whole = [b"debugfs: ls -p <2>\n/", &printed[..]].concat();
            let _ = parse(&whole, &[(2, PathBuf::new())]);
            let _ = attributes(&String::from_utf8_lossy(&printed), "a");
            let _ = inline(&format!("debugfs: inode_dump -b <1>\n{}", String::from_utf8_lossy(&printed)));
            let _ = extents(&format!("debugfs: ex -l <1>\n{}", String::from_utf8_lossy(&printed)));
        }
    }
}
