//! Removes what builds left, whoever it belongs to and however it is nested: `std::fs::remove_dir_all` holds a
//! descriptor for each level, which a hostile step can make more of than a process may have.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;
use sandbox::{Choice, IdMap, Job, JobContext, Spec};

use crate::error::{BuildError, Result};

/// Removes a tree; gone already is fine. What belongs to subordinate ids, only root of a sandbox can remove.
pub fn remove_tree(path: &Path) -> Result<()> {
    let emptied = empty(path).map_err(std::io::Error::from);
    match emptied.and_then(|()| fs::remove_dir(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => remove_in_sandbox(path, error),
        other => other.map_err(BuildError::io("remove", path)),
    }
}

/// The function that removes what is in a folder.
pub const JOB: Job = Job { name: "remove", run: remove_content };

fn remove_in_sandbox(path: &Path, error: std::io::Error) -> Result<()> {
    let Choice { id_map: id_map @ IdMap::Subordinate { .. }, .. } = IdMap::choose(&[])? else {
        return Err(BuildError::io("remove", path)(error));
    };
    let input = path.display().to_string();
    let spec = Spec { folders: vec![path.to_path_buf()], ..Spec::job(id_map, &JOB, input) };
    sandbox::spawn(&spec)?.wait()?;
    fs::remove_dir(path).map_err(BuildError::io("remove", path))
}

/// The folder itself is a mount here, and stays.
fn remove_content(_: &JobContext, path: &str) -> std::result::Result<String, String> {
    let fail = |errno: Errno| format!("failed to remove {path}: {}", std::io::Error::from(errno));
    empty(Path::new(path)).map(|()| String::new()).map_err(fail)
}

/// Removes everything in a folder. Folders in its folders move up to it, so that none is ever more than one level
/// deep: no path grows too long, two descriptors are enough, and each is visited once.
fn empty(path: &Path) -> rustix::io::Result<()> {
    let top = open(CWD, path)?;
    let mut folders = Vec::new();
    each(&top, |name, is_folder| {
        if is_folder {
            folders.push(name.to_owned());
        } else {
            unlinkat(&top, name, AtFlags::empty())?;
        }
        Ok(())
    })?;
    // Names that are in no tree which a build has left.
    let new = uuid::Uuid::new_v4().simple().to_string();
    let mut moved = 0_u64;
    while let Some(folder) = folders.pop() {
        let inner = open(&top, &folder)?;
        each(&inner, |name, is_folder| {
            if !is_folder {
                return unlinkat(&inner, name, AtFlags::empty());
            }
            moved += 1;
            let up = std::ffi::CString::new(format!("{new}-{moved}")).map_err(|_| Errno::INVAL)?;
            renameat(&inner, name, &top, &up)?;
            folders.push(up);
            Ok(())
        })?;
        unlinkat(&top, &folder, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn open(at: impl std::os::fd::AsFd, path: impl Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

/// Calls `act` with each name in a folder, and whether it is a folder itself.
fn each(
    folder: &OwnedFd,
    mut act: impl FnMut(&std::ffi::CStr, bool) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            known => known,
        };
        act(name, kind == FileType::Directory)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_any_path_or_number_of_descriptors_is_removed_and_no_link_followed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (tree, kept) = (folder.path().join("tree"), folder.path().join("kept"));
        for path in [&tree, &kept] {
            fs::create_dir(path).expect("made");
        }
        fs::write(kept.join("file"), "x").expect("written");
        let mut level = open(CWD, &tree).expect("opened");
        for _ in 0..1500 {
            rustix::fs::mkdirat(&level, "d", Mode::RWXU).expect("made");
            rustix::fs::symlinkat(&kept, &level, "link").expect("made");
            rustix::fs::symlinkat("file", &level, [0xff, b'\n'].as_slice()).expect("made");
            level = open(&level, "d").expect("opened");
        }
        remove_tree(&tree).expect("removed");
        assert!(!tree.exists());
        assert!(kept.join("file").exists());
        remove_tree(&tree).expect("gone already is fine");
    }
}
