//! The command line of QEMU.
//!
//! File names without a folder are in the private folder, where QEMU is started. The guest's network is restricted:
//! nothing but the forwarded SSH port connects it with the host, and nothing with the world.

use std::path::Path;

use serde_json::json;

use super::accelerator::Accelerator;
use super::firmware::Firmware;
use super::image::DiskImage;
use super::seed;

/// File name of this boot's firmware variables in the private folder.
pub(super) const VARIABLES: &str = "variables.fd";
/// File name of the copy-on-write disk in the private folder.
pub(super) const OVERLAY: &str = "overlay.qcow2";

/// Everything that QEMU's command line depends on.
pub(super) struct Setup<'a> {
    pub(super) accelerator: Accelerator,
    pub(super) firmware: &'a Firmware,
    pub(super) memory_mib: u32,
    pub(super) cpus: u8,
    pub(super) serial_log: &'a Path,
    /// The image to boot and the host's port for SSH; without them the firmware alone runs.
    pub(super) guest: Option<(&'a DiskImage, u16)>,
}

/// QEMU's arguments.
pub(super) fn arguments(setup: &Setup<'_>) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: String| arguments.extend([format!("-{option}"), value]);
    let secure = setup.firmware.secure_boot;
    let smm = if secure { ",smm=on" } else { "" };
    add("machine", format!("q35{smm},pflash0=code,pflash1=variables"));
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
    let flash = |name: &str, file: &Path, read_only: bool| {
        json!({"driver": "file", "node-name": name, "filename": file, "read-only": read_only}).to_string()
    };
    add("blockdev", flash("code", &setup.firmware.code, true));
    add("blockdev", flash("variables", Path::new(VARIABLES), false));
    if let Some((image, ssh_port)) = setup.guest {
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
        add("device", "virtio-net-pci,netdev=net,romfile=".to_owned());
    }
    add("object", "rng-random,id=random,filename=/dev/urandom".to_owned());
    add("device", "virtio-rng-pci,rng=random".to_owned());
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    arguments
}

/// A value inside a comma-separated option.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

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
            firmware: &firmware(false),
            memory_mib: 2048,
            cpus: 2,
            serial_log: Path::new("/out/a,b.log"),
            guest: Some((&image, 40022)),
        };
        let text = lines(&arguments(&setup)).replace(&image.path().display().to_string(), "/images/disk.vhd");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn firmware_alone_with_secure_boot_and_kvm() {
        let setup = Setup {
            accelerator: Accelerator::Kvm,
            firmware: &firmware(true),
            memory_mib: 256,
            cpus: 1,
            serial_log: Path::new("serial.log"),
            guest: None,
        };
        insta::assert_snapshot!(lines(&arguments(&setup)));
    }
}
