//! `serve` as a process: how it starts, what keeps it from starting, and what it leaves.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Signal, kill_process};

use crate::serve::{Serve, command};

/// What it says when it does not start.
fn refused(state: &Path) -> String {
    refused_on(state, "127.0.0.1:0")
}

fn refused_on(state: &Path, address: &str) -> String {
    let mut command = command(state, &["--listen", address]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("standard output")).read_line(&mut line).expect("read");
    if !line.is_empty() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), line.as_str()), (Some(4), ""), "{stderr}");
    stderr
}

#[test]
fn it_says_why_it_cannot_start_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let serve = Serve::start(&state);
    let second = refused(&state);
    assert!(second.contains("another endpoint is running on it") && second.contains("--state"), "{second}");

    let (_, port) = serve.told("endpoint").rsplit_once(':').expect("a port");
    let taken = refused_on(&folder.path().join("other"), &format!("127.0.0.1:{port}"));
    assert!(taken.contains("in use") && taken.contains("--listen"), "{taken}");
    drop(serve);

    let file = state.join("state.sqlite3");
    let database = rusqlite::Connection::open(&file).expect("opened");
    database.pragma_update(None, "user_version", 99).expect("changed");
    drop(database);
    let newer = refused(&state);
    assert!(newer.contains("version 99") && newer.contains("another folder"), "{newer}");

    std::fs::write(&file, "not a database, but long enough to be looked at").expect("written");
    for journal in ["state.sqlite3-wal", "state.sqlite3-shm"] {
        let _ = std::fs::remove_file(state.join(journal));
    }
    let broken = refused(&state);
    assert!(broken.contains("state.sqlite3"), "{broken}");
    std::fs::write(state.join("secrets.json"), "{").expect("written");
    let broken = refused(&state);
    assert!(broken.contains("secrets.json"), "{broken}");
}

#[test]
fn its_state_is_its_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("made/state");
    let _serve = Serve::start(&state);
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&state), 0o700);
    for name in ["secrets.json", "ca.key", "ca.pem", "state.sqlite3"] {
        // Whatever else is in the folder: nobody else gets into it.
        let secret = name != "state.sqlite3";
        assert!(!secret || mode(&state.join(name)) == 0o600, "{name}: {:o}", mode(&state.join(name)));
    }
}

#[test]
fn an_interrupt_ends_it_with_130_and_its_state_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    for signal in [Signal::INT, Signal::TERM] {
        let mut serve = Serve::start(folder.path());
        let first = serve.first.clone();
        kill_process(serve.id(), signal).expect("sent");
        assert_eq!(serve.wait().code(), Some(130));
        assert!(!serve.log().contains("error"), "{}", serve.log());
        let spool = std::fs::read_dir(folder.path().join("spool")).expect("listed").count();
        assert_eq!(spool, 0);
        let again = Serve::start(folder.path());
        for name in ["tenant", "subscription", "client_id", "client_secret", "ca"] {
            assert_eq!(again.first[name], first[name]);
        }
    }
}

#[test]
fn an_address_that_others_reach_is_warned_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = Serve::start_with(folder.path(), &["--listen", "0.0.0.0:0"]);
    kill_process(serve.id(), Signal::INT).expect("sent");
    serve.wait();
    assert!(serve.log().contains("warning") && serve.log().contains("others can reach"), "{}", serve.log());
    let mut serve = Serve::start(folder.path());
    kill_process(serve.id(), Signal::INT).expect("sent");
    serve.wait();
    assert!(!serve.log().contains("warning"), "{}", serve.log());
}
