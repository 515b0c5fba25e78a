//! One virtual machine that boots one image.

use std::fs::{File, Permissions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::accelerator::Accelerator;
use super::error::BootError;
use super::firmware::Firmware;
use super::guest::{COMMAND_LIMIT, Guest, LOG, Watch, launch, qemu_ended};
use super::image::{DiskImage, ImageError};
use super::overlay::{MAX_SIZE, empty_qcow2};
use super::process::{Background, run_watched};
use super::qemu::{Boot, OVERLAY, Setup};
use super::rundir::RunDir;
use super::seed::{ADMIN, PASSWORD_USER, Seed};
use super::serial::Stage;
use super::ssh::{Client, Output, make_key};
use crate::tools::tail;

/// How many ports are tried when others take them first.
const PORT_ATTEMPTS: u32 = 5;

/// A virtual machine to be.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// Raw disk or fixed VHD. It is opened read-only.
    pub disk: PathBuf,
    /// Bytes of disk that the guest sees, at least the image's own; `None` for just that.
    pub disk_size: Option<u64>,
    /// Memory in MiB; 2048 is what a jump box boots well with.
    pub memory_mib: u32,
    /// Virtual processors, from 1; 2 boots fastest on two host processors.
    pub cpus: u8,
    /// How to run it; see [`super::probe`].
    pub accelerator: Accelerator,
    /// Whether the firmware refuses unsigned boot loaders.
    pub secure_boot: bool,
    /// Where the private folder of the boot is made; itself made where it does not exist.
    pub work_dir: PathBuf,
    /// The guest's serial console; written from the start, never removed here.
    pub serial_log: PathBuf,
    /// How long the guest may be silent before it is given up; a healthy one is never for more than about 20 s, even
    /// emulated on a busy machine.
    pub quiet_limit: Duration,
    /// Set by whoever wants this to stop; looked at many times a second.
    pub cancel: Arc<AtomicBool>,
}

/// What must differ between two machines made from one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Content of `/etc/machine-id`.
    pub machine_id: String,
    /// SHA-256 fingerprints of the SSH host keys, as `ssh-keygen -l` prints them.
    pub host_keys: Vec<String>,
}

/// What a machine is asked for its [`Identity`].
pub(super) const ASK_IDENTITY: &str =
    "cat /etc/machine-id && for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf \"$key\" || exit; done";

impl Identity {
    /// Reads the answer to [`ASK_IDENTITY`].
    pub(super) fn read(output: &Output) -> Option<Self> {
        let mut lines = output.stdout.lines().map(str::trim);
        let machine_id = lines.next().unwrap_or_default().to_owned();
        let host_keys: Vec<_> = lines.filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect();
        let whole = output.exit == Some(0) && machine_id.len() == 32 && !host_keys.is_empty();
        whole.then_some(Self { machine_id, host_keys })
    }
}

/// A running virtual machine. Dropping it ends it and removes everything it made but the serial log.
pub struct Machine {
    guest: Guest,
    password: String,
    image_size: u64,
}

impl Machine {
    /// Starts a machine; it boots while this returns.
    ///
    /// # Errors
    /// [`BootError`] when a tool or the firmware is missing, the image is unusable, a file cannot be written, or QEMU
    /// ends at once.
    pub fn start(spec: &MachineSpec) -> Result<Self, BootError> {
        let image = DiskImage::open(&spec.disk)?;
        let size = overlay_size(&image, spec.disk_size)?;
        let firmware = Firmware::find(spec.secure_boot)?;
        let folder = RunDir::create(&spec.work_dir)?;
        File::create(&spec.serial_log).map_err(BootError::io("write", &spec.serial_log))?;
        let serial_log = spec.serial_log.canonicalize().map_err(BootError::io("open", &spec.serial_log))?;
        folder.write(OVERLAY, empty_qcow2(size))?;
        let seed = Seed {
            instance_id: Uuid::new_v4().to_string(),
            public_key: make_key(&folder)?,
            password: Uuid::new_v4().to_string(),
        };
        seed.write(&folder)?;
        let start = |port| {
            let setup = Setup {
                accelerator: spec.accelerator,
                firmware: Some(&firmware),
                memory_mib: spec.memory_mib,
                cpus: spec.cpus,
                serial_log: &serial_log,
                boot: Boot::Image { image: &image, ssh_port: port },
            };
            launch(&folder, &setup, None)
        };
        let (qemu, port) = start_on_free_port(&folder, &serial_log, &spec.cancel, start)?;
        let client = Client { folder: folder.path().to_owned(), port, user: ADMIN, namespaces: None };
        let watch = Watch {
            serial_log,
            quiet_limit: spec.quiet_limit,
            cancel: Arc::clone(&spec.cancel),
            deadline: None,
        };
        let guest = Guest::new(qemu, client, watch, folder);
        Ok(Self { guest, password: seed.password, image_size: image.size() })
    }

    /// Waits until the guest answers its first SSH command and returns how long that took since the start. `observe`
    /// hears of every stage that the guest reaches.
    ///
    /// # Errors
    /// [`BootError::Guest`] as soon as the guest says that it cannot go on, [`BootError::Silent`] when it says nothing
    /// for the quiet limit, [`BootError::QemuEnded`], [`BootError::Cancelled`], or a tool's error.
    pub fn wait_for_ssh(&mut self, observe: &dyn Fn(Stage)) -> Result<Duration, BootError> {
        self.guest.wait_for_ssh(observe)
    }

    /// Runs a command with the shell of the test account, which has sudo, for at most five minutes.
    ///
    /// # Errors
    /// [`BootError::Unfinished`], [`BootError::QemuEnded`], [`BootError::Cancelled`] or a tool's error. That the
    /// command fails is no error, nor is a connection that breaks while the machine runs (exit 255).
    pub fn ssh(&self, command: &str) -> Result<Output, BootError> {
        self.guest.ssh(command)
    }

    /// Gives a person a shell in the guest on this process's terminal. That it ends with an error, or that the person
    /// powers the guest off, is no error.
    ///
    /// # Errors
    /// A tool's error or [`BootError::Cancelled`].
    pub fn interactive(&self) -> Result<(), BootError> {
        self.guest.interactive()
    }

    /// Asks the guest for its machine-id and host keys.
    ///
    /// # Errors
    /// As [`Machine::ssh`], or [`BootError::Unanswered`].
    pub fn identity(&self) -> Result<Identity, BootError> {
        let output = self.ssh(ASK_IDENTITY)?;
        Identity::read(&output).ok_or_else(|| {
            let answer = tail(&format!("{}{}", output.stdout, output.stderr), 3);
            BootError::Unanswered { what: "the machine-id and host keys", answer }
        })
    }

    /// Shuts the guest down as its own users would, and waits for the end.
    ///
    /// # Errors
    /// [`BootError::Silent`] when it does not end, [`BootError::Cancelled`] or a tool's error; the machine is gone in
    /// any case.
    pub fn power_off(self) -> Result<(), BootError> {
        self.guest.power_off()
    }

    /// Bytes of disk that the image itself has.
    pub const fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Where the guest's serial console is written.
    pub fn serial_log(&self) -> &Path {
        self.guest.serial_log()
    }

    /// Tries to log in with a new connection and the one-time key.
    pub(super) fn log_in_with_key(&self, user: &str) -> Result<Output, BootError> {
        let mut command = self.guest.client.command(user, &["-o", "ControlPath=none"])?;
        command.args(["--", "true"]);
        Ok(run_watched(command, &format!("ssh {user}"), COMMAND_LIMIT, &|| self.guest.check())?.into())
    }

    /// Tries to log in with a new connection and the right password of an account made for that.
    pub(super) fn log_in_with_password(&self) -> Result<Output, BootError> {
        const ASKPASS: &str = "askpass";
        self.guest.folder.write(ASKPASS, format!("#!/bin/sh\necho '{}'\n", self.password))?;
        let path = self.guest.folder.file(ASKPASS);
        std::fs::set_permissions(&path, Permissions::from_mode(0o700))
            .map_err(BootError::io("make executable", &path))?;
        let options = [
            "ControlPath=none",
            "BatchMode=no",
            "PubkeyAuthentication=no",
            "PreferredAuthentications=password,keyboard-interactive",
            "NumberOfPasswordPrompts=1",
        ];
        let options: Vec<_> = options.into_iter().flat_map(|option| ["-o", option]).collect();
        let mut command = self.guest.client.command(PASSWORD_USER, &options)?;
        command.args(["--", "true"]);
        command.env("SSH_ASKPASS", path).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0");
        Ok(run_watched(command, "ssh with a password", COMMAND_LIMIT, &|| self.guest.check())?.into())
    }
}

/// Starts QEMU with a port that is free, and waits until it listens. Between our finding a free port and QEMU's
/// taking it another program may take it; then the next one is tried.
fn start_on_free_port(
    folder: &RunDir,
    serial_log: &Path,
    cancel: &AtomicBool,
    start: impl Fn(u16) -> Result<Background, BootError>,
) -> Result<(Background, u16), BootError> {
    let mut attempt = 1;
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(BootError::io("find a free port on", Path::new("127.0.0.1")))?
            .port();
        let qemu = start(port)?;
        while qemu.ended().is_none() {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok((qemu, port));
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(BootError::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = std::fs::read_to_string(folder.file(LOG)).unwrap_or_default();
        if attempt == PORT_ATTEMPTS || !said.contains("host forwarding rule") {
            return Err(qemu_ended(qemu.ended().unwrap_or_default(), folder, serial_log));
        }
        attempt += 1;
    }
}

fn overlay_size(image: &DiskImage, wanted: Option<u64>) -> Result<u64, ImageError> {
    let size = wanted.unwrap_or(image.size());
    if (image.size()..=MAX_SIZE).contains(&size) && size.is_multiple_of(512) {
        return Ok(size);
    }
    let reason = format!(
        "the guest cannot see {size} bytes of it: whole sectors from {} to {MAX_SIZE} are possible",
        image.size()
    );
    Err(ImageError::Unusable { path: image.path().to_owned(), reason })
}
