//! Builds whose steps run in a virtual machine.

use std::fs;
use std::time::{Duration, Instant};

use build_engine::checkpoint::Checkpoint;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::disk::Root;
use crate::processes::{Family, Live, adopt_orphans};
use crate::tree::Tree;
use crate::world::{Built, World, fresh, names};

/// Where a machine that has booted leaves what no build in namespaces has: logs, its identity, when its timers ran,
/// who may keep a session; apt's own folder, which namespaces lay over; the linker's notes about inodes; the
/// identities of each disk.
const OF_A_BOOT: &[&str] = &[
    "/boot/grub/grub.cfg",
    "/etc/fstab",
    "/var/cache/apt/archives/partial",
    "/var/cache/ldconfig",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/linger",
    "/var/lib/systemd/timers",
    "/var/log",
];

/// Whatever a layer has to keep: owners, modes, links, capabilities, attributes, and what is gone.
const FILES: &[&str] = &[
    "sudo groupadd tools && sudo useradd -m -G tools anna",
    "printf 'hello\\n' | sudo tee /usr/local/bin/one",
    "sudo ln /usr/local/bin/one /usr/local/bin/two && sudo ln -s one /usr/local/bin/three",
    "sudo chown anna:tools /usr/local/bin/one && sudo chmod 4750 /usr/local/bin/one",
    "sudo cp /usr/bin/true /usr/local/bin/net && sudo setcap cap_net_raw+ep /usr/local/bin/net",
    "sudo python3 -c \"import os; os.setxattr('/usr/local/bin/net', 'user.note', b'kept')\"",
    "sudo rm -r /usr/share/doc/sudo && sudo truncate -s 3M /opt/sparse && sudo mkfifo /opt/pipe",
    "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/usr/bin/touch /opt/started\\n\
     [Install]\\nWantedBy=multi-user.target\\n' | sudo tee /etc/systemd/system/one.service",
    "sudo systemctl enable one.service",
];

/// The second half is for a machine with an init.
const INIT: &[&str] = &[
    "curl -sS http://denied.example/ || echo refused",
    "[ -d /run/systemd/system ] || { sudo touch /opt/started; exit 0; }",
    "sudo systemctl start one.service && systemctl is-active one.service && systemctl is-system-running",
    "test \"$PACKER_BUILD_NAME\" = azure-arm && id -un && tty || uname -r",
];

fn rows(world: &World, folder: &str) -> Vec<String> {
    let record = world.json(&format!("{folder}/egress.json"));
    let row = |row: &Value| {
        ["step", "name", "port", "protocol", "decision", "rule"].map(|field| row[field].to_string()).join(" ")
    };
    let steps = record["connections"].as_array().expect("a list").iter().filter(|row| row["step"] != 0);
    let mut rows: Vec<_> = steps.map(row).collect();
    rows.sort();
    rows
}

/// What two disks might lack alike: links, and attributes of files.
fn assert_kept(disk: &Root) {
    assert!(disk.is_one_file("/usr/local/bin/one", "/usr/local/bin/two"));
    let capability = disk.attribute("/usr/local/bin/net", "security.capability");
    assert!(capability.starts_with("01 00 00 02 00 20 00"), "of the plain version 2: {capability}");
    assert_eq!(disk.attribute("/usr/local/bin/net", "user.note"), "6b 65 70 74");
}

#[test]
fn a_virtual_machine_boots_and_makes_what_namespaces_make() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.write("upload", "uploaded\r\n");
    world.steps(&json!([
        fresh("files", FILES),
        {"type": "File", "sourceUri": "upload", "destination": "/tmp/upload"},
        {"type": "Shell", "name": "install", "inline": ["sudo install -m 640 /tmp/upload /opt/upload"]},
        fresh("init", INIT),
    ]));

    // Stopped while it boots, everything is gone; without a word, too.
    for signal in [Signal::INT, Signal::KILL] {
        let mut live = Live::start(world.build_command("--isolation vm --output stopped"));
        live.until(|event| {
            event["text"].as_str().is_some_and(|text| text.contains("virtual machine has started"))
        });
        let family = live.below();
        assert!(family.len() >= 3, "the sandbox that holds the network, and QEMU: {}", family.len());
        live.signal(signal);
        assert_eq!(live.end(), (signal == Signal::INT).then_some(130));
        assert!(family.is_gone(), "a process was left");
    }

    let built = world.build("--isolation vm --output vm", 0);
    assert_eq!(built.states(), ["succeeded"; 4], "{built}");
    let said = built.output(4);
    for line in ["refused", "active", "running", "packer", "not a tty"] {
        assert!(said.contains(&line), "{line}: {built}");
    }
    let manifest = world.json("vm/manifest.json");
    assert_eq!(manifest["isolation"], "vm");
    let disk = Root::of(&world.path("vm/image.vhd"));
    disk.assert_clean();
    assert_kept(&disk);

    // Nothing of it counts for a build in namespaces, whose result is the same.
    let built = world.build("--output namespaces", 0);
    assert_eq!(built.states(), ["succeeded"; 4], "{built}");
    assert_eq!(world.json("namespaces/manifest.json")["isolation"], "namespaces");
    assert_kept(&Root::of(&world.path("namespaces/image.vhd")));
    let tree = |folder| Tree::of(&world.path(folder).join("image.vhd")).without(OF_A_BOOT);
    tree("vm").assert_same(&tree("namespaces"), &[]);
    assert_eq!(rows(&world, "vm"), rows(&world, "namespaces"));
    assert!(
        rows(&world, "vm").iter().any(|row| row.starts_with("4 \"denied.example\" 80 \"tcp\" \"denied\""))
    );

    // The second time nothing boots.
    let built = world.build("--isolation vm --output vm", 0);
    assert_eq!(built.states(), ["cached"; 4], "{built}");
    assert_eq!(rows(&world, "vm"), rows(&world, "namespaces"));
    assert_eq!(names(&world.cache().join("work")), Vec::<String>::new());
}

/// What a step may use up is the guest's, and a kill or the end of the time leaves nothing of the guest.
#[test]
fn hostile_steps_stay_in_the_virtual_machine_and_neither_a_kill_nor_a_time_out_leaves_any_of_it() {
    let Some(world) = World::ready() else { return };
    if cfg!(not(debug_assertions)) {
        eprintln!("SKIPPED: a release build cannot be told to kill itself");
        return;
    }
    adopt_orphans();
    world.steps(&json!([fresh("nothing", &["true"])]));
    world.build("--until 1", 0);
    let begun = Instant::now();
    kill(&world, Checkpoint::GuestBooted, 1);
    let boot = begun.elapsed();
    kill(&world, Checkpoint::GuestOff, 1);

    let forks = "setsid --wait perl -e '$| = 1; while (defined(my $child = fork)) { sleep 1000 if !$child } \
                 print \"bounded: $!\\n\"; kill 9, -getpgrp' || true";
    // A service of its own, because systemd may end the whole session of who uses up the memory.
    let memory = "sudo systemd-run --wait --quiet tail /dev/zero || echo \"hog ended: $?\"";
    world
        .steps(&json!([fresh("processes", &[forks, "echo on"]), fresh("memory", &[memory, "echo goes on"])]));
    let said = kill(&world, Checkpoint::GuestStepRan, 2);
    for line in ["hog ended: ", "bounded: Resource temporarily unavailable", "goes on"] {
        assert!(said.contains(&format!("\"line\":\"{line}")), "{line}: {said}");
    }

    // The first command after the kills removes what they have left, the guest's disk.
    let endless = "trap '' TERM INT HUP; while :; do :; done";
    world.steps(&json!([fresh("fine", &["true"]), fresh("endless", &[endless])]));
    let built = time_out(&world, boot * 5 / 4, "endless");
    assert_eq!(built.code, Some(1), "{built}");
    assert!(built.complaint().contains("total time"), "{built}");
    assert_eq!(built.states(), ["succeeded", "failed"], "{built}");
    assert_nothing_runs();
    assert_eq!(names(&world.cache().join("work")), Vec::<String>::new());
    let sockets = fs::read_to_string("/proc/net/unix").expect("read");
    let ours = world.cache().display().to_string();
    assert!(!sockets.lines().any(|line| line.contains(&ours)), "a socket was left: {sockets}");
}

/// A build that kills itself at the n-th arrival at a checkpoint, and what it said until then.
fn kill(world: &World, checkpoint: Checkpoint, arrival: u32) -> String {
    let layers = names(&world.cache().join("layers"));
    let mut command = world.build_command("--isolation vm --output killed");
    command.env(sandbox::KILL_AT, format!("{checkpoint:?}:{arrival}"));
    let mut live = Live::start(command);
    let said = live.rest();
    assert_eq!(live.end(), None, "it was killed: {said}");
    assert_nothing_runs();
    assert_eq!(names(&world.cache().join("layers")), layers, "half a layer");
    assert!(!world.path("killed/image.vhd").exists());
    said
}

/// A build whose time ends while the step runs. How long a boot takes here, only boots tell: it is given more time until
/// the step has begun.
fn time_out(world: &World, mut limit: Duration, step: &str) -> Built {
    loop {
        let line = format!("--isolation vm --timeout {}s", limit.as_secs());
        let built = Built::of(&world.build_command(&line).output().expect("the program runs"));
        if built.complaint().contains(step) {
            return built;
        }
        // While it boots, the machine is to blame.
        assert_eq!(built.code, Some(4), "{built}");
        assert_nothing_runs();
        limit *= 2;
    }
}

fn assert_nothing_runs() {
    assert!(Family::below(std::process::id()).is_gone(), "QEMU or a sandbox was left");
}
