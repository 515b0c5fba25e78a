//! Python environments that tests need: the solver that proofs are compared with, and Azure's own clients.
//!
//! Each is made once for a list of packages, in the user's cache folder, and a link in the target folder leads to it. It
//! is installed beside its place and renamed when it is whole, so that an installation that was interrupted is not used.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::Stop;
use crate::process::{command, output, run, target};

/// An environment: its name in the target folder, what needs it, and what is installed into it.
struct Environment {
    name: &'static str,
    needed_for: &'static str,
    packages: &'static [&'static str],
}

/// The release that measured figures speak of.
const SOLVER: Environment = Environment {
    name: "python-solver",
    needed_for: "the comparison of proofs with an SMT solver",
    packages: &["z3-solver==5.4.1.0"],
};

/// What clients send changes with their releases: they are pinned.
const AZURE_CLI: Environment = Environment {
    name: "python-azure-cli",
    needed_for: "the tests of `serve` with the Azure CLI",
    packages: &["azure-cli==2.91.0"],
};

/// Newer than those that the Azure CLI pins for itself.
const AZURE_SDK: Environment = Environment {
    name: "python-azure-sdk",
    needed_for: "the tests of `serve` with Azure's SDK for Python",
    packages: &[
        "azure-identity==1.27.0",
        "azure-mgmt-authorization==4.0.0",
        "azure-mgmt-compute==39.0.0",
        "azure-mgmt-imagebuilder==2.0.0",
        "azure-mgmt-msi==7.1.0",
        "azure-mgmt-network==33.1.0",
        "azure-mgmt-resource==26.0.0",
        "azure-mgmt-resource-deployments==2.0.0",
        "azure-mgmt-storage==25.3.0",
        "azure-storage-blob==12.31.1",
    ],
};

/// A Python with the solver in it; none where it cannot be installed, which is said.
///
/// # Errors
/// In continuous integration, when it cannot be installed.
pub fn solver() -> Result<Option<PathBuf>, Stop> {
    SOLVER.provide()
}

/// Pythons with Azure's clients in them. Where they cannot be installed, this is said, and so do the tests.
///
/// # Errors
/// As for the solver.
pub fn azure_clients() -> Result<(), Stop> {
    AZURE_CLI.provide()?;
    AZURE_SDK.provide()?;
    Ok(())
}

impl Environment {
    fn provide(&self) -> Result<Option<PathBuf>, Stop> {
        match self.make() {
            Ok(folder) => Ok(Some(folder.join("bin/python3"))),
            Err(stop) if std::env::var_os("CI").is_some() => Err(stop),
            Err(stop) => {
                eprintln!(
                    "\nNOT CHECKED: {}; Python packages cannot be installed ({})",
                    self.needed_for, stop.message
                );
                Ok(None)
            }
        }
    }

    fn make(&self) -> Result<PathBuf, Stop> {
        let python = output(&mut command("python3", &["--version"]))?.stdout;
        let cache = cache().join("aks-jumpbox-python");
        let folder = cache.join(format!("{}-{:016x}", self.name, fingerprint(&(python, self.packages))));
        std::fs::create_dir_all(&cache).map_err(|error| wrong(&cache, &error))?;
        // Two runs at once install in turn.
        let lock = cache.join("lock");
        let lock =
            File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(|e| wrong(&lock, &e))?;
        if !folder.is_dir() {
            self.install(&folder)?;
        }
        drop(lock);
        let link = target().join(self.name);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&folder, &link).map_err(|error| wrong(&link, &error))?;
        Ok(folder)
    }

    fn install(&self, folder: &Path) -> Result<(), Stop> {
        let partial = folder.with_extension("partial");
        let _ = std::fs::remove_dir_all(&partial);
        run(command("python3", &["-m", "venv"]).arg(&partial))?;
        // Compiled files would double the size; Python makes those it needs.
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"];
        run(command(partial.join("bin/python3"), &pip).args(self.packages))?;
        std::fs::rename(&partial, folder).map_err(|error| wrong(folder, &error))
    }
}

/// The user's cache folder (XDG Base Directory Specification).
fn cache() -> PathBuf {
    let given = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    given("XDG_CACHE_HOME")
        .or_else(|| given("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| target().join("cache"))
}

/// FNV-1a: the same in every release of the compiler.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    value.hash(&mut hasher);
    hasher.finish()
}

fn wrong(path: &Path, error: &std::io::Error) -> Stop {
    Stop::not_able(format!("cannot make {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_of_packages_is_another_environment() {
        assert_eq!(fingerprint(&["a", "b"]), fingerprint(&["a", "b"]));
        assert_ne!(fingerprint(&["a", "b"]), fingerprint(&["ab"]));
        assert_ne!(fingerprint(&["a==1"]), fingerprint(&["a==2"]));
    }
}
