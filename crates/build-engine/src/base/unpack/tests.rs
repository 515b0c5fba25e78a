//! Hostile and odd archives, made with the writer of the same library and with GNU tar.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use tar::{Builder, EntryType, Header};

use super::*;

/// An archive of one entry after another; names and targets go in as they are.
#[derive(Default)]
struct Forged(Vec<u8>);

impl Forged {
    fn add(mut self, kind: EntryType, name: &str, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(rustix::process::geteuid().as_raw().into());
        header.set_gid(rustix::process::getegid().as_raw().into());
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str) -> Self {
        self.add(EntryType::Regular, name, "", b"content")
    }

    fn pax(self, key: &str, value: &str) -> Self {
        let rest = format!(" {key}={value}\n");
        let length = (1..10_000).find(|n: &usize| n.to_string().len() + rest.len() == *n).expect("a length");
        self.add(EntryType::XHeader, "pax", "", format!("{length}{rest}").as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// Unpacks into a fresh folder and returns it with what was left out, or why not.
fn unpacked(bytes: &[u8]) -> Result<(tempfile::TempDir, BTreeMap<String, u64>), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = Tree::new(folder.path()).expect("a tree");
    archive::unpack(bytes, &mut tree)
        .and_then(|()| tree.finish())
        .map(|notes| (folder, notes))
        .map_err(|error| error.to_string())
}

#[test]
fn what_leads_out_or_is_there_already_is_refused_with_place_and_cause() {
    use EntryType::{Block, Char, Directory, Link, Symlink};
    let new = Forged::default;
    let deep = "d/".repeat(40);
    let cases = [
        ("an absolute path", new().file("/etc/passwd")),
        ("`..`", new().file("a/../../b")),
        ("stands where it needs a folder", new().add(Symlink, "way", "/tmp", b"").file("way/x")),
        ("stands where it needs a folder", new().file("a").file("a/b")),
        ("there already", new().file("a").file("a")),
        ("there already", new().add(Symlink, "a", "/etc/passwd", b"").file("a")),
        ("stands where it needs a folder", new().file("a").add(Directory, "a", "", b"")),
        ("which is not there", new().add(Link, "a", "b", b"").file("b")),
        ("`..`", new().add(Link, "a", "../../etc/passwd", b"")),
        ("an absolute path", new().add(Link, "a", "/etc/passwd", b"")),
        ("which is not there", new().add(Symlink, "way", "/etc", b"").add(Link, "a", "way/passwd", b"")),
        ("a device outside of /dev", new().add(Char, "srv/null", "", b"")),
        ("a device outside of /dev", new().add(Block, "devices/sda", "", b"")),
        ("a path of", new().pax("path", &"x/".repeat(3000)).file("x")),
        ("a name of more than 255", new().pax("path", &"x".repeat(300)).file("x")),
        ("more than 256 folders", new().pax("path", &deep.repeat(8)).file("x")),
        ("holes included", new().pax("size", "999999999999999").file("x")),
        ("user.overlay", new().pax("SCHILY.xattr.user.overlay.opaque", "y").file("x")),
        ("an older form", new().pax("GNU.sparse.map", "0,1").file("x")),
        ("unknown type", new().add(EntryType::new(b'V'), "x", "", b"")),
        ("no end", new().add(EntryType::XHeader, "pax", "", &vec![b'x'; 9 << 20]).file("x")),
    ];
    for (number, (cause, archive)) in cases.into_iter().enumerate() {
        let error = unpacked(&archive.end()).expect_err(cause);
        assert!(error.contains(cause) && error.contains("entry "), "case {number}, {cause}: {error}");
    }
}

#[test]
fn what_is_no_whole_archive_is_refused() {
    let whole = Forged::default().file("a").file("b").end();
    assert!(unpacked(&whole).is_ok());
    let cut = &whole[..1024 + 512 + 3];
    assert!(unpacked(cut).expect_err("cut").contains("the archive ends within it"));
    let mut damaged = whole.clone();
    damaged[1024] ^= 1;
    assert!(unpacked(&damaged).expect_err("damaged").contains("entry 2: no sound tar archive"));
    assert!(unpacked(&[0; 10_240]).expect_err("empty").contains("without entries"));
    let bomb = [whole, vec![0; 2 << 20]].concat();
    assert!(unpacked(&bomb).expect_err("padding").contains("its end"));
}

#[test]
fn devices_pipes_and_foreign_attributes_are_left_out_and_counted() {
    let archive = Forged::default()
        .add(EntryType::Char, "./dev/null", "", b"")
        .add(EntryType::Block, "dev/sda", "", b"")
        .add(EntryType::Fifo, "run/pipe", "", b"")
        .pax("SCHILY.xattr.security.selinux", "label")
        .file("a");
    let (folder, notes) = unpacked(&archive.end()).expect("unpacks");
    let wanted =
        [("devices in /dev", 2), ("extended attributes security.selinux", 1), ("pipes and sockets", 1)];
    assert_eq!(notes, wanted.map(|(what, count)| (what.to_owned(), count)).into());
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1, "only the file");
}

#[test]
fn modes_times_links_and_odd_names_are_kept() {
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o4751);
    header.set_mtime(1_000_000_000);
    header.set_uid(rustix::process::geteuid().as_raw().into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    let long = format!("{}/line\nfeed", "long".repeat(50));
    builder.append_data(&mut header, &long, &b"hi"[..]).expect("appended");
    let archive = builder.into_inner().expect("an archive");
    let (folder, _) = unpacked(&archive).expect("unpacks");
    let meta = fs::metadata(folder.path().join(&long)).expect("there");
    assert_eq!((meta.permissions().mode() & 0o7777, meta.mtime()), (0o4751, 1_000_000_000));
}

#[test]
fn holes_stay_holes_in_every_form_that_gnu_tar_writes() {
    let source = tempfile::tempdir().expect("a folder");
    let file = File::create(source.path().join("log")).expect("made");
    file.set_len(300 << 20).expect("long");
    for at in (0..100).map(|piece: u64| piece << 21) {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", at + 5).expect("written");
    }
    for form in ["--format=gnu", "--format=posix"] {
        let made = Command::new("tar").args(["--sparse", form, "-cC"]).arg(source.path()).arg(".").output();
        let archive = made.expect("tar").stdout;
        assert!(archive.len() < 4 << 20, "{form}: stored with holes");
        let (folder, _) = unpacked(&archive).expect(form);
        let log = folder.path().join("log");
        assert!(fs::metadata(&log).expect("there").blocks() * 512 < 32 << 20, "{form}: still has holes");
        let same = Command::new("cmp").arg(&log).arg(source.path().join("log")).status();
        assert!(same.expect("cmp").success(), "{form}");
    }
}

#[test]
fn a_file_is_what_its_bytes_say() {
    let kind = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        Kind::of(&file).map_err(|error| error.to_string())
    };
    assert_eq!(kind(&Forged::default().file("a").end()), Ok(Kind::Archive));
    assert_eq!(kind(b"\x28\xb5\x2f\xfd..."), Ok(Kind::Compressed(Tool::Zstd)));
    assert_eq!(kind(b"\x1f\x8b..."), Ok(Kind::Compressed(Tool::Gzip)));
    assert!(kind(b"vhdxfile...").is_err_and(|error| error.contains("VHDX")));
    assert!(kind(b"").is_err_and(|error| error.contains("neither")));
}

#[test]
fn what_a_decompressor_says_is_passed_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.tar.gz");
    fs::write(&path, b"\x1f\x8b\x08\0garbage that is no deflate stream").expect("written");
    let root = folder.path().join("root");
    fs::create_dir(&root).expect("made");
    let error =
        unpack(&Input { file: path, root, scratch: folder.path().into() }).expect_err("refused").to_string();
    assert!(error.contains("cannot be decompressed") && error.contains("gzip:"), "{error}");
}

proptest::proptest! {
    #[test]
    fn damaged_archives_never_panic(at in 0_usize..4096, byte in 0_u8..=255) {
        let mut archive =
            Forged::default().pax("SCHILY.xattr.user.x", "y").file("a").add(EntryType::Symlink, "l", "a", b"").end();
        let length = archive.len();
        archive[at % length] = byte;
        let _ = unpacked(&archive);
    }
}
