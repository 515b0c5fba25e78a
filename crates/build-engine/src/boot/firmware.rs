//! The UEFI firmware that QEMU boots with.

use std::path::{Path, PathBuf};

/// A firmware and the template of its variables; both are flash images of the same size class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// The executable part, mapped read-only.
    pub code: PathBuf,
    /// The variables to begin with; every boot works on its own copy.
    pub variables: PathBuf,
    /// Whether it refuses boot loaders that Microsoft's keys did not sign.
    pub secure_boot: bool,
}

/// This machine has no firmware of the kind that is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no UEFI firmware{} found for the virtual machine (package ovmf)", if *.secure_boot { " with Secure Boot" } else { "" })]
pub struct NoFirmware {
    /// Whether the one with Secure Boot was looked for.
    pub secure_boot: bool,
}

/// Where distributions put firmware without Secure Boot, newest layout first: Debian and Ubuntu, Fedora, Arch, openSUSE.
const PLAIN: [(&str, &str); 5] = [
    ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("usr/share/OVMF/OVMF_CODE.fd", "usr/share/OVMF/OVMF_VARS.fd"),
    ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("usr/share/edk2/x64/OVMF_CODE.4m.fd", "usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("usr/share/qemu/ovmf-x86_64-4m-code.bin", "usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
];

/// The same with Secure Boot on and Microsoft's keys enrolled.
const SECURE: [(&str, &str); 4] = [
    ("usr/share/OVMF/OVMF_CODE_4M.ms.fd", "usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    ("usr/share/OVMF/OVMF_CODE.ms.fd", "usr/share/OVMF/OVMF_VARS.ms.fd"),
    ("usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
    ("usr/share/qemu/ovmf-x86_64-smm-ms-code.bin", "usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin"),
];

impl Firmware {
    /// Finds the firmware that the distribution installed.
    ///
    /// # Errors
    /// [`NoFirmware`] when no known pair of files is there.
    pub fn find(secure_boot: bool) -> Result<Self, NoFirmware> {
        Self::find_under(Path::new("/"), secure_boot)
    }

    fn find_under(root: &Path, secure_boot: bool) -> Result<Self, NoFirmware> {
        let known: &[_] = if secure_boot { &SECURE } else { &PLAIN };
        known
            .iter()
            .map(|(code, variables)| Self {
                code: root.join(code),
                variables: root.join(variables),
                secure_boot,
            })
            .find(|pair| pair.code.is_file() && pair.variables.is_file())
            .ok_or(NoFirmware { secure_boot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_pair_counts() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        put("usr/share/OVMF/OVMF_CODE_4M.fd");
        put("usr/share/OVMF/OVMF_CODE.fd");
        put("usr/share/OVMF/OVMF_VARS.fd");
        let found = Firmware::find_under(root.path(), false).unwrap();
        assert_eq!(found.code, root.path().join("usr/share/OVMF/OVMF_CODE.fd"));
        assert_eq!(found.variables, root.path().join("usr/share/OVMF/OVMF_VARS.fd"));
        let error = Firmware::find_under(root.path(), true).unwrap_err();
        assert!(error.to_string().contains("with Secure Boot found"), "{error}");
        assert!(error.to_string().contains("package ovmf"), "{error}");
    }
}
