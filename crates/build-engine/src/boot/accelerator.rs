//! Whether this machine can run guests on its processor, or has to emulate one.

use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::BootError;
use super::firmware::Firmware;
use super::guest::{LOG, launch};
use super::qemu::{Boot, Setup};
use super::rundir::RunDir;

/// How QEMU runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// On the processor, by the kernel's virtual machine monitor.
    Kvm,
    /// Emulated; about ten times slower.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// What [`probe`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What to use.
    pub accelerator: Accelerator,
    /// Why it is not KVM, where it is not.
    pub reason: Option<String>,
}

/// KVM runs the firmware to its first output in about a second; what takes longer is no gain over emulation.
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// Finds out whether KVM works by running the firmware in a throw-away machine until it writes to its console.
///
/// That `/dev/kvm` can be opened proves nothing, nor does a guest of a few instructions: there are machines whose
/// KVM runs those and stops in the middle of the firmware.
///
/// # Errors
/// [`BootError`] when QEMU is missing, a file cannot be written, or `cancel` was set. That KVM does not work is no
/// error.
pub fn probe(firmware: &Firmware, work_dir: &Path, cancel: &Arc<AtomicBool>) -> Result<Probe, BootError> {
    let emulate = |reason: String| Ok(Probe { accelerator: Accelerator::Tcg, reason: Some(reason) });
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return emulate(format!("/dev/kvm: {error}"));
    }
    let folder = RunDir::create(work_dir)?;
    let serial_log = folder.file("serial.log");
    let setup = Setup {
        accelerator: Accelerator::Kvm,
        firmware: Some(firmware),
        memory_mib: 256,
        cpus: 1,
        serial_log: &serial_log,
        boot: Boot::Firmware,
    };
    let machine = launch(&folder, &setup, None)?;
    let begun = Instant::now();
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(BootError::Cancelled);
        }
        if std::fs::metadata(&serial_log).is_ok_and(|log| log.len() > 0) {
            return Ok(Probe { accelerator: Accelerator::Kvm, reason: None });
        }
        let said = std::fs::read_to_string(folder.file(LOG)).unwrap_or_default();
        if let Some(line) = said.lines().find(|line| line.starts_with("KVM internal error")) {
            return emulate(format!("the firmware does not run under KVM: {line}"));
        }
        if let Some(status) = machine.ended() {
            let last = said.lines().last().unwrap_or_default();
            return emulate(format!("QEMU with KVM ended ({status}) {last}").trim_end().to_owned());
        }
        if begun.elapsed() > PROBE_LIMIT {
            return emulate(format!("the firmware wrote nothing under KVM for {} s", PROBE_LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
