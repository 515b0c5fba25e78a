//! The same work by other tools, from the same disk, without hardware acceleration as ours needs none.
//!
//! Each gets the command line that its own documentation suggests for a machine without KVM. One that is not
//! installed, or does not run here, is a line in the table, not an error.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ours::{JQ, NOTHING, base_disk};
use super::{Bench, Row, checked, write};
use crate::process::{command, succeeds};

/// Measures every peer in the scenarios that are wanted.
pub fn measure(bench: &Bench, wanted: &dyn Fn(&str) -> bool) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |scenario, by, probe: &str, seconds: &dyn Fn() -> Result<Vec<f64>, String>| {
        if wanted(scenario) {
            eprintln!("  {scenario}, by {by} ...");
            let installed = succeeds(&mut command(by, &[probe]));
            let seconds = if installed { seconds() } else { Err("not installed".to_owned()) };
            rows.push(Row { scenario, by, seconds, promise: None });
        }
    };
    add(JQ, "virt-customize", "--version", &|| virt_customize(bench));
    add(JQ, "packer", "version", &|| packer(bench));
    add(NOTHING, "mkosi", "--version", &|| mkosi(bench));
    rows
}

/// A fixed VHD is a raw disk and a footer of 512 bytes: what the others start from is ours without the footer.
fn raw_disk(bench: &Bench, name: &str) -> Result<PathBuf, String> {
    let raw = bench.folder.join(name);
    let vhd = base_disk(bench);
    checked(command("cp", &["--sparse=always"]).arg(&vhd).arg(&raw))?;
    checked(command("truncate", &["--size=-512"]).arg(&raw))?;
    Ok(raw)
}

fn virt_customize(bench: &Bench) -> Result<Vec<f64>, String> {
    bench.time(|_| {
        let disk = raw_disk(bench, "virt-customize.raw")?;
        let mut customize = command("virt-customize", &["--quiet", "--format", "raw", "-a"]);
        customize.arg(disk).args(["--install", "jq", "--write", "/etc/built-by:bench"]);
        customize.env("LIBGUESTFS_BACKEND", "direct").env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
        customize.env("LIBGUESTFS_MEMSIZE", "1024");
        Ok(customize)
    })
}

fn packer(bench: &Bench) -> Result<Vec<f64>, String> {
    let folder = bench.folder("packer").map_err(|stop| stop.message)?;
    let disk = raw_disk(bench, "packer.raw")?;
    let key = folder.join("key");
    if !key.exists() {
        checked(command("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
    }
    let seed = seed_disk(&folder, &key)?;
    let text = packer_template(&disk, &seed, &key);
    let file = folder.join("jq.json");
    write(&file, &text).map_err(|stop| stop.message)?;
    bench.time(|_| {
        let _ = std::fs::remove_dir_all(folder.join("out"));
        let mut build = command("packer", &["build", "-color=false"]);
        build.arg(&file).current_dir(&folder);
        Ok(build)
    })
}

/// A cloud-init `NoCloud` seed: a FAT file system called `cidata`.
fn seed_disk(folder: &Path, key: &Path) -> Result<PathBuf, String> {
    let public = std::fs::read_to_string(key.with_extension("pub")).map_err(|error| error.to_string())?;
    let user_data = format!(
        "#cloud-config\nlocale: C.UTF-8\nusers:\n  - name: packer\n    shell: /bin/bash\n    \
         sudo: ALL=(ALL) NOPASSWD:ALL\n    ssh_authorized_keys:\n      - {}\n",
        public.trim()
    );
    let seed = folder.join("seed.img");
    let _ = std::fs::remove_file(&seed);
    checked(command("mformat", &["-C", "-f", "1440", "-v", "cidata", "-i"]).arg(&seed).arg("::"))?;
    for (name, text) in [("user-data", user_data.as_str()), ("meta-data", "instance-id: bench\n")] {
        let file = folder.join(name);
        write(&file, text).map_err(|stop| stop.message)?;
        checked(command("mcopy", &["-o", "-i"]).arg(&seed).arg(file).arg("::"))?;
    }
    Ok(seed)
}

/// The disk boots with UEFI only, and `qemu64` is the processor that emulates fastest.
fn packer_template(disk: &Path, seed: &Path, key: &Path) -> String {
    let (disk, seed, key) = (disk.display(), seed.display(), key.display());
    format!(
        r#"{{
  "builders": [{{
    "type": "qemu", "accelerator": "none", "headless": true, "disk_image": true, "format": "raw",
    "iso_url": "{disk}", "iso_checksum": "none", "output_directory": "out", "vm_name": "jq.raw",
    "disk_interface": "virtio", "net_device": "virtio-net", "memory": 2048, "cpus": 2, "skip_resize_disk": true,
    "ssh_username": "packer", "ssh_private_key_file": "{key}", "ssh_timeout": "10m",
    "shutdown_command": "sudo systemctl poweroff",
    "qemuargs": [["-machine", "q35"], ["-cpu", "qemu64"], ["-bios", "/usr/share/ovmf/OVMF.fd"],
      ["-drive", "file=out/jq.raw,if=virtio,cache=unsafe,discard=unmap,format=raw"],
      ["-drive", "file={seed},if=virtio,format=raw,readonly=on"]]
  }}],
  "provisioners": [{{
    "type": "shell",
    "inline": ["sudo apt-get update", "sudo apt-get install --yes jq", "echo bench | sudo tee /etc/built-by"]
  }}]
}}
"#
    )
}

/// mkosi of Debian 12 (14) has other settings than the one that documents itself today.
fn mkosi(bench: &Bench) -> Result<Vec<f64>, String> {
    const PACKAGES: &str =
        "linux-image-cloud-amd64,systemd,systemd-sysv,udev,dbus,jq,openssh-server,cloud-init,sudo";
    let folder = bench.folder("mkosi").map_err(|stop| stop.message)?;
    let answer = checked(&mut command("mkosi", &["--version"]))?;
    let version = answer.split_whitespace().find_map(|word| word.split('.').next()?.parse::<u32>().ok());
    let (output, content) = match version {
        Some(..=14) => ("Format=gpt_ext4\nBootable=yes\n", ""),
        _ => ("Format=disk\n", "Bootable=yes\n"),
    };
    let settings = format!(
        "[Distribution]\nDistribution=debian\nRelease=trixie\n\n[Output]\n{output}\n\
         [Content]\n{content}Packages={PACKAGES}\n"
    );
    write(&folder.join("mkosi.conf"), &settings).map_err(|stop| stop.message)?;
    let ran = bench.time(|_| {
        let mut build: Command = command("mkosi", &["--force", "build"]);
        build.current_dir(&folder);
        Ok(build)
    });
    ran.map_err(|why| match version {
        Some(old @ ..=14) => {
            format!("mkosi {old} wants partition nodes of loop devices and a kernel that mounts vfat: {why}")
        }
        _ => why,
    })
}
