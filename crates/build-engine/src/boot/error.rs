//! Why an image could not be booted or examined.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::firmware::NoFirmware;
use super::image::ImageError;
use super::serial::{Stage, Trouble};
use crate::tools::ToolError;

/// Why a boot, or work in a booted image, did not succeed. A test that fails is not an error.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A program of the host is missing or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file of this boot could not be used.
    #[error("could not {action} {path}")]
    Io {
        /// What was tried, as a verb: "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The image is not one that can be booted here.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No UEFI firmware on this machine.
    #[error(transparent)]
    NoFirmware(#[from] NoFirmware),
    /// The guest said that it cannot go on.
    #[error("the image did not boot: {trouble}: {line}\n{tail}\nserial log: {log}")]
    Guest {
        /// What happened.
        trouble: Trouble,
        /// The console line that says so.
        line: String,
        /// The last lines of the serial console.
        tail: String,
        /// The whole serial log.
        log: PathBuf,
    },
    /// The guest has said nothing for too long and SSH does not answer.
    #[error(
        "the image was silent for {} s{} and SSH does not answer{}\n{tail}\nserial log: {log}",
        quiet.as_secs(),
        stage.map(|stage| format!(" after reaching {stage}")).unwrap_or_default(),
        ssh.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
    )]
    Silent {
        /// How long it said nothing.
        quiet: Duration,
        /// How far it came; `None` when it never wrote anything.
        stage: Option<Stage>,
        /// What the last attempt to log in printed, where there was one.
        ssh: Option<String>,
        /// The last lines of the serial console.
        tail: String,
        /// The whole serial log.
        log: PathBuf,
    },
    /// QEMU ended although nobody asked it to.
    #[error("QEMU ended ({status}): {output}\n{tail}\nserial log: {log}")]
    QemuEnded {
        /// Its exit status, in words.
        status: String,
        /// The end of what QEMU itself printed.
        output: String,
        /// The last lines of the serial console.
        tail: String,
        /// The whole serial log.
        log: PathBuf,
    },
    /// A command in the guest ran longer than it may.
    #[error("`{command}` did not end within {} s", limit.as_secs())]
    Unfinished {
        /// The command as it was given.
        command: String,
        /// How long it may take.
        limit: Duration,
    },
    /// The guest answered a question of ours with something that is no answer.
    #[error("could not tell {what} of the booted image: {answer}")]
    Unanswered {
        /// What was asked for.
        what: &'static str,
        /// What came back.
        answer: String,
    },
    /// The caller has no time left; everything that was started is stopped and removed.
    #[error("the time is over")]
    OutOfTime,
    /// The caller asked to stop; everything that was started is stopped and removed.
    #[error("interrupted")]
    Cancelled,
}

impl BootError {
    /// What would mend it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tool(ToolError::Missing { tool }) => Some(format!("apt-get install {}", tool.package())),
            Self::NoFirmware(_) => Some("apt-get install ovmf".to_owned()),
            Self::Guest { trouble: Trouble::NothingToBoot, .. } => Some(
                "the EFI system partition needs EFI/BOOT/BOOTX64.EFI; with Secure Boot it must be signed"
                    .to_owned(),
            ),
            Self::Guest { trouble: Trouble::Starved, .. } => {
                Some("try again when less is running".to_owned())
            }
            Self::Silent { stage: None | Some(Stage::Firmware | Stage::Bootloader), .. } => {
                Some("the kernel command line needs console=ttyS0 to show what happens".to_owned())
            }
            Self::Silent { ssh: None, .. } => {
                Some("does the image start its network by DHCP, and its SSH service?".to_owned())
            }
            Self::Silent { ssh: Some(_), .. } => {
                Some("cloud-init did not set up the user; does datasource_list include NoCloud?".to_owned())
            }
            _ => None,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
