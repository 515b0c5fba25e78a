//! A real browser, driven by its own protocol (chromedevtools.github.io) over two pipes: no port, no library.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Chromium under its names; each speaks the protocol.
const NAMES: [&str; 4] = ["chromium-headless-shell", "chromium", "google-chrome", "chrome"];

/// A browser with one page.
pub struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    session: Value,
    calls: u64,
    events: Vec<Value>,
    /// What pages complained of, and what they asked for beside themselves.
    pub complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; none where none is installed, which is told.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            assert!(std::env::var_os("CI").is_none(), "no browser; `cargo xtask test` installs one");
            eprintln!("SKIPPED: none of {} is installed; `cargo xtask test` does it", NAMES.join(", "));
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary folder");
        // The browser reads commands from descriptor 3 and answers on 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh"])
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (session, events, complaints) = (Value::Null, Vec::new(), Vec::new());
        let mut own = Self { child, input, output, session, calls: 0, events, complaints, _profile: profile };
        let target = own.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = own.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        own.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            own.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(own)
    }

    /// Asks for something and waits for the answer.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_null() {
            command["sessionId"] = self.session.clone();
        }
        let input = self.input.as_mut().expect("it runs");
        input.write_all(format!("{command}\0").as_bytes()).expect("the browser listens");
        loop {
            let message = self.message();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// Waits for an event.
    pub fn event(&mut self, method: &str) -> Value {
        if let Some(at) = self.events.iter().position(|event| event["method"] == method) {
            return self.events.remove(at);
        }
        loop {
            let message = self.message();
            if message["method"] == method {
                return message;
            }
            self.events.push(message);
        }
    }

    fn message(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).expect("the browser answers");
        assert_eq!(bytes.pop(), Some(0), "the browser ended");
        let message: Value = serde_json::from_slice(&bytes).expect("JSON");
        let about = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                self.complaints.push(about.to_string());
            }
            Some("Network.requestWillBeSent") if about["type"] != "Document" => {
                self.complaints.push(about["request"]["url"].to_string());
            }
            _ => {}
        }
        message
    }

    /// Opens a file.
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        let opened = self.call("Page.navigate", &json!({"url": format!("file://{}", file.display())}));
        assert!(opened["errorText"].is_null(), "{opened}");
        self.event("Page.loadEventFired");
    }

    /// The width of the window in pixels.
    pub fn width(&mut self, width: u32) {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// `screen` or `print`; `light` or `dark`.
    pub fn media(&mut self, media: &str, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"media": media, "features": features}));
    }

    /// The value of an expression.
    pub fn ask(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Clicks in the middle of what a selector finds, and waits until the page went to a place of its own.
    pub fn follow(&mut self, selector: &str) {
        let middle = self.ask(&format!(
            "(() => {{ const found = [...document.querySelectorAll({selector:?})].find(e => e.checkVisibility());
               found.scrollIntoView({{block: 'center'}});
               const box = found.getBoundingClientRect();
               return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let click =
                json!({"type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &click);
        }
        self.arrive();
    }

    /// The same with the keyboard.
    pub fn follow_by_key(&mut self, selector: &str) {
        self.ask(&format!(
            "[...document.querySelectorAll({selector:?})].find(e => e.checkVisibility()).focus()"
        ));
        for kind in ["keyDown", "keyUp"] {
            let key = json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"});
            self.call("Input.dispatchKeyEvent", &key);
        }
        self.arrive();
    }

    /// Waits until a link within the page was followed; the page scrolls when it draws next.
    fn arrive(&mut self) {
        self.event("Page.navigatedWithinDocument");
        let drawn =
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))";
        self.call("Runtime.evaluate", &json!({"expression": drawn, "awaitPromise": true}));
    }
}

impl Drop for Browser {
    /// The browser ends when nobody can command it any more.
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    NAMES.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}
