//! A running `aks-jumpbox serve`, ended with the test however that ends.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;

/// The program on a state folder.
pub struct Serve {
    child: Child,
    /// Its first line on standard output.
    pub first: Value,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// The program's command line on a state folder, ready to run.
pub fn command(state: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aks-jumpbox"));
    command.arg("serve").arg("--state").arg(state).args(words).stdin(Stdio::null());
    command.env_clear().env("HOME", state).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // Builds share what the other tests have made.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-cache");
    command.env("AKS_JUMPBOX_CACHE", std::env::var_os("AKS_JUMPBOX_CACHE").unwrap_or(cache.into()));
    command
}

impl Serve {
    /// Starts it on a free port and waits until it is ready.
    pub fn start(state: &Path) -> Self {
        Self::start_with(state, &["--listen", "127.0.0.1:0"])
    }

    /// The same, with other words on its command line.
    pub fn start_with(state: &Path, words: &[&str]) -> Self {
        let mut command = command(state, words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let log = Arc::new(Mutex::new(String::new()));
        let reader = collect(child.stderr.take().expect("standard error"), Arc::clone(&log));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("standard output")).read_line(&mut line).expect("read");
        let first = serde_json::from_str(&line).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("no first line: {line:?}, {}", log.lock().expect("the log"))
        });
        Self { child, first, log, reader: Some(reader) }
    }

    /// A text of the first line.
    pub fn told(&self, name: &str) -> &str {
        self.first[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.first))
    }

    /// The certificate that clients trust.
    pub fn ca(&self) -> PathBuf {
        self.told("ca").into()
    }

    /// What it wrote to standard error, as far as it has been read; all of it once the program has ended.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Process id.
    pub fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("waited for");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("read");
        }
        status
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.wait();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps what a program writes, line by line.
fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}
