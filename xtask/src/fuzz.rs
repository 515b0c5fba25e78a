//! `cargo xtask fuzz`: every parser of foreign input against libFuzzer, with the stable compiler.

use std::path::Path;

use crate::Stop;
use crate::host;
use crate::process::{cargo, command, output, run, target};

/// Seconds per target when none are asked for.
const SECONDS: u32 = 60;

/// Fuzzes one target, or each in turn, for so many seconds.
pub fn run_targets(words: &[&str]) -> Result<(), Stop> {
    let (mut wanted, mut seconds) = (None, SECONDS);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--seconds" => {
                let number = words.next().and_then(|text| text.parse().ok()).filter(|&seconds| seconds > 0);
                seconds = number.ok_or_else(|| Stop::usage("--seconds takes a number from 1"))?;
            }
            name if wanted.is_none() && !name.starts_with('-') => wanted = Some(name),
            other => return Err(Stop::usage(format!("unknown argument `{other}`"))),
        }
    }
    let program = host::program(false)?;
    host::prepare(&program, &[], &["fuzz"], false)?;
    let all = targets()?;
    if let Some(name) = wanted.filter(|name| !all.iter().any(|target| target == name)) {
        return Err(Stop::usage(format!("no target `{name}`; there are {}", all.join(", "))));
    }
    for name in all.iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name)) {
        // Sanitizers need another compiler, and all that is fuzzed is safe code.
        let mut fuzz = cargo(&["fuzz", "run", "--sanitizer", "none", name]);
        // What is found goes to the first folder; the second is only read.
        let (corpus, seeds) = (format!("fuzz/corpus/{name}"), format!("fuzz/seeds/{name}"));
        if Path::new(&seeds).is_dir() {
            std::fs::create_dir_all(&corpus).map_err(|error| Stop::failed(format!("{corpus}: {error}")))?;
            fuzz.args([corpus, seeds]);
        }
        fuzz.args(["--", &format!("-max_total_time={seconds}")]);
        let words = format!("fuzz/dictionaries/{name}");
        if Path::new(&words).is_file() {
            fuzz.arg(format!("-dict={words}"));
        }
        run(fuzz.args(["-verbosity=0", "-print_final_stats=1", "-timeout=10", "-max_len=65536"]))?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>, Stop> {
    let listed = output(&mut cargo(&["fuzz", "list"]))?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect())
}

/// Type-checks the fuzzers, so that they still run when they are needed.
pub fn check() -> Result<(), Stop> {
    let mut check = command("cargo", &["check", "--quiet", "--manifest-path", "fuzz/Cargo.toml"]);
    run(check.env("RUSTFLAGS", "--cfg fuzzing -D warnings").env("CARGO_TARGET_DIR", target().join("fuzz")))
}
