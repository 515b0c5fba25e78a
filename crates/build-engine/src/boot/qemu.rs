//! The command line of QEMU, and the files that it opens.
//!
//! File names without a folder are in the private folder, where QEMU is started. An image that is tried has a
//! restricted network: nothing but the forwarded SSH port connects it with the host, and nothing with the world. A
//! guest that builds has QEMU's user-mode network, whose far end are ordinary sockets of QEMU's own process: it is
//! started in a network namespace whose only way out is the gateway.

use std::path::{Path, PathBuf};

use sandbox::Files;
use serde_json::json;

use super::accelerator::Accelerator;
use super::firmware::Firmware;
use super::image::DiskImage;
use super::seed;
use crate::tools::Tool;

/// File name of this boot's firmware variables in the private folder.
pub(super) const VARIABLES: &str = "variables.fd";
/// File name of the socket of QEMU's monitor in the private folder.
pub(super) const MONITOR: &str = "monitor";
/// File name of the copy-on-write disk in the private folder.
pub(super) const OVERLAY: &str = "overlay.qcow2";

/// Everything that QEMU's command line depends on.
pub(super) struct Setup<'a> {
    pub(super) accelerator: Accelerator,
    /// UEFI; without it QEMU's own BIOS runs, which can only start a kernel that is given.
    pub(super) firmware: Option<&'a Firmware>,
    pub(super) memory_mib: u32,
    pub(super) cpus: u8,
    pub(super) serial_log: &'a Path,
    pub(super) boot: Boot<'a>,
}

/// What is booted.
pub(super) enum Boot<'a> {
    /// The firmware alone.
    Firmware,
    /// An image, through a throw-away overlay, as a fresh machine.
    Image { image: &'a DiskImage, ssh_port: u16 },
    /// A kernel on a disk that is written to.
    Kernel { kernel: &'a Path, initrd: &'a Path, command_line: &'a str, disk: &'a DiskImage, net: &'a str },
}

/// QEMU's arguments.
pub(super) fn arguments(setup: &Setup<'_>) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: String| arguments.extend([format!("-{option}"), value]);
    let secure = setup.firmware.is_some_and(|firmware| firmware.secure_boot);
    let smm = if secure { ",smm=on" } else { "" };
    let flash = if setup.firmware.is_some() { ",pflash0=code,pflash1=variables" } else { "" };
    add("machine", format!("q35{smm}{flash}"));
    if secure {
        // Only code in system management mode may write the variables; else the guest could switch Secure Boot off.
        add("global", "driver=cfi.pflash01,property=secure,value=on".to_owned());
    }
    match setup.accelerator {
        Accelerator::Kvm => {
            add("accel", "kvm".to_owned());
            add("cpu", "host".to_owned());
        }
        // Measured: emulating a newer processor makes the boot up to four times slower.
        Accelerator::Tcg => {
            add("accel", "tcg,thread=multi,tb-size=512".to_owned());
            add("cpu", "qemu64".to_owned());
        }
    }
    add("smp", setup.cpus.to_string());
    add("m", setup.memory_mib.to_string());
    add("display", "none".to_owned());
    // Only the image may be booted: without this a broken image is followed by minutes of network boot.
    add("boot", "strict=on".to_owned());
    add("chardev", format!("file,id=serial,path={}", escape(setup.serial_log)));
    add("serial", "chardev:serial".to_owned());
    if let Some(firmware) = setup.firmware {
        add("blockdev", flash_chip("code", &firmware.code, true));
        add("blockdev", flash_chip("variables", Path::new(VARIABLES), false));
    }
    match &setup.boot {
        Boot::Firmware => {}
        Boot::Image { image, ssh_port } => {
            // The image never changes: it is opened read-only, and only as far as it is disk.
            let disk = json!({
                "driver": "qcow2", "node-name": "disk", "discard": "unmap", "cache": {"no-flush": true},
                "file": {"driver": "file", "filename": OVERLAY},
                "backing": {"driver": "raw", "offset": 0, "size": image.size(), "read-only": true,
                            "file": {"driver": "file", "filename": image.path(), "read-only": true}},
            });
            add("blockdev", disk.to_string());
            add("device", "virtio-blk-pci,drive=disk,bootindex=0".to_owned());
            let seed = json!({
                "driver": "raw", "node-name": "seed", "read-only": true,
                "file": {"driver": "file", "filename": seed::FILE, "read-only": true},
            });
            add("blockdev", seed.to_string());
            add("device", "virtio-blk-pci,drive=seed".to_owned());
            let forward = format!("hostfwd=tcp:127.0.0.1:{ssh_port}-:22");
            add("netdev", format!("user,id=net,restrict=on,ipv6=off,{forward}"));
            add("device", format!("virtio-net-pci,netdev=net,romfile=,mac={}", seed::MAC));
        }
        Boot::Kernel { kernel, initrd, command_line, disk, net } => {
            add("kernel", kernel.display().to_string());
            add("initrd", initrd.display().to_string());
            add("append", (*command_line).to_owned());
            // Thrown away when the build ends, so nothing needs to survive a crash of this machine.
            let disk = json!({
                "driver": "raw", "node-name": "disk", "offset": 0, "size": disk.size(),
                "discard": "unmap", "detect-zeroes": "unmap", "cache": {"no-flush": true},
                "file": {"driver": "file", "filename": disk.path(), "discard": "unmap"},
            });
            add("blockdev", disk.to_string());
            add("device", "virtio-blk-pci,drive=disk".to_owned());
            add("netdev", format!("user,id=net,ipv6=off,{net}"));
            add("device", "virtio-net-pci,netdev=net,romfile=".to_owned());
            add("qmp", format!("unix:{MONITOR},server=on,wait=off"));
        }
    }
    // What runs in there is anybody's script and QEMU is what holds it: it may not start programs.
    add("sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".to_owned());
    add("object", "rng-random,id=random,filename=/dev/urandom".to_owned());
    add("device", "virtio-rng-pci,rng=random".to_owned());
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    arguments
}

/// What QEMU reads of this machine: libraries, firmware, the resolver, the processors.
const HOST_FILES: [&str; 11] = [
    "/bin",
    "/lib",
    "/lib64",
    "/usr",
    "/nix",
    "/etc/ld.so.cache",
    "/etc/resolv.conf",
    "/proc/self",
    "/sys/devices/system",
    "/dev/urandom",
    "/dev/null",
];
/// Devices that it commands.
const DEVICES: [&str; 1] = ["/dev/kvm"];

/// Everything that QEMU can open when it is started in `folder`.
pub(super) fn files(setup: &Setup<'_>, folder: &Path) -> Files {
    let mut read = HOST_FILES.map(PathBuf::from).to_vec();
    read.extend(Tool::Qemu.find());
    read.extend(setup.firmware.map(|firmware| firmware.code.clone()));
    let mut write = DEVICES.map(PathBuf::from).to_vec();
    write.extend([setup.serial_log.to_owned(), folder.join(VARIABLES)]);
    match &setup.boot {
        Boot::Firmware => {}
        Boot::Image { image, .. } => {
            read.extend([image.path().to_owned(), folder.join(seed::FILE)]);
            write.push(folder.join(OVERLAY));
        }
        Boot::Kernel { kernel, initrd, disk, .. } => {
            read.extend([*kernel, *initrd].map(Path::to_owned));
            // The socket of the monitor is made in the folder.
            write.extend([disk.path(), folder].map(Path::to_owned));
        }
    }
    Files { read, write }
}

fn flash_chip(name: &str, file: &Path, read_only: bool) -> String {
    json!({"driver": "file", "node-name": name, "filename": file, "read-only": read_only}).to_string()
}

/// A value inside a comma-separated option.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn firmware(secure_boot: bool) -> Firmware {
        Firmware { code: PathBuf::from("/fw/code.fd"), variables: PathBuf::from("/fw/vars.fd"), secure_boot }
    }

    fn lines(arguments: &[String]) -> String {
        arguments.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn a_guest_under_emulation() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[0; 4096]).unwrap();
        let image = DiskImage::open(file.path()).unwrap();
        let setup = Setup {
            accelerator: Accelerator::Tcg,
            firmware: Some(&firmware(false)),
            memory_mib: 2048,
            cpus: 2,
            serial_log: Path::new("/out/a,b.log"),
            boot: Boot::Image { image: &image, ssh_port: 40022 },
        };
        let text = lines(&arguments(&setup)).replace(&image.path().display().to_string(), "/images/disk.vhd");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_guest_that_builds_may_write_its_disk_and_has_the_network_of_its_process() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[0; 4096]).unwrap();
        let disk = DiskImage::open(file.path()).unwrap();
        let boot = Boot::Kernel {
            kernel: Path::new("/guest/vmlinuz"),
            initrd: Path::new("/guest/initrd.img"),
            command_line: "root=/dev/vda1 rw",
            disk: &disk,
            net: "net=192.0.2.0/28",
        };
        let setup = Setup {
            accelerator: Accelerator::Tcg,
            firmware: None,
            memory_mib: 2048,
            cpus: 2,
            serial_log: Path::new("/guest/guest.log"),
            boot,
        };
        let text = lines(&arguments(&setup)).replace(&disk.path().display().to_string(), "/guest/disk.vhd");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn firmware_alone_with_secure_boot_and_kvm() {
        let setup = Setup {
            accelerator: Accelerator::Kvm,
            firmware: Some(&firmware(true)),
            memory_mib: 256,
            cpus: 1,
            serial_log: Path::new("serial.log"),
            boot: Boot::Firmware,
        };
        insta::assert_snapshot!(lines(&arguments(&setup)));
    }
}
