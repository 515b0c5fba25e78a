//! Tests that run over SSH in the booted image.

use crate::tools::tools_of;
use crate::{Recipe, Ssh};

/// A test: a command that must succeed and print something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmokeTest {
    /// What the test shows.
    pub name: String,
    /// A command for `/bin/sh`, run as a user who may use sudo without a password. It must exit with 0.
    pub run: String,
    /// Text that its standard output must contain; `None` when the exit code says it all.
    pub expect: Option<String>,
}

impl SmokeTest {
    fn new(name: impl Into<String>, run: impl Into<String>, expect: &str) -> Self {
        Self { name: name.into(), run: run.into(), expect: Some(expect.to_owned()) }
    }
}

/// Prints the failed units, or that there are none. Waits for the end of the boot, but not for ever.
const NO_FAILED_UNITS: &str = "timeout 300 systemctl is-system-running --wait > /dev/null; \
    failed=$(systemctl list-units --failed --plain --no-legend); \
    echo \"${failed:-no failed units}\"; test -z \"$failed\"";

/// Compares the root file system with its disk; the rest is the EFI system partition and ext4's own data.
const ROOT_GREW: &str = "root=$(findmnt --noheadings --output SOURCE /); \
    disk=$(lsblk --noheadings --output PKNAME \"$root\" | head -n 1); \
    disk_bytes=$(lsblk --noheadings --nodeps --bytes --output SIZE \"/dev/$disk\"); \
    root_bytes=$(df --block-size=1 --output=size / | tail -n 1); \
    echo \"$root_bytes of $disk_bytes bytes\"; test $((root_bytes * 10)) -ge $((disk_bytes * 8))";

/// The tests that any image must pass, whatever template it was built from: no unit failed, and the root file
/// system filled the disk.
pub fn posture_tests() -> Vec<SmokeTest> {
    vec![
        SmokeTest::new("no failed units", NO_FAILED_UNITS, "no failed units"),
        SmokeTest::new("the root file system filled its disk", ROOT_GREW, "bytes"),
    ]
}

impl Ssh {
    /// The settings that `sshd -T` must print, each a line of its own.
    pub(crate) fn effective(self) -> [String; 5] {
        self.directives().map(|line| line.to_ascii_lowercase())
    }
}

impl Recipe {
    /// Every test of the booted image: each tool answers, the SSH daemon's settings are in effect, the posture
    /// tests, then the recipe's own.
    pub fn smoke_tests(&self) -> Vec<SmokeTest> {
        let mut tests = Vec::new();
        for package in &self.packages {
            let known: Vec<_> = tools_of(package)
                .map(|tool| SmokeTest::new(format!("{} answers", tool.name), tool.run, tool.expect))
                .collect();
            if known.is_empty() {
                let run = format!("dpkg-query --show --showformat='${{db:Status-Status}}' {package}");
                tests.push(SmokeTest::new(format!("{package} is installed"), run, "installed"));
            }
            tests.extend(known);
        }
        for setting in self.ssh.effective() {
            // A whole line is asked for, so that `maxauthtries 60` does not pass for 6.
            let run = format!("sudo sshd -T | grep --line-regexp '{setting}'");
            tests.push(SmokeTest::new(format!("sshd: {setting}"), run, &setting));
        }
        tests.extend(posture_tests());
        tests.extend(self.extra_smoke_tests.iter().cloned());
        tests
    }
}
