//! The external programs the engine may run: a closed list, each with the package that brings it.
//!
//! Missing, could not be run, and failed are three different errors; the last two carry the command as a person
//! could type it and the end of what it printed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A program of the host that the engine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the program of that name")]
pub enum Tool {
    Mmdebstrap,
    Gpgv,
    Ip,
    Nft,
    Mke2fs,
    Debugfs,
    Tune2fs,
    Dumpe2fs,
    E2fsck,
    Mformat,
    Mcopy,
    Qemu,
    Ssh,
    SshKeygen,
    Setpriv,
    Nsenter,
    Gzip,
    Xz,
    Zstd,
    QemuImg,
}

impl Tool {
    /// What builds on known sources and `try` need, for `doctor`. What unpacks a base of one's own is asked for when
    /// there is one.
    pub const ALL: [Self; 13] = [
        Self::Mmdebstrap,
        Self::Gpgv,
        Self::Ip,
        Self::Nft,
        Self::Mke2fs,
        Self::Debugfs,
        Self::Mformat,
        Self::Mcopy,
        Self::Qemu,
        Self::Ssh,
        Self::SshKeygen,
        Self::Setpriv,
        Self::Nsenter,
    ];

    /// File name of the program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Mmdebstrap => "mmdebstrap",
            Self::Gpgv => "gpgv",
            Self::Ip => "ip",
            Self::Nft => "nft",
            Self::Mke2fs => "mke2fs",
            Self::Debugfs => "debugfs",
            Self::Tune2fs => "tune2fs",
            Self::Dumpe2fs => "dumpe2fs",
            Self::E2fsck => "e2fsck",
            Self::Mformat => "mformat",
            Self::Mcopy => "mcopy",
            Self::Qemu => "qemu-system-x86_64",
            Self::Ssh => "ssh",
            Self::SshKeygen => "ssh-keygen",
            Self::Setpriv => "setpriv",
            Self::Nsenter => "nsenter",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::QemuImg => "qemu-img",
        }
    }

    /// Debian package that brings it.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Mmdebstrap => "mmdebstrap",
            Self::Gpgv => "gpgv",
            Self::Ip => "iproute2",
            Self::Nft => "nftables",
            Self::Mke2fs | Self::Debugfs | Self::Tune2fs | Self::Dumpe2fs | Self::E2fsck => "e2fsprogs",
            Self::Mformat | Self::Mcopy => "mtools",
            Self::Qemu => "qemu-system-x86",
            Self::Ssh | Self::SshKeygen => "openssh-client",
            Self::Setpriv | Self::Nsenter => "util-linux",
            Self::Gzip => "gzip",
            Self::Xz => "xz-utils",
            Self::Zstd => "zstd",
            Self::QemuImg => "qemu-utils",
        }
    }

    /// What the engine needs it for.
    pub const fn needed_for(self) -> &'static str {
        match self {
            Self::Mmdebstrap => "making the base from the distribution's packages",
            Self::Gpgv => "checking the archive's signatures",
            Self::Ip => "the addresses and routes of the build's network namespace",
            Self::Nft => "the rules of the build's network namespace",
            Self::Mke2fs => "writing the root file system",
            Self::Debugfs => "comparing the finished disk with what it was written from",
            Self::Tune2fs | Self::Dumpe2fs | Self::E2fsck => "making a disk of the base's file system",
            Self::Mformat | Self::Mcopy => "writing the EFI system partition",
            Self::Qemu => "booting the image, and building in a virtual machine",
            Self::Ssh | Self::SshKeygen => "running smoke tests and build steps in a virtual machine",
            Self::Setpriv => "ending the virtual machine when this program ends",
            Self::Nsenter => "giving a virtual machine the network namespace of a build",
            Self::Gzip | Self::Xz | Self::Zstd => "unpacking a compressed base of your own",
            Self::QemuImg => "reading a base of your own in the qcow2 or dynamic VHD format",
        }
    }

    /// Where the program is: `PATH`, then the administrator's folders that an ordinary user's `PATH` lacks.
    pub fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .map(|folder| folder.join(self.program()))
            .find(|candidate| candidate.is_file())
    }

    /// A command that runs this tool with no input and in the C locale.
    ///
    /// # Errors
    /// [`ToolError::Missing`] when it is not installed.
    pub fn command(self) -> Result<Command, ToolError> {
        let path = self.find().ok_or(ToolError::Missing { tool: self })?;
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
        Ok(command)
    }
}

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The program is not on this machine.
    #[error("{} is not installed (package {})", tool.program(), tool.package())]
    Missing {
        /// Which one.
        tool: Tool,
    },
    /// The program is there but could not be started.
    #[error("could not run `{command}`")]
    CouldNotRun {
        /// The command as a person could type it.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// The program ran and failed.
    #[error("`{command}` failed ({status}): {tail}")]
    Failed {
        /// The command as a person could type it.
        command: String,
        /// Exit status or signal.
        status: std::process::ExitStatus,
        /// The last lines it printed.
        tail: String,
    },
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// [`ToolError::CouldNotRun`] or [`ToolError::Failed`].
pub fn run(command: &mut Command) -> Result<Output, ToolError> {
    let rendered = render(command);
    let output =
        command.output().map_err(|source| ToolError::CouldNotRun { command: rendered.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(ToolError::Failed { command: rendered, status: output.status, tail: tail(&text, 12) })
}

/// The command as a person could type it.
pub fn render(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last `lines` lines of `text`.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
