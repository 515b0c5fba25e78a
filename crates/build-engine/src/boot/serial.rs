//! How far a guest has come, read from what it wrote on its serial console.

use std::fmt;

use serde::Serialize;

/// How far a boot has come, in the order in which it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// UEFI firmware runs.
    Firmware,
    /// The boot loader, or the kernel's own EFI stub, runs.
    Bootloader,
    /// The kernel runs.
    Kernel,
    /// The initial RAM file system looks for the root file system.
    Initrd,
    /// systemd runs from the root file system.
    Systemd,
    /// cloud-init works.
    CloudInit,
    /// The SSH service was started.
    Ssh,
    /// A login prompt is shown.
    Login,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Firmware => "the firmware",
            Self::Bootloader => "the boot loader",
            Self::Kernel => "the kernel",
            Self::Initrd => "the initial RAM file system",
            Self::Systemd => "systemd",
            Self::CloudInit => "cloud-init",
            Self::Ssh => "the SSH service",
            Self::Login => "the login prompt",
        })
    }
}

/// Something that a guest does not recover from by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The firmware found nothing that it may boot.
    NothingToBoot,
    /// The boot loader waits for a command.
    BootloaderShell,
    /// The kernel panicked.
    Panic,
    /// The kernel panicked because its timer did not tick; that is this machine's doing: it was too busy to emulate
    /// one in time. Another start may well succeed.
    Starved,
    /// The initial RAM file system did not find the root file system.
    NoRootFileSystem,
    /// systemd stopped in emergency or rescue mode.
    EmergencyMode,
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NothingToBoot => "the firmware found nothing to boot",
            Self::BootloaderShell => "the boot loader waits for a command",
            Self::Panic => "the kernel panicked",
            Self::Starved => "this machine is too busy to emulate another",
            Self::NoRootFileSystem => "the root file system was not found",
            Self::EmergencyMode => "systemd stopped in emergency mode",
        })
    }
}

/// What a serial log says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reading {
    /// The furthest stage reached; `None` while nothing was written.
    pub stage: Option<Stage>,
    /// The first trouble, with the line that tells it.
    pub trouble: Option<(Trouble, String)>,
}

/// Reads a serial log from its beginning. Any bytes are a log; what is not known is passed over.
pub fn read(log: &[u8]) -> Reading {
    let mut reading = Reading::default();
    for line in plain_text(log).lines() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let message = without_timestamp(line);
        reading.stage = reading.stage.max(Some(stage_of(line, message)));
        if reading.trouble.is_none() {
            reading.trouble = trouble_of(message).map(|trouble| (trouble, line.to_owned()));
        }
    }
    reading
}

/// The last `lines` lines that are not empty, without control sequences.
pub(super) fn tail(log: &[u8], lines: usize) -> String {
    let text = plain_text(log);
    let all: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The stage that a line proves; every line proves at least that the firmware runs.
fn stage_of(line: &str, message: &str) -> Stage {
    // The boot loader comes first: "Welcome to GRUB!" is not systemd's greeting.
    const SIGNS: [(Stage, &[&str]); 6] = [
        (Stage::Bootloader, &["Booting `", "GNU GRUB", "Welcome to GRUB", "EFI stub: "]),
        (Stage::Kernel, &["Linux version "]),
        (Stage::Initrd, &["Run /init as init process", "Loading, please wait...", "Begin: "]),
        (Stage::Systemd, &["running in system mode", "Welcome to "]),
        (Stage::CloudInit, &["Cloud-init v. ", "Starting cloud-init", "Started cloud-init"]),
        (Stage::Ssh, &["Started ssh.service", "Started sshd.service", "Started OpenBSD Secure Shell server"]),
    ];
    if line.ends_with(" login:") || line.contains(" login: ") {
        return Stage::Login;
    }
    SIGNS
        .iter()
        .find(|(_, signs)| signs.iter().any(|sign| message.contains(sign)))
        .map_or(Stage::Firmware, |(stage, _)| *stage)
}

fn trouble_of(message: &str) -> Option<Trouble> {
    const SIGNS: [(Trouble, &[&str]); 6] = [
        (
            Trouble::NothingToBoot,
            &["Shell>", "UEFI Interactive Shell", "BdsDxe: No bootable option or device was found"],
        ),
        (Trouble::BootloaderShell, &["grub rescue>", "grub>", "Minimal BASH-like line editing"]),
        (Trouble::Starved, &["Kernel panic - not syncing: IO-APIC + timer doesn't work"]),
        (Trouble::Panic, &["Kernel panic - not syncing"]),
        (Trouble::NoRootFileSystem, &["(initramfs)", "Gave up waiting for root file system device"]),
        (
            Trouble::EmergencyMode,
            &[
                "You are in emergency mode",
                "You are in rescue mode",
                "Cannot open access to console, the root account is locked",
                "Give root password for maintenance",
            ],
        ),
    ];
    SIGNS
        .iter()
        .find(|(_, signs)| signs.iter().any(|sign| message.starts_with(sign)))
        .map(|(trouble, _)| *trouble)
}

/// A kernel line without its `[    1.234567] `.
fn without_timestamp(line: &str) -> &str {
    line.strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .filter(|(time, _)| time.trim_start().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        .map_or(line, |(_, message)| message)
}

/// What a terminal would show: control sequences removed, carriage returns as line ends.
pub(super) fn plain_text(log: &[u8]) -> String {
    let mut text = Vec::with_capacity(log.len());
    let mut bytes = log.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            0x1b => skip_escape(&mut bytes),
            b'\r' => text.push(b'\n'),
            b'\n' | b'\t' => text.push(byte),
            0..0x20 | 0x7f => {}
            _ => text.push(byte),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Passes over the rest of an escape sequence (ECMA-48: CSI ends with a byte from `@` to `~`, OSC with BEL).
fn skip_escape(bytes: &mut impl Iterator<Item = u8>) {
    match bytes.next() {
        Some(b'[') => while bytes.next().is_some_and(|byte| !(0x40..=0x7e).contains(&byte)) {},
        // systemd ends some OSC sequences with BEL, others with ESC \.
        Some(b']') => while bytes.next().is_some_and(|byte| byte != 0x07 && byte != b'\\') {},
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The telling lines of a boot of Debian 13 with all their control sequences.
    const BOOT: [(&[u8], Stage); 11] = [
        (b"\x1b[2J\x1b[01;01H\x1b[=3h", Stage::Firmware),
        (b"BdsDxe: starting Boot0001 \"UEFI Misc Device\" from PciRoot(0x0)/Pci(0x1,0x0)\r\n", Stage::Firmware),
        (b"\x1b[H\x1b[J\x1b[1;1H    Booting `Debian'\r\n", Stage::Bootloader),
        (b"EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path\r\n", Stage::Bootloader),
        (b"[    0.000000] Linux version 6.12.1-cloud-amd64 (gcc-14)\r\n", Stage::Kernel),
        (b"[    4.345115] Run /init as init process\r\nLoading, please wait...\r\n", Stage::Initrd),
        (
            b"\x1b[!p\x1b]104\x07\x1b[?7h[   10.343516] systemd[1]: systemd 257 running in system mode (+PAM)\r\n",
            Stage::Systemd,
        ),
        (b"\x1b[0;1;39mWelcome to \x1b[0m\x1b[1mDebian GNU/Linux 13 (trixie)\x1b[0m!\r\n", Stage::Systemd),
        (b"[   37.172429] cloud-init[386]: Cloud-init v. 25.1.4 running 'init-local'\r\n", Stage::CloudInit),
        (b"[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh.service\x1b[0m - OpenBSD\r\n", Stage::Ssh),
        (b"jumpbox login: ", Stage::Login),
    ];

    #[test]
    fn a_whole_boot_is_followed_stage_by_stage() {
        let mut log = Vec::new();
        assert_eq!(read(&log).stage, None);
        for (line, stage) in BOOT {
            log.extend_from_slice(line);
            let expected = if log.len() == BOOT[0].0.len() { None } else { Some(stage) };
            assert_eq!(read(&log), Reading { stage: expected, trouble: None }, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn troubles_are_recognised_where_they_are_said_and_not_where_they_are_quoted() {
        let cases: [(&str, Option<Trouble>); 12] = [
            ("[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs", Some(Trouble::Panic)),
            ("[    0.0] Kernel panic - not syncing: IO-APIC + timer doesn't work!", Some(Trouble::Starved)),
            ("BdsDxe: No bootable option or device was found.", Some(Trouble::NothingToBoot)),
            ("\x1b[1;1HShell> ", Some(Trouble::NothingToBoot)),
            ("grub rescue> ", Some(Trouble::BootloaderShell)),
            ("grub> ", Some(Trouble::BootloaderShell)),
            (
                "Gave up waiting for root file system device.  Common problems:",
                Some(Trouble::NoRootFileSystem),
            ),
            ("(initramfs) ", Some(Trouble::NoRootFileSystem)),
            ("You are in emergency mode. After logging in, type", Some(Trouble::EmergencyMode)),
            ("Cannot open access to console, the root account is locked.", Some(Trouble::EmergencyMode)),
            ("[   12.0] cloud-init[9]: expecting: Kernel panic - not syncing", None),
            ("BdsDxe: failed to load Boot0001 \"UEFI Floppy\": Not Found", None),
        ];
        for (line, expected) in cases {
            let found = read(format!("one\r\n{line}\r\ntwo").as_bytes()).trouble;
            assert_eq!(found.as_ref().map(|(trouble, _)| *trouble), expected, "{line}");
        }
        let (_, line) = read(b"[    2.1] Kernel panic - not syncing: no init\r\n").trouble.unwrap();
        assert_eq!(line, "[    2.1] Kernel panic - not syncing: no init");
    }

    #[test]
    fn any_bytes_are_a_log() {
        for log in [&b"\x1b"[..], b"\x1b[", b"\x1b]104", b"\xff\xfe\x00[", b"[] ", b"\r\n\r\n"] {
            assert_eq!(read(log).trouble, None);
        }
        assert_eq!(read(b"\x1b[2J\r\n").stage, None, "control sequences alone say nothing");
        assert_eq!(read(b"\xff\n").stage, Some(Stage::Firmware));
    }

    #[test]
    fn the_tail_holds_the_last_lines_that_say_something() {
        let log = b"one\r\n\x1b[0mtwo\r\n\r\n\x1b[32mthree\x1b[0m  \r\n\r\n";
        assert_eq!(tail(log, 2), "two\nthree");
        assert_eq!(tail(log, 9), "one\ntwo\nthree");
        assert_eq!(tail(b"", 3), "");
    }
}
