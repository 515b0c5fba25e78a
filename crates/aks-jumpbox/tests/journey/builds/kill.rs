//! SIGKILL at every checkpoint of the engine and in the middle of what it runs, then a build that goes on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use build_engine::checkpoint::Checkpoint;
use build_engine::disk;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::interruption::mounts_below;
use crate::processes::{Family, Live, adopt_orphans, own_memory_group};
use crate::tree::{OF_THE_DISK, Tree};
use crate::world::{World, change_json, fresh, names};

/// Set it to the number that a run printed to repeat that run.
const SEED: &str = "AKS_JUMPBOX_KILL_SEED";

/// How a program is made to die.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// A build, at the n-th arrival at a checkpoint.
    Build(Checkpoint, u64),
    /// The first build on a base.
    FirstBuild(Checkpoint),
    /// The first build that keeps the base's file system.
    FirstDisk(Checkpoint),
    /// `cache prune`.
    Prune(Checkpoint),
    /// A build, while a program runs for it.
    While(Moment),
}

#[derive(Clone, Copy, Debug)]
enum Moment {
    /// A step's own processes.
    StepRuns,
    /// A step's package manager, which downloads.
    AptRuns,
    /// Whatever writes the disk.
    DiskIsWritten,
    /// A validator's own processes.
    ValidatorRuns,
}

/// A kill at a checkpoint, of an arrival there by chance; none for those that a test of the engine itself covers,
/// because a base takes long to make, and for those of virtual machines, which the test of these covers.
fn kill_at(checkpoint: Checkpoint, random: &mut Random) -> Option<Kill> {
    use Checkpoint as C;
    Some(match checkpoint {
        C::BaseStaged
        | C::BaseListsMoved
        | C::BaseAdmitted
        | C::PackageCopied
        | C::GuestBooted
        | C::GuestStepRan
        | C::GuestOff => return None,
        C::UserLayerSealed => Kill::FirstBuild(checkpoint),
        C::BaseImageWritten | C::BaseImageAdmitted => Kill::FirstDisk(checkpoint),
        C::PruneBegun | C::PruneMoved | C::PruneRemoved => Kill::Prune(checkpoint),
        C::StepBegun | C::StepRan | C::PackagesAdmitted | C::LayerStaged | C::LayerSealed => {
            Kill::Build(checkpoint, 1 + random.next(2))
        }
        C::ReportStaged => Kill::Build(checkpoint, 1 + random.next(3)),
        _ => Kill::Build(checkpoint, 1),
    })
}

/// Small and good enough for an order (Steele, Lea, Flood 2014: `SplitMix64`).
struct Random(u64);

impl Random {
    /// From 0 to `below` - 1.
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn seeded() -> Self {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let seed = std::env::var(SEED).map_or_else(|_| clock(), |text| text.parse().expect("a number"));
        eprintln!("{SEED}={seed} repeats this order");
        Self(seed)
    }
}

/// Every checkpoint and every moment once, in a random order.
fn kills(random: &mut Random) -> Vec<Kill> {
    use Moment::{AptRuns, DiskIsWritten, StepRuns, ValidatorRuns};
    let mut kills: Vec<_> =
        Checkpoint::ALL.iter().filter_map(|&checkpoint| kill_at(checkpoint, random)).collect();
    kills.extend([StepRuns, AptRuns, DiskIsWritten, ValidatorRuns].map(Kill::While));
    for last in (1..kills.len()).rev() {
        let other = random.next(last as u64 + 1);
        kills.swap(last, usize::try_from(other).expect("an index"));
    }
    kills
}

/// A file, a step that gives it owners, modes, links and attributes, and a validator.
fn template() -> Value {
    json!({
        "customize": [
            {"type": "File", "name": "file", "sourceUri": "file.txt", "destination": "/tmp/file"},
            {"type": "Shell", "name": "own", "inline": [
                "echo step runs",
                "sudo install -o 33 -g 4242 -m 0640 /tmp/file /opt/file && sudo ln /opt/file /opt/same",
                "sudo install /bin/true /opt/tool && sudo setcap cap_net_raw+ep /opt/tool",
                "sudo ln -s file /opt/link && sudo rm /etc/modprobe.d/blacklist-azure.conf",
            ]},
        ],
        "validate": {"inVMValidations": [
            {"type": "Shell", "name": "checks", "inline": ["echo validator runs", "sudo test -s /opt/same"]},
        ]},
    })
}

fn kill(world: &World, kill: Kill) {
    world.template(&template());
    match kill {
        Kill::Build(checkpoint, arrival) => kill_build_at(world, checkpoint, arrival),
        Kill::FirstBuild(checkpoint) => {
            forget_layers(world);
            kill_build_at(world, checkpoint, 1);
        }
        Kill::FirstDisk(checkpoint) => {
            // Only after an earlier build is it kept.
            world.build("", 0);
            base_images(world).for_each(|image| fs::remove_dir_all(image).expect("removed"));
            kill_build_at(world, checkpoint, 1);
        }
        Kill::Prune(checkpoint) => kill_prune_at(world, checkpoint),
        Kill::While(moment) => kill_build_while(world, moment),
    }
}

fn forget_layers(world: &World) {
    let layers = world.cache().join("layers");
    for layer in names(&layers) {
        fs::remove_dir_all(layers.join(layer)).expect("removed");
    }
}

/// File systems of bases, kept beside them.
fn base_images(world: &World) -> impl Iterator<Item = PathBuf> {
    let bases = world.cache().join("bases");
    let inside = names(&bases).into_iter().flat_map(move |base| {
        let base = bases.join(base);
        names(&base).into_iter().map(move |name| base.join(name))
    });
    inside.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ext4-")))
}

/// Steps run whatever is cached, so that every build comes to every checkpoint.
fn killable(world: &World) -> Command {
    world.build_command("--no-cache")
}

fn kill_build_at(world: &World, checkpoint: Checkpoint, arrival: u64) {
    let mut command = killable(world);
    command.env(sandbox::KILL_AT, format!("{checkpoint:?}:{arrival}"));
    let mut live = Live::start(command);
    // Inside a sandbox it can only say that it is there.
    if live.finds(|event| event["line"] == format!("checkpoint {checkpoint:?}")) {
        live.signal(Signal::KILL);
    }
    assert_eq!(live.end(), None, "the build never came to {checkpoint:?}");
}

fn kill_build_while(world: &World, moment: Moment) {
    if matches!(moment, Moment::AptRuns) {
        world.steps(&json!([fresh("packages", &["sudo apt-get update"])]));
    }
    let mut live = Live::start(killable(world));
    live.until(|event| match moment {
        Moment::StepRuns => event["line"] == "step runs",
        Moment::AptRuns => event["event"] == "egress" && event["step"] == 1,
        Moment::DiskIsWritten => event["event"] == "phase" && event["name"] == "disk",
        Moment::ValidatorRuns => event["line"] == "validator runs",
    });
    live.signal(Signal::KILL);
    live.end();
}

fn kill_prune_at(world: &World, checkpoint: Checkpoint) {
    age_layers(world);
    let mut command = world.command("cache prune --yes --older-than 1");
    let output = command.env(sandbox::KILL_AT, format!("{checkpoint:?}")).output().expect("the program runs");
    assert_eq!(output.status.code(), None, "the prune never came to {checkpoint:?}: {output:?}");
}

/// Makes every layer old enough for `cache prune --older-than 1`, and no base.
pub(super) fn age_layers(world: &World) {
    world.change_bases(|record| record["created"] = json!(now()));
    let layers = world.cache().join("layers");
    for layer in names(&layers) {
        let record = layers.join(layer).join("layer.json");
        change_json(&record, |record| record["created"] = json!(now() - 10 * 86_400));
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// Whatever has a final name is whole, and nothing that was started goes on.
#[track_caller]
fn assert_sound(world: &World) {
    assert!(Family::below(std::process::id()).is_gone(), "a process was left");
    assert_eq!(mounts_below(world), Vec::<String>::new());
    let known =
        ["customization.log", "egress.json", "image.vhd", "manifest.json", "sbom.cdx.json", "validation.log"];
    for name in world.names("out").iter().filter(|name| !is_unfinished(name)) {
        assert!(known.contains(&name.as_str()), "{name}");
        if name.contains(".json") {
            world.json(&format!("out/{name}"));
        }
    }
    assert_image_is_what_the_manifest_says(world);
    assert_cache_is_whole(world);
}

/// Every entry has all its parts.
#[track_caller]
pub(super) fn assert_cache_is_whole(world: &World) {
    for (kind, note, parts) in
        [("layers", "layer.json", &["diff"][..]), ("bases", "base.json", &["root", "lists"])]
    {
        for name in names(&world.cache().join(kind)) {
            let entry = world.cache().join(kind).join(name);
            let text = fs::read(entry.join(note)).expect("a note");
            assert!(serde_json::from_slice::<Value>(&text).is_ok(), "{}", entry.display());
            assert!(parts.iter().all(|part| entry.join(part).is_dir()), "{}", entry.display());
        }
    }
    for image in base_images(world) {
        assert_eq!(names(&image), ["names", "root.ext4"]);
    }
}

#[track_caller]
fn assert_image_is_what_the_manifest_says(world: &World) {
    let image = world.path("out/image.vhd");
    if image.exists() {
        disk::inspect(&image).expect("a whole disk");
    }
    if let Ok(text) = fs::read(world.path("out/manifest.json")) {
        let manifest: Value = serde_json::from_slice(&text).expect("JSON");
        if manifest["image"] == "image.vhd" {
            let digest = disk::content_sha256(&image).expect("the image that the manifest names");
            assert_eq!(manifest["content_sha256"], digest);
        }
    }
}

fn is_unfinished(name: &str) -> bool {
    name.starts_with('.')
}

/// A build goes on with what the cache holds and gives the image of a build that nothing disturbed.
#[track_caller]
fn assert_goes_on(world: &World, clean: &Tree) {
    world.template(&template());
    world.build("", 0);
    assert_sound(world);
    clean.assert_same(&Tree::of(&world.path("out/image.vhd")), &OF_THE_DISK);
    assert_eq!(names(&world.cache().join("work")), Vec::<String>::new(), "a working folder was left");
    let stores = names(&world.cache().join("packages")).into_iter();
    let packages = stores.flat_map(|store| names(&world.cache().join("packages").join(store)));
    let unfinished: Vec<_> = packages.chain(world.names("out")).filter(|name| is_unfinished(name)).collect();
    assert_eq!(unfinished, Vec::<String>::new(), "something half-written was left");
    let (groups, _) = own_memory_group().expect("every process is in a control group");
    let groups = names(&groups).into_iter().filter(|name| name.starts_with(sandbox::GROUP_PREFIX));
    assert_eq!(groups.collect::<Vec<_>>(), Vec::<String>::new(), "a control group was left");
}

#[test]
fn whatever_moment_a_kill_hits_nothing_is_left_and_the_next_build_is_as_good_as_a_first() {
    if cfg!(not(debug_assertions)) {
        eprintln!("SKIPPED: a release build cannot be told to kill itself");
        return;
    }
    let Some(mut world) = World::ready() else { return };
    adopt_orphans();
    world.write("file.txt", "a file\n");
    world.use_private_cache();
    // On the same base: links to its files from elsewhere change what generalising does to them.
    world.template(&template());
    world.build("--output clean", 0);
    let clean = Tree::of(&world.path("clean/image.vhd"));
    forget_layers(&world);
    let mut random = Random::seeded();
    let kills = kills(&mut random);
    let mut rest = &kills[..];
    while !rest.is_empty() {
        // What one kill leaves, the next one finds.
        let together = usize::try_from(2 + random.next(3)).expect("a few").min(rest.len());
        let (now, later) = rest.split_at(together);
        eprintln!("{now:?}");
        for &one in now {
            kill(&world, one);
            assert_sound(&world);
        }
        assert_goes_on(&world, &clean);
        rest = later;
    }
}
