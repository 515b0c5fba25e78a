//! The disk of a virtual machine that builds: made of the layers below it, and read back when it has been shut down.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use sandbox::{Job, JobContext};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskIds, DiskSpec, Plan};
use crate::error::{BuildError, Result, full_text};
use crate::rooted::Rooted;
use crate::run::Context;
use crate::user;

/// The function that makes the disk of the merged layers.
pub const MAKE: Job = Job { name: "make-guest-disk", run: make_inside };
/// The function that turns what the guest changed on the disk into changes of the merged layers.
pub const TAKE_BACK: Job = Job { name: "take-guest-disk-back", run: take_back_inside };

/// Where the key that lets the engine in is, in the build user's home, which no image keeps.
const KEYS: &str = "/home/packer/.ssh";
/// Largest kernel or initial RAM disk.
const LARGEST_BOOT_FILE: u64 = 1 << 30;

/// What the virtual machine is started from; all in one folder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GuestDisk {
    /// A fixed VHD with the root as its first partition.
    pub(super) disk: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Input {
    files: GuestDisk,
    size_gib: u32,
    public_key: String,
}

/// Writes `lowers` (topmost first) as a disk of `size_gib` whose build user lets in who has the key.
pub(super) fn make(
    context: &Context<'_>,
    lowers: &[PathBuf],
    size_gib: u32,
    public_key: &str,
) -> Result<GuestDisk> {
    let folder = context.work.folder("guest")?;
    let files = || GuestDisk {
        disk: folder.join("disk.vhd"),
        kernel: folder.join("vmlinuz"),
        initrd: folder.join("initrd.img"),
    };
    let input = Input { files: files(), size_gib, public_key: public_key.to_owned() };
    let input = serde_json::to_string(&input).unwrap_or_default();
    let overlay = context.volatile_overlay(lowers, &context.work.overlay("guest")?);
    context.run_job(&MAKE, &input, Some(overlay), &[&folder])?;
    Ok(files())
}

fn make_inside(context: &JobContext, input: &str) -> std::result::Result<String, String> {
    let input: Input = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let root = context.root.as_ref().ok_or("no root file system")?;
    make_in(root, &input).map_err(|error| full_text(error.as_ref()))?;
    Ok(String::new())
}

fn make_in(root: &Path, input: &Input) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let rooted = Rooted::open(root)?;
    let keys = format!("{KEYS}/authorized_keys");
    rooted.write(&keys, format!("{}\n", input.public_key).as_bytes(), 0o600)?;
    // Our own base and build user: plain paths below the root are safe.
    for path in [KEYS, &keys] {
        chown(root.join(&path[1..]), Some(user::ID), Some(user::ID))?;
    }
    let (kernel, initrd) = disk::newest_kernel(&rooted)?;
    for (inside, outside) in [(kernel, &input.files.kernel), (initrd, &input.files.initrd)] {
        let content =
            rooted.read(&inside, LARGEST_BOOT_FILE)?.ok_or_else(|| format!("{inside} is missing"))?;
        fs::write(outside, content)?;
    }
    let spec = DiskSpec { size_gib: Some(input.size_gib), ids: DiskIds::random() };
    disk::write(Plan::for_tree(&spec, root)?, root, None, &input.files.disk, false, &mut |_| {})?;
    Ok(())
}

/// What the guest changed on `disk`, which was made of `lowers`: the folder that a layer is made of.
pub(super) fn take_back(context: &Context<'_>, disk: &Path, lowers: &[PathBuf]) -> Result<PathBuf> {
    let scratch = context.work.overlay("guest-changes")?;
    let input = serde_json::to_string(disk).unwrap_or_default();
    let folder = disk.parent().unwrap_or(Path::new("/"));
    let left_out = context.run_job(&TAKE_BACK, &input, Some(context.overlay(lowers, &scratch)), &[folder])?;
    if left_out.is_empty() {
        return Ok(scratch.join("upper"));
    }
    Err(BuildError::Host {
        message: format!("the steps left what a layer cannot hold: {left_out}"),
        hint: Some("let the first boot make it: container images with such files are pulled then".to_owned()),
    })
}

fn take_back_inside(context: &JobContext, input: &str) -> std::result::Result<String, String> {
    let disk: PathBuf = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let root = context.root.as_ref().ok_or("no root file system")?;
    let left_out = disk::take_back(&disk, root).map_err(|error| full_text(&error))?;
    let rooted = Rooted::open(root).map_err(|error| full_text(&error))?;
    rooted.remove(KEYS).map_err(|error| full_text(&error))?;
    Ok(shortened(&left_out))
}

/// The first few of many.
fn shortened(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
