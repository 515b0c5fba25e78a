//! A guest that build steps run in: the engine's own kernel command line on a disk that is written to, the network of
//! a sandbox, and nothing of this boot on the disk but the key that lets us in.
//!
//! The kernel is started directly and told everything: cloud-init and the Azure agent, which would look for Azure and
//! leave their state in the image, do not run; the address is set by systemd's own generator, below `/run`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::accelerator::{Accelerator, probe};
use super::error::BootError;
use super::firmware::Firmware;
use super::guest::{Guest, Watch, launch};
use super::image::DiskImage;
use super::process::{Namespaces, run_watched};
use super::qemu::{Boot, Setup};
use super::rundir::RunDir;
use super::serial::Trouble;
use super::ssh::{Client, Output, make_key};
use crate::disk::KERNEL_ARGUMENTS;
use crate::tools::ToolError;
use crate::user;

/// The guest's own network, of the range for documentation (RFC 5737): no real destination is hidden behind it.
const NET: &str = "net=192.0.2.0/28,host=192.0.2.1,dns=192.0.2.3,dhcpstart=192.0.2.5,\
                   hostfwd=tcp:127.0.0.1:22022-192.0.2.5:22";
/// Where the guest's SSH service is in QEMU's network namespace, where nothing else listens.
const SSH_PORT: u16 = 22022;
/// Memory of the guest in MiB.
const MEMORY_MIB: u32 = 2048;
/// Processors of the guest.
const CPUS: u8 = 2;
/// How long a guest may be silent while it boots or ends.
const QUIET_LIMIT: Duration = Duration::from_mins(3);
/// Longest that one upload may take.
const UPLOAD_LIMIT: Duration = Duration::from_mins(30);
/// File name of the guest's serial console.
const SERIAL_LOG: &str = "guest.log";
/// How often a guest that is starved by this machine is started; see the trial of an image.
const STARTS: u32 = 5;

/// What the kernel is told: the root, the address with Azure's resolver, the host name that a build has everywhere,
/// and what is not to run. Inode tables are zero already and need not be written.
fn command_line() -> String {
    format!(
        "root=/dev/vda1 rw rootflags=noinit_itable fsck.mode=skip {KERNEL_ARGUMENTS} \
         ip=192.0.2.5::192.0.2.1:255.255.255.240:pkrvm:eth0:off:168.63.129.16 systemd.hostname=pkrvm \
         systemd.wants=systemd-network-generator.service systemd.wants=systemd-networkd.service \
         cloud-init=disabled systemd.gpt_auto=no systemd.mask=walinuxagent.service systemd.mask=waagent.service"
    )
}

/// A private folder with the one-time key; made before the disk, which needs the public half.
pub(crate) struct Key {
    folder: RunDir,
    /// One line of an `authorized_keys` file.
    pub(crate) public: String,
}

impl Key {
    /// # Errors
    /// A tool's error, or when the folder cannot be made in `work`.
    pub(crate) fn make(work: &Path) -> Result<Self, BootError> {
        let folder = RunDir::create(work)?;
        let public = make_key(&folder)?;
        Ok(Self { folder, public })
    }
}

/// A guest to be.
pub(crate) struct Order {
    /// Fixed VHD with the root as its first partition; written to.
    pub(crate) disk: PathBuf,
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// Its initial RAM file system.
    pub(crate) initrd: PathBuf,
    /// A process of the sandbox whose network the guest gets.
    pub(crate) sandbox: u32,
    /// Folder for the serial log.
    pub(crate) work: PathBuf,
    /// Set by whoever wants this to stop.
    pub(crate) cancel: Arc<AtomicBool>,
    /// When there is no time left.
    pub(crate) deadline: Instant,
}

/// A running guest that answers; dropping it ends it.
pub(crate) struct BuildGuest(Guest);

impl BuildGuest {
    /// Boots a guest to its first answered command; `note` hears what a person should know.
    ///
    /// # Errors
    /// [`BootError`] when a tool or the firmware is missing or the guest does not come up.
    pub(crate) fn boot(key: Key, order: &Order, note: &dyn Fn(String)) -> Result<Self, BootError> {
        let found = probe(&Firmware::find(false)?, &order.work, &order.cancel)?;
        let mut folder = key.folder;
        let mut start = 1;
        loop {
            let mut guest = launch_guest(folder, order, found.accelerator)?;
            if let Some(reason) = found.reason.as_ref().filter(|_| start == 1) {
                note(format!("the virtual machine has started; emulated, it takes minutes: {reason}"));
            }
            match guest.wait_for_ssh(&|_| ()) {
                Ok(took) => {
                    note(format!("the virtual machine answered after {} s", took.as_secs()));
                    return Ok(Self(guest));
                }
                Err(BootError::Guest { trouble: trouble @ Trouble::Starved, .. }) if start < STARTS => {
                    note(format!("{trouble}: the virtual machine is started again"));
                    folder = guest.stop();
                    start += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs a command of our own as the build user, for at most five minutes.
    ///
    /// # Errors
    /// As [`super::Machine::ssh`].
    pub(crate) fn run(&self, command: &str) -> Result<Output, BootError> {
        self.0.ssh(command)
    }

    /// Starts a command as the build user: no terminal, no input, its output in pipes. Dropping the connection does
    /// not end it in the guest.
    ///
    /// # Errors
    /// When the SSH client cannot be started.
    pub(crate) fn start(&self, command: &str) -> Result<Child, BootError> {
        let mut client = self.0.client.command(user::NAME, &[])?;
        client.arg("--").arg(command).stdout(Stdio::piped()).stderr(Stdio::piped());
        let could_not_run = |source| ToolError::CouldNotRun { command: "ssh".to_owned(), source };
        Ok(client.spawn().map_err(could_not_run)?)
    }

    /// Runs a command of our own as the build user with a file as its input.
    ///
    /// # Errors
    /// As [`BuildGuest::run`], or when the file cannot be read.
    pub(crate) fn feed(&self, file: &Path, command: &str) -> Result<Output, BootError> {
        let input = File::open(file).map_err(BootError::io("open", file))?;
        let mut client = self.0.client.command(user::NAME, &[])?;
        client.arg("--").arg(command).stdin(input);
        Ok(run_watched(client, command, UPLOAD_LIMIT, &|| self.0.check())?.into())
    }

    /// Gives a person a shell in the guest on this process's terminal.
    ///
    /// # Errors
    /// As [`super::Machine::interactive`].
    pub(crate) fn interactive(&self) -> Result<(), BootError> {
        self.0.interactive()
    }

    /// Whether there is any use in going on.
    ///
    /// # Errors
    /// [`BootError::Cancelled`], or [`BootError::QemuEnded`].
    pub(crate) fn check(&self) -> Result<(), BootError> {
        self.0.check()
    }

    /// Shuts the guest down, so that its disk is whole; the build user may be gone by then.
    ///
    /// # Errors
    /// As [`super::Machine::power_off`], or when QEMU does not listen.
    pub(crate) fn power_off(self) -> Result<(), BootError> {
        self.0.press_power_button()
    }
}

fn launch_guest(folder: RunDir, order: &Order, accelerator: Accelerator) -> Result<Guest, BootError> {
    let namespaces = Some(Namespaces(order.sandbox));
    let serial_log = order.work.join(SERIAL_LOG);
    File::create(&serial_log).map_err(BootError::io("write", &serial_log))?;
    let setup = Setup {
        accelerator,
        firmware: None,
        memory_mib: MEMORY_MIB,
        cpus: CPUS,
        serial_log: &serial_log,
        boot: Boot::Kernel {
            kernel: &order.kernel,
            initrd: &order.initrd,
            command_line: &command_line(),
            disk: &DiskImage::open(&order.disk)?,
            net: NET,
        },
    };
    let qemu = launch(&folder, &setup, namespaces)?;
    let client = Client { folder: folder.path().to_owned(), port: SSH_PORT, user: user::NAME, namespaces };
    let watch = Watch {
        serial_log,
        quiet_limit: QUIET_LIMIT,
        cancel: Arc::clone(&order.cancel),
        deadline: Some(order.deadline),
    };
    Ok(Guest::new(qemu, client, watch, folder))
}
