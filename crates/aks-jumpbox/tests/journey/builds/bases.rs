//! Building on a base of one's own.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::disk::Root;
use crate::world::{Built, World, fresh, names};

/// The root file system of a base that the archive made.
fn made_base(world: &World) -> PathBuf {
    world.steps(&json!([{"type": "Shell", "name": "nothing", "inline": ["true"]}]));
    world.build("--until 1 --output warm", 0);
    let id = world.json("warm/manifest.json")["base"]["id"].as_str().expect("an id").to_owned();
    world.cache().join("bases").join(id).join("root")
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// As a person would compute it.
fn sha256(file: &Path) -> String {
    let printed = run("sha256sum", &[file.to_str().expect("a path")]);
    printed.split_whitespace().next().expect("a digest").to_owned()
}

fn build_on(world: &World, file: &str, more: &str, code: i32) -> Built {
    let digest = sha256(&world.path(file));
    world.build(&format!("--base {file} --base-sha256 {digest} {more}"), code)
}

/// What `tar` of a small folder is: `etc/os-release` says who it is.
fn small(world: &World, name: &str, os_release: &str, files: &[&str]) {
    world.write(&format!("{name}/etc/os-release"), os_release);
    for file in files {
        world.write(&format!("{name}/{file}"), "");
    }
    let (folder, archive) = (world.path(name), world.path(&format!("{name}.tar")));
    run("tar", &["-cf", archive.to_str().expect("a path"), "-C", folder.to_str().expect("a path"), "."]);
}

#[test]
fn an_archive_of_a_root_is_built_on_and_its_steps_are_cached() {
    let Some(world) = World::ready() else { return };
    let root = made_base(&world);
    let archive = world.path("root.tar.zst");
    let (root, file) = (root.to_str().expect("a path"), archive.to_str().expect("a path"));
    world.write("more/srv/capable", "");
    let more = world.path("more");
    let more = more.to_str().expect("a path");
    run("setcap", &["cap_net_raw+ep", &format!("{more}/srv/capable")]);
    let form = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--use-compress-program=zstd -1"];
    run("tar", &[&form[..], &["-cf", file, "-C", root, ".", "-C", more, "srv/capable"]].concat());

    // The template's source is not looked at: it is what the file stands in for.
    let gallery = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/\
                   Microsoft.Compute/galleries/g/images/hardened/versions/1.0.0";
    world.template(&json!({
        "source": {"type": "SharedImageVersion", "imageVersionId": gallery},
        "customize": [fresh("mark", &["cat /etc/os-release | sudo tee /opt/mark", "id -un"])],
    }));
    let built = build_on(&world, "root.tar.zst", "", 0);
    assert!(built.output(1).contains(&"packer"), "{built}");
    let disk = Root::of(&world.path("out/image.vhd"));
    disk.assert_clean();
    assert!(disk.file("/opt/mark").is_some_and(|mark| mark.contains("trixie")));
    let manifest = world.json("out/manifest.json");
    assert_eq!(manifest["base"]["name"], "root.tar.zst");
    assert_eq!(manifest["base"]["sha256"], sha256(&archive));

    let unpacked = world.cache().join("bases").join(manifest["base"]["id"].as_str().expect("an id"));
    let unpacked = unpacked.join("root").to_str().expect("a path").to_owned();
    let (mut found, capable) = (listing(&unpacked), "srv/capable ");
    assert_eq!(
        run("getcap", &["-r", &format!("{unpacked}/srv")]),
        format!("{unpacked}/{capable}cap_net_raw=ep\n")
    );
    found.retain(|line| !line.starts_with(capable));
    assert_eq!(found, listing(root), "names, types, modes, owners, links, times, targets");

    let again = build_on(&world, "root.tar.zst", "--output again", 0);
    assert_eq!(again.states(), ["cached"], "{again}");
    assert_eq!(world.json("again/manifest.json")["base"]["cached"], true);
}

#[test]
fn an_image_of_ours_is_the_base_of_the_next_in_each_disk_format() {
    let Some(world) = World::ready() else { return };
    // cap_net_raw+ep, as the kernel keeps it.
    let capability = "0100000200200000000000000000000000000000";
    let set = format!("os.setxattr('/opt/first', 'security.capability', bytes.fromhex('{capability}'))");
    let first = [
        "echo one | sudo tee /opt/first",
        "sudo chown 1234:5678 /opt/first",
        &format!("sudo python3 -c \"import os; {set}\""),
    ];
    world.template(&json!({"customize": [fresh("first", &first)]}));
    world.build("--output first", 0);
    let disk = world.path("first/image.vhd");
    let disk = disk.to_str().expect("a path");
    symlink(disk, world.path("image.vhd")).expect("linked");

    world.template(&json!({"customize": [fresh("second", &["cat /opt/first | sudo tee /opt/second"])]}));
    build_on(&world, "image.vhd", "", 0);
    let root = Root::of(&world.path("out/image.vhd"));
    root.assert_clean();
    assert_eq!(root.file("/opt/second").as_deref(), Some("one\n"));
    let unpacked = |manifest: &str| {
        let id = world.json(manifest)["base"]["id"].as_str().expect("an id").to_owned();
        world.cache().join("bases").join(id).join("root").to_str().expect("a path").to_owned()
    };
    let from_vhd = unpacked("out/manifest.json");
    assert!(listing(&from_vhd).iter().any(|line| line.starts_with("opt/first f 644 1234:5678 ")));
    assert!(run("getcap", &[&format!("{from_vhd}/opt/first")]).ends_with("cap_net_raw=ep\n"));
    assert!(!run("find", &[&from_vhd, "-perm", "/6000", "-name", "sudo"]).is_empty(), "so is set-user-id");

    for (format, file) in [("qcow2", "image.qcow2"), ("vpc", "dynamic.vhd")] {
        let target = world.path(file);
        let target = target.to_str().expect("a path");
        run("qemu-img", &["convert", "-f", "raw", "-O", format, disk, target]);
        build_on(&world, file, &format!("--until 1 --output {format}"), 0);
        let from_this = unpacked(&format!("{format}/manifest.json"));
        assert_ne!(from_this, from_vhd);
        assert_eq!(listing(&from_this), listing(&from_vhd), "{format}");
    }
}

/// A line for each name of a tree, with the first name of the same file. How many names a file has is not told: caches
/// of other tests may have some of them.
fn listing(root: &str) -> Vec<String> {
    let printed = run("find", &[root, "-mindepth", "1", "-printf", "%P %y %m %U:%G %T@ %l\t%i\n"]);
    let mut lines: Vec<_> = printed.lines().filter_map(|line| line.rsplit_once('\t')).collect();
    lines.sort_unstable();
    let mut first_names = HashMap::new();
    let mut with_first = |(line, inode): (&'_ str, _)| {
        let name = line.split(' ').next().unwrap_or_default().to_owned();
        format!("{line} {}", first_names.entry(inode).or_insert(name))
    };
    lines.into_iter().map(&mut with_first).collect()
}

#[test]
fn a_base_that_is_not_what_was_asked_for_is_refused_before_it_is_read() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([]));
    // Not even an archive: nothing has looked at it.
    world.write("root.tar", "anything");
    let (wrong, right) = ("0".repeat(64), sha256(&world.path("root.tar")));
    let complaint = world.build(&format!("--base root.tar --base-sha256 {wrong}"), 2).complaint();
    assert!(complaint.contains(&wrong) && complaint.contains(&right), "{complaint}");

    let built = world.build("--base root.tar", 2);
    let error = &built.events[0]["error"];
    let hint = error["hint"].as_str().expect("a hint");
    assert!(hint.contains("sha256sum") && !error.to_string().contains(&right), "no digest to copy: {built}");
    assert_eq!(world.build("--base root.tar --base-sha256 abc", 2).events[0]["error"]["category"], "input");

    let complaint = build_on(&world, "root.tar", "", 2).complaint();
    assert!(complaint.contains("neither an archive nor a disk"), "{complaint}");
}

#[test]
fn a_base_of_another_kind_is_refused_with_what_it_is() {
    let Some(mut world) = World::ready() else { return };
    world.use_empty_cache();
    world.steps(&json!([]));
    small(&world, "alpine", "ID=alpine\nPRETTY_NAME=\"Alpine Linux v3.22\"\n", &["sbin/apk"]);
    let complaint = build_on(&world, "alpine.tar", "", 2).complaint();
    for part in ["Alpine Linux v3.22", "ID=alpine", "no dpkg", "Debian, Ubuntu"] {
        assert!(complaint.contains(part), "{complaint}");
    }
    small(&world, "fedora", "ID=fedora\nPRETTY_NAME=\"Fedora Linux 42\"\n", &["usr/bin/rpm", "usr/bin/dnf"]);
    assert!(build_on(&world, "fedora.tar", "", 2).complaint().contains("ID=fedora"));

    let bare = ["usr/bin/dpkg", "usr/bin/apt-get", "usr/bin/sudo", "usr/lib/systemd/systemd"];
    small(&world, "container", "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n", &bare);
    let complaint = build_on(&world, "container.tar", "", 2).complaint();
    for package in
        ["linux-image-cloud-amd64", "shim-signed", "grub-efi-amd64-signed", "cloud-init", "openssh-server"]
    {
        assert!(complaint.contains(package), "{complaint}");
    }
    assert!(!complaint.contains("sudo"), "what is there is not missing: {complaint}");
    assert_eq!(names(&world.cache().join("bases")), [""; 0], "nothing of a refused base is kept");
}

#[test]
fn an_archive_that_leads_out_of_the_tree_is_refused_where_it_does() {
    let Some(mut world) = World::ready() else { return };
    world.use_empty_cache();
    world.steps(&json!([]));
    world.write("outside/victim", "untouched");
    world.write("in/file", "evil");
    symlink(world.path("outside"), world.path("in/way")).expect("linked");
    // `way` is a link out of the tree, and the next entry would go through it.
    let (archive, folder) = (world.path("evil.tar"), world.path("in"));
    let line = ["-cf", archive.to_str().expect("a path"), "-C", folder.to_str().expect("a path")];
    run("tar", &[&line[..], &["way", "--transform=s,^file$,way/victim,", "file"]].concat());
    let complaint = build_on(&world, "evil.tar", "", 2).complaint();
    for part in ["entry 2 (at byte 512 of the archive)", "way/victim", "a symbolic link stands where"] {
        assert!(complaint.contains(part), "{complaint}");
    }
    assert_eq!(fs::read_to_string(world.path("outside/victim")).expect("there"), "untouched");
}
