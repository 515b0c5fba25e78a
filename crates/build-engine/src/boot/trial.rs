//! The whole trial of an image: boot, tests, and a second boot that must be another machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::accelerator::{Accelerator, probe};
use super::error::BootError;
use super::firmware::Firmware;
use super::image::DiskImage;
use super::machine::{Identity, Machine, MachineSpec};
use super::report::{Status, TestResult, TryReport, seconds};
use super::serial::{Stage, Trouble, plain_text};
use super::smoke::{self, FRESH_IDENTITY, Outcome, POSTURE, SmokeTest};

/// An image to be tried.
#[derive(Clone, Debug)]
pub struct TrySpec {
    /// Raw disk or fixed VHD; never changed.
    pub image: PathBuf,
    /// The recipe's tests.
    pub tests: Vec<SmokeTest>,
    /// Whether the posture tests are run as well.
    pub posture: bool,
    /// Whether the image is booted twice, to see that the two are different machines. Doubles the time.
    pub second_boot: bool,
    /// Whether the firmware refuses unsigned boot loaders.
    pub secure_boot: bool,
    /// Memory of the guest in MiB.
    pub memory_mib: u32,
    /// Processors of the guest, from 1.
    pub cpus: u8,
    /// Where private folders are made, and where the serial logs `boot-1.log` and `boot-2.log` stay.
    pub work_dir: PathBuf,
    /// How long a guest may be silent before it is given up.
    pub quiet_limit: Duration,
    /// Set by whoever wants this to stop.
    pub cancel: Arc<AtomicBool>,
}

impl TrySpec {
    /// The usual trial: posture tests, two boots, 2 processors, 2 GiB, three minutes of silence.
    pub fn new(image: PathBuf, work_dir: PathBuf) -> Self {
        Self {
            image,
            tests: Vec::new(),
            posture: true,
            second_boot: true,
            secure_boot: false,
            memory_mib: 2048,
            cpus: 2,
            work_dir,
            quiet_limit: Duration::from_mins(3),
            cancel: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The virtual machine of one boot of this trial, numbered from 1.
    ///
    /// # Errors
    /// [`BootError::Image`] when the image cannot be booted here.
    pub fn machine(&self, boot: u32, accelerator: Accelerator) -> Result<MachineSpec, BootError> {
        let image = DiskImage::open(&self.image)?;
        Ok(MachineSpec {
            disk: self.image.clone(),
            disk_size: Some(grown(image.size())),
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            accelerator,
            secure_boot: self.secure_boot,
            work_dir: self.work_dir.clone(),
            serial_log: self.work_dir.join(format!("boot-{boot}.log")),
            quiet_limit: self.quiet_limit,
            cancel: Arc::clone(&self.cancel),
        })
    }
}

/// What happens during a trial.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is known how the guest's instructions are run.
    Accelerator {
        /// How.
        accelerator: Accelerator,
        /// Why not by KVM, where it is not.
        reason: Option<String>,
    },
    /// A guest came further.
    Stage {
        /// Which boot, from 1.
        boot: u32,
        /// How far.
        stage: Stage,
        /// Since the start of that boot.
        seconds: f64,
    },
    /// A guest could not start because this machine is busy, and is started again.
    Restarted {
        /// Which boot, from 1.
        boot: u32,
        /// What happened.
        reason: String,
    },
    /// A guest answered its first command.
    Ready {
        /// Which boot, from 1.
        boot: u32,
        /// Since the start of that boot.
        seconds: f64,
    },
    /// A test begins.
    TestStarted {
        /// Its name.
        name: String,
    },
    /// A test ended.
    TestEnded(TestResult),
}

/// Receives events in the order in which they happen.
pub type Observer<'a> = dyn Fn(&Event) + 'a;

/// Boots an image and runs its tests; on return, whatever it is, nothing is left running, and nothing is left but the
/// serial logs.
///
/// # Errors
/// [`BootError`] when the image does not come to the point where tests could be run, or this machine cannot boot
/// any. A test that fails is in the report.
pub fn try_image(spec: &TrySpec, observe: &Observer<'_>) -> Result<TryReport, BootError> {
    DiskImage::open(&spec.image)?;
    std::fs::create_dir_all(&spec.work_dir).map_err(BootError::io("create", &spec.work_dir))?;
    let firmware = Firmware::find(spec.secure_boot)?;
    let found = probe(&firmware, &spec.work_dir, &spec.cancel)?;
    let accelerator = found.accelerator;
    observe(&Event::Accelerator { accelerator, reason: found.reason });
    let (machine, boot_time) = boot(&spec.machine(1, accelerator)?, 1, observe)?;
    let mut tests = Tests { observe, results: Vec::new() };
    for test in &spec.tests {
        tests.run(&test.name, || smoke::run(&machine, test))?;
    }
    if spec.posture {
        for (name, work) in POSTURE {
            tests.run(name, || work(&machine))?;
        }
        tests.run(FRESH_IDENTITY, || fresh_identity(spec, accelerator, machine, observe))?;
    }
    Ok(TryReport {
        image: spec.image.display().to_string(),
        boot_seconds: seconds(boot_time),
        accelerator: Some(accelerator),
        tests: tests.results,
    })
}

/// How often a guest that is starved by this machine is started. It happens within seconds of the start, to about one
/// boot in ten on a machine with four times more work than processors.
const STARTS: u32 = 5;

/// Boots to the first answered command; how long that took. `number` is told with the events.
///
/// # Errors
/// As [`Machine::start`] and [`Machine::wait_for_ssh`].
pub fn boot(
    machine: &MachineSpec,
    number: u32,
    observe: &Observer<'_>,
) -> Result<(Machine, Duration), BootError> {
    let mut start = 1;
    loop {
        match boot_once(machine, number, observe) {
            Err(BootError::Guest { trouble: trouble @ Trouble::Starved, .. }) if start < STARTS => {
                observe(&Event::Restarted { boot: number, reason: trouble.to_string() });
                start += 1;
            }
            other => return other,
        }
    }
}

fn boot_once(
    spec: &MachineSpec,
    number: u32,
    observe: &Observer<'_>,
) -> Result<(Machine, Duration), BootError> {
    let begun = Instant::now();
    let mut machine = Machine::start(spec)?;
    let took = machine.wait_for_ssh(&|stage| {
        observe(&Event::Stage { boot: number, stage, seconds: seconds(begun.elapsed()) });
    })?;
    observe(&Event::Ready { boot: number, seconds: seconds(took) });
    Ok((machine, took))
}

/// Ends the first machine, so that the second has the host's processors to itself, and compares the two.
fn fresh_identity(
    spec: &TrySpec,
    accelerator: Accelerator,
    first: Machine,
    observe: &Observer<'_>,
) -> Result<Outcome, BootError> {
    if !spec.second_boot {
        return Ok((Status::Skip, "no second boot was asked for".to_owned()));
    }
    let identity: Identity = first.identity()?;
    drop(first);
    let (second, _) = boot(&spec.machine(2, accelerator)?, 2, observe)?;
    Ok(smoke::judge_identities(&identity, &second.identity()?))
}

/// The tests of a trial as they run.
struct Tests<'a> {
    observe: &'a Observer<'a>,
    results: Vec<TestResult>,
}

impl Tests<'_> {
    /// Runs a test. An error that tells something about the image is a failed test; one that tells something about
    /// this machine, or that the caller wants to stop, ends the trial.
    fn run(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<Outcome, BootError>,
    ) -> Result<(), BootError> {
        (self.observe)(&Event::TestStarted { name: name.to_owned() });
        let begun = Instant::now();
        let (status, detail) = match work() {
            Ok(outcome) => outcome,
            Err(error @ BootError::Guest { trouble: Trouble::Starved, .. }) => return Err(error),
            Err(
                error @ (BootError::Unfinished { .. }
                | BootError::Unanswered { .. }
                | BootError::Guest { .. }
                | BootError::Silent { .. }),
            ) => (Status::Fail, error.to_string()),
            Err(error) => return Err(error),
        };
        // The guest's words may reach a terminal; its control sequences do not.
        let detail = plain_text(detail.as_bytes());
        let result = TestResult { name: name.to_owned(), status, detail, seconds: seconds(begun.elapsed()) };
        (self.observe)(&Event::TestEnded(result.clone()));
        self.results.push(result);
        Ok(())
    }
}

/// The disk that the guest sees: larger than the image by more than a file system's own bookkeeping.
const fn grown(size: u64) -> u64 {
    const LEAST: u64 = 2 << 30;
    let eighth = size / 8 / 512 * 512;
    size + if eighth > LEAST { eighth } else { LEAST }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_grows_by_more_than_a_file_system_needs_for_itself() {
        for gib in [1, 2, 30, 127, 4095] {
            let size: u64 = gib << 30;
            let after = grown(size);
            assert!(after.is_multiple_of(512));
            // ext4 keeps less than 2.5 %, the partitions before the root less than 256 MiB.
            assert!(after - after / 40 - (256 << 20) > size, "{gib} GiB");
        }
        assert!(grown(512 * 3_000_001).is_multiple_of(512));
    }
}
