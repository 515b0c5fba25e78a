//! The whole journey of a person who is not root, beside the same build by root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use sandbox::Account;
use serde_json::{Value, json};

use crate::disk::Root;
use crate::processes::Live;
use crate::tree::Tree;
use crate::world::{World, fresh};

const NAME: &str = "aks-jumpbox-test";
/// Sorted: identities of the disk, days and times that packages note, archives with times in them.
const NOT_COMPARED: [&str; 4] = ["/boot/grub/grub.cfg", "/boot/initrd.img-", "/etc/fstab", "/etc/shadow"];

/// An account of this machine, with its own home and subordinate ids, removed with everything that is its own.
struct Person {
    home: PathBuf,
    id: u32,
}

impl Person {
    fn new() -> Self {
        // Whatever an earlier run that was killed left.
        let _ = Command::new("userdel").args(["--remove", NAME]).output();
        let home = PathBuf::from("/home").join(NAME);
        must(
            Command::new("useradd")
                .args(["--create-home", "--user-group", "--home-dir"])
                .arg(&home)
                .arg(NAME),
        );
        let has_ids = |file| fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("{NAME}:")));
        if !has_ids("/etc/subuid") || !has_ids("/etc/subgid") {
            let range = "1900000000-1900065535";
            must(Command::new("usermod").args(["--add-subuids", range, "--add-subgids", range, NAME]));
        }
        let id = fs::metadata(&home).expect("a home").uid();
        let person = Self { home, id };
        // As strict as homes come: nobody else may enter.
        fs::set_permissions(&person.home, fs::Permissions::from_mode(0o700)).expect("set");
        fs::copy(env!("CARGO_BIN_EXE_aks-jumpbox"), person.home.join("aks-jumpbox")).expect("copied");
        person
    }

    /// What the machine lacks for this person.
    fn obstacles(&self) -> Vec<sandbox::Obstacle> {
        let account = Account { name: NAME.to_owned(), uid: self.id };
        sandbox::obstacles(Path::new("/"), &account, &self.home.join("aks-jumpbox"))
    }

    /// The program with the words of `line`, as this person would run it at home.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("setpriv");
        let id = self.id;
        command.args([&format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups", "./aks-jumpbox"]);
        command.args(line.split_whitespace()).current_dir(&self.home).stdin(std::process::Stdio::null());
        command.env_clear().env("HOME", &self.home).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    }

    #[track_caller]
    fn run(&self, line: &str, code: i32) -> String {
        let output = self.command(line).output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {said}{complained}");
        said
    }

    fn write(&self, name: &str, content: &str) {
        let file = self.home.join(name);
        fs::write(&file, content).expect("written");
        chown(&file, Some(self.id), Some(self.id)).expect("given");
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = Command::new("userdel").args(["--remove", NAME]).output();
    }
}

#[track_caller]
fn must(command: &mut Command) {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_a_person_without_root_builds_is_what_root_builds_and_boots() {
    let Some(world) = World::ready() else { return };
    let person = Person::new();
    let obstacles = person.obstacles();
    if !obstacles.is_empty() {
        eprintln!("SKIPPED: this machine lets no ordinary user build: {obstacles:?}");
        return;
    }
    world.steps(&json!([fresh(
        "owners, modes and attributes",
        &[
            "id -u",
            "echo made | sudo tee /opt/file > /dev/null",
            "sudo chown 33:4242 /opt/file && sudo chmod 0640 /opt/file",
            "sudo install -m 4755 -o 65534 /bin/true /opt/set-id",
            "sudo install /bin/true /opt/tool && sudo setcap cap_net_raw+ep /opt/tool",
            "sudo mkfifo /opt/pipe && sudo ln /opt/file /opt/second-name && sudo ln -s nowhere /opt/link",
            "sudo rm /etc/modprobe.d/blacklist-azure.conf",
        ]
    )]));
    person.write("image.json", &world.read("image.json"));
    assert!(person.run("doctor", 0).contains("this needs no root"));
    person.run("build --template image.json", 0);
    let read =
        |file: &Path| -> Value { serde_json::from_slice(&fs::read(file).expect("read")).expect("JSON") };
    let manifest = read(&person.home.join("out/manifest.json"));
    assert_eq!(manifest["id_map"], "subordinate");
    let image = person.home.join("out/image.vhd");
    assert_eq!(fs::metadata(&image).expect("an image").uid(), person.id, "the person's own file");

    let built = world.build("", 0);
    let built = if world.json("out/manifest.json")["base"]["id"] == manifest["base"]["id"] {
        built
    } else {
        // The archive has moved on since root's base was made.
        world.build("--refresh", 0)
    };
    let warned = built.said("warning").contains("is the owner of root's files outside");
    assert_eq!(world.json("out/manifest.json")["id_map"], if warned { "identity" } else { "shifted" });
    the_disks_hold_the_same(&world.path("out/image.vhd"), &image);

    a_base_of_ones_own_keeps_its_owners(&world, &person);
    a_killed_build_is_cleared_up_by_the_next(&world, &person);
    let answer: Value =
        serde_json::from_str(&person.run("try out/image.vhd --format json", 1)).expect("JSON");
    let tests = answer["tests"].as_array().expect("tests");
    let passed = |name: &str| tests.iter().any(|test| test["name"] == name && test["status"] == "pass");
    // A bare base lets passwords in, which is why the verdict is no.
    assert!(passed("no-failed-units") && passed("disk-grew"), "{answer:#}");
    person.run("cache prune --yes", 0);
    for kind in ["bases", "layers", "packages", "work"] {
        let left = fs::read_dir(person.home.join(".cache/aks-jumpbox").join(kind)).expect("read").count();
        assert_eq!(left, 0, "{kind}: what belongs to subordinate ids goes, too");
    }
}

/// The base that root made, packed, as the base of the person.
fn a_base_of_ones_own_keeps_its_owners(world: &World, person: &Person) {
    let id = world.json("out/manifest.json")["base"]["id"].as_str().expect("an id").to_owned();
    let (root, archive) = (world.cache().join("bases").join(id).join("root"), person.home.join("base.tar"));
    must(Command::new("tar").args(["--numeric-owner", "-cf"]).arg(&archive).arg("-C").arg(root).arg("."));
    let printed = Command::new("sha256sum").arg(&archive).output().expect("it runs").stdout;
    let digest = String::from_utf8(printed).expect("text");
    let digest = digest.split_whitespace().next().expect("a digest");
    let look = "stat -c '%u:%g %a' /etc/shadow /usr/bin/sudo && sudo id -u";
    world.steps(&json!([fresh("look", &[look])]));
    person.write("based.json", &world.read("image.json"));
    let line = format!("--base base.tar --base-sha256 {digest} --until 1 --output based");
    let said = person.run(&format!("build --template based.json --format json {line}"), 0);
    for line in ["0:42 640", "0:0 4755", "0"] {
        assert!(said.contains(&format!("\"line\":\"{line}\"")), "{line}: {said}");
    }
    fs::remove_file(archive).expect("removed");
}

fn a_killed_build_is_cleared_up_by_the_next(world: &World, person: &Person) {
    let slow = "sudo mkdir -m 700 /opt/own && sudo chown 7 /opt/own && sudo touch /opt/own/file";
    world.steps(&json!([fresh("slow", &[slow, "echo ready", "sleep 1000"])]));
    person.write("slow.json", &world.read("image.json"));
    let mut live = Live::start(person.command("build --template slow.json --format json --output slow"));
    live.until_printed("ready");
    let family = live.below();
    live.signal(Signal::KILL);
    assert!(family.len() > 2 && family.is_gone());
    live.end();
    let work = person.home.join(".cache/aks-jumpbox/work");
    assert_eq!(fs::read_dir(&work).expect("read").count(), 1, "what it left");
    person.run("build --template image.json", 0);
    assert_eq!(fs::read_dir(&work).expect("read").count(), 0);
}

/// Paths, kinds, modes, owners, links, contents, attributes.
#[track_caller]
fn the_disks_hold_the_same(by_root: &Path, by_person: &Path) {
    let trees = [by_root, by_person].map(|disk| {
        let root = Root::of(disk);
        root.assert_clean();
        let capability = root.attribute("/opt/tool", "security.capability");
        assert!(capability.starts_with("01 00 00 02 00 20 00"), "of the plain version 2: {capability}");
        Tree::of(disk)
    });
    assert_eq!(trees[1].owner("/opt/file"), "100640 33:4242");
    assert_eq!(trees[1].owner("/opt/set-id"), "104755 65534:0");
    trees[0].assert_same(&trees[1], &NOT_COMPARED);
}
