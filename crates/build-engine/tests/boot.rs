//! Virtual machines that run nothing but their firmware: how they end, and what they leave.

#![allow(clippy::unwrap_used, clippy::unnecessary_wraps, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use build_engine::boot::{
    Accelerator, BootError, Event, Machine, MachineSpec, SmokeTest, Stage, Trouble, TrySpec, try_image,
};
use libtest_mimic::{Arguments, Failed, Trial};

type TestResult = Result<(), Failed>;
type Test = (&'static str, fn() -> TestResult);

fn main() {
    sandbox::enter_if_requested(&[]);
    let tests: &[Test] = &[
        (
            "a_disk_without_a_boot_loader_is_given_up_when_the_firmware_says_so",
            a_disk_without_a_boot_loader_is_given_up_when_the_firmware_says_so,
        ),
        ("an_interrupted_trial_leaves_nothing", an_interrupted_trial_leaves_nothing),
        ("a_machine_dies_with_a_parent_that_is_killed", a_machine_dies_with_a_parent_that_is_killed),
        (
            "an_unusable_image_is_refused_before_anything_starts",
            an_unusable_image_is_refused_before_anything_starts,
        ),
    ];
    let trials = tests.iter().map(|(name, test)| Trial::test(*name, *test)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A machine with a disk on which there is nothing.
fn blank(folder: &Path) -> MachineSpec {
    let disk = folder.join("blank.raw");
    fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let trial = TrySpec::new(disk, folder.join("work"));
    fs::create_dir_all(&trial.work_dir).unwrap();
    trial.machine(1, Accelerator::Tcg).unwrap()
}

/// How many processes name `folder` on their command line.
fn processes_of(folder: &Path) -> usize {
    let name = folder.as_os_str().as_encoded_bytes();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.windows(name.len()).any(|part| part == name))
        .count()
}

/// Names of the private folders of boots.
fn private_folders(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("work")).unwrap().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn a_disk_without_a_boot_loader_is_given_up_when_the_firmware_says_so() -> TestResult {
    let folder = tempfile::tempdir().unwrap();
    let spec = blank(folder.path());
    let before = fs::read(&spec.disk).unwrap();
    let stages = std::cell::RefCell::new(Vec::new());
    let mut machine = Machine::start(&spec).unwrap();
    let error = machine.wait_for_ssh(&|stage| stages.borrow_mut().push(stage)).unwrap_err();
    let BootError::Guest { trouble: Trouble::NothingToBoot, line, tail, log } = &error else {
        panic!("{error}");
    };
    assert!(tail.contains(line) && log == &spec.serial_log, "{error}");
    assert!(error.hint().unwrap().contains("EFI/BOOT/BOOTX64.EFI"));
    assert_eq!(stages.take(), [Stage::Firmware]);
    drop(machine);
    assert_eq!(processes_of(folder.path()), 0);
    assert_eq!(private_folders(folder.path()), Vec::<String>::new());
    assert_eq!(fs::read(&spec.disk).unwrap(), before);
    assert!(!fs::read(&spec.serial_log).unwrap().is_empty(), "the console is kept");
    Ok(())
}

fn an_interrupted_trial_leaves_nothing() -> TestResult {
    let folder = tempfile::tempdir().unwrap();
    let disk = blank(folder.path()).disk;
    let trial = TrySpec::new(disk, folder.path().join("work"));
    let interrupt = |event: &Event| {
        if let Event::Accelerator { .. } = event {
            assert_eq!(processes_of(folder.path()), 0, "the probe's machine is gone");
            trial.cancel.store(true, Ordering::Relaxed);
        }
    };
    let error = try_image(&trial, &interrupt).unwrap_err();
    assert!(matches!(error, BootError::Cancelled), "{error}");
    assert_eq!(processes_of(folder.path()), 0);
    assert_eq!(private_folders(folder.path()), Vec::<String>::new());
    Ok(())
}

fn a_machine_dies_with_a_parent_that_is_killed() -> TestResult {
    const FOLDER: &str = "BOOT_TEST_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        // This is the parent that will be killed.
        let _machine = Machine::start(&blank(Path::new(&folder))).unwrap();
        println!("started");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_machine_dies_with_a_parent_that_is_killed", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let started =
        BufReader::new(parent.stdout.take().unwrap()).lines().any(|line| line.unwrap().contains("started"));
    assert!(started, "the machine did not start");
    assert_eq!(processes_of(folder.path()), 1);
    parent.kill().unwrap();
    parent.wait().unwrap();
    // The kernel has sent the signal; the process is gone when it was scheduled once more.
    let killed = Instant::now();
    while processes_of(folder.path()) > 0 {
        assert!(killed.elapsed() < Duration::from_mins(1), "the machine outlives its parent");
        std::thread::yield_now();
    }
    let left = private_folders(folder.path());
    assert_eq!(left.len(), 1, "nobody was there to remove it: {left:?}");
    drop(Machine::start(&blank(folder.path())).unwrap());
    assert_eq!(private_folders(folder.path()), Vec::<String>::new());
    Ok(())
}

fn an_unusable_image_is_refused_before_anything_starts() -> TestResult {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.vhd");
    fs::write(&image, "conectix").unwrap();
    let mut trial = TrySpec::new(image, folder.path().join("work"));
    trial.tests.push(SmokeTest { name: "true".to_owned(), run: "true".to_owned(), expect: None });
    let error = try_image(&trial, &|_| ()).unwrap_err();
    assert!(matches!(error, BootError::Image(_)), "{error}");
    assert!(!folder.path().join("work").exists());
    Ok(())
}
