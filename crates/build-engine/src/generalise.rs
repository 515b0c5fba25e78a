//! Makes a finished machine into an image: no identity, no secret and no trace of the build is left in it.
//!
//! It does what Azure Image Builder's last step, `waagent -deprovision+user`, does, and what that forgets: machine-id,
//! cloud-init's state, logs, histories, temporary files, package lists. The list is data with a reason for each line;
//! [`plan`] adds what depends on the accounts, [`apply`] does it without ever following a symbolic link.

mod accounts;
mod list;

use std::ffi::OsStr;

use crate::rooted::{Fate, Kind, Rooted, RootedError};

const LARGEST_FILE: u64 = 16 << 20;

/// One thing to do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What is done.
    pub action: Action,
    /// Why an image must not keep it, as a fragment that reads after "because of".
    pub why: &'static str,
}

/// What can be done to the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Remove a file, or a folder with all that is in it.
    Remove(String),
    /// Remove it when it is a plain file; a link to where it is made anew at each boot stays.
    RemovePlainFile(String),
    /// Remove what is in `folder` under names that start and end so.
    RemoveNamed {
        /// Where.
        folder: String,
        /// How the names start.
        prefix: &'static str,
        /// How the names end.
        suffix: &'static str,
    },
    /// Remove everything in the folder, which stays.
    Empty(&'static str),
    /// Remove all files in the folder; it and the folders in it stay, with their owners and modes.
    RemoveFiles(&'static str),
    /// Cut all logs in the folder to length 0 and remove rotated ones; folders stay.
    ClearLogs(&'static str),
    /// Replace the content of a file, or make it.
    Write(&'static str, &'static str),
    /// Remove the account from the lists of users and groups, also as a member.
    RemoveAccount(String),
    /// Take away root's password, so that nobody can log in with it.
    LockRoot,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Remove(path) | Self::RemovePlainFile(path) => write!(f, "removed {path}"),
            Self::RemoveNamed { folder, prefix, suffix } => write!(f, "removed {folder}/{prefix}*{suffix}"),
            Self::Empty(folder) => write!(f, "emptied {folder}"),
            Self::RemoveFiles(folder) => write!(f, "removed the files in {folder}"),
            Self::ClearLogs(folder) => write!(f, "cleared the logs in {folder}"),
            Self::Write(path, _) => write!(f, "reset {path}"),
            Self::RemoveAccount(user) => write!(f, "removed the account {user}"),
            Self::LockRoot => f.write_str("locked root's password"),
        }
    }
}

/// What is to be done to the image in `root`, from which the accounts `build_users` are to go.
///
/// # Errors
/// [`RootedError`] when the list of accounts cannot be read.
pub fn plan(root: &Rooted, build_users: &[&str]) -> Result<Vec<Operation>, RootedError> {
    let passwd = root.read(accounts::PASSWD, LARGEST_FILE)?.unwrap_or_default();
    let mut out = list::always();
    for home in accounts::homes(&passwd) {
        out.extend(list::traces_in_home(&home));
    }
    out.extend(plan_own(root, build_users)?);
    Ok(out)
}

/// The part of [`plan`] that concerns the build alone: its accounts and its temporary files. The rest is left to the
/// script that the image's author runs instead, as in Azure.
///
/// # Errors
/// As [`plan`].
pub fn plan_own(root: &Rooted, build_users: &[&str]) -> Result<Vec<Operation>, RootedError> {
    let passwd = root.read(accounts::PASSWD, LARGEST_FILE)?.unwrap_or_default();
    let users = build_users.iter();
    let accounts = users
        .flat_map(|user| list::build_user(user, accounts::home_to_remove(&passwd, user)))
        .collect::<Vec<_>>();
    Ok(list::temporary().chain(accounts).collect())
}

/// What makes machines of this image the same machine, a phrase each; nothing when it is generalised.
///
/// # Errors
/// [`RootedError`] when the image cannot be read.
pub fn identities_left(root: &Rooted) -> Result<Vec<&'static str>, RootedError> {
    let host_key = |(name, _): &(std::ffi::OsString, Kind)| {
        let name = name.to_string_lossy();
        name.starts_with("ssh_host_") && name.ends_with("_key")
    };
    let left = [
        ("SSH host keys", root.list("/etc/ssh")?.iter().any(host_key)),
        (
            "a machine id",
            root.read("/etc/machine-id", LARGEST_FILE)?.is_some_and(|id| id.trim_ascii().len() >= 32),
        ),
        ("cloud-init's state", root.kind("/var/lib/cloud/instance")?.is_some()),
    ];
    Ok(left.into_iter().filter(|(_, is_there)| *is_there).map(|(what, _)| what).collect())
}

/// Does it. Returns a line for each operation that changed something or that a link or a mount forbade.
///
/// # Errors
/// [`RootedError`] when the image cannot be changed; what was done stays done.
pub fn apply(root: &Rooted, operations: &[Operation]) -> Result<Vec<String>, RootedError> {
    let mut lines = Vec::new();
    for Operation { action, why } in operations {
        match run(root, action) {
            Ok(0) => {}
            Ok(1) => lines.push(format!("{action} ({why})")),
            Ok(changed) => lines.push(format!("{action}: {changed} entries ({why})")),
            Err(error) => match error.refusal() {
                Some(refusal) => lines.push(format!("left {} alone: {refusal} ({why})", error.path)),
                None => return Err(error),
            },
        }
    }
    Ok(lines)
}

/// How many things were changed.
fn run(root: &Rooted, action: &Action) -> Result<u64, RootedError> {
    match action {
        Action::Remove(path) => root.remove(path),
        Action::RemovePlainFile(path) => match root.kind(path)? {
            Some(Kind::File) => root.remove(path),
            _ => Ok(0),
        },
        Action::RemoveNamed { folder, prefix, suffix } => root.sweep(folder, &|name, kind| {
            let name = name.as_encoded_bytes();
            let named = name.starts_with(prefix.as_bytes()) && name.ends_with(suffix.as_bytes());
            if named && kind != Kind::Folder { Fate::Remove } else { Fate::Keep }
        }),
        Action::Empty(folder) => root.sweep(folder, &|_, _| Fate::Remove),
        Action::RemoveFiles(folder) => {
            root.sweep(folder, &|_, kind| if kind == Kind::Folder { Fate::Keep } else { Fate::Remove })
        }
        Action::ClearLogs(folder) => {
            root.sweep(folder, &|name, _| if is_rotated(name) { Fate::Remove } else { Fate::Truncate })
        }
        Action::Write(path, content) => {
            let old = root.read(path, LARGEST_FILE)?;
            change(root, path, old.as_deref(), content.as_bytes())
        }
        Action::RemoveAccount(user) => accounts::FILES.iter().try_fold(0, |changed, path| {
            Ok(changed + edit(root, path, |old| accounts::without_account(path, old, user))?)
        }),
        Action::LockRoot => edit(root, accounts::SHADOW, accounts::with_root_locked),
    }
}

/// Changes a file if there is one.
fn edit(root: &Rooted, path: &str, edit: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<u64, RootedError> {
    match root.read(path, LARGEST_FILE)? {
        Some(old) => change(root, path, Some(&old), &edit(&old)),
        None => Ok(0),
    }
}

fn change(root: &Rooted, path: &str, old: Option<&[u8]>, new: &[u8]) -> Result<u64, RootedError> {
    if old == Some(new) {
        return Ok(0);
    }
    root.write(path, new, 0o644)?;
    Ok(1)
}

/// Whether logrotate or a daemon has put this log aside: `syslog.1`, `dpkg.log.2.gz`, `cron-20260101`, `Xorg.0.log.old`.
fn is_rotated(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let ends_in_digits = |mark: char, least: usize| {
        name.rsplit_once(mark)
            .is_some_and(|(_, end)| end.len() >= least && end.bytes().all(|byte| byte.is_ascii_digit()))
    };
    [".gz", ".xz", ".bz2", ".zst", ".old"].iter().any(|end| name.ends_with(end))
        || ends_in_digits('.', 1)
        || ends_in_digits('-', 8)
}

#[cfg(test)]
mod tests;
