//! Bases: root file systems with what a real Azure image of the distribution carries, made by mmdebstrap from the
//! distribution's signed archive, or unpacked from a file that the user gives; cached by the digest of everything that
//! made them.

mod apt;
mod bootstrap;
mod catalogue;
mod given;
pub(crate) mod lists;
mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use egress_gateway::Connection;
use serde::{Deserialize, Serialize};

pub use apt::host_apt_options;
pub use bootstrap::JOB as BOOTSTRAP;
pub use catalogue::{Distribution, KNOWN, lookup};
pub use given::{Given, GivenBase, HOW_TO_GET_A_DIGEST};
pub use unpack::JOB as UNPACK;

use crate::cache::{Cache, now, write_synced};
use crate::checkpoint::{Checkpoint, reached};
use crate::digest::{KeyBuilder, sha256};
use crate::error::{BuildError, Result};
use crate::event::Event;
use crate::lock;
use crate::request::BuildRequest;
use crate::rooted::Rooted;
use crate::run::Context;

/// A base older than this is made anew; so is a layer whose step used the network. Seconds.
pub const MAX_AGE: u64 = 7 * 24 * 3600;

/// Folder beside a base's root: see [`lists`].
const LISTS: &str = "lists";

/// A base that is ready to build on.
#[derive(Clone, Debug)]
pub struct Base {
    /// What is known about it.
    pub record: BaseRecord,
    /// Its root file system.
    pub root: PathBuf,
    /// It was there already.
    pub cached: bool,
}

/// What is known about a base; written beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BaseRecord {
    /// Identity of the content: what made it, and every package with its version.
    pub id: String,
    /// The platform image it stands for, or the name of the file that was given.
    pub name: String,
    /// Seconds since 1970 when it was made.
    pub created: u64,
    /// Digest of what made it: suite, packages, files, engine.
    pub inputs: String,
    /// The archive's suite: bases of one suite share packages. A given base shares with none.
    pub suite: String,
    /// Names of the hosts of its package archive, as its own configuration has them.
    pub archive_hosts: Vec<String>,
    /// Number of packages installed.
    pub packages: usize,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What making it contacted.
    pub connections: Vec<Connection>,
    /// The file that it was unpacked from; none for one that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
}

impl BaseRecord {
    /// What the tree at `root` says of itself, when `inputs` have made it just now.
    fn of(root: &Path, inputs: &str) -> Result<Self> {
        let rooted = Rooted::open(root).map_err(|error| BuildError::host(error.to_string()))?;
        let packages = apt::installed(&rooted).map_err(|error| BuildError::host(error.to_string()))?;
        Ok(Self {
            id: sha256(format!("{inputs}\n{}", packages.join("\n")).as_bytes())[..32].to_owned(),
            name: String::new(),
            created: now(),
            inputs: inputs.to_owned(),
            suite: String::new(),
            archive_hosts: apt::archive_hosts(&rooted)
                .map_err(|error| BuildError::host(error.to_string()))?,
            packages: packages.len(),
            seconds: 0.0,
            connections: Vec::new(),
            given: None,
        })
    }
}

impl Base {
    /// Its folder relative to the cache, as overlays name it.
    pub fn relative(&self) -> PathBuf {
        Path::new("bases").join(&self.record.id).join("root")
    }

    /// Seconds for which it counts against what is made with it: what was given stays what it is.
    pub fn staleness(&self) -> u64 {
        if self.record.given.is_some() { 0 } else { age(self) }
    }

    /// The package lists kept with it.
    pub fn lists(&self) -> PathBuf {
        self.root.with_file_name(LISTS)
    }
}

/// Where a base comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The archive of a distribution.
    Archive(&'static Distribution),
    /// A file of the user.
    Given(&'a GivenBase),
}

impl<'a> Origin<'a> {
    /// Where the base of a build comes from, and what has to be said about the choice.
    ///
    /// # Errors
    /// As [`lookup`].
    pub fn of(request: &'a BuildRequest) -> Result<(Self, Vec<String>)> {
        if let Some(given) = &request.base {
            return Ok((Self::Given(given), Vec::new()));
        }
        let (distribution, warnings) = lookup(&request.template.source)?;
        Ok((Self::Archive(distribution), warnings))
    }
}

/// The base: the cached one unless it is too old or `refresh` is set. A given base is never made anew.
///
/// # Errors
/// When it has to be made and cannot be.
pub fn ensure(context: &Context<'_>, origin: Origin<'_>, refresh: bool) -> Result<Base> {
    match origin {
        Origin::Archive(distribution) => ensure_made(context, distribution, refresh),
        Origin::Given(given) => given.ensure(context),
    }
}

fn ensure_made(context: &Context<'_>, distribution: &Distribution, refresh: bool) -> Result<Base> {
    let (inputs, begun) = (inputs_key(distribution), now());
    let cached = newest(context.cache, &inputs);
    if let Some(base) = cached.as_ref().filter(|base| !refresh && age(base) <= MAX_AGE) {
        return Ok(of_earlier(context, base.clone()));
    }
    let why = match &cached {
        None => "there is none in the cache".to_owned(),
        Some(_) if refresh => "a refresh was asked for".to_owned(),
        Some(base) => format!("the cached one is {} days old", age(base) / 86400),
    };
    let text = format!("making the base {} from its archive: {why}", distribution.image());
    (context.observer)(&Event::Note { text });
    let mut waits = lock::patience("another build makes a base", context.observer, context.cancel);
    let _alone = context.cache.making_base(distribution.suite, &mut waits)?;
    if let Some(base) = newest(context.cache, &inputs).filter(|base| base.record.created >= begun) {
        return Ok(of_earlier(context, base));
    }
    make(context, distribution, &inputs).map_err(|error| match error {
        BuildError::Sandbox(sandbox::SandboxError::Job(message)) => BuildError::Network {
            message: format!("failed to make the base {} ({why}): {message}", distribution.image()),
            hint: Some("is the distribution's archive reachable from this machine?".to_owned()),
        },
        other => other,
    })
}

/// What is reused was made with connections that are reported again.
fn of_earlier(context: &Context<'_>, base: Base) -> Base {
    context.earlier_connections.borrow_mut().extend(base.record.connections.iter().cloned());
    base
}

/// Seconds since a base was made.
pub fn age(base: &Base) -> u64 {
    now().saturating_sub(base.record.created)
}

fn newest(cache: &Cache, inputs: &str) -> Option<Base> {
    let folder = cache.root().join("bases");
    let records = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| {
        let text = fs::read(entry.path().join("base.json")).ok()?;
        let record: BaseRecord = serde_json::from_slice(&text).ok()?;
        Some(Base { record, root: entry.path().join("root"), cached: true })
    });
    let whole = records.filter(|base| base.record.inputs == inputs && base.lists().is_dir());
    whole.max_by_key(|base| base.record.created)
}

fn inputs_key(distribution: &Distribution) -> String {
    let mut key = KeyBuilder::new("base")
        .part("suite", distribution.suite.as_bytes())
        .part("kept beside it", LISTS.as_bytes())
        .part("packages", distribution.packages().join(",").as_bytes());
    for (path, content) in bootstrap::FILES {
        key = key.part(path, content.as_bytes());
    }
    key.finish()
}

fn make(context: &Context<'_>, distribution: &Distribution, inputs: &str) -> Result<Base> {
    let started = std::time::Instant::now();
    let before = context.own_connections.borrow().len();
    let staging = context.work.folder("base")?;
    bootstrap::run(context, distribution, &staging)?;
    let record = BaseRecord {
        name: distribution.image(),
        suite: distribution.suite.to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        connections: context.own_connections.borrow()[before..].to_vec(),
        ..BaseRecord::of(&staging.join("root"), inputs)?
    };
    admit(context, &staging, record)
}

/// Puts a base into the cache.
fn admit(context: &Context<'_>, staging: &Path, record: BaseRecord) -> Result<Base> {
    write_synced(&staging.join("base.json"), &serde_json::to_vec(&record).unwrap_or_default())?;
    place(context.cache, staging, &record.id)?;
    let root = context.cache.root().join("bases").join(&record.id).join("root");
    Ok(Base { record, root, cached: false })
}

/// A base with the same packages keeps its folder, because layers may be mounted over it; only its age and its
/// package lists are new.
fn place(cache: &Cache, staging: &Path, id: &str) -> Result<()> {
    reached(Checkpoint::BaseStaged);
    let target = cache.root().join("bases").join(id);
    if !target.exists() {
        fs::rename(staging, &target).map_err(BuildError::io("place", &target))?;
        reached(Checkpoint::BaseAdmitted);
        return Ok(());
    }
    // Only apt reads the lists, each at once or not at all, and fetches those that it misses.
    let (lists, older) = (target.join(LISTS), staging.join("older"));
    if lists.exists() {
        fs::rename(&lists, &older).map_err(BuildError::io("move", &lists))?;
    }
    reached(Checkpoint::BaseListsMoved);
    fs::rename(staging.join(LISTS), &lists).map_err(BuildError::io("place", &lists))?;
    fs::rename(staging.join("base.json"), target.join("base.json"))
        .map_err(BuildError::io("place", &target))?;
    reached(Checkpoint::BaseAdmitted);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A base as it stands in a working folder, every file with the same content.
    fn stage(folder: &Path, content: &str) -> PathBuf {
        let staging = folder.join(content);
        for part in ["root", LISTS] {
            fs::create_dir_all(staging.join(part)).expect("made");
            fs::write(staging.join(part).join("file"), content).expect("written");
        }
        let record = BaseRecord {
            id: "id".into(),
            name: content.into(),
            created: now(),
            inputs: "inputs".into(),
            suite: "trixie".into(),
            archive_hosts: Vec::new(),
            packages: 1,
            seconds: 1.0,
            connections: Vec::new(),
            given: None,
        };
        fs::write(staging.join("base.json"), serde_json::to_vec(&record).expect("JSON")).expect("written");
        staging
    }

    fn open(folder: &Path) -> Cache {
        Cache::open(folder, &mut || Ok(())).expect("opens")
    }

    /// Content of root and lists, and the record's name.
    fn contents(base: &Base) -> [String; 3] {
        let read = |path: PathBuf| fs::read_to_string(path).expect("read");
        [read(base.root.join("file")), read(base.lists().join("file")), base.record.name.clone()]
    }

    #[test]
    fn a_base_made_again_keeps_its_root_and_gets_the_newer_record_and_lists() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = open(folder.path());
        for age in ["older", "newer"] {
            place(&cache, &stage(folder.path(), age), "id").expect("places");
        }
        let base = newest(&cache, "inputs").expect("a base");
        assert_eq!(contents(&base), ["older", "newer", "newer"], "layers may be mounted over the root");
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_kill_while_a_base_enters_the_cache_leaves_a_whole_one_or_none() {
        use crate::checkpoint::tests::{killed_at, own_folder};
        if let Some(folder) = own_folder() {
            place(&open(&folder), &stage(&folder, "newer"), "id").expect("places");
        }
        let this = "base::tests::a_kill_while_a_base_enters_the_cache_leaves_a_whole_one_or_none";
        // Whether there was one before, and what there is afterwards.
        let cases: [(Checkpoint, bool, Option<[&str; 3]>); 5] = [
            (Checkpoint::BaseStaged, false, None),
            (Checkpoint::BaseAdmitted, false, Some(["newer"; 3])),
            (Checkpoint::BaseStaged, true, Some(["older"; 3])),
            // A base without lists does not count, and the next one takes its place.
            (Checkpoint::BaseListsMoved, true, None),
            (Checkpoint::BaseAdmitted, true, Some(["older", "newer", "newer"])),
        ];
        for (checkpoint, before, after) in cases {
            let folder = tempfile::tempdir().expect("temporary folder");
            let cache = open(folder.path());
            if before {
                place(&cache, &stage(folder.path(), "older"), "id").expect("places");
            }
            killed_at(checkpoint, this, folder.path());
            let found = newest(&cache, "inputs").map(|base| contents(&base));
            assert_eq!(
                found.as_ref().map(|found| found.each_ref().map(String::as_str)),
                after,
                "{checkpoint:?}"
            );
            place(&cache, &stage(folder.path(), "next"), "id").expect("places");
            assert_eq!(contents(&newest(&cache, "inputs").expect("a base"))[1..], ["next", "next"]);
        }
    }
}
