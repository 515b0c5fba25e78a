//! The output folder: one build at a time writes into it, and none leaves anything unfinished in it.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::error::{BuildError, Result};
use crate::remove::remove_tree;

/// Takes the folder for the build of the image `name`, making it when it is missing, and removes what a killed
/// build left in it. Others may take it when the returned file is closed.
///
/// # Errors
/// When another build has it, or it cannot be made.
pub fn take(folder: &Path, name: &str) -> Result<File> {
    fs::create_dir_all(folder).map_err(BuildError::io("make the output folder", folder))?;
    let lock = File::open(folder).map_err(BuildError::io("open", folder))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(BuildError::Host {
                message: format!("the output folder {} is in use by another build", folder.display()),
                hint: Some("wait for it to end, or choose another folder with --output".to_owned()),
            });
        }
        Err(TryLockError::Error(error)) => return Err(BuildError::io("lock", folder)(error)),
    }
    remove_unfinished(folder, name)?;
    Ok(lock)
}

/// Name of a file until it is finished, and for a disk validated; what is made on the way to it starts with the same.
pub fn unfinished(file: &str) -> String {
    format!(".{file}.new")
}

/// Removes what was not finished of the image `name` and of the reports beside it.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_unfinished(folder: &Path, name: &str) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(BuildError::io("read", folder))?.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let is_report = file.starts_with('.') && file.ends_with(".json.new");
        if !is_report && !file.starts_with(&unfinished(&format!("{name}.vhd"))) {
            continue;
        }
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&path)?;
        } else {
            fs::remove_file(&path).map_err(BuildError::io("remove", &path))?;
        }
    }
    Ok(())
}
