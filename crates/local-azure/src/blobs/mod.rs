//! Blobs: files of the state's folder, `blobs/<account>/<container>/<blob>`.

use std::io;
use std::path::PathBuf;

use crate::LocalAzure;

impl LocalAzure {
    /// The folder of a container, made when missing; of the account for an empty name. Names are checked by whoever takes
    /// them from a request.
    pub(crate) fn container(&self, account: &str, container: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join("blobs").join(account).join(container);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Removes an account's blobs.
    pub(crate) fn remove_account(&self, account: &str) -> io::Result<()> {
        match std::fs::remove_dir_all(self.folder.join("blobs").join(account)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
