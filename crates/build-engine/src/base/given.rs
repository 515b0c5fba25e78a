//! A base that the user gives: a file and its SHA-256, checked over the whole file before anything is read out of it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::unpack::{self, Input, Refusal, Report, Unpacked};
use super::{Base, BaseRecord, LISTS, newest};
use crate::digest::KeyBuilder;
use crate::disk;
use crate::error::{BuildError, Result};
use crate::event::Event;
use crate::manifest;
use crate::run::Context;

/// What to do without a digest. It does not name the one of the file at hand: who takes that has checked nothing.
pub const HOW_TO_GET_A_DIGEST: &str =
    "take it from whoever made the base, or where you trust the file: sha256sum FILE";

/// Raised whenever unpacking would make something else of the same file.
const FORM: &[u8] = b"1";

/// A root file system as an archive or a disk, and what its content must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBase {
    file: PathBuf,
    digest: Digest,
}

/// What identifies a base, in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Digest {
    /// SHA-256 of the whole file.
    File(String),
    /// [`disk::content_sha256`] of a disk.
    Content(String),
}

impl Digest {
    const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "sha256",
            Self::Content(_) => "content",
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::File(digest) | Self::Content(digest) => digest,
        }
    }

    fn of_file(&self) -> Option<String> {
        match self {
            Self::File(digest) => Some(digest.clone()),
            Self::Content(_) => None,
        }
    }

    /// The same of a file.
    fn of(&self, file: &Path) -> Result<String> {
        let found = match self {
            Self::File(_) => disk::full_sha256(file),
            Self::Content(_) => disk::content_sha256(file),
        };
        found.map_err(|error| BuildError::host(error.to_string()))
    }
}

/// What is known about a given base beside what is known about any; in its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// SHA-256 of the whole file, in lower-case hexadecimal; none for a disk that a build here has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What it is, and what of it was not kept.
    pub notes: Vec<String>,
    /// The file whose digest was computed: while it is the same, it need not be computed again.
    checked: Stamp,
}

/// A file as it was: one with the same stamp is taken to be untouched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds of the last change of content and of the last change of anything.
    changed: [i64; 4],
}

impl Stamp {
    fn of(path: &Path) -> Result<Self> {
        let meta = File::open(path)
            .and_then(|file| file.metadata())
            .map_err(|error| input(format!("the base {} cannot be read: {error}", path.display()), None))?;
        if !meta.is_file() {
            return Err(input(format!("the base {} is no regular file", path.display()), None));
        }
        let changed = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        Ok(Self { device: meta.dev(), inode: meta.ino(), bytes: meta.len(), changed })
    }
}

impl GivenBase {
    /// A base in `file`, whose SHA-256 is given as 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`BuildError::Input`] when the digest is none or the file cannot be read.
    pub fn new(file: &Path, sha256: &str) -> Result<Self> {
        if sha256.len() != 64 || !sha256.chars().all(|digit| digit.is_ascii_hexdigit()) {
            let message = format!("`{sha256}` is no SHA-256: that is 64 hexadecimal digits");
            return Err(input(message, Some(HOW_TO_GET_A_DIGEST)));
        }
        Self::of(file, Digest::File(sha256.to_ascii_lowercase()))
    }

    /// A disk that a build has made, and the `content_sha256` of that build's manifest.
    ///
    /// # Errors
    /// [`BuildError::Input`] when the file cannot be read.
    pub fn made(file: &Path, content_sha256: &str) -> Result<Self> {
        Self::of(file, Digest::Content(content_sha256.to_owned()))
    }

    fn of(file: &Path, digest: Digest) -> Result<Self> {
        Stamp::of(file)?;
        let file = std::path::absolute(file).map_err(BuildError::io("find", file))?;
        Ok(Self { file, digest })
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What people call it.
    pub fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The base: the cached one when the file's content is in the cache, else unpacked.
    pub(super) fn ensure(&self, context: &Context<'_>) -> Result<Base> {
        let key = KeyBuilder::new("given base").part(self.digest.name(), self.digest.as_str().as_bytes());
        let inputs = key.part("form", FORM).finish();
        let stamp = Stamp::of(&self.file)?;
        let cached = newest(context.cache, &inputs);
        let known = |base: &Base| base.record.given.as_ref().is_some_and(|given| given.checked == stamp);
        if let Some(base) = cached.as_ref().filter(|base| known(base)) {
            return Ok(base.clone());
        }
        self.check()?;
        match cached {
            Some(base) => remember(base, stamp),
            None => self.unpack(context, &inputs, stamp),
        }
    }

    /// Compares the digest of the whole file.
    fn check(&self) -> Result<()> {
        let found = self.digest.of(&self.file)?;
        let expected = self.digest.as_str();
        if found == expected {
            return Ok(());
        }
        let file = self.file.display();
        Err(input(
            format!(
                "the base {file} is not the one asked for: its {} is {found}, expected {expected}",
                match self.digest {
                    Digest::File(_) => "SHA-256",
                    Digest::Content(_) => "content's digest",
                }
            ),
            Some("get the file again from whoever made it, or check where the expected digest is from"),
        ))
    }

    fn unpack(&self, context: &Context<'_>, inputs: &str, stamp: Stamp) -> Result<Base> {
        let started = std::time::Instant::now();
        let text = format!("unpacking the base {}", self.file.display());
        (context.observer)(&Event::Note { text });
        let staging = context.work.folder("base")?;
        // Its set-user-id programs are a stranger's: nobody else on this machine may reach them.
        fs::set_permissions(&staging, fs::Permissions::from_mode(0o700))
            .map_err(BuildError::io("protect", &staging))?;
        let (root, lists) = (staging.join("root"), staging.join(LISTS));
        for folder in [&root, &lists] {
            fs::create_dir(folder).map_err(BuildError::io("make", folder))?;
        }
        let unpacked = self.run_job(context, &root)?;
        if Stamp::of(&self.file)? != stamp {
            return Err(input(format!("the base {} changed while it was read", self.file.display()), None));
        }
        let notes = notes(&unpacked);
        for note in &notes {
            (context.observer)(&Event::Note { text: format!("the base {}: {note}", self.name()) });
        }
        let record = BaseRecord {
            name: self.name(),
            // Its keys have signed what it installs, and nobody else's trust them.
            suite: format!("given-{}", &inputs[..32]),
            seconds: started.elapsed().as_secs_f64(),
            given: Some(Given { sha256: self.digest.of_file(), notes, checked: stamp }),
            ..BaseRecord::of(&root, inputs)?
        };
        super::admit(context, &staging, record)
    }

    fn run_job(&self, context: &Context<'_>, root: &Path) -> Result<Unpacked> {
        let scratch = context.work.folder("scratch")?;
        let job = Input { file: self.file.clone(), root: root.to_path_buf(), scratch };
        let input = serde_json::to_string(&job).unwrap_or_default();
        let output = context.run_job(&unpack::JOB, &input, None, &[&self.file, root, &job.scratch])?;
        let report: Report = serde_json::from_str(&output)
            .map_err(|error| BuildError::host(format!("the base's report is unreadable: {error}")))?;
        report.map_err(|Refusal { message, hint }| BuildError::Input {
            message: format!("the base {}: {message}", self.file.display()),
            hint,
        })
    }
}

fn input(message: String, hint: Option<&str>) -> BuildError {
    BuildError::Input { message, hint: hint.map(str::to_owned) }
}

/// A copy of the file has the same content: that need not be computed again either.
fn remember(mut base: Base, stamp: Stamp) -> Result<Base> {
    if let Some(given) = &mut base.record.given {
        given.checked = stamp;
    }
    let text = serde_json::to_vec(&base.record).unwrap_or_default();
    manifest::replace(&base.root.with_file_name("base.json"), &text)?;
    Ok(base)
}

fn notes(unpacked: &Unpacked) -> Vec<String> {
    let mut out = vec![unpacked.kind.clone()];
    out.extend(unpacked.not_kept.iter().map(|(what, count)| format!("not kept: {count} {what}")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sixty_four_hexadecimal_digits() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for wrong in ["", "abc", &"g".repeat(64), &"a".repeat(65), "sha256:aa"] {
            let error = GivenBase::new(file.path(), wrong).expect_err(wrong);
            assert!(error.hint().is_some_and(|hint| hint.contains("sha256sum")), "{wrong}");
        }
        assert!(GivenBase::new(file.path(), &"A".repeat(64)).is_ok());
        assert!(GivenBase::new(Path::new("/"), &"a".repeat(64)).is_err(), "a folder is no base");
    }
}
