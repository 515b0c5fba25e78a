//! The three views of one short build.

use std::io::Write;
use std::sync::{Arc, Mutex};

use build_engine::event::{Connection, Done, Event, Phase, StepState, Stream};
use egress_gateway::{Layer, Outcome};
use indicatif::{InMemoryTerm, ProgressDrawTarget};
use jiff::Timestamp;

use super::{Lines, Plain, Terminal, View, printable};
use crate::output::Verbosity;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

fn step(index: u32, name: &str, state: StepState) -> Event {
    let (seconds, age_seconds) = match state {
        StepState::Started => (None, None),
        StepState::Cached => (None, Some(7200)),
        _ => (Some(4.2), None),
    };
    let why = (state == StepState::Started).then(|| "its script changed".to_owned());
    Event::Step { phase: Phase::Customize, index, of: 3, name: name.into(), state, seconds, why, age_seconds }
}

#[test]
fn work_in_azure_leaves_what_is_done_and_redraws_what_goes_on() {
    use workflow::{Event, StepState};
    let screen = InMemoryTerm::new(10, 100);
    let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
    let view = Terminal::new(target, false);
    let step = |state, details: &[&str]| Event::Step {
        index: 2,
        of: 7,
        name: "Resource groups",
        state,
        details: details.iter().map(|text| (*text).to_owned()).collect(),
    };
    view.show_azure(&step(StepState::Started, &[]));
    view.show_azure(&step(StepState::Done, &["made rg-ib"]));
    view.show_azure(&step(StepState::Unchanged, &[]));
    let run = |sub: Option<&str>| Event::Run {
        run_state: if sub.is_some() { "Running" } else { "Succeeded" }.to_owned(),
        run_sub_state: sub.map(str::to_owned),
    };
    view.show_azure(&run(Some("Customizing")));
    view.show_azure(&Event::Customizer { index: 1, of: 2, name: "Install tools".to_owned() });
    view.show_azure(&Event::Log { text: "Setting up jq".to_owned() });
    let during = screen.contents();
    assert!(during.contains("Setting up jq"), "{during}");
    view.show_azure(&run(None));
    view.rest();
    let told = "✓ [2/7] Resource groups  made rg-ib\n• [2/7] Resource groups  as it should be\n\
                • run: Running, Customizing\n• [1/2] Install tools\n• run: Succeeded";
    assert_eq!(screen.contents(), told, "nothing of the line is left");
}

fn refused() -> Event {
    Event::Egress(Connection {
        step: 3,
        name: Some("get.example.org".into()),
        address: None,
        port: 443,
        protocol: "tcp".into(),
        decision: Outcome::Denied,
        layer: Layer::FirewallApplication,
        rule: "no rule allows it".into(),
        bytes_out: 0,
        bytes_in: 0,
        count: 1,
        resource: String::new(),
        note: None,
        refused: true,
    })
}

fn build() -> Vec<Event> {
    let line = |text: &str| Event::Output { index: 2, stream: Stream::Stdout, line: text.into() };
    vec![
        Event::phase(Phase::Customize),
        step(1, "Configure sshd", StepState::Cached),
        step(2, "Install kubectl", StepState::Started),
        line("Setting up \u{1b}[32mkubectl\u{1b}[0m\r"),
        step(2, "Install kubectl", StepState::Succeeded),
        step(3, "Install helm", StepState::Started),
        refused(),
        step(3, "Install helm", StepState::Failed),
        Event::Warning { text: "the base is 30 days old".into() },
    ]
}

fn plain(verbosity: Verbosity) -> String {
    let out = Memory::default();
    let view = Plain::new(out.clone(), verbosity, || Timestamp::UNIX_EPOCH);
    for event in build() {
        view.show(&event);
    }
    out.text()
}

#[test]
fn plain_lines_are_dated_and_name_what_was_refused() {
    insta::assert_snapshot!(plain(Verbosity::Normal), @"
    1970-01-01T00:00:00Z customize
    1970-01-01T00:00:00Z step 1/3 Configure sshd: cached, 2 h old
    1970-01-01T00:00:00Z step 2/3 Install kubectl: started (its script changed)
    1970-01-01T00:00:00Z step 2/3 Install kubectl: 4.2 s
    1970-01-01T00:00:00Z step 3/3 Install helm: started (its script changed)
    1970-01-01T00:00:00Z   get.example.org:443 refused by the egress policy (no rule allows it)
    1970-01-01T00:00:00Z step 3/3 Install helm: failed after 4.2 s
    1970-01-01T00:00:00Z warning: the base is 30 days old
    ");
}

#[test]
fn quiet_keeps_warnings_and_failures_and_verbose_adds_output() {
    let quiet = plain(Verbosity::Quiet);
    assert_eq!(quiet.lines().count(), 2, "{quiet}");
    assert!(plain(Verbosity::Verbose).contains("  2 | Setting up kubectl\n"));
}

#[test]
fn json_lines_are_one_object_per_event() {
    let out = Memory::default();
    let view = Lines::new(out.clone());
    for event in build() {
        view.show(&event);
    }
    view.show(&Event::Done(Done {
        image: Some("out/jumpbox.vhd".into()),
        content_sha256: Some("ab".into()),
        bytes: Some(512),
        allocated_bytes: Some(512),
        outputs: vec!["out/jumpbox.vhd".into()],
        seconds: 1.5,
    }));
    let text = out.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[1]["state"], "cached");
    assert_eq!(lines[1]["age_seconds"], 7200);
    assert_eq!(lines[6]["decision"], "denied");
    assert_eq!(lines[9]["event"], "done");
    assert_eq!(lines[9]["content_sha256"], "ab");
}

#[test]
fn a_terminal_keeps_finished_steps_and_forgets_the_tail() {
    let screen = InMemoryTerm::new(20, 80);
    let view = Terminal::new(ProgressDrawTarget::term_like(Box::new(screen.clone())), false);
    for event in build() {
        view.show(&event);
    }
    drop(view);
    insta::assert_snapshot!(screen.contents(), @"
    • [1/3] Configure sshd  cached, 2 h old
      [2/3] Install kubectl: not cached, its script changed
    ✓ [2/3] Install kubectl  4.2 s
      [3/3] Install helm: not cached, its script changed
      ! get.example.org:443 refused by the egress policy (no rule allows it)
    ✗ [3/3] Install helm  failed after 4.2 s
    warning: the base is 30 days old
    ");
}

#[test]
fn text_from_a_build_cannot_steer_the_terminal() {
    assert_eq!(printable("a\u{1b}[2J\u{1b}]0;title\u{7}b\tc\u{9b}31m"), "a]0;titleb c31m");
    assert_eq!(printable("\u{1b}"), "");
    assert_eq!(printable("\u{1b}[12"), "");
}
