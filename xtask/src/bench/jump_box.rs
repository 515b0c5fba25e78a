//! The whole default jump box from an empty cache, beside what nobody can do without: mmdebstrap, and apt in a bare
//! chroot, with the same packages.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::memory::{self, Peak};
use super::{Bench, Figure, Row, checked, drop_caches, time};
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

/// What one run of each came to.
#[derive(Clone)]
struct Pair {
    ours: f64,
    bare: f64,
    memory: Peak,
}

/// Measures ours and the bare tools in turn.
pub fn measure(bench: &Bench) -> (Vec<Row>, Vec<Figure>) {
    eprintln!("  {JUMP_BOX} ...");
    let pairs = (0..bench.runs).map(|run| pair(bench, run)).collect::<Result<Vec<_>, _>>();
    let each = |pick: fn(&Pair) -> f64| pairs.clone().map(|pairs| pairs.iter().map(pick).collect());
    let rows = vec![
        Row { scenario: JUMP_BOX, by: "aks-jumpbox", seconds: each(|pair| pair.ours), promise: None },
        Row { scenario: JUMP_BOX, by: BARE, seconds: each(|pair| pair.bare), promise: None },
    ];
    let largest = pairs.iter().flatten().map(|pair| &pair.memory.largest_tool);
    let largest = largest.max_by(|a, b| a.1.total_cmp(&b.1)).map_or("none", |(name, _)| name);
    let figures = vec![
        Figure::new(
            format!("{JUMP_BOX}: times {BARE}"),
            "times",
            each(|pair| pair.ours / pair.bare),
            Some(MOST_TIMES),
        ),
        Figure::new(
            "memory of all our own processes",
            "MB",
            each(|pair| pair.memory.ours),
            Some(MOST_MEMORY),
        ),
        Figure::new(
            format!("memory of the largest tool, {largest}"),
            "MB",
            each(|pair| pair.memory.largest_tool.1),
            None,
        ),
    ];
    (rows, figures)
}

/// Ours, with its memory watched, then the bare tools with the same packages.
fn pair(bench: &Bench, run: usize) -> Result<Pair, String> {
    if !is_root() {
        return Err("needs root".to_owned());
    }
    let name = format!("box-{run}");
    let mut build = build(bench, &name)?;
    drop_caches();
    let began = Instant::now();
    let memory = memory::peak(&mut build, &bench.program)?;
    let ours = began.elapsed().as_secs_f64();
    let folder = bench.folder.join(name);
    let root = bench.folder.join(format!("bare-{run}"));
    let bare = bare(&root, &base_packages(&folder)?.join(","), &tools(bench)?)?;
    remove(&folder)?;
    remove(&root)?;
    Ok(Pair { ours, bare, memory })
}

/// The built-in recipe: no `jumpbox.toml` stands above a folder of the bench.
fn build(bench: &Bench, name: &str) -> Result<Command, String> {
    let folder = bench.folder(name).map_err(|stop| stop.message)?;
    let mut build = command(&bench.program, &["build", "--quiet", "--cache-dir", "cache"]);
    build.current_dir(folder);
    Ok(build)
}

fn bare(root: &Path, base: &str, tools: &str) -> Result<f64, String> {
    let namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
    let mut script = command("unshare", &namespaces);
    script.args(["sh", "-ec", BARE_SCRIPT, "sh"]).arg(root).args([base, tools]);
    time(&mut script)
}

/// Every package of the base that a build in `folder` made.
fn base_packages(folder: &Path) -> Result<Vec<String>, String> {
    let bases = folder.join("cache/bases");
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
