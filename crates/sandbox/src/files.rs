//! A program of the host that sees no files but those it is given (`landlock(7)`): our own binary, started again,
//! gives up the others and becomes that program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use landlock::{ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, path_beneath_rules};
use serde::{Deserialize, Serialize};

use crate::ENTRY;

/// Second argument that tells our binary to become a program with few files.
pub(crate) const PART: &str = "files";

/// Files and folders, with all that is in them. Those that do not exist are no error.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Files {
    /// Can be read and run.
    pub read: Vec<PathBuf>,
    /// Can be changed, too.
    pub write: Vec<PathBuf>,
}

impl Files {
    /// What to put before a program and its arguments, so that it and what it starts can open nothing else. On a kernel
    /// without landlock, which is Linux before 5.13 or one that was started without it, nothing is given up.
    ///
    /// # Errors
    /// When our own program cannot be found.
    pub fn only(&self) -> std::io::Result<[OsString; 4]> {
        let files = serde_json::to_string(self)?;
        Ok([std::env::current_exe()?.into(), ENTRY.into(), PART.into(), files.into()])
    }
}

/// Gives up all other files and becomes the program of the arguments; returns only when that failed.
pub(crate) fn become_program(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let files = arguments.next().and_then(|text| serde_json::from_str(text.to_str()?).ok());
    let (Some(files), Some(program)) = (files, arguments.next()) else { return 2 };
    if let Err(error) = give_up_others(&files) {
        eprintln!("failed to confine {}: {error}", program.display());
        return 1;
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("failed to start {}: {error}", program.display());
    1
}

fn give_up_others(files: &Files) -> Result<(), landlock::RulesetError> {
    // The newest with a right that matters here: to command devices. Older kernels do what they can.
    const KNOWN: ABI = ABI::V5;
    let everything = AccessFs::from_all(KNOWN);
    Ruleset::default()
        .handle_access(everything)?
        .create()?
        .add_rules(path_beneath_rules(&files.read, AccessFs::from_read(KNOWN)))?
        .add_rules(path_beneath_rules(&files.write, everything))?
        .restrict_self()
        .map(drop)
}
