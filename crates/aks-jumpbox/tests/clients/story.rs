//! One story: an endpoint of its own, clients of their own, and that no secret shows up in anything that was printed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;

use crate::rest::Rest;
use crate::serve::Serve;

/// An endpoint, and what was said around it.
pub struct Story {
    folder: TempDir,
    pub serve: Serve,
    secrets: Mutex<Vec<String>>,
    said: Mutex<Vec<String>>,
}

/// What a client answered.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The Azure CLI with a folder of its own, logged in as one principal.
pub struct Az<'a> {
    story: &'a Story,
    config: PathBuf,
}

/// Tells a story with an endpoint, and then looks for secrets in all that was printed.
pub fn story(tell: impl FnOnce(&Story)) {
    story_with(&[], tell);
}

/// The same, with more words on the endpoint's command line.
pub fn story_with(words: &[&str], tell: impl FnOnce(&Story)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let words: Vec<&str> = ["--listen", "127.0.0.1:0"].into_iter().chain(words.iter().copied()).collect();
    let serve = Serve::start_with(&folder.path().join("state"), &words);
    let story = Story { folder, serve, secrets: Mutex::default(), said: Mutex::default() };
    tell(&story);
    story.no_secret_was_told();
}

/// A Python of `cargo xtask test`, by its name in the target folder; none, said, where it is not there.
fn python(name: &str) -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..").join(name).join("bin/python3");
    if python.is_file() {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "no {}; `cargo xtask test` makes it", python.display());
    eprintln!("SKIPPED: no {}; `cargo xtask test` installs it", python.display());
    None
}

/// The same, for stories of the Azure CLI.
pub fn az_story(tell: impl FnOnce(&Story, &Az<'_>)) {
    az_story_with(&[], tell);
}

/// The same, with more words on the endpoint's command line.
pub fn az_story_with(words: &[&str], tell: impl FnOnce(&Story, &Az<'_>)) {
    if python("python-azure-cli").is_some() {
        story_with(words, |story| {
            let (client, secret) = (story.serve.told("client_id"), story.serve.told("client_secret"));
            tell(story, &story.az(client, secret));
        });
    }
}

/// The same, for stories of the SDK: a script of this folder.
pub fn sdk_story(script: &str) {
    let Some(python) = python("python-azure-sdk") else { return };
    story(|story| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
        let mut command = story.command(&python);
        // A script's neighbours would be compiled into this folder.
        command.arg("-B").arg(file).stdin(Stdio::piped());
        let said = run(command, Some(&story.serve.first.to_string()));
        story.heard(&said.out);
        story.heard(&said.err);
        assert_eq!(said.code, Some(0), "{said}");
    });
}

impl Story {
    /// A file or folder of the story.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// Asks again and again until something is so; what goes on beside takes its time, and no longer than minutes.
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = std::time::Instant::now();
        while !is_so() {
            assert!(begun.elapsed().as_secs() < 300, "{what} never came; {}", self.serve.log());
        }
    }

    /// A client of our own, with the first principal's token.
    pub fn rest(&self) -> Rest<'_> {
        Rest::new(self)
    }

    /// Names a secret that nothing may show.
    pub fn secret(&self, secret: &str) {
        assert!(secret.len() > 8, "too short to look for");
        self.secrets.lock().expect("secrets").push(secret.to_owned());
    }

    /// Keeps what was printed or answered.
    pub fn heard(&self, text: &str) {
        self.said.lock().expect("said").push(text.to_owned());
    }

    /// The Azure CLI, logged in.
    pub fn az(&self, client: &str, secret: &str) -> Az<'_> {
        let az = self.az_of_nobody(client);
        let said = az.log_in(client, secret);
        assert_eq!(said.code, Some(0), "{said}");
        az
    }

    /// The Azure CLI that knows the endpoint, under a name of its own.
    pub fn az_of_nobody(&self, name: &str) -> Az<'_> {
        let az = Az { story: self, config: self.path(&format!("az-{name}")) };
        let endpoint = self.serve.told("endpoint");
        az.line(&format!(
            "cloud register -n local --endpoint-resource-manager {endpoint} --endpoint-active-directory {endpoint}/adfs"
        ));
        az.line("cloud set -n local");
        az
    }

    /// The id of the subscription.
    pub fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.serve.told("subscription"))
    }

    /// Runs a script of Bash, which stops at the first failure, with `az` and without a configuration.
    pub fn shell(&self, script: &str) -> Said {
        let python = python("python-azure-cli").expect("it was there");
        let az = format!("az() {{ '{}' -m azure.cli \"$@\"; }}", python.display());
        let mut command = self.command(Path::new("bash"));
        command.args(["-euo", "pipefail", "-c", &format!("{az}\n{script}")]);
        let said = run(command, None);
        self.heard(&said.out);
        self.heard(&said.err);
        said
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.folder.path()).current_dir(self.folder.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("REQUESTS_CA_BUNDLE", self.serve.ca()).stdin(Stdio::null());
        command
    }

    /// No secret is in what clients printed, in answers, or in the endpoint's log: the first principal's, the keys of the
    /// state folder, every token that a client holds, and those that a story named.
    fn no_secret_was_told(&self) {
        self.secret(self.serve.told("client_secret"));
        let state = self.path("state");
        let read = |path: &Path| std::fs::read_to_string(path).expect("read");
        let kept: Value = serde_json::from_str(&read(&state.join("secrets.json"))).expect("JSON");
        self.secret(kept["signing_key"].as_str().expect("a key"));
        for line in read(&state.join("ca.key")).lines().filter(|line| !line.starts_with('-')) {
            self.secret(line);
        }
        for folder in std::fs::read_dir(self.folder.path()).expect("listed").flatten() {
            let Ok(tokens) = std::fs::read_to_string(folder.path().join("msal_token_cache.json")) else {
                continue;
            };
            let tokens: Value = serde_json::from_str(&tokens).expect("JSON");
            for token in tokens["AccessToken"].as_object().into_iter().flatten() {
                self.secret(token.1["secret"].as_str().expect("a token"));
            }
        }
        let said = self.said.lock().expect("said");
        let secrets = self.secrets.lock().expect("secrets");
        let log = self.serve.log();
        for text in said.iter().chain([&log]) {
            for secret in secrets.iter() {
                assert!(!text.contains(secret.as_str()), "a secret was told: {text}");
            }
        }
    }
}

impl Az<'_> {
    /// Lets a command find this Azure CLI as `az`, with who is logged in.
    pub fn lend(&self, command: &mut Command) {
        let folder = self.story.path("bin");
        std::fs::create_dir_all(&folder).expect("a folder");
        let python = python("python-azure-cli").expect("it was there");
        let script = format!("#!/bin/sh\nexec '{}' -m azure.cli \"$@\"\n", python.display());
        let az = folder.join("az");
        std::fs::write(&az, script).expect("written");
        std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o700)).expect("executable");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", folder.display())).env("AZURE_CONFIG_DIR", &self.config);
        command.env("REQUESTS_CA_BUNDLE", self.story.serve.ca()).env("AZURE_CORE_COLLECT_TELEMETRY", "no");
    }

    /// Logs in.
    pub fn log_in(&self, client: &str, secret: &str) -> Said {
        let tenant = self.story.serve.told("tenant");
        self.run(&["login", "--service-principal", "-u", client, "-p", secret, "--tenant", tenant])
    }

    /// Runs a command; what it prints is looked through for secrets.
    pub fn run(&self, words: &[&str]) -> Said {
        let said = self.run_for_a_secret(words);
        self.story.heard(&said.out);
        self.story.heard(&said.err);
        said
    }

    /// The same, of a command whose answer is a secret.
    pub fn run_for_a_secret(&self, words: &[&str]) -> Said {
        let mut command = self.story.command(&python("python-azure-cli").expect("it was there"));
        command.args(["-m", "azure.cli"]).args(words).env("AZURE_CONFIG_DIR", &self.config);
        for (name, value) in [("COLLECT_TELEMETRY", "no"), ("NO_COLOR", "true"), ("ONLY_SHOW_ERRORS", "true")]
        {
            command.env(format!("AZURE_CORE_{name}"), value);
        }
        run(command, None)
    }

    /// Expects success; what it printed, as JSON where it printed something.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> Value {
        self.run(words).json(words)
    }

    /// Expects success of the words of a line.
    #[track_caller]
    pub fn line(&self, line: &str) -> Value {
        self.ok(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Expects a refusal with Azure's code; its text.
    #[track_caller]
    pub fn refused(&self, line: &str, code: &str) -> String {
        let said = self.run(&line.split_whitespace().collect::<Vec<_>>());
        assert!(
            said.code != Some(0) && said.err.contains(code),
            "{line}: {said}\n{}",
            self.story.serve.log()
        );
        said.err
    }
}

impl Said {
    /// What it printed, as JSON where it printed something.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        assert_eq!(self.code, Some(0), "{words:?}: {self}");
        if self.out.trim().is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.out).unwrap_or_else(|_| Value::String(self.out.trim().to_owned()))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "exit code {:?}\n{}\n{}", self.code, self.out, self.err)
    }
}

/// Runs a program to its end.
pub fn run(mut command: Command, input: Option<&str>) -> Said {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        std::io::Write::write_all(&mut pipe, text.as_bytes()).expect("written");
    }
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}
