//! What cloud-init is told in a test boot: a NoCloud seed (a vfat volume named CIDATA with `user-data`, `meta-data` and
//! `network-config`), so that the image starts as a fresh virtual machine would.
//!
//! Two accounts are made. One has the one-time key and sudo. The other has a password that we know, so that a refused
//! password login proves the SSH service's settings and not an unknown password. Root gets the same key for the same
//! reason: only the SSH service's settings can then refuse it. The names are ones that no image uses.

use std::process::Command;

use super::error::BootError;
use super::rundir::RunDir;
use crate::tools::{Tool, run};

/// The account that tests use: sudo, the one-time key, no password.
pub(super) const ADMIN: &str = "try-admin";
/// The account whose password is known.
pub(super) const PASSWORD_USER: &str = "try-password";
/// Address of the only network interface.
pub(super) const MAC: &str = "52:54:00:12:34:56";
/// File name of the seed in the private folder.
pub(super) const FILE: &str = "seed.img";

/// What differs between two boots.
pub(super) struct Seed {
    /// Makes cloud-init see a new machine; unique for every boot.
    pub(super) instance_id: String,
    /// One line of an `authorized_keys` file.
    pub(super) public_key: String,
    /// Of [`PASSWORD_USER`]; letters, digits and dashes.
    pub(super) password: String,
}

impl Seed {
    fn hostname(&self) -> String {
        let unique: String = self.instance_id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("try-{unique}")
    }

    /// The cloud-config. Setting a locale and printing host keys to the console take seconds of an emulated boot and
    /// tell nothing about the image; SSH host keys, network and everything else keep the image's own settings, as
    /// those are what is being tested.
    pub(super) fn user_data(&self) -> String {
        let Self { public_key, password, .. } = self;
        format!(
            "#cloud-config
locale: false
ssh:
  emit_keys_to_console: false
disable_root: false
ssh_authorized_keys:
- '{public_key}'
users:
- name: {ADMIN}
  shell: /bin/bash
  lock_passwd: true
  sudo: 'ALL=(ALL) NOPASSWD:ALL'
  ssh_authorized_keys:
  - '{public_key}'
- name: {PASSWORD_USER}
  shell: /bin/bash
  lock_passwd: false
  plain_text_passwd: '{password}'
"
        )
    }

    pub(super) fn meta_data(&self) -> String {
        format!("instance-id: {}\nlocal-hostname: {}\n", self.instance_id, self.hostname())
    }

    /// The network, which a platform tells: IPv4 alone, so that no machine waits for an IPv6 address to prove unique.
    fn network_config() -> String {
        format!(
            "version: 2
ethernets:
  nic:
    match: {{macaddress: '{MAC}'}}
    dhcp4: true
    link-local: []
"
        )
    }

    /// Writes the volume into the private folder with mtools; nothing is mounted.
    pub(super) fn write(&self, folder: &RunDir) -> Result<(), BootError> {
        folder.write("user-data", self.user_data())?;
        folder.write("meta-data", self.meta_data())?;
        folder.write("network-config", Self::network_config())?;
        let inside = |tool: Tool| -> Result<Command, BootError> {
            let mut command = tool.command()?;
            command.current_dir(folder.path());
            Ok(command)
        };
        run(inside(Tool::Mformat)?.args(["-C", "-f", "1440", "-v", "CIDATA", "-i", FILE, "::"]))?;
        run(inside(Tool::Mcopy)?.args(["-i", FILE, "user-data", "meta-data", "network-config", "::"]))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Seed {
        Seed {
            instance_id: "5f0c2a9e-0000-4000-8000-000000000001".to_owned(),
            public_key: "ssh-ed25519 AAAAC3Nza one-time".to_owned(),
            password: "pass-word-1".to_owned(),
        }
    }

    #[test]
    fn cloud_config() {
        insta::assert_snapshot!(seed().user_data(), @r"
        #cloud-config
        locale: false
        ssh:
          emit_keys_to_console: false
        disable_root: false
        ssh_authorized_keys:
        - 'ssh-ed25519 AAAAC3Nza one-time'
        users:
        - name: try-admin
          shell: /bin/bash
          lock_passwd: true
          sudo: 'ALL=(ALL) NOPASSWD:ALL'
          ssh_authorized_keys:
          - 'ssh-ed25519 AAAAC3Nza one-time'
        - name: try-password
          shell: /bin/bash
          lock_passwd: false
          plain_text_passwd: 'pass-word-1'
        ");
        insta::assert_snapshot!(seed().meta_data(), @r"
        instance-id: 5f0c2a9e-0000-4000-8000-000000000001
        local-hostname: try-5f0c2a9e
        ");
    }

    #[test]
    fn the_volume_is_what_cloud_init_looks_for() {
        let parent = tempfile::tempdir().unwrap();
        let folder = RunDir::create(parent.path()).unwrap();
        seed().write(&folder).unwrap();
        let volume = std::fs::read(folder.file(FILE)).unwrap();
        // FAT boot sector of a floppy: label at 43, file system type at 54.
        assert_eq!(&volume[43..54], b"CIDATA     ");
        assert_eq!(&volume[54..59], b"FAT12");
        let text = String::from_utf8_lossy(&volume);
        assert!(text.contains(&seed().user_data()) && text.contains(&seed().meta_data()));
    }
}
