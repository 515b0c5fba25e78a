//! `cargo xtask up`: from a fresh checkout to a booted, tested jump box.

use std::time::Instant;

use crate::Stop;
use crate::host;
use crate::process::{self, command};

/// Does it all; `yes` answers every question.
pub fn run(yes: bool) -> Result<(), Stop> {
    let began = Instant::now();
    let program = host::program(true)?;
    host::prepare(&program, &[], &[], yes)?;
    let program = program.to_string_lossy().into_owned();
    for word in ["doctor", "build", "try"] {
        process::run(&mut command(&program, &[word]))?;
    }
    let minutes = began.elapsed().as_secs() / 60;
    let seconds = began.elapsed().as_secs() % 60;
    eprintln!(
        "
  A jump box was built from signed packages, under its network rules, booted, and tested.
  From checkout to here: {minutes} min {seconds} s, no cloud account.

    out/                     the disk Azure takes, its SBOM, its log, and everything it contacted
    aks-jumpbox try --shell  a shell in it
    aks-jumpbox init         a jumpbox.toml of your own to change; then `aks-jumpbox build`

  The program is {program}
"
    );
    Ok(())
}
