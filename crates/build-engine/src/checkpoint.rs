//! Named points between the effects of a build, at which tests end the program as a power switch would.
//!
//! In builds with debug assertions, [`sandbox::KILL_AT`] names one of them, and optionally which arrival there counts
//! (`LayerSealed:2`): the process then sends itself SIGKILL. In release builds none of this exists.

/// Declares the points and the list of all of them, which so never differ.
macro_rules! checkpoints {
    ($($(#[$what:meta])* $name:ident,)*) => {
        /// A point between two effects of a build or of `cache prune`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Checkpoint {
            $($(#[$what])* $name,)*
        }

        impl Checkpoint {
            /// Every point, in about the order in which a build comes to them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

checkpoints! {
    /// The output folder is taken and cleared of what was unfinished.
    OutputTaken,
    /// The build's working folder is there, without its lock.
    WorkFolderMade,
    /// `customization.log` is begun.
    LogBegun,
    /// A new base is whole, with its record, in the working folder.
    BaseStaged,
    /// A base made again has given up its older package lists and not got the newer ones.
    BaseListsMoved,
    /// The base is in the cache.
    BaseAdmitted,
    /// The layer of the build user is in the cache.
    UserLayerSealed,
    /// A step has its scratch folder.
    StepBegun,
    /// A step has run; its changes are in the scratch folder.
    StepRan,
    /// A package that a step fetched is copied into the store, under a temporary name.
    PackageCopied,
    /// A step's packages are in the store.
    PackagesAdmitted,
    /// A layer is whole, with its record, in the working folder.
    LayerStaged,
    /// A step's layer is in the cache.
    LayerSealed,
    /// A virtual machine for steps answers.
    GuestBooted,
    /// A step has run in the virtual machine.
    GuestStepRan,
    /// The virtual machine is shut down; its disk holds what the steps did.
    GuestOff,
    /// All steps are done; the sandbox that generalises is about to start.
    FinishBegun,
    /// The merged tree is generalised.
    Generalised,
    /// Partition table, EFI system partition and footer are written.
    FrameWritten,
    /// The root file system is written.
    RootWritten,
    /// A file system of the base alone is written, in the working folder.
    BaseImageWritten,
    /// The disk is compared with what it was written from, where validators run on that.
    DiskCompared,
    /// The content's digest is taken; the file still has its most temporary name.
    DigestTaken,
    /// The disk is whole, under the name that it has until validators have passed.
    DiskWritten,
    /// The file system of the base is kept beside the base.
    BaseImageAdmitted,
    /// The validators have run.
    Validated,
    /// The manifest of the image that is about to be replaced is removed.
    ManifestWithdrawn,
    /// The image has its name.
    ImagePlaced,
    /// A report is written beside its place: SBOM, egress record, manifest.
    ReportStaged,
    /// The egress record is in its place.
    EgressWritten,
    /// The manifest is in its place.
    ManifestReplaced,
    /// The log is complete.
    LogClosed,
    /// The working folder is empty but for its lock.
    WorkCleared,
    /// `cache prune` has the cache for itself.
    PruneBegun,
    /// `cache prune` has moved an entry out of its place.
    PruneMoved,
    /// `cache prune` has removed an entry.
    PruneRemoved,
}

/// Says that the program has come to a point; tests may end it here.
#[cfg(debug_assertions)]
pub(crate) fn reached(checkpoint: Checkpoint) {
    use std::sync::atomic::{AtomicU32, Ordering};

    static ARRIVALS: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var(sandbox::KILL_AT) else { return };
    let (name, arrival) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if name == format!("{checkpoint:?}")
        && arrival.parse() == Ok(ARRIVALS.fetch_add(1, Ordering::Relaxed) + 1)
    {
        end(name);
    }
}

/// In release builds, nothing.
#[cfg(not(debug_assertions))]
pub(crate) const fn reached(_: Checkpoint) {}

/// Pid 1 of a sandbox is deaf to its own signals, and it is the program outside that has to die: who reads the
/// build's events finds this line among the output, and kills it.
#[cfg(debug_assertions)]
fn end(name: &str) -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    println!("checkpoint {name}");
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::Checkpoint;

    const FOLDER: &str = "AKS_JUMPBOX_TEST_FOLDER";

    /// Runs one test of this crate in a process of its own, with `folder` to work in, and expects that `checkpoint`
    /// ends it. The test finds the folder by [`own_folder`].
    #[track_caller]
    pub(crate) fn killed_at(checkpoint: Checkpoint, test: &str, folder: &std::path::Path) {
        let program = std::env::current_exe().expect("this program");
        let output = Command::new(program)
            .args(["--exact", test, "--nocapture"])
            .env(sandbox::KILL_AT, format!("{checkpoint:?}"))
            .env(FOLDER, folder)
            .output()
            .expect("it runs");
        assert_eq!(output.status.signal(), Some(9), "{checkpoint:?}: {output:?}");
    }

    /// The folder of a test that runs in a process of its own; none for the test that started it.
    pub(crate) fn own_folder() -> Option<std::path::PathBuf> {
        std::env::var_os(FOLDER).map(Into::into)
    }
}
