//! Runs the program in a folder of its own, with a home of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder to work in.
pub struct Place {
    folder: TempDir,
    path: Option<String>,
}

/// What the program answered.
pub struct Answer {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), path: None }
    }

    /// The same place, on a machine whose ordinary programs are not there.
    pub fn without_programs() -> Self {
        Self { path: Some("/nonexistent".to_owned()), ..Self::new() }
    }

    /// The same place, on a machine that has files of these names for programs.
    pub fn with_only_these_programs(names: &[&str]) -> Self {
        let place = Self::new();
        for name in names {
            place.write(&format!("bin/{name}"), "");
        }
        let path = place.path().join("bin").display().to_string();
        Self { path: Some(path), ..place }
    }

    /// The same place, where programs are looked for in these folders.
    pub fn with_path(self, path: String) -> Self {
        Self { path: Some(path), ..self }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let file = self.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, text).expect("written");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).expect("read")
    }

    /// Runs the program with the words of `line`.
    pub fn run(&self, line: &str) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aks-jumpbox"));
        self.answer(command.args(line.split_whitespace()), self.path.as_deref())
    }

    /// The same with a file of the place as standard input.
    pub fn run_with_input(&self, line: &str, file: &str) -> Answer {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec \"$@\" < \"$0\"", file, env!("CARGO_BIN_EXE_aks-jumpbox")]);
        self.answer(command.args(line.split_whitespace()), None)
    }

    /// The same, where the administrator's folders are empty; none where they cannot be hidden.
    pub fn run_without_sbin(&self, line: &str) -> Option<Answer> {
        let hide = "for folder in /usr/sbin /usr/local/sbin; do mount -t tmpfs none $folder || exit 99; done; \
                    exec env PATH=\"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "/bin/sh", "-c", hide]).arg(self.path.as_deref()?);
        command.arg(env!("CARGO_BIN_EXE_aks-jumpbox")).args(line.split_whitespace());
        let answer = self.answer(&mut command, None);
        (answer.code != Some(99) && !answer.stderr.starts_with("unshare:")).then_some(answer)
    }

    /// The same on a disk of `size` (as `mount` takes it) that is full but for a file `out` of one byte, which is what
    /// standard output holds afterwards; none where none can be mounted.
    pub fn run_on_a_full_disk(&self, size: &str, line: &str) -> Option<Answer> {
        let fill = "mkdir disk && mount -t tmpfs -o size=$0 none disk || exit 99; printf 1 > disk/out; \
                    cat /dev/zero > disk/filler 2>/dev/null; \"$@\" > /dev/null; code=$?; cat disk/out; ls disk; exit $code";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "/bin/sh", "-c", fill, size]);
        command.arg(env!("CARGO_BIN_EXE_aks-jumpbox")).args(line.split_whitespace());
        let answer = self.answer(&mut command, None);
        (answer.code != Some(99) && !answer.stderr.starts_with("unshare:")).then_some(answer)
    }

    /// `path`: where programs are looked for; none for where the test itself does.
    fn answer(&self, command: &mut Command, path: Option<&str>) -> Answer {
        command.current_dir(self.path()).stdin(Stdio::null()).env_clear().env("HOME", self.path());
        if let Some(path) = path.map(str::to_owned).or_else(|| std::env::var("PATH").ok()) {
            command.env("PATH", path);
        }
        let output = command.output().expect("the program runs");
        let text = |bytes| {
            String::from_utf8(bytes).expect("UTF-8").replace(&*self.path().to_string_lossy(), "[HOME]")
        };
        Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Answer {
    /// Standard output as the one JSON document that it must be.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        write!(formatter, "exit {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

#[test]
fn only_a_development_build_can_be_told_to_kill_itself() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_aks-jumpbox")).expect("read");
    let variable = sandbox::KILL_AT.as_bytes();
    let knows = program.windows(variable.len()).any(|bytes| bytes == variable);
    assert_eq!(knows, cfg!(debug_assertions));
}
