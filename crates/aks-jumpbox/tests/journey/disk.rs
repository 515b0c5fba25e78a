//! Looks into a finished disk with the file system's own tools, not with the code that wrote it.

use std::path::Path;
use std::process::{Command, Output};

/// Where the root partition starts on Azure's Debian images, in bytes.
pub const ROOT_OFFSET: u64 = 125 << 20;

/// The root file system of a disk image.
pub struct Root(String);

impl Root {
    pub fn of(image: &Path) -> Self {
        Self(format!("{}?offset={ROOT_OFFSET}", image.display()))
    }

    /// Checks the file system without changing it.
    #[track_caller]
    pub fn assert_clean(&self) {
        let output = run("e2fsck", &["-f", "-n", &self.0]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
    }

    /// The content of a file; none when there is none.
    pub fn file(&self, path: &str) -> Option<String> {
        self.exists(path).then(|| self.ask(&format!("cat {path}")))
    }

    pub fn exists(&self, path: &str) -> bool {
        self.ask(&format!("stat {path}")).starts_with("Inode:")
    }

    /// Names of what is in a folder, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        // A line is /inode/mode/uid/gid/name/size/.
        let list = self.ask(&format!("ls -p {folder}"));
        let names = list.lines().filter_map(|line| line.split('/').nth(5)).map(str::to_owned);
        let mut names: Vec<_> = names.filter(|name| name != "." && name != "..").collect();
        names.sort();
        names
    }

    /// An extended attribute as bytes in hexadecimal; empty when there is none.
    pub fn attribute(&self, path: &str, name: &str) -> String {
        let printed = self.ask(&format!("ea_get -x {path} {name}"));
        printed.split_once("= ").map_or_else(String::new, |(_, value)| value.trim().to_owned())
    }

    /// Whether two names are one file.
    pub fn is_one_file(&self, one: &str, other: &str) -> bool {
        let inode = |path| self.ask(&format!("stat {path}")).split_whitespace().nth(1).map(str::to_owned);
        inode(one).is_some_and(|one| Some(one) == inode(other))
    }

    fn ask(&self, request: &str) -> String {
        let output = run("debugfs", &["-R", request, &self.0]);
        assert!(output.status.success(), "{request}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    Command::new(program).args(arguments).env("PATH", path).output().expect(program)
}
