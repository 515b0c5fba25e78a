//! The whole default jump box from an empty cache, beside what nobody can do without: mmdebstrap, and apt in a bare
//! chroot, with the same packages.

use std::path::Path;
use std::process::Command;

use super::memory::{self, Peak};
use super::{Bench, Figure, Row, checked, time};
use crate::host::is_root;
use crate::process::command;

/// The scenario in which time is compared.
pub const JUMP_BOX: &str = "empty cache: default jump box, to VHD";
const BARE: &str = "mmdebstrap and apt";
/// How many times as long as the bare tools a build may take.
const MOST_TIMES: f64 = 1.25;
/// Memory of all our own processes together, in MB.
const MOST_MEMORY: f64 = 200.0;

/// `$1` folder, `$2` packages of the base, `$3` packages of the jump box; runs in mount and process namespaces of its
/// own. What this machine's apt needs to be told, mmdebstrap leaves in the chroot.
const BARE_SCRIPT: &str = r#"
    option=$(apt-config dump Acquire::Check-Valid-Until)
    mmdebstrap --quiet --mode=root --format=directory --variant=minbase --include="$2" \
        --aptopt='APT::Install-Recommends "false"' ${option:+"--aptopt=$option"} trixie "$1"
    mount -t proc proc "$1/proc"
    rm -f "$1/etc/resolv.conf"
    cp --dereference /etc/resolv.conf "$1/etc/resolv.conf"
    export DEBIAN_FRONTEND=noninteractive
    chroot "$1" apt-get update
    chroot "$1" apt-get install --yes --no-install-recommends $3
"#;

/// Measures ours and the bare tools in turn.
pub fn measure(bench: &Bench) -> (Vec<Row>, Vec<Figure>) {
    eprintln!("  {JUMP_BOX} ...");
    let memory = warm_up(bench);
    let pairs = memory.as_ref().map_err(String::clone).and_then(|_| {
        (0..bench.runs)
            .map(|run| Ok((ours(bench, run)?, bare(bench, run)?)))
            .collect::<Result<Vec<_>, String>>()
    });
    let each = |pick: fn(&(f64, f64)) -> f64| pairs.clone().map(|pairs| pairs.iter().map(pick).collect());
    let rows = vec![
        Row { scenario: JUMP_BOX, by: "aks-jumpbox", seconds: each(|pair| pair.0), promise: None },
        Row { scenario: JUMP_BOX, by: BARE, seconds: each(|pair| pair.1), promise: None },
    ];
    let (ours, tool) = match memory {
        Ok(Peak { ours, largest_tool: (name, megabytes) }) => {
            (Ok(vec![ours]), (format!("memory of the largest tool, {name}"), Ok(vec![megabytes])))
        }
        Err(reason) => (Err(reason.clone()), ("memory of the largest tool".to_owned(), Err(reason))),
    };
    let figures = vec![
        Figure::new(
            format!("{JUMP_BOX}: times {BARE}"),
            "times",
            each(|pair| pair.0 / pair.1),
            Some(MOST_TIMES),
        ),
        Figure::new("memory of all our own processes", "MB", ours, Some(MOST_MEMORY)),
        Figure::new(tool.0, "MB", tool.1, None),
    ];
    (rows, figures)
}

/// One build outside the measured time, whose memory is watched; it leaves the base's list of packages.
fn warm_up(bench: &Bench) -> Result<Peak, String> {
    memory::peak(&mut build(bench, "warm")?, &bench.program)
}

fn ours(bench: &Bench, run: usize) -> Result<f64, String> {
    let name = format!("box-{run}");
    let seconds = time(&mut build(bench, &name)?)?;
    remove(&bench.folder.join(name))?;
    Ok(seconds)
}

/// The built-in recipe: no `jumpbox.toml` stands above a folder of the bench.
fn build(bench: &Bench, name: &str) -> Result<Command, String> {
    let folder = bench.folder(name).map_err(|stop| stop.message)?;
    let mut build = command(&bench.program, &["build", "--quiet", "--cache-dir", "cache"]);
    build.current_dir(folder);
    Ok(build)
}

fn bare(bench: &Bench, run: usize) -> Result<f64, String> {
    if !is_root() {
        return Err("needs root".to_owned());
    }
    let root = bench.folder.join(format!("bare-{run}"));
    let mut script = command(
        "unshare",
        &[
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-ec",
            BARE_SCRIPT,
            "sh",
        ],
    );
    script.arg(&root).args([base_packages(bench)?.join(","), tools(bench)?]);
    let seconds = time(&mut script)?;
    remove(&root)?;
    Ok(seconds)
}

/// Every package of the base that the warm-up made.
fn base_packages(bench: &Bench) -> Result<Vec<String>, String> {
    let bases = bench.folder.join("warm/cache/bases");
    let base = std::fs::read_dir(&bases).map_err(|error| error.to_string())?.flatten().next();
    let admin = base.ok_or("no base was made")?.path().join("root/var/lib/dpkg");
    let mut query = command("dpkg-query", &["--show", "--showformat", "${Package}\n", "--admindir"]);
    Ok(checked(query.arg(admin))?.lines().map(str::to_owned).collect())
}

/// The packages that the built-in recipe installs, from its template.
fn tools(bench: &Bench) -> Result<String, String> {
    let mut render = command(&bench.program, &["render", "template"]);
    let template = checked(render.current_dir(&bench.folder))?;
    let line = template.split_once("--no-install-recommends ").ok_or("the recipe installs nothing")?.1;
    Ok(line.split('"').next().unwrap_or_default().to_owned())
}

fn remove(folder: &Path) -> Result<(), String> {
    std::fs::remove_dir_all(folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))
}
