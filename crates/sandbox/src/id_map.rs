//! Which ids of the host stand for those inside.
//!
//! Run by root, ids inside are a range of the host that belongs to nobody, and the folders of the build are seen
//! through id-mapped mounts (`mount_setattr(2)`), so that on disk everything keeps its plain number. Where the
//! kernel or a file system has no such mounts, ids are mapped one to one. Run by anyone else, id 0 inside is that
//! user and the others are the user's subordinate ids (`subuid(5)`).

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::{Account, SandboxError, outside, trees};

/// How many ids a sandbox has at most: those of large directories of users, too.
const MOST: u32 = 1 << 24;
/// How many ids a distribution uses for itself (Debian policy 9.2: 0 to 65535): fewer are not enough.
pub(crate) const FEWEST: u32 = 1 << 16;
/// Where unused ids are looked for: systemd's table of ids (UIDS-GIDS) leaves 0x70000000 to 0x7ffdffff free.
const UNUSED: std::ops::Range<u32> = 0x7000_0000..0x7f00_0000;

/// The ids of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdMap {
    /// Id 0 and up are these ids of the host, which belong to nobody.
    Shifted(Range),
    /// Every id is itself. Root inside has none of root's powers, but is the owner of root's files.
    Identity,
    /// Id 0 is the user that runs us, 1 and up are its subordinate ids.
    Subordinate {
        /// Subordinate user ids.
        uids: Range,
        /// Subordinate group ids.
        gids: Range,
    },
}

/// Consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    fn overlaps(self, other: Self) -> bool {
        let end = |range: Self| u64::from(range.start) + u64::from(range.count);
        u64::from(self.start) < end(other) && u64::from(other.start) < end(self)
    }
}

/// An id map and, when it is not the one we would rather have, why.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The map.
    pub id_map: IdMap,
    /// Why root does not get shifted ids.
    pub fallback: Option<String>,
}

impl IdMap {
    /// The best map that this machine has for sandboxes that use `folders`.
    ///
    /// # Errors
    /// When an ordinary user has too few subordinate ids, or user namespaces cannot be made.
    pub fn choose(folders: &[&Path]) -> Result<Choice, SandboxError> {
        if !nix::unistd::geteuid().is_root() {
            return Self::of_user().map(|id_map| Choice { id_map, fallback: None });
        }
        let shifted = Self::unused();
        match shifted.as_ref().map(|map| map.try_on(folders)) {
            Some(Ok(())) => Ok(Choice { id_map: shifted.unwrap_or(Self::Identity), fallback: None }),
            Some(Err(why)) => Ok(Choice { id_map: Self::Identity, fallback: Some(why.to_string()) }),
            None => Ok(Choice {
                id_map: Self::Identity,
                fallback: Some("every range of ids is taken by /etc/subuid or /etc/passwd".to_owned()),
            }),
        }
    }

    /// Its name, as manifests have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shifted(_) => "shifted",
            Self::Identity => "identity",
            Self::Subordinate { .. } => "subordinate",
        }
    }

    fn of_user() -> Result<Self, SandboxError> {
        let account = Account::current();
        let range = |file: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            subordinate(&text, &account.name, account.uid).ok_or_else(|| {
                let name = &account.name;
                SandboxError::SetUp(format!(
                    "{name} has fewer than {FEWEST} subordinate ids in {file}; `aks-jumpbox doctor` says how to get \
                     them"
                ))
            })
        };
        Ok(Self::Subordinate { uids: range("/etc/subuid")?, gids: range("/etc/subgid")? })
    }

    /// The first range that no account and no subordinate range has.
    fn unused() -> Option<Self> {
        let read =
            |files: [&str; 2]| files.map(|file| fs::read_to_string(file).unwrap_or_default()).join("\n");
        let mut taken: Vec<_> = read(["/etc/subuid", "/etc/subgid"]).lines().filter_map(range_of).collect();
        taken.extend(read(["/etc/passwd", "/etc/group"]).lines().filter_map(account));
        UNUSED
            .step_by(MOST as usize)
            .map(|start| Range { start, count: MOST })
            .find(|range| !taken.iter().any(|other| other.overlaps(*range)))
            .map(Self::Shifted)
    }

    /// Whether the kernel lets us see the folders through this map.
    fn try_on(&self, folders: &[&Path]) -> Result<(), SandboxError> {
        let namespace = outside::UserNamespace::new(self)?;
        for folder in folders {
            trees::open(folder, Some(namespace.handle()?.as_fd())).map_err(SandboxError::SetUp)?;
        }
        Ok(())
    }

    /// Gives the user namespace of a process its map.
    pub(crate) fn write(&self, process: u32) -> Result<(), SandboxError> {
        let one_to_one = Range { start: 0, count: u32::MAX };
        match self {
            Self::Shifted(range) => write_directly(process, *range),
            Self::Identity => write_directly(process, one_to_one),
            Self::Subordinate { uids, gids } => {
                let own = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
                write_by_helper("newuidmap", process, own.0, *uids)?;
                write_by_helper("newgidmap", process, own.1, *gids)
            }
        }
    }

    /// The user namespace through which a process's folders must be seen; none when ids on disk need no change.
    pub(crate) fn mounts_of(&self, process: u32) -> Result<Option<OwnedFd>, SandboxError> {
        match self {
            Self::Shifted(_) => Ok(Some(namespace_of(process)?)),
            Self::Identity | Self::Subordinate { .. } => Ok(None),
        }
    }
}

pub(crate) fn namespace_of(process: u32) -> Result<OwnedFd, SandboxError> {
    let path = format!("/proc/{process}/ns/user");
    let file =
        File::open(&path).map_err(|error| SandboxError::SetUp(format!("failed to open {path}: {error}")))?;
    Ok(file.into())
}

fn write_directly(process: u32, range: Range) -> Result<(), SandboxError> {
    for map in ["uid_map", "gid_map"] {
        let path = format!("/proc/{process}/{map}");
        fs::write(&path, format!("0 {} {}\n", range.start, range.count))
            .map_err(|error| SandboxError::SetUp(format!("failed to write {path}: {error}")))?;
    }
    Ok(())
}

/// Only the set-user-id helpers of the package uidmap may give out subordinate ids.
fn write_by_helper(program: &str, process: u32, own: u32, range: Range) -> Result<(), SandboxError> {
    let numbers = [process, 0, own, 1, 1, range.start, range.count].map(|number| number.to_string());
    let output = Command::new(program)
        .args(numbers)
        .output()
        .map_err(|error| SandboxError::SetUp(format!("failed to run {program} (package uidmap): {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(SandboxError::SetUp(format!("{program} refused: {}", said.trim())))
}

/// The largest range that `subuid(5)` gives a user; none when it has fewer than a distribution needs.
pub(crate) fn subordinate(text: &str, user: &str, uid: u32) -> Option<Range> {
    let uid = uid.to_string();
    let own = text.lines().filter(|line| {
        let owner = line.split(':').next().unwrap_or_default();
        !owner.is_empty() && (owner == user || owner == uid)
    });
    let largest = own.filter_map(range_of).max_by_key(|range| range.count)?;
    // Id 0 is the user itself.
    (largest.count >= FEWEST).then(|| Range { count: largest.count.min(MOST - 1), ..largest })
}

/// `name:start:count`.
pub(crate) fn range_of(line: &str) -> Option<Range> {
    let mut fields = line.split(':').skip(1).map(|field| field.trim().parse());
    Some(Range { start: fields.next()?.ok()?, count: fields.next()?.ok()? })
}

/// The id of a line of `passwd(5)` or `group(5)`.
fn account(line: &str) -> Option<Range> {
    Some(Range { start: line.split(':').nth(2)?.parse().ok()?, count: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBUID: &str = "alice:100000:65536\nbob:165536:1000\n1002:300000:200000\nbroken\n:1:99999999\n";

    #[test]
    fn a_user_gets_its_own_range_by_name_or_number_when_it_is_large_enough() {
        let of = |user, uid| subordinate(SUBUID, user, uid);
        assert_eq!(of("alice", 1000), Some(Range { start: 100_000, count: 65536 }));
        assert_eq!(of("carol", 1002), Some(Range { start: 300_000, count: 200_000 }));
        assert_eq!(of("bob", 1001), None, "1000 ids are too few");
        assert_eq!(of("", 1), None);
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let range = |start, count| Range { start, count };
        assert!(range(0, 10).overlaps(range(9, 1)));
        assert!(!range(0, 10).overlaps(range(10, 5)));
        assert!(range(u32::MAX - 1, 10).overlaps(range(u32::MAX, 1)));
        assert_eq!(SUBUID.lines().filter_map(range_of).count(), 4);
        assert_eq!(account("root:x:0:0::/:/bin/sh"), Some(range(0, 1)));
        assert_eq!(account("x"), None);
    }
}
