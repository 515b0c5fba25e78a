//! What `debugfs` prints, parsed: `ls -p` of folders and `ea_get -x` of files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::FileType;

/// One name in a folder of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Path from the top, without a leading `/`.
    pub(super) path: PathBuf,
    pub(super) inode: u32,
    /// Type and permissions, as in `st_mode`.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Length; 0 for a folder.
    pub(super) bytes: u64,
}

impl Node {
    pub(super) fn file_type(&self) -> FileType {
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
    fn attributes_belong_to_the_request_before_them() {
        let printed = "debugfs: ea_get -x <12> security.capability\n\
            debugfs: ea_get -x <13> security.capability\nsecurity.capability (4) = 01 00 0a ff \n";
        assert_eq!(attributes(printed, "security.capability"), HashMap::from([(13, vec![1, 0, 10, 255])]));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_output_never_panics(printed in proptest::collection::vec(0_u8..=255, 0..200)) {
            let whole = [b"debugfs: ls -p <2>\n/", &printed[..]].concat();
            let _ = parse(&whole, &[(2, PathBuf::new())]);
            let _ = attributes(&String::from_utf8_lossy(&printed), "a");
        }
    }
}
