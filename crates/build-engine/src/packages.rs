//! The shared package store: .deb files that builds need not download again.
//!
//! A step sees the store read-only, below a scratch folder of its own. Afterwards the engine looks at what the
//! step added and admits a file only when its SHA-256 stands in a package index whose own digest stands in a
//! release file that the base's keyring signed; everything else goes with the scratch folder.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sandbox::{Job, JobContext};
use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::checkpoint::{Checkpoint, reached};
use crate::digest::sha256_of;
use crate::error::{BuildError, Result};
use crate::run::Context;
use crate::tools::{self, Tool};

/// The function that checks and admits.
pub const JOB: Job = Job { name: "admit-packages", run: inside };

/// How names of copies begin that are not yet admitted.
const UNFINISHED: &str = ".new-";

#[derive(Debug, Serialize, Deserialize)]
struct Input {
    added: PathBuf,
    store: PathBuf,
    keyrings: Vec<PathBuf>,
    scratch: PathBuf,
}

/// The store for builds on a base.
///
/// # Errors
/// When the folder cannot be made.
pub fn store(context: &Context<'_>, base: &Base) -> Result<PathBuf> {
    let folder = context.cache.root().join("packages").join(&base.record.suite);
    fs::create_dir_all(&folder).map_err(BuildError::io("make", &folder))?;
    Ok(folder)
}

/// Removes what killed builds had not yet admitted to the stores in `folder`. A copy whose maker lives is locked; should
/// it go in the instant before that, a package more is downloaded next time.
///
/// # Errors
/// When a folder cannot be read.
pub fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    for store in fs::read_dir(folder)?.flatten() {
        for entry in fs::read_dir(store.path())?.flatten() {
            let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            if unfinished && File::open(entry.path())?.try_lock().is_ok() {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Admits what a step added, seen with the package indexes of `lowers`. Returns how many files were admitted.
///
/// # Errors
/// When the check itself cannot be made; a file that fails it is no error.
pub fn admit(
    context: &Context<'_>,
    base: &Base,
    added: &Path,
    store: &Path,
    lowers: &[PathBuf],
) -> Result<usize> {
    let added = added.join("upper");
    let any = fs::read_dir(&added).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| Path::new(&entry.file_name()).extension().is_some_and(|e| e == "deb"))
        })
    });
    if !any {
        return Ok(0);
    }
    let input = Input {
        added,
        store: store.to_path_buf(),
        keyrings: keyrings(&base.root),
        scratch: context.work.folder("admit")?,
    };
    let folders = [input.added.as_path(), &input.store, &input.scratch, &base.root];
    let overlay = context.overlay(lowers, &context.work.overlay("admit")?);
    let text = serde_json::to_string(&input).unwrap_or_default();
    let count = context.run_job(&JOB, &text, Some(overlay), &folders)?;
    Ok(count.parse().unwrap_or_default())
}

/// Keyrings of the base itself, as it was before any step ran.
fn keyrings(base: &Path) -> Vec<PathBuf> {
    let folders = ["usr/share/keyrings", "etc/apt/trusted.gpg.d"];
    let entries =
        folders.iter().flat_map(|folder| fs::read_dir(base.join(folder)).into_iter().flatten().flatten());
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|end| end == "gpg" || end == "pgp"))
        .filter(|path| !path.to_string_lossy().contains("removed"))
        .collect();
    files.sort();
    files
}

fn inside(context: &JobContext, input: &str) -> std::result::Result<String, String> {
    let input: Input = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let root = context.root.as_ref().ok_or("no root file system")?;
    let added = fs::read_dir(&input.added).map_err(|error| error.to_string())?.flatten();
    let mut signed: Digests =
        added.map(|entry| (entry.file_name().to_string_lossy().into_owned(), HashSet::new())).collect();
    find_digests(root, &input, &mut signed).map_err(|error| error.to_string())?;
    let admit =
        |name: &&String| admit_one(&input.added.join(name), name, &signed, &input.store).unwrap_or(false);
    Ok(signed.keys().filter(admit).count().to_string())
}

/// Copies first and hashes the copy, so that nothing can change between check and use.
fn admit_one(path: &Path, name: &str, signed: &Digests, store: &Path) -> std::io::Result<bool> {
    let Some(digests) = signed.get(name) else { return Ok(false) };
    if !fs::symlink_metadata(path)?.is_file() || store.join(name).exists() {
        return Ok(false);
    }
    let mut copy = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(store)?;
    copy.as_file().lock()?;
    std::io::copy(&mut File::open(path)?, &mut copy)?;
    if !digests.contains(&sha256_of(File::open(copy.path())?)?) {
        return Ok(false);
    }
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o644))?;
    reached(Checkpoint::PackageCopied);
    copy.persist(store.join(name))?;
    Ok(true)
}

/// File name in apt's cache -> digests that signed indexes give for it.
type Digests = HashMap<String, HashSet<String>>;

/// Adds what signed indexes say about the files named in `found`.
fn find_digests(root: &Path, input: &Input, found: &mut Digests) -> std::io::Result<()> {
    let lists = root.join("var/lib/apt/lists");
    let Ok(entries) = fs::read_dir(&lists) else { return Ok(()) };
    let names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    for release in names.iter().filter(|name| name.ends_with("_InRelease")) {
        let Some(text) = verified(&lists.join(release), input) else { continue };
        let digests = release_digests(&text);
        let stem = release.trim_end_matches("InRelease");
        for index in names.iter().filter(|name| name.starts_with(stem) && name.ends_with("_Packages")) {
            let path = lists.join(index);
            if fs::symlink_metadata(&path)?.is_file() && digests.contains(&sha256_of(File::open(&path)?)?) {
                collect_digests(BufReader::new(File::open(&path)?), found)?;
            }
        }
    }
    Ok(())
}

/// The signed text of a release file, when a keyring of the base signed it.
fn verified(release: &Path, input: &Input) -> Option<String> {
    let signed = input.scratch.join("signed");
    let mut command = Tool::Gpgv.command().ok()?;
    for keyring in &input.keyrings {
        command.arg("--keyring").arg(keyring);
    }
    command.arg("--output").arg(&signed).arg(release);
    let text = tools::run(&mut command).ok().and_then(|_| fs::read_to_string(&signed).ok());
    let _ = fs::remove_file(&signed);
    text
}

/// Digests of the `SHA256:` section of a release file.
fn release_digests(text: &str) -> HashSet<String> {
    text.lines()
        .skip_while(|line| *line != "SHA256:")
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Adds the digest of each stanza of a package index whose file, by the name that apt gives it in its cache, is
/// wanted. An index is as large as all else this program holds in memory, so it is read line by line.
fn collect_digests(index: impl BufRead, wanted: &mut Digests) -> std::io::Result<()> {
    let mut stanza: [String; 4] = Default::default();
    for line in index.lines().chain(std::iter::once(Ok(String::new()))) {
        let line = line?;
        if line.is_empty() {
            let [package, version, architecture, digest] = std::mem::take(&mut stanza);
            let name = format!("{package}_{}_{architecture}.deb", version.replace(':', "%3a"));
            if let Some(digests) = wanted.get_mut(&name).filter(|_| !digest.is_empty()) {
                digests.insert(digest);
            }
        } else if let Some((field, value)) = line.split_once(": ")
            && let Some(at) =
                ["Package", "Version", "Architecture", "SHA256"].iter().position(|&f| f == field)
        {
            value.clone_into(&mut stanza[at]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    #[test]
    fn an_index_gives_names_as_apts_cache_has_them() {
        let index = "Package: jq\nVersion: 1:1.7-2\nArchitecture: amd64\nSHA256: aa\n\n\
                     Package: other\nVersion: 1\nArchitecture: all\nSHA256: bb\n\n\
                     Package: without\nVersion: 1\nArchitecture: all\n";
        let names = ["jq_1%3a1.7-2_amd64.deb", "without_1_all.deb"];
        let mut found = Digests::from(names.map(|name| (name.to_owned(), HashSet::new())));
        collect_digests(index.as_bytes(), &mut found).expect("reads");
        assert_eq!(found.len(), 2, "nothing that was not asked for");
        assert!(found[names[0]].contains("aa"));
        assert!(found[names[1]].is_empty());
    }

    #[test]
    fn only_the_sha256_section_of_a_release_counts() {
        let text = "MD5Sum:\n bad 1 a\nSHA256:\n good 1 main/Packages\n fine 2 b\nAcquire-By-Hash: yes\n later 3 c\n";
        let digests = release_digests(text);
        assert_eq!(digests.len(), 2);
        assert!(digests.contains("good") && digests.contains("fine"));
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_copy_whose_maker_was_killed_is_removed_and_one_that_is_being_made_stays() {
        use crate::checkpoint::tests::{killed_at, own_folder};
        let admit = |folder: &Path| {
            let signed = HashMap::from([("a_1_all.deb".to_owned(), HashSet::from([sha256(b"content")]))]);
            let deb = folder.join("a_1_all.deb");
            admit_one(&deb, "a_1_all.deb", &signed, &folder.join("stores/trixie")).expect("checks")
        };
        if let Some(folder) = own_folder() {
            admit(&folder);
        }
        let folder = tempfile::tempdir().expect("temporary folder");
        let stores = folder.path().join("stores");
        fs::create_dir_all(stores.join("trixie")).expect("made");
        fs::write(folder.path().join("a_1_all.deb"), "content").expect("written");
        let this =
            "packages::tests::a_copy_whose_maker_was_killed_is_removed_and_one_that_is_being_made_stays";
        killed_at(Checkpoint::PackageCopied, this, folder.path());
        let names =
            || fs::read_dir(stores.join("trixie")).expect("read").flatten().map(|entry| entry.file_name());
        let left = names().next().expect("a copy");
        assert!(left.to_string_lossy().starts_with(UNFINISHED), "not under the name that steps look for");
        let maker = File::open(stores.join("trixie").join(left)).expect("opens");
        maker.lock().expect("locks");
        remove_unfinished(&stores).expect("clears");
        assert_eq!(names().count(), 1, "its maker lives");
        drop(maker);
        remove_unfinished(&stores).expect("clears");
        assert_eq!(names().count(), 0);
        assert!(admit(folder.path()));
    }

    #[test]
    fn a_file_is_admitted_only_with_the_digest_of_the_index() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = folder.path().join("store");
        fs::create_dir(&store).expect("make");
        let deb = folder.path().join("a_1_all.deb");
        fs::write(&deb, "content").expect("write");
        let signed = |digest: String| HashMap::from([("a_1_all.deb".to_owned(), HashSet::from([digest]))]);
        let admit = |signed| admit_one(&deb, "a_1_all.deb", &signed, &store).expect("checks");
        assert!(!admit(signed(sha256(b"other"))));
        assert_eq!(fs::read_dir(&store).expect("read").count(), 0, "nothing half-admitted stays");
        assert!(admit(signed(sha256(b"content"))));
        assert_eq!(fs::read(store.join("a_1_all.deb")).expect("read"), b"content");
    }
}
