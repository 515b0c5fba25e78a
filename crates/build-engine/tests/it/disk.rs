//! Disks written from a small but bootable-looking tree, looked at with tools that this project did not write.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use build_engine::disk::{
    self, Disk, DiskError, DiskIds, DiskSpec, Plan, ROOT_OFFSET, Stage, TreeSize, Writer, content_sha256,
};
use build_engine::rooted::Rooted;

/// A root file system with what a disk needs, and the odd things that a real one has.
pub(crate) struct Tree {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ids: DiskIds,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().unwrap(), ids: DiskIds::random() };
        for path in [
            "boot/vmlinuz-6.12.1-cloud-amd64",
            "boot/initrd.img-6.12.1-cloud-amd64",
            "usr/lib/shim/shimx64.efi.signed",
            "usr/lib/shim/mmx64.efi.signed",
            "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
            "usr/bin/su",
            "srv/with space/a \"file\"",
            "srv/line\nfeed",
        ] {
            tree.put(path, format!("content of {path}").as_bytes());
        }
        fs::set_permissions(tree.root().join("usr/bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::set_permissions(tree.root().join("srv"), fs::Permissions::from_mode(0o2750)).unwrap();
        fs::hard_link(tree.root().join("usr/bin/su"), tree.root().join("usr/bin/another")).unwrap();
        symlink("with space", tree.root().join("srv/short")).unwrap();
        symlink("x".repeat(200), tree.root().join("srv/long")).unwrap();
        let pipe = tree.root().join("srv/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        tree
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn spec(&self, size_gib: Option<u32>) -> DiskSpec {
        DiskSpec { size_gib, ids: self.ids.clone() }
    }

    pub(crate) fn write_to(&self, output: &Path, size_gib: Option<u32>) -> Result<Disk, DiskError> {
        disk::install_boot_files(&Rooted::open(&self.root())?, &self.ids, "")?;
        let plan = Plan::for_tree(&self.spec(size_gib), &self.root())?;
        disk::write(plan, &self.root(), None, output, false, &mut |_| {})
    }

    pub(crate) fn write(&self) -> Disk {
        self.write_to(&self.folder.path().join("image.vhd"), None).unwrap()
    }
}

/// What a program prints; it must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C").env("MTOOLSRC", "/dev/null").output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

pub(crate) fn root_of(vhd: &Path) -> String {
    format!("{}?offset={ROOT_OFFSET}", vhd.display())
}

/// Administrators' programs are not on every user's `PATH`.
pub(crate) fn admin(program: &str) -> Command {
    let path = ["/usr/sbin", "/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(program));
    Command::new(path.iter().find(|path| path.exists()).unwrap_or(&path[0]))
}

#[test]
fn other_tools_find_a_sound_disk() {
    let tree = Tree::new();
    let disk = tree.write();
    assert_eq!(disk.virtual_bytes, 1 << 30);
    assert_eq!(fs::metadata(&disk.path).unwrap().len(), (1 << 30) + 512);

    let partitions = output(
        admin("partx").args(["--raw", "--noheadings", "--output", "NR,START,SECTORS,UUID"]).arg(&disk.path),
    );
    let mut wanted = [
        format!("1 256000 1839104 {}", tree.ids.root_partition),
        format!("15 2048 253952 {}", tree.ids.efi_partition),
    ];
    wanted.sort();
    let mut found: Vec<_> = partitions.lines().map(str::trim).collect();
    found.sort_unstable();
    assert_eq!(found, wanted);

    output(admin("e2fsck").arg("-fn").arg(root_of(&disk.path)));
    let superblock = output(admin("dumpe2fs").arg("-h").arg(root_of(&disk.path)));
    assert!(superblock.contains(&tree.ids.root.to_string()), "{superblock}");

    let efi = format!("{}@@1M", disk.path.display());
    let listing = output(Command::new("mdir").args(["-b", "-/", "-i", &efi, "::/"]));
    let mut files: Vec<_> = listing.lines().filter(|line| !line.ends_with('/')).collect();
    files.sort_unstable();
    insta::assert_snapshot!(files.join("\n"), @r"
    ::/EFI/BOOT/BOOTX64.EFI
    ::/EFI/BOOT/grub.cfg
    ::/EFI/BOOT/grubx64.efi
    ::/EFI/BOOT/mmx64.efi
    ::/EFI/debian/grub.cfg
    ::/EFI/debian/grubx64.efi
    ::/EFI/debian/mmx64.efi
    ::/EFI/debian/shimx64.efi
    ");
    let stub = output(Command::new("mtype").args(["-i", &efi, "::/EFI/debian/grub.cfg"]));
    assert!(stub.contains(&format!("search.fs_uuid {} root", tree.ids.root)), "{stub}");
    let info = output(Command::new("minfo").args(["-i", &efi, "::"]));
    assert!(info.contains("FAT32"), "{info}");
    let mut boot_sector = [0; 512];
    fs::File::open(&disk.path).unwrap().read_exact_at(&mut boot_sector, 1 << 20).unwrap();
    assert_eq!(
        boot_sector[446..510],
        [0; 64],
        "no partition table that GRUB's tools could take for a nested one"
    );
}

#[test]
fn a_disk_holds_what_it_was_written_from_and_any_difference_is_named() {
    let tree = Tree::new();
    let sparse = tree.root().join("srv/sparse");
    let file = fs::File::create(&sparse).unwrap();
    file.set_len(3 << 20).unwrap();
    file.write_all_at(b"in the middle", 1 << 20).unwrap();
    tree.put("srv/long file", &vec![7; (2 << 20) + 5]);
    let disk = tree.write();
    let names = disk::compare(&disk.path, &tree.root()).unwrap();
    assert!(names > 30, "{names}");

    let root = tree.root();
    let su = root.join("usr/bin/su");
    let content = fs::read(&su).unwrap();
    assert_differs(&disk, &root, "/usr/bin/", "content", || fs::write(&su, vec![b'x'; content.len()]));
    fs::write(&su, content).unwrap();
    assert_differs(&disk, &root, "/usr/bin/", "permissions", || {
        fs::set_permissions(&su, fs::Permissions::from_mode(0o755))
    });
    fs::set_permissions(&su, fs::Permissions::from_mode(0o4755)).unwrap();
    disk::compare(&disk.path, &root).expect("as it was");
    assert_differs(&disk, &root, "/srv/sparse", "content", || file.write_all_at(b"x", 2 << 20));
    file.write_all_at(&[0], 2 << 20).unwrap();
    assert_differs(&disk, &root, "/srv/more", "missing", || fs::write(root.join("srv/more"), "more"));
    fs::remove_file(root.join("srv/more")).unwrap();
    assert_differs(&disk, &root, "/srv/long", "content", || {
        fs::remove_file(root.join("srv/long")).and_then(|()| symlink("y".repeat(200), root.join("srv/long")))
    });
    fs::remove_file(root.join("srv/long"))
        .and_then(|()| symlink("x".repeat(200), root.join("srv/long")))
        .unwrap();
    assert_differs(&disk, &root, "/srv/short", "content", || {
        fs::remove_file(root.join("srv/short")).and_then(|()| symlink("with spice", root.join("srv/short")))
    });
    fs::remove_file(root.join("srv/short"))
        .and_then(|()| symlink("with space", root.join("srv/short")))
        .unwrap();
    assert_differs(&disk, &root, "/srv/pipe", "", || fs::remove_file(root.join("srv/pipe")));
}

#[track_caller]
fn assert_differs(
    disk: &Disk,
    root: &Path,
    path: &str,
    what: &str,
    change: impl FnOnce() -> std::io::Result<()>,
) {
    change().unwrap();
    let error = disk::compare(&disk.path, root).unwrap_err().to_string();
    assert!(error.contains(path) && error.contains(what), "{error}");
}

#[test]
fn a_tree_becomes_what_a_disk_holds_and_only_what_differs_is_touched() {
    let (tree, changed) = (Tree::new(), Tree::new());
    let at = |path: &str| changed.root().join(path);
    changed.put("srv/new/file", b"new");
    changed.put("boot/initrd.img-6.12.1-cloud-amd64", b"content of another length");
    fs::remove_dir_all(at("srv/with space")).unwrap();
    symlink("/etc", at("srv/with space")).unwrap();
    fs::remove_file(at("srv/short")).unwrap();
    changed.put("srv/short/now a folder", b"x");
    fs::remove_file(at("usr/bin/another")).unwrap();
    changed.put("usr/bin/another", b"no link any more");
    fs::hard_link(at("srv/line\nfeed"), at("usr/bin/linked")).unwrap();
    fs::set_permissions(at("usr/bin/su"), fs::Permissions::from_mode(0o6711)).unwrap();
    let sparse = fs::File::create(at("srv/sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    sparse.write_all_at(b"end", (5 << 20) - 3).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(at("srv/new/file"), "user.note", b"kept", flags).unwrap();
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(at("srv/new/file")).unwrap().set_modified(then).unwrap();
    let disk = changed.write();
    tree.write();

    let inode = || fs::metadata(tree.root().join("usr/lib/shim/mmx64.efi.signed")).unwrap().ino();
    let before = inode();
    assert_eq!(disk::take_back(&disk.path, &tree.root()).unwrap(), [""; 0]);
    disk::compare(&disk.path, &tree.root()).unwrap();
    assert_eq!(inode(), before, "what is the same stays as it is");
    let new = tree.root().join("srv/new/file");
    let mut note = [0; 16];
    let length = rustix::fs::getxattr(&new, "user.note", &mut note[..]).unwrap();
    assert_eq!(&note[..length], b"kept");
    assert_eq!(fs::metadata(&new).unwrap().modified().unwrap(), then);
    assert!(fs::metadata(tree.root().join("srv/sparse")).unwrap().blocks() < 100, "holes stay holes");
}

#[test]
fn a_disk_with_a_folder_in_two_places_is_refused() {
    let tree = Tree::new();
    let disk = tree.write();
    output(admin("debugfs").args(["-w", "-R", "link usr srv/again", &root_of(&disk.path)]));
    let error = disk::take_back(&disk.path, &tree.root()).unwrap_err().to_string();
    assert!(error.contains("/srv/again is there twice"), "{error}");
}

#[test]
fn a_disk_cut_short_while_it_was_copied_is_refused() {
    let tree = Tree::new();
    let disk = tree.write();
    let file = fs::File::options().write(true).open(&disk.path).unwrap();
    file.set_len((1 << 30) - 4096).unwrap();
    let error = disk::inspect(&disk.path).unwrap_err();
    assert!(error.to_string().ends_with("is not a fixed VHD"), "{error}");
    assert!(disk::compare(&disk.path, &tree.root()).is_err());
}

#[test]
fn every_stage_is_announced() {
    let tree = Tree::new();
    disk::install_boot_files(&Rooted::open(&tree.root()).unwrap(), &tree.ids, "").unwrap();
    let mut heard = Vec::new();
    let output = tree.folder.path().join("image.vhd");
    let plan = Plan::for_tree(&tree.spec(Some(2)), &tree.root()).unwrap();
    let disk = disk::write(plan, &tree.root(), None, &output, true, &mut |stage| heard.push(stage)).unwrap();
    assert_eq!(heard, [Stage::Frame, Stage::Root(None), Stage::DigestAndComparison]);
    assert_eq!(disk.virtual_bytes, 2 << 30);
    assert_eq!(disk.content_sha256, content_sha256(&disk.path).unwrap());
    assert!(disk.allocated_bytes < 200 << 20, "holes take nothing: {}", disk.allocated_bytes);
}

#[test]
fn an_image_that_cannot_boot_is_refused_by_name() {
    let tree = Tree::new();
    fs::remove_file(tree.root().join("usr/lib/shim/shimx64.efi.signed")).unwrap();
    let output = tree.folder.path().join("image.vhd");
    let error = tree.write_to(&output, None).unwrap_err().to_string();
    assert!(error.contains("/usr/lib/shim/shimx64.efi.signed") && error.contains("shim-signed"), "{error}");
    fs::remove_file(tree.root().join("boot/vmlinuz-6.12.1-cloud-amd64")).unwrap();
    let error = tree.write_to(&output, None).unwrap_err().to_string();
    assert!(error.contains("/boot/vmlinuz-*"), "{error}");
    assert_eq!(left_in(tree.folder.path()), ["root"]);
}

#[test]
fn a_boot_loader_that_is_a_link_out_of_the_image_is_not_taken_from_the_host() {
    let tree = Tree::new();
    let secret = tree.folder.path().join("secret");
    fs::write(&secret, "the host's").unwrap();
    let shim = tree.root().join("usr/lib/shim/shimx64.efi.signed");
    fs::remove_file(&shim).unwrap();
    symlink(&secret, &shim).unwrap();
    assert!(matches!(
        tree.write_to(&tree.folder.path().join("x.vhd"), None),
        Err(DiskError::NotBootable { .. })
    ));
}

#[test]
fn a_failed_write_leaves_the_old_disk_and_nothing_else() {
    let tree = Tree::new();
    let output = tree.folder.path().join("image.vhd");
    fs::write(&output, "the disk of an earlier build").unwrap();
    fs::write(tree.folder.path().join("image.vhd.partial"), "left by a killed build").unwrap();
    let plan = Plan::new(&tree.spec(None), TreeSize::measure(&tree.root()).unwrap()).unwrap();
    let files = disk::efi_files(&Rooted::open(&tree.root()).unwrap(), &tree.ids).unwrap();
    let writer = Writer::start(plan, &files, &output).unwrap();
    let failed = writer.fill(|| {
        let mut command = build_engine::tools::Tool::Mke2fs.command()?;
        build_engine::tools::run(command.arg("/no/such/file")).map(drop)
    });
    assert!(matches!(failed, Err(DiskError::Tool(_))));
    drop(writer);
    assert_eq!(left_in(tree.folder.path()), ["image.vhd", "root"]);
    assert_eq!(fs::read_to_string(&output).unwrap(), "the disk of an earlier build");
}

#[test]
fn a_disk_that_does_not_hold_its_tree_gets_no_name() {
    let (tree, other) = (Tree::new(), Tree::new());
    other.put("boot/vmlinuz-6.12.1-cloud-amd64", b"another kernel");
    let output = tree.folder.path().join("image.vhd");
    let plan = Plan::for_tree(&tree.spec(None), &tree.root()).unwrap();
    let files = disk::efi_files(&Rooted::open(&tree.root()).unwrap(), &tree.ids).unwrap();
    let writer = Writer::start(plan, &files, &output).unwrap();
    let arguments = writer.mke2fs_arguments(&other.root());
    writer.fill(|| build_engine::tools::run(admin("mke2fs").args(arguments)).map(drop)).unwrap();
    let error = writer.finish(Some(&tree.root())).unwrap_err().to_string();
    assert!(error.contains("/boot/vmlinuz-6.12.1-cloud-amd64 has another content"), "{error}");
    assert_eq!(left_in(tree.folder.path()), ["root"]);
}

fn left_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A small file system of its own, mounted where only a process of ours sees it.
struct SmallDisk {
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    fn new(mib: u32) -> Self {
        let script =
            format!("mount -t tmpfs -o size={mib}m,mode=0755 small /mnt && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n", "a user namespace with a mount of its own");
        let folder = PathBuf::from(format!("/proc/{}/root/mnt", holder.id()));
        Self { holder, folder }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().unwrap();
    }
}

#[test]
fn too_little_space_is_noticed_before_anything_is_written() {
    let tree = Tree::new();
    let small = SmallDisk::new(16);
    let error = tree.write_to(&small.folder.join("image.vhd"), None).unwrap_err();
    assert!(matches!(error, DiskError::NoSpace { .. }), "{error}");
    assert_eq!(left_in(&small.folder), Vec::<String>::new());
}

#[test]
fn a_disk_that_fills_up_meanwhile_is_named_as_the_reason() {
    let tree = Tree::new();
    tree.put("srv/large", &vec![7; 8 << 20]);
    let small = SmallDisk::new(64);
    let plan = Plan::new(&tree.spec(None), TreeSize::measure(&tree.root()).unwrap()).unwrap();
    let files = disk::efi_files(&Rooted::open(&tree.root()).unwrap(), &tree.ids).unwrap();
    let writer = Writer::start(plan, &files, &small.folder.join("image.vhd")).unwrap();
    let mut filler = fs::File::create(small.folder.join("filler")).unwrap();
    while filler.write_all(&vec![1; 65536]).is_ok() {}
    let arguments = writer.mke2fs_arguments(&tree.root());
    let error = writer
        .fill(|| {
            let mut command = build_engine::tools::Tool::Mke2fs.command()?;
            build_engine::tools::run(command.args(arguments)).map(drop)
        })
        .unwrap_err();
    assert!(matches!(error, DiskError::NoSpace { .. }), "{error}");
    drop(writer);
    assert_eq!(left_in(&small.folder), ["filler"]);
}
