//! Writing a disk: everything goes to `NAME.partial` beside the result, which takes its name when it is whole.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::base_image::{self, BaseImage};
use super::compare::{Derivation, both, compare};
use super::content::content_sha256;
use super::derive::Partition;
use super::difference::Whole;
use super::esp::{EfiFile, efi_files, write_efi};
use super::gpt::SECTOR;
use super::plan::Plan;
use super::vhd::{FOOTER_BYTES, Footer};
use super::{DiskError, Origin, inspect, joined};
use crate::checkpoint::{Checkpoint, reached};
use crate::error::full_text;
use crate::rooted::Rooted;
use crate::tools::{self, Tool, ToolError};

/// A part of the work, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Partition table, EFI system partition and footer.
    Frame,
    /// The root file system, made of the base's.
    Derived,
    /// The root file system, written as a whole; why, where it might have been made of the base's.
    Root(Option<String>),
    /// Reading the frame back, computing the content's digest and waiting for the storage device.
    Digest,
    /// The same while the root file system is compared with its tree.
    DigestAndComparison,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame => f.write_str("partitions and boot loader"),
            Self::Derived => f.write_str("root file system, from the base's"),
            Self::Root(None) => f.write_str("root file system"),
            Self::Root(Some(why)) => write!(f, "root file system, as a whole: {why}"),
            Self::Digest => f.write_str("digest"),
            Self::DigestAndComparison => f.write_str("digest and comparison"),
        }
    }
}

/// A finished disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Disk {
    /// The VHD.
    pub path: PathBuf,
    /// Size of the disk without the footer, in bytes.
    pub virtual_bytes: u64,
    /// What the file takes on the host, in bytes.
    pub allocated_bytes: u64,
    /// Identity of the content, see [`content_sha256`].
    pub content_sha256: String,
    /// What came of writing the base's own file system, where that was tried: the name under which it may be kept
    /// beside the base, or why it cannot.
    pub base_image: Option<Result<String, String>>,
}

/// Writes the image whose merged root file system is at `root` to the fixed VHD `output`, replacing it in one step.
/// With `compared`, only if [`compare`] finds in the root partition what is in `root`.
///
/// With an `origin`, the root file system is made of the base's where that is kept and the difference is small and
/// plain; such a disk is always compared. Where none is kept, one is written to the origin's staging folder
/// meanwhile.
///
/// The boot files must be in `root` already ([`install_boot_files`](super::install_boot_files) with the plan's
/// identities). `progress` hears each stage as it begins. When this fails, nothing is left behind.
///
/// # Errors
/// [`DiskError`].
pub fn write(
    plan: Plan,
    root: &Path,
    origin: Option<&Origin>,
    output: &Path,
    compared: bool,
    progress: &mut dyn FnMut(Stage),
) -> Result<Disk, DiskError> {
    progress(Stage::Frame);
    let files = efi_files(&Rooted::open(root)?, &plan.ids)?;
    let writer = Writer::start(plan, &files, output)?;
    reached(Checkpoint::FrameWritten);
    let Some(origin) = origin else { return writer.whole(root, None, compared, progress) };
    let name = base_image::folder_name(&writer.plan)?;
    if let Some(image) = BaseImage::open(&origin.base.with_file_name(&name)) {
        // What is begun and given up has to be removed again, which not every file system can.
        if let Err(error) = writer.partition().empty() {
            return writer.whole(root, Some(Whole::from(error).0), compared, progress);
        }
        return match writer.derived(root, origin, &image, compared, progress) {
            Ok(digest) => writer.publish(digest),
            Err(Whole(why)) => {
                writer.partition().empty()?;
                writer.whole(root, Some(why), compared, progress)
            }
        };
    }
    let Some(staging) = &origin.staging else { return writer.whole(root, None, compared, progress) };
    let plan = writer.plan.clone();
    thread::scope(|scope| {
        let making = scope.spawn(|| BaseImage::make(&plan, &origin.base, staging));
        let why = "the base's is written beside it, for later ones".to_owned();
        let disk = writer.whole(root, Some(why), compared, progress);
        let made = joined(making).map(|()| name).map_err(|error| full_text(&error));
        Ok(Disk { base_image: Some(made), ..disk? })
    })
}

/// A disk being written, for a caller that runs `mke2fs` itself, inside the namespaces where the root is mounted.
/// Dropped before [`Writer::finish`], it removes what it wrote.
#[derive(Debug)]
pub struct Writer {
    plan: Plan,
    partial: Partial,
    output: PathBuf,
}

impl Writer {
    /// Makes the file with everything but the root file system.
    ///
    /// # Errors
    /// [`DiskError::NoSpace`] when the output folder's file system cannot hold the image; [`DiskError::Io`] and
    /// [`DiskError::Tool`] when writing fails.
    pub fn start(plan: Plan, files: &[EfiFile], output: &Path) -> Result<Self, DiskError> {
        let partial = Partial::create(output, plan.virtual_bytes + FOOTER_BYTES)?;
        let writer = Self { plan, partial, output: output.to_owned() };
        let (needed, available) = (writer.plan.allocation(), writer.free_bytes()?);
        if available < needed {
            return Err(writer.no_space(available));
        }
        writer.frame(files).map_err(|error| writer.explain(error))?;
        Ok(writer)
    }

    fn frame(&self, files: &[EfiFile]) -> Result<(), DiskError> {
        let (plan, path) = (&self.plan, &self.partial.path);
        let (head, tail) = plan.gpt().encode(plan.virtual_bytes);
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let footer = Footer { virtual_bytes: plan.virtual_bytes, created, id: plan.ids.vhd };
        let end = plan.virtual_bytes;
        for (at, bytes) in [(0, &head[..]), (end - tail.len() as u64, &tail), (end, &footer.encode())] {
            self.partial.file.write_all_at(bytes, at).map_err(DiskError::io("write", path))?;
        }
        // Named after the disk, so that whoever clears up after a killed build knows it.
        let scratch = tempfile::Builder::new()
            .prefix(path.file_name().unwrap_or_default())
            .tempdir_in(self.folder())
            .map_err(DiskError::io("write in", self.folder()))?;
        write_efi(path, plan.ids.efi, files, scratch.path())
    }

    /// Arguments for `mke2fs` that fill the root partition from the tree at `root`; see [`Plan::mke2fs_arguments`].
    pub fn mke2fs_arguments(&self, root: &Path) -> Vec<std::ffi::OsString> {
        let path = std::path::absolute(&self.partial.path).unwrap_or_else(|_| self.partial.path.clone());
        self.plan.mke2fs_arguments(root, &path)
    }

    /// Runs `mke2fs`, by whatever `run` does with the arguments above.
    ///
    /// # Errors
    /// [`DiskError::NoSpace`] when that is why it failed, else [`DiskError::Tool`].
    pub fn fill(&self, run: impl FnOnce() -> Result<(), ToolError>) -> Result<(), DiskError> {
        run().map_err(|error| self.explain(error.into()))
    }

    /// Fills the root partition with all of the tree, and finishes.
    fn whole(
        self,
        root: &Path,
        why: Option<String>,
        compared: bool,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Disk, DiskError> {
        progress(Stage::Root(why));
        let arguments = self.mke2fs_arguments(root);
        self.fill(|| tools::run(Tool::Mke2fs.command()?.args(arguments)).map(drop))?;
        reached(Checkpoint::RootWritten);
        progress(if compared { Stage::DigestAndComparison } else { Stage::Digest });
        self.finish(compared.then_some(root))
    }

    /// Makes the root partition of the base's file system, and returns the disk's digest when it holds the tree.
    fn derived(
        &self,
        root: &Path,
        origin: &Origin,
        image: &BaseImage,
        compared: bool,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<String, Whole> {
        progress(Stage::Derived);
        let (path, partition) = (&self.partial.path, self.partition());
        let difference = partition.derive(root, origin, image)?;
        let derivation = Derivation { image, base: &origin.base, wholly: compared };
        let (copied, unsettled) =
            both(|| partition.copy_contents(image, &difference), || derivation.check(path, root));
        let unsettled = unsettled?;
        copied?;
        reached(Checkpoint::RootWritten);
        progress(Stage::DigestAndComparison);
        Ok(self.checked(|| unsettled.compare(root))?)
    }

    fn partition(&self) -> Partition<'_> {
        Partition { plan: &self.plan, path: &self.partial.path, file: &self.partial.file }
    }

    /// Checks the disk, computes its digest and gives it its name; with the `tree` that it was written from, only if
    /// [`compare`] finds that in it.
    ///
    /// # Errors
    /// [`DiskError`] when what was written does not read back or is not the tree, or the file cannot be renamed.
    pub fn finish(self, tree: Option<&Path>) -> Result<Disk, DiskError> {
        let path = &self.partial.path;
        let digest = self.checked(|| tree.map_or(Ok(()), |tree| compare(path, tree).map(drop)))?;
        self.publish(digest)
    }

    /// Reads the disk back, and returns the digest of its content when `compare` has nothing against it.
    fn checked(&self, compare: impl FnOnce() -> Result<(), DiskError> + Send) -> Result<String, DiskError> {
        let path = &self.partial.path;
        inspect(path)?;
        // All three read what the kernel still holds in memory, so the device can write meanwhile.
        let (digest, synced, compared) = thread::scope(|scope| {
            let syncing = scope.spawn(|| self.partial.file.sync_data().map_err(DiskError::io("write", path)));
            let comparing = scope.spawn(compare);
            (content_sha256(path), joined(syncing), joined(comparing))
        });
        synced.map_err(|error| self.explain(error))?;
        compared?;
        reached(Checkpoint::DiskCompared);
        digest
    }

    fn publish(mut self, content_sha256: String) -> Result<Disk, DiskError> {
        let path = &self.partial.path;
        let meta = self.partial.file.metadata().map_err(DiskError::io("look at", path))?;
        reached(Checkpoint::DigestTaken);
        self.partial.publish(&self.output)?;
        Ok(Disk {
            path: self.output,
            virtual_bytes: self.plan.virtual_bytes,
            allocated_bytes: meta.blocks() * SECTOR,
            content_sha256,
            base_image: None,
        })
    }

    /// Programs say only that they failed; whether the disk was full is what the user needs to know.
    fn explain(&self, error: DiskError) -> DiskError {
        let full = match &error {
            DiskError::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            DiskError::Tool(ToolError::Failed { tail, .. }) => tail.contains("No space left on device"),
            _ => false,
        };
        match self.free_bytes() {
            Ok(available) if full || available < 1 << 20 => self.no_space(available),
            _ => error,
        }
    }

    fn no_space(&self, available: u64) -> DiskError {
        DiskError::NoSpace { folder: self.folder().to_owned(), needed: self.plan.allocation(), available }
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        let stat = rustix::fs::fstatvfs(&self.partial.file)
            .map_err(|errno| DiskError::io("ask for free space on", self.folder())(errno.into()))?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    fn folder(&self) -> &Path {
        folder_of(&self.output)
    }
}

fn folder_of(output: &Path) -> &Path {
    output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The unfinished file; removed when dropped unless published.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    file: File,
    published: bool,
}

impl Partial {
    fn create(output: &Path, bytes: u64) -> Result<Self, DiskError> {
        let mut path = output.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        // What an interrupted run left is removed first: truncating it would keep its owner and mode.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DiskError::io("replace", &path)(error));
            }
            _ => {}
        }
        let file = File::create_new(&path).map_err(DiskError::io("write", &path))?;
        let partial = Self { path, file, published: false };
        partial.file.set_len(bytes).map_err(DiskError::io("write", &partial.path))?;
        Ok(partial)
    }

    fn publish(&mut self, output: &Path) -> Result<(), DiskError> {
        std::fs::rename(&self.path, output).map_err(DiskError::io("write", output))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a failure here, and the reason for dropping is the one to report.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
