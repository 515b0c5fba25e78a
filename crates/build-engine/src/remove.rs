//! Removes what builds left, whoever it belongs to.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use sandbox::{Choice, IdMap, Job, JobContext, Spec};

use crate::error::{BuildError, Result};

/// Removes a tree; gone already is fine. What belongs to subordinate ids, only root of a sandbox can remove.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
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
    let fail = |error: std::io::Error| format!("failed to remove {path}: {error}");
    for entry in fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let is_folder = entry.file_type().map_err(fail)?.is_dir();
        let remove = if is_folder { fs::remove_dir_all } else { fs::remove_file };
        remove(entry.path()).map_err(fail)?;
    }
    Ok(String::new())
}
