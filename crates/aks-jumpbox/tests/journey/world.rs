//! A folder to build in, and what a build answered.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Builds share the processors and a cache: one at a time.
static TURN: Mutex<()> = Mutex::new(());

const IDENTITY: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/\
                        Microsoft.ManagedIdentity/userAssignedIdentities/builder";

/// Where one test works.
pub struct World {
    folder: TempDir,
    cache: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// What a build answered.
pub struct Built {
    pub code: Option<i32>,
    pub events: Vec<Value>,
    pub stderr: String,
}

impl World {
    /// A place to build in; none, said on standard error, where this machine cannot build.
    pub fn ready() -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = if rustix::process::geteuid().is_root() { missing_tools() } else { "root".to_owned() };
        if !missing.is_empty() {
            eprintln!("SKIPPED: builds on this machine need {missing}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        Some(Self { folder, cache: shared_cache(), _turn: turn })
    }

    /// The path of a file in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The cache in use.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let file = self.path(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, content).expect("written");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }

    /// Names of what is in a folder, hidden files included, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }

    /// Writes `image.json`: `properties` over those of a template without steps.
    pub fn template(&self, properties: &Value) {
        let mut all = json!({
            "source": source("debian-13", "13-gen2"),
            "customize": [],
            "distribute": [{"type": "VHD", "runOutputName": "image"}],
        });
        for (name, value) in properties.as_object().expect("properties") {
            all[name] = value.clone();
        }
        let template = json!({
            "type": "Microsoft.VirtualMachineImages/imageTemplates",
            "apiVersion": "2024-02-01",
            "location": "eastus2",
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
            "properties": all,
        });
        self.write("image.json", template.to_string());
    }

    /// Writes `image.json` with these customizers.
    pub fn steps(&self, customize: &Value) {
        self.template(&json!({ "customize": customize }));
    }

    /// The program with the words of `line`, ready to run.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aks-jumpbox"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.folder.path()).env("AKS_JUMPBOX_CACHE", &self.cache);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// `build --template image.json --format json`.
    pub fn build_command(&self, line: &str) -> Command {
        self.command(&format!("build --template image.json --format json {line}"))
    }

    /// Builds `image.json` and expects the exit code.
    #[track_caller]
    pub fn build(&self, line: &str, code: i32) -> Built {
        let built = Built::of(&self.build_command(line).output().expect("the program runs"));
        assert_eq!(built.code, Some(code), "{built}");
        built
    }

    /// From now on an empty cache of the test's own.
    pub fn use_empty_cache(&mut self) {
        self.cache = self.path("cache");
    }

    /// From now on a cache of the test's own, with a copy of the usual base in it. A copy and no links: a file that has
    /// a second name is generalised with more care, and whatever is in the cache may be changed.
    pub fn use_private_cache(&mut self) {
        self.steps(&json!([{"type": "Shell", "name": "nothing", "inline": ["true"]}]));
        self.build("--until 1 --output warm", 0);
        let private = self.path("cache");
        fs::create_dir_all(private.join("bases")).expect("made");
        let manifest = self.json("warm/manifest.json");
        let base = self.cache.join("bases").join(manifest["base"]["id"].as_str().expect("an id"));
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(base).arg(private.join("bases"));
        assert!(copy.status().expect("cp runs").success());
        self.cache = private;
    }

    /// Changes the record of every base in the cache of the test's own.
    pub fn change_bases(&self, change: impl Fn(&mut Value)) {
        assert!(self.cache.starts_with(self.folder.path()), "the shared cache is left alone");
        for id in names(&self.cache.join("bases")) {
            change_json(&self.cache.join("bases").join(id).join("base.json"), &change);
        }
    }

    /// What the cache knows about the layer of a step of the last build into `out`: the file that says it.
    pub fn layer_record(&self, step: usize) -> PathBuf {
        let manifest = self.json("out/manifest.json");
        let key = manifest["steps"][step - 1]["key"].clone();
        let layers = names(&self.cache.join("layers")).into_iter();
        let mut records = layers.map(|name| self.cache.join("layers").join(name).join("layer.json"));
        let is_it = |record: &PathBuf| {
            let record: Value = serde_json::from_slice(&fs::read(record).expect("read")).expect("JSON");
            record["key"] == key
        };
        records.find(is_it).expect("the step's layer")
    }
}

impl Built {
    pub fn of(output: &Output) -> Self {
        let stdout = String::from_utf8(output.stdout.clone()).expect("UTF-8");
        // What is wrong with the arguments or the template is one document instead.
        let events = match serde_json::from_str(&stdout) {
            Ok(document) => vec![document],
            Err(_) => {
                stdout.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
            }
        };
        Self {
            code: output.status.code(),
            events,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// What became of each customizer, in order: `cached`, `succeeded` or `failed`.
    pub fn states(&self) -> Vec<&str> {
        self.ends("customize")
    }

    /// What became of each step of a phase, in order.
    pub fn ends(&self, phase: &str) -> Vec<&str> {
        let ends = self
            .all("step")
            .filter(|event| event["phase"] == phase)
            .filter(|event| event["state"] != "started");
        let by_index: BTreeMap<_, _> =
            ends.map(|event| (event["index"].as_u64(), event["state"].as_str().expect("a state"))).collect();
        by_index.into_values().collect()
    }

    /// Why a step ran.
    #[track_caller]
    pub fn why(&self, index: u64) -> &str {
        let started = self.all("step").find(|event| event["index"] == index && event["state"] == "started");
        started.and_then(|event| event["why"].as_str()).unwrap_or_else(|| panic!("step {index} ran: {self}"))
    }

    /// The lines that a step printed, from both streams.
    pub fn output(&self, index: u64) -> Vec<&str> {
        let lines = self.all("output").filter(|event| event["index"] == index);
        lines.map(|event| event["line"].as_str().expect("a line")).collect()
    }

    /// The texts of notes or warnings, one a line.
    pub fn said(&self, kind: &str) -> String {
        let texts = self.all(kind).map(|event| event["text"].as_str().expect("a text"));
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The last event, which says that the build failed.
    #[track_caller]
    pub fn failed(&self) -> &Value {
        self.last("failed")
    }

    /// What the failed build said, its hint included.
    #[track_caller]
    pub fn complaint(&self) -> String {
        let failed = self.failed();
        format!(
            "{}\n{}",
            failed["message"].as_str().expect("a message"),
            failed["hint"].as_str().unwrap_or("")
        )
    }

    /// The last event, which says that the build is done.
    #[track_caller]
    pub fn done(&self) -> &Value {
        self.last("done")
    }

    #[track_caller]
    fn last(&self, kind: &str) -> &Value {
        self.events.last().filter(|event| event["event"] == kind).unwrap_or_else(|| panic!("{kind}: {self}"))
    }
}

impl std::fmt::Display for Built {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "exit {:?}", self.code)?;
        for event in &self.events {
            writeln!(formatter, "{:.600}", event.to_string())?;
        }
        write!(formatter, "--- stderr\n{}", self.stderr)
    }
}

/// A platform image of Debian as a template names it.
pub fn source(offer: &str, sku: &str) -> Value {
    json!({"type": "PlatformImage", "publisher": "Debian", "offer": offer, "sku": sku, "version": "latest"})
}

/// A Shell customizer that no earlier run can have cached.
pub fn fresh(name: &str, lines: &[&str]) -> Value {
    let mut inline = lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
    inline.push(format!("# {}", unique()));
    json!({"type": "Shell", "name": name, "inline": inline})
}

/// A word that is new in every run.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos();
    format!("u{now}x{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A part of the manifest's timeline, by the names on the way to it.
#[track_caller]
pub fn part<'a>(manifest: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().zip(std::iter::once("timeline").chain(std::iter::repeat("parts"))).fold(
        manifest,
        |above, (name, list)| {
            let parts = above[list].as_array().unwrap_or_else(|| panic!("{path:?}: {manifest}"));
            parts.iter().find(|part| part["name"] == *name).unwrap_or_else(|| panic!("{path:?}: {manifest}"))
        },
    )
}

/// Parts of a timeline lie one behind the other, and their own parts within them.
#[track_caller]
pub fn assert_follow_one_another(parts: &Value) {
    // What sums of fractions are off by.
    const ROUNDING: f64 = 1e-6;
    let mut before = 0.0;
    for part in parts.as_array().into_iter().flatten() {
        let seconds = |of: &Value, field: &str| of[field].as_f64().expect("seconds");
        let start = seconds(part, "start_seconds");
        assert!(start >= before - ROUNDING, "{part} begins before {before}");
        before = start + seconds(part, "seconds");
        let inner = part["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let (Some(first), Some(last)) = (inner.first(), inner.last()) {
            let end = seconds(last, "start_seconds") + seconds(last, "seconds");
            assert!(
                seconds(first, "start_seconds") >= start - ROUNDING && end <= before + ROUNDING,
                "{part}"
            );
            assert_follow_one_another(&part["parts"]);
        }
    }
}

/// Changes a JSON file.
pub fn change_json(file: &Path, change: impl Fn(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(file).expect("read")).expect("JSON");
    change(&mut value);
    fs::write(file, value.to_string()).expect("written");
}

/// Names in a folder, sorted; none when it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Beside the program under test, so that a checkout makes its base once.
fn shared_cache() -> PathBuf {
    let named = std::env::var_os("AKS_JUMPBOX_CACHE").map(PathBuf::from);
    let profile = Path::new(env!("CARGO_BIN_EXE_aks-jumpbox")).parent().expect("a profile's folder");
    named.unwrap_or_else(|| profile.parent().expect("the target folder").join("test-cache"))
}

/// What `doctor` and these tests' own looks into the disk need and is not there.
fn missing_tools() -> String {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&paths).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    let tools = ["mmdebstrap", "nft", "ip", "mke2fs", "e2fsck", "debugfs", "mformat", "gpgv"];
    let missing = tools.iter().filter(|tool| !folders.iter().any(|folder| folder.join(tool).is_file()));
    missing.copied().collect::<Vec<_>>().join(", ")
}
