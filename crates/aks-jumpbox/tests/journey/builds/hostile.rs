//! Steps that attack the machine they are built on, the engine, and whoever reads its output. Each attack must be
//! named, must not outlast its step, and must leave nothing that a later build stumbles over.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::processes::{Family, adopt_orphans, own_memory_group};
use crate::world::{Built, World, fresh, names};

/// A world in which whatever outlives a build becomes a child of this test.
fn ready() -> Option<World> {
    adopt_orphans();
    World::ready()
}

/// No process, mount or scratch is left, and the next build works.
#[track_caller]
fn assert_restored(world: &World) {
    assert!(Family::below(std::process::id()).is_gone(), "a process was left");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read");
    assert!(!mounts.contains(&*world.cache().join("work").to_string_lossy()), "a mount was left: {mounts}");
    assert_eq!(names(&world.cache().join("work")), Vec::<String>::new());
    world.steps(&json!([fresh("well", &["echo well"])]));
    assert_eq!(world.build("--until well", 0).states(), ["succeeded"]);
}

/// The failure is named in the event of the step, at the end, and in the log.
#[track_caller]
fn assert_named(world: &World, built: &Built, why: &str) {
    assert!(built.complaint().contains(why), "{built}");
    let step = built.events.iter().rfind(|event| event["event"] == "step").expect("a step");
    assert_eq!(step["state"], "failed", "{built}");
    assert!(step["why"].as_str().is_some_and(|said| said.contains(why)), "{step}");
    let manifest = world.json("out/manifest.json");
    assert!(manifest["error"].as_str().is_some_and(|said| said.contains(why)), "{manifest}");
    assert!(!world.path("out/image.vhd").exists());
}

fn python(lines: &str) -> String {
    format!("sudo python3 -c '{lines}'")
}

#[test]
fn a_step_cannot_use_up_processes_memory_or_space_and_is_told_why_it_ended() {
    let Some(world) = ready() else { return };
    let processes = fresh("processes", &["while sleep 1000 & do :; done", "echo unlimited"]);
    world.steps(&json!([processes]));
    assert!(world.build("", 1).complaint().contains("at most 4096 processes and threads"));

    let space = fresh("space", &["sudo dd if=/dev/zero of=/opt/big bs=1M count=4096"]);
    world.template(&json!({"customize": [space], "vmProfile": {"osDiskSizeGB": 1}}));
    let built = world.build("", 1);
    assert_named(&world, &built, "more than the image's disk of 1.0 GiB holds");

    if let Some(group) = MemoryGroup::new(400 << 20) {
        for memory in ["sudo tail /dev/zero", "sudo dd if=/dev/zero of=/dev/shm/big bs=1M count=2048"] {
            world.steps(&json!([fresh("memory", &["echo 0 > /proc/self/oom_score_adj || true", memory])]));
            let built = group.build(&world);
            assert_named(&world, &built, "it used more than the 300 MiB of memory that a sandbox may");
            assert_eq!(group.left(), Vec::<String>::new());
            assert_eq!(world.json("out/manifest.json")["limits"]["memory_bytes"], 300 << 20);
        }
    }
    assert_restored(&world);
}

#[test]
fn who_ignores_signals_prints_without_end_or_leaves_daemons_ends_all_the_same() {
    let Some(world) = ready() else { return };
    // The daemon holds the step's output and apt's locks, as it would if it hung.
    let daemon = "import fcntl, os, signal; [fcntl.lockf(open(\"/var/lib/dpkg/\" + name, \"w\"), fcntl.LOCK_EX) \
                  for name in (\"lock\", \"lock-frontend\")]; os.fork() and os._exit(0); os.setsid(); signal.pause()";
    world.steps(&json!([
        fresh(
            "daemons",
            &[
                "trap '' TERM HUP INT",
                "sleep 86400 & setsid sleep 86400 &",
                "sudo setsid sleep 86400 &",
                &python(daemon),
                "echo daemons left"
            ]
        ),
        fresh("locks", &["sudo apt-get -o DPkg::Lock::Timeout=0 install --yes --no-download bash"]),
        fresh("own script", &["echo 'echo another; exit 7' > \"$0\"", "echo as it was uploaded"]),
    ]));
    let built = world.build("--until 2", 0);
    assert_eq!(built.states(), ["succeeded", "succeeded"]);
    assert_eq!(built.output(1), ["daemons left"]);

    world.steps(&json!([fresh("endless", &["trap '' TERM HUP INT", "yes \"$(printf '\\033[2Jspam')\""])]));
    let built = world.build("--timeout 4s", 1);
    assert_named(&world, &built, "total time");
    assert_restored(&world);
}

#[test]
fn a_flood_of_output_is_bounded_counted_and_harmless_to_a_terminal() {
    let Some(world) = ready() else { return };
    world.steps(&json!([
        fresh(
            "lines",
            &["yes | head --bytes 1000M", "printf 'ti\\033]0;tle\\007 \\342\\200\\256 \\r\\n'", "echo end"]
        ),
        fresh("one line", &["head --bytes 1000M /dev/zero | tr '\\0' x", "echo", "echo end"]),
    ]));
    let built = world.build("--until 2", 0);
    for step in [1, 2] {
        let output = built.output(step);
        assert!(output.len() < 300_000, "{} lines", output.len());
        assert_eq!(output.last(), Some(&"end"));
        let said = output.iter().find_map(|line| line.strip_suffix(" bytes of output left out]"));
        let left_out: u64 = said.expect("it says so")[1..].parse().expect("a number");
        assert!(left_out > 900 << 20, "{left_out}");
    }
    assert!(
        built.output(1).contains(&"ti\u{fffd}]0;tle\u{fffd} \u{fffd} "),
        "{:?}",
        built.output(1).last_chunk::<2>()
    );
    let log = fs::read(world.path("out/customization.log")).expect("read");
    assert!(log.len() < 64 << 20, "{} bytes", log.len());
    assert!(!log.contains(&0x1b));
}

#[test]
fn a_step_that_breaks_the_image_fails_or_the_next_one_does() {
    let Some(world) = ready() else { return };
    let marker = world.path("marker");
    fs::write(&marker, "host").expect("written");
    world.steps(&json!([fresh(
        "everything",
        &["sudo rm -rf --no-preserve-root / 2>/dev/null || true", "echo on"]
    )]));
    let built = world.build("", 1);
    assert_named(&world, &built, "Script exited with non-zero exit status");
    assert_eq!(fs::read_to_string(&marker).expect("the host's files are there"), "host");

    for (attack, why) in [
        ("sudo ln -sf true /usr/bin/sh", "/bin/sh of the image is no shell"),
        ("sudo rm -f /usr/bin/sh", "failed to start /bin/sh"),
        (
            "sudo ln -sfn /opt /var/tmp/x; sudo rm -f /etc/resolv.conf; sudo ln -s /etc/shadow /etc/resolv.conf",
            "/etc/resolv.conf",
        ),
    ] {
        world.steps(&json!([fresh("breaks", &[attack]), fresh("next", &["echo never"])]));
        let built = world.build("", 1);
        assert_eq!(built.states(), ["succeeded", "failed"], "{attack}: {built}");
        assert_named(&world, &built, why);
    }
    assert_restored(&world);
}

/// What the engine itself reads of the image, or has read by one of its programs, holds no build.
#[test]
fn endless_settings_and_pipes_in_place_of_files_are_named() {
    let Some(world) = ready() else { return };
    let settings = "printf 'while :; do :; done\\n' | sudo tee /etc/default/grub.d/99-endless.cfg";
    world.steps(&json!([fresh("settings", &[settings])]));
    let said = world.build("", 2).complaint();
    assert!(said.contains("/etc/default/grub.d/99-endless.cfg"), "{said}");
    assert!(said.contains("did not end within 10 s"), "{said}");
    for file in ["/etc/fstab", "/etc/shadow", "/var/lib/dpkg/status"] {
        let pipe = format!("sudo sh -c 'rm -f {file} && mkfifo {file}'");
        world.steps(&json!([fresh("pipe", &[&pipe])]));
        let said = world.build("--timeout 60s", 2).complaint();
        assert!(said.contains(file) && said.contains("regular file"), "{said}");
    }
    assert_restored(&world);
}

#[test]
fn odd_names_many_files_and_paths_that_are_too_long_are_held_right_or_refused_clearly() {
    let Some(world) = ready() else { return };
    let odd = "import os\n\
        odd = [b\"a\\nb\", b\"\\xff\\xfe\", b\"\\x1b[31m\", b\"q\\\"\", b\"s p\", b\"\\ndebugfs: ls -p <2>\\n\", b\"-rf\"]\n\
        for top in (b\"/opt/odd\", b\"/boot/odd\"):\n    \
            for name in odd:\n        \
                os.makedirs(top + b\"/d\" + name)\n        \
                open(top + b\"/\" + name, \"w\").write(\"x\")\n        \
                os.symlink(name * (80 // len(name)), top + b\"/l\" + name)\n\
        for folder in range(300):\n    \
            os.makedirs(f\"/opt/many/{folder}\")\n\
        for file in range(100000):\n    \
            open(f\"/opt/many/{file % 300}/{file}\", \"w\").close()";
    // A validator makes the engine compare every name of the disk with the tree it was written from.
    let there =
        "test \"$(find /opt/many -type f | wc -l)\" = 100000 && test \"$(ls -A /boot/odd | wc -l)\" -gt 20";
    world.template(&json!({
        "customize": [fresh("odd", &[&python(odd)])],
        "validate": {"inVMValidations": [fresh("there", &[there])]},
    }));
    let built = world.build("", 0);
    assert_eq!(built.ends("validate"), ["succeeded"]);
    serde_json::from_str::<Value>(&world.read("out/sbom.cdx.json")).expect("JSON");
    let log = world.read("out/customization.log");
    assert!(log.lines().all(|line| line.contains(" PACKER ") || line.contains("] PACKER")), "{log}");
    fs::remove_file(world.path("out/image.vhd")).expect("removed");

    let deep = "import os\nos.chdir(\"/opt\")\n\
        for level in range(600):\n    os.mkdir(\"d\\x1b\" * 100)\n    os.chdir(\"d\\x1b\" * 100)";
    world.steps(&json!([fresh("deep", &[&python(deep)])]));
    let built = world.build("", 2);
    assert!(built.complaint().contains("File name too long"), "{built}");
    assert!(!built.complaint().contains('\u{1b}'), "{built}");
    world.steps(&json!([fresh("deep", &[&python(deep), "exit 3"])]));
    world.build("", 1);
    assert_restored(&world);
}

/// A control group that bounds the memory of what is built in it, so that the machine is in no danger.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new(bytes: u64) -> Option<Self> {
        let made = Self::below_own(bytes);
        if made.is_none() {
            eprintln!("SKIPPED: no control group of this machine's memory can be made here");
        }
        made
    }

    fn below_own(bytes: u64) -> Option<Self> {
        let (own, limit) = own_memory_group()?;
        let group = Self(own.join(format!("test-of-aks-jumpbox-{}", std::process::id())));
        fs::create_dir(&group.0).ok()?;
        // Without the file, as below a group that has processes of its own, the drop removes the folder again.
        fs::write(group.0.join(limit), bytes.to_string()).ok()?;
        Some(group)
    }

    /// Groups of sandboxes that are still there.
    fn left(&self) -> Vec<String> {
        names(&self.0).into_iter().filter(|name| name.starts_with(sandbox::GROUP_PREFIX)).collect()
    }

    fn build(&self, world: &World) -> Built {
        let mut command = std::process::Command::new("/bin/sh");
        let inner = world.build_command("");
        let enter = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", self.0.display());
        command.args(["-c", &enter, "sh"]).arg(inner.get_program()).args(inner.get_args());
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(inner.get_current_dir().expect("a folder"));
        let built = Built::of(&command.output().expect("the program runs"));
        assert_eq!(built.code, Some(1), "{built}");
        built
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
