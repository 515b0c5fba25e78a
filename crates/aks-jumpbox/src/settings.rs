//! Which configuration file is in force.

use std::path::{Path, PathBuf};

use crate::errors::{Category, Failure, Problem};

/// The configuration file's name.
pub const FILE_NAME: &str = "jumpbox.toml";

/// The configuration file to use: the one that was named, else the nearest `jumpbox.toml` in `folder` or above it.
///
/// # Errors
/// When a file was named and is not there.
pub fn configuration(named: Option<&Path>, folder: &Path) -> Result<Option<PathBuf>, Failure> {
    match named {
        Some(file) if file.is_file() => Ok(Some(file.to_owned())),
        Some(file) => Err(Problem::new(Category::Input, format!("there is no file {}", file.display()))
            .in_file(file)
            .hint("name an existing file with --config, or write one with `aks-jumpbox init`")
            .into()),
        None => Ok(folder.ancestors().map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_above_wins_and_a_named_one_must_exist() {
        let top = tempfile::tempdir().expect("a folder");
        let deep = top.path().join("a/b");
        std::fs::create_dir_all(&deep).expect("folders");
        std::fs::write(top.path().join(FILE_NAME), "").expect("a file");
        assert_eq!(configuration(None, &deep).expect("found"), Some(top.path().join(FILE_NAME)));
        std::fs::write(top.path().join("a").join(FILE_NAME), "").expect("a file");
        assert_eq!(configuration(None, &deep).expect("found"), Some(top.path().join("a").join(FILE_NAME)));
        let failure = configuration(Some(&deep.join("none.toml")), &deep).expect_err("it is not there");
        assert_eq!(failure.status().code(), 2);
    }
}
