//! `kill -9` at any moment of a build: the run has failed, nothing is left of it, and the template runs again.

use serde_json::Value;

use super::{assign, can_build, prepare, template};
use crate::crash::{next, seed};
use crate::rest::Rest;
use crate::serve::Serve;
use crate::story::{Story, az_story};

const TEMPLATE: &str = "/resourceGroups/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/killed";
const ROUNDS: u64 = 3;

/// Where a build can be killed, in their order: states that a client sees.
const MOMENTS: [&str; 4] = ["Queued", "Building", "Customizing", "Distributing"];

fn status(rest: &Rest<'_>) -> Value {
    rest.get(TEMPLATE).json()["properties"]["lastRunStatus"].clone()
}

/// Begins a run, and waits until it is over or has come to a moment, and for as many more answers.
fn run_until(rest: &Rest<'_>, moment: usize, more: u64) {
    let answer = rest.send("POST", &rest.url(&format!("{TEMPLATE}/run")), &[], &[]);
    assert_eq!(answer.status, 202, "{answer:?}");
    let mut left = more;
    loop {
        let status = status(rest);
        let at = MOMENTS.iter().position(|moment| status["runSubState"] == *moment);
        let passed = status["runState"] != "Running" || at.is_some_and(|at| at >= moment);
        match left {
            _ if !passed => {}
            0 => return,
            _ => left -= 1,
        }
    }
}

/// Processes anywhere on this machine that have a text in their command line.
fn processes_with(text: &str) -> Vec<String> {
    let folders = std::fs::read_dir("/proc").expect("listed").flatten();
    let lines = folders.filter_map(|folder| std::fs::read(folder.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text)).collect()
}

/// What this process sees mounted inside a folder.
fn mounts_in(folder: &str) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("read");
    mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect()
}

fn again(story: &Story) -> Serve {
    let port = story.serve.told("endpoint").rsplit(':').next().expect("a port");
    Serve::start_with(&story.path("state"), &["--listen", &format!("127.0.0.1:{port}")])
}

#[test]
fn a_build_killed_at_any_moment_has_failed_left_nothing_and_runs_again() {
    if !can_build() {
        return;
    }
    az_story(|story, az| {
        let object = prepare(az);
        assign(az, &object, "Contributor", &format!("{}/resourceGroups/rg", story.subscription()));
        let state = story.path("state").display().to_string();
        // Long enough to be killed in, and of this run alone so that no earlier one has made the layer.
        let step = format!("sleep 1.{}", std::process::id());
        let file = template(story, &[&step, &format!("echo {state}")]);
        az.line(&format!("image builder create -g rg -n killed --image-template {file}"));
        let (first, rest) = (seed(), story.rest());
        let mut endpoint: Option<Serve> = None;
        for round in 0..ROUNDS {
            // A different one in each round.
            let moment = usize::try_from((first + round) % MOMENTS.len() as u64).expect("small");
            let more = (next(first + round) >> 20) % 30;
            eprintln!("CRASH_SEED={} for this round: {} and {more} answers", first + round, MOMENTS[moment]);
            run_until(&rest, moment, more);
            let acknowledged = status(&rest);
            match &mut endpoint {
                Some(endpoint) => endpoint.kill(),
                None => rustix::process::kill_process(story.serve.id(), rustix::process::Signal::KILL)
                    .expect("killed"),
            }
            // They end with the endpoint: the test ends by its own limit where they do not.
            while !processes_with(&step).is_empty() || !processes_with(&state).is_empty() {
                std::thread::yield_now();
            }
            endpoint = Some(again(story));
            let left = status(&rest);
            let over = acknowledged["runState"] != "Running";
            if over {
                assert_eq!(left, acknowledged);
            } else {
                let told = left["message"].as_str().unwrap_or_default();
                let failed = left["runState"] == "Failed" && told.contains("ended while the build ran");
                assert!(failed || left["runState"] == "Succeeded", "{left}");
            }
            for folder in [state.as_str(), "/target/test-cache/work"] {
                assert_eq!(mounts_in(folder), Vec::<String>::new());
            }
        }
        az.line("image builder run -g rg -n killed");
        let run = status(&rest);
        assert_eq!(run["runState"], "Succeeded", "{run}");
        az.line("image show -g rg -n jumpbox");
        story.heard(&endpoint.expect("rounds").log());
    });
}
