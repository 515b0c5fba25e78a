//! How long it takes from the call until a program in a fresh sandbox has ended: seconds, one run a line.
//! `cargo run --release --package sandbox --example start [RUNS]`
#![allow(clippy::unwrap_used, reason = "a measuring program")]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use sandbox::{Bind, Entry, Exit, IdMap, Overlay, Program, Spec};

fn main() {
    sandbox::enter_if_requested(&[]);
    let runs: usize = std::env::args().nth(1).map_or(50, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for name in ["base/usr", "scratch/upper", "scratch/work"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), folder.path().join("base").join(name)).unwrap();
    }
    let entry = Entry::Program(Program {
        argv: vec!["/bin/true".into()],
        env: Vec::new(),
        cwd: "/".into(),
        uid: 0,
        gid: 0,
    });
    let spec = Spec {
        overlay: Some(Overlay {
            store: folder.path().to_path_buf(),
            lowers: vec!["base".into()],
            scratch: folder.path().join("scratch"),
            volatile: false,
        }),
        binds: vec![Bind { host: "/usr".into(), inside: "/usr".into(), read_only: true, scratch: None }],
        ..Spec::new(IdMap::choose(&[folder.path()]).unwrap().id_map, entry)
    };
    for _ in 0..runs {
        let began = Instant::now();
        let exit = sandbox::spawn(&spec).unwrap().wait().unwrap();
        let took = began.elapsed().as_secs_f64();
        assert_eq!(exit, Exit::Code(0));
        println!("{took:.6}");
    }
}
