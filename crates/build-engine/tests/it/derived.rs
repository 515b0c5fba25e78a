//! Disks made of the base's file system and a difference: the same as disks written as a whole, or written as a whole.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build_engine::disk::{self, Disk, Origin, Plan, Stage};
use build_engine::rooted::Rooted;
use rustix::fs::{XattrFlags, setxattr};

use super::disk::{Tree, admin, output, root_of};

const SECRET: &[u8] = b"the private key of every machine";
/// Allows to open raw sockets, in the form that the kernel keeps.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A merged tree, the base it began as, and a folder of the names that changed, as an overlay's upper folder has them.
struct Stack {
    tree: Tree,
    origin: Origin,
}

impl Stack {
    /// The base has its own file system beside it, from the first disk.
    fn new() -> Self {
        let tree = Tree::new();
        let at = |name: &str| tree.folder.path().join(name);
        tree.put("etc/keys/host_key", &SECRET.repeat(500));
        tree.put("etc/keys/host_key.pub", b"public");
        tree.put("opt/old/deep/file", b"old");
        tree.put("opt/replaced", b"a file");
        tree.put("opt/kept", b"kept");
        symlink("z".repeat(100), tree.root().join("opt/long link")).unwrap();
        disk::install_boot_files(&Rooted::open(&tree.root()).unwrap(), &tree.ids, "").unwrap();
        fs::create_dir_all(at("base")).unwrap();
        fs::create_dir(at("layer")).unwrap();
        output(Command::new("cp").arg("-a").args([tree.root(), at("base/root")]));
        let origin =
            Origin { base: at("base/root"), layers: vec![at("layer")], staging: Some(at("staging")) };
        let stack = Self { tree, origin };
        let (disk, stages) = stack.write();
        assert!(
            matches!(&stages[1], Stage::Root(Some(_))),
            "there is no file system of the base yet: {stages:?}"
        );
        let name = disk.base_image.expect("tried").expect("made");
        fs::rename(stack.staging(), stack.origin.base.with_file_name(name)).unwrap();
        stack
    }

    fn staging(&self) -> &Path {
        self.origin.staging.as_deref().unwrap()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.tree.root().join(path)
    }

    /// Notes that the tree differs from the base there; the folder that it is in does, too.
    fn touch(&self, path: impl AsRef<Path>) {
        let path = self.origin.layers[0].join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !path.exists() {
            fs::write(path, "").unwrap();
        }
    }

    fn put(&self, path: &str, content: &[u8]) {
        self.tree.put(path, content);
        self.touch(path);
    }

    fn remove(&self, path: &str) {
        let full = self.at(path);
        if full.is_dir() {
            fs::remove_dir_all(full).unwrap();
        } else {
            fs::remove_file(full).unwrap();
        }
        self.touch(path);
    }

    fn write(&self) -> (Disk, Vec<Stage>) {
        let _ = fs::create_dir(self.staging());
        let plan = Plan::for_tree(&self.tree.spec(Some(1)), &self.tree.root()).unwrap();
        let (mut heard, output) = (Vec::new(), self.tree.folder.path().join("image.vhd"));
        let mut progress = |stage| heard.push(stage);
        let disk = disk::write(plan, &self.tree.root(), Some(&self.origin), &output, false, &mut progress);
        (disk.unwrap(), heard)
    }

    /// The disk, which was made of the base's file system.
    fn derived(&self) -> Disk {
        let (disk, stages) = self.write();
        assert_eq!(stages, [Stage::Frame, Stage::Derived, Stage::DigestAndComparison]);
        disk
    }
}

/// Every change that a difference can hold.
fn change(stack: &Stack) {
    stack.put("srv/new/with space/file é", b"new");
    stack.put("srv/new/large", &vec![7; (3 << 20) + 5]);
    stack.put("srv/new/empty", b"");
    stack.put("usr/lib/shim/mmx64.efi.signed", b"changed");
    stack.remove("etc/keys/host_key");
    stack.remove("opt/old");
    fs::remove_file(stack.at("opt/replaced")).unwrap();
    stack.put("opt/replaced/now a folder", b"x");
    stack.remove("srv/short");
    stack.put("srv/new/linked", b"two names");
    fs::hard_link(stack.at("srv/new/linked"), stack.at("opt/linked")).unwrap();
    stack.touch("opt/linked");
    symlink("elsewhere", stack.at("srv/short")).unwrap();
    symlink("y".repeat(100), stack.at("srv/long link")).unwrap();
    stack.touch("srv/long link");
    for (path, mode) in [("srv/new/empty", 0o4711), ("srv/new", 0o1777), ("opt", 0o700)] {
        fs::set_permissions(stack.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(stack.at("srv/new/large")).unwrap().set_modified(then).unwrap();
    let tool = stack.at("srv/new/large");
    // A change of the owner takes capabilities away.
    let owned = rustix::fs::chown(&tool, Some(rustix::fs::Uid::from_raw(70_000)), None);
    if owned.is_err() || setxattr(&tool, "security.capability", &CAPABILITY, XattrFlags::empty()).is_err() {
        eprintln!("SKIPPED: another owner and file capabilities, which only root may set");
    }
}

/// What `debugfs` says of every name of the tree: all but inode numbers, places, generations and other times than that
/// of the last modification. The copy that is the base here was changed when it was made.
fn described(disk: &Path, tree: &Path) -> Vec<String> {
    let names = output(Command::new("find").arg(tree).args(["-mindepth", "1", "-printf", "%P\\n"]));
    let names =
        names.lines().filter(|name| !name.contains('"') && tree.join(name).symlink_metadata().is_ok());
    let requests: Vec<_> = names.map(|name| format!("stat \"/{name}\"\n")).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), requests.concat()).unwrap();
    let printed = output(admin("debugfs").arg("-f").arg(file.path()).arg(root_of(disk)));
    let told = ["debugfs: ", "User:", "Links:", " mtime:", "Fast link", "  security", "Inode count"];
    let kind = |line: &str| line.split_once("Type:").map(|(_, kind)| format!("Type:{kind}"));
    let lines = printed.lines().filter_map(|line| {
        let told = told.iter().any(|start| line.starts_with(start)).then(|| line.to_owned());
        told.or_else(|| kind(line))
    });
    // The number of blocks of a folder is its writer's.
    lines.map(|line| line.split("Blockcount").next().unwrap_or_default().to_owned()).collect()
}

fn holds(disk: &Path, needle: &[u8]) -> bool {
    let found =
        Command::new("grep").args(["-q", "-a", "-F", "-f", "-"]).arg(disk).stdin(Stdio::piped()).spawn();
    let mut found = found.unwrap();
    found.stdin.take().unwrap().write_all(needle).unwrap();
    found.wait().unwrap().success()
}

#[test]
fn a_derived_disk_is_the_one_that_would_be_written_as_a_whole() {
    let stack = Stack::new();
    change(&stack);
    let disk = stack.derived();
    output(admin("e2fsck").arg("-fn").arg(root_of(&disk.path)));
    disk::compare(&disk.path, &stack.tree.root()).unwrap();
    let plan = Plan::for_tree(&stack.tree.spec(Some(1)), &stack.tree.root()).unwrap();
    let path = stack.tree.folder.path().join("whole.vhd");
    let whole = disk::write(plan, &stack.tree.root(), None, &path, false, &mut |_| {}).unwrap();
    let [ours, theirs] = [&disk, &whole].map(|disk| described(&disk.path, &stack.tree.root()));
    assert!(ours.len() > 100, "{ours:?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    let superblock = |disk: &Disk| {
        let printed = output(admin("dumpe2fs").arg("-h").arg(root_of(&disk.path)));
        let told = [
            "Filesystem UUID",
            "Filesystem features",
            "Block count",
            "Inode count",
            "Free inodes",
            "Journal",
        ];
        printed
            .lines()
            .filter(|line| told.iter().any(|start| line.starts_with(start)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(superblock(&disk), superblock(&whole));
}

#[test]
fn nothing_of_what_was_removed_can_be_read_on_the_disk() {
    let stack = Stack::new();
    let before = stack.derived();
    assert!(
        holds(&before.path, SECRET) && holds(&before.path, b"host_key"),
        "what is looked for can be found"
    );
    stack.remove("etc/keys");
    let disk = stack.derived();
    assert!(!holds(&disk.path, SECRET) && !holds(&disk.path, b"host_key"));
    let file = fs::File::open(&disk.path).unwrap();
    assert!(file.metadata().unwrap().len() > 1 << 30);
    let blocks = output(admin("dumpe2fs").arg(root_of(&disk.path)));
    let free =
        blocks.lines().find_map(|line| line.strip_prefix("  Free blocks: ").filter(|list| !list.is_empty()));
    let first: u64 = free.unwrap().split(['-', ',']).next().unwrap().parse().unwrap();
    let place = disk::ROOT_OFFSET + first * 4096;
    assert!(
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(place)).unwrap() > place,
        "a free block is a hole"
    );
}

/// Why a disk is written as a whole, and what is made where.
type Change<'a> = (&'a str, PathBuf, &'a dyn Fn(PathBuf));

#[test]
fn what_debugfs_cannot_be_told_is_written_as_a_whole_and_the_reason_said() {
    let stack = Stack::new();
    let pipe = |path: PathBuf| {
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    };
    let note = |path: &Path| setxattr(path, "user.note", b"x", XattrFlags::empty()).unwrap();
    let odd = |name: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(name));
    let plain = |path: PathBuf| fs::write(path, "x").unwrap();
    let cases: [Change<'_>; 7] = [
        ("has a name that", odd(b"opt/line\nrm boot"), &plain),
        ("has a name that", odd(b"opt/\"quoted\""), &plain),
        ("has a name that", odd(b"opt/not \xff text"), &plain),
        ("neither file nor", odd(b"opt/pipe"), &pipe),
        ("a name that does not", odd(b"opt/linked"), &|path| {
            plain(path.clone());
            fs::hard_link(&path, path.with_file_name("second")).unwrap();
        }),
        ("leads where", odd(b"opt/link"), &|path| symlink("to\nnowhere", path).unwrap()),
        ("has extended attributes", odd(b"opt/noted"), &|path| {
            plain(path.clone());
            note(&path);
        }),
    ];
    for (reason, path, make) in cases {
        make(stack.tree.root().join(&path));
        stack.touch(&path);
        let (disk, stages) = stack.write();
        let [Stage::Frame, .., Stage::Root(Some(why)), Stage::Digest] = &stages[..] else {
            panic!("{stages:?}")
        };
        assert!(why.contains(reason), "{path:?}: {why}");
        disk::compare(&disk.path, &stack.tree.root()).unwrap();
        for path in [path, odd(b"opt/second")] {
            let _ = fs::remove_file(stack.tree.root().join(&path));
            let _ = fs::remove_file(stack.origin.layers[0].join(path));
        }
    }
    stack.derived();
}

#[test]
fn a_difference_that_was_not_found_is_written_as_a_whole() {
    let stack = Stack::new();
    // No layer has them, as if a walk had passed them over.
    for (path, what) in [("opt/kept", "content"), ("opt/unheard of", "missing")] {
        let length = fs::read(stack.at(path)).map_or(4, |content| content.len());
        fs::write(stack.at(path), vec![b'!'; length]).unwrap();
        stack.touch("opt/other");
        let (disk, stages) = stack.write();
        let [.., Stage::Root(Some(why)), Stage::Digest] = &stages[..] else { panic!("{stages:?}") };
        assert!(why.contains(path), "{what}: {why}");
        disk::compare(&disk.path, &stack.tree.root()).unwrap();
    }
}
