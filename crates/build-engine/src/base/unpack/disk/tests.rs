//! Disks as machines have them, in small.

use std::fs;
use std::process::Command;

use uuid::{Uuid, uuid};

use super::*;
use crate::base::unpack::kind::Kind;
use crate::disk::gpt::{EFI_SYSTEM, HEAD_LEN, TAIL_LEN};

const MIB: u64 = 1 << 20;
/// Bytes of a partition.
const SIZE: u64 = 2 * MIB;
const LVM: Uuid = uuid!("E6D6D379-F507-44C2-A23C-238F2A3DF928");

/// What a partition holds.
#[derive(Clone, Copy)]
enum Content {
    /// An ext4 with this one file.
    Ext4(&'static str),
    /// A mark at its place.
    Mark(u64, &'static [u8]),
}

/// Writes `content` `offset` bytes into the file `disk`.
fn put(disk: &Path, offset: u64, content: Content) {
    match content {
        Content::Mark(at, mark) => {
            let file = fs::OpenOptions::new().write(true).open(disk).expect("opened");
            file.write_all_at(mark, offset + at).expect("written");
        }
        Content::Ext4(name) => {
            let tree = tempfile::tempdir().expect("a folder");
            fs::write(tree.path().join(name), name).expect("written");
            let mut command = Command::new(Tool::Mke2fs.find().expect("mke2fs"));
            command.args(["-q", "-F", "-t", "ext4", "-E", &format!("offset={offset}"), "-d"]);
            let status = command.arg(tree.path()).arg(disk).arg("2M").status().expect("mke2fs runs");
            assert!(status.success());
        }
    }
}

/// A disk of these partitions, unpacked, or its refusal with the hint.
fn unpacked(partitions: &[(Uuid, Content)]) -> std::result::Result<Vec<PathBuf>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let place = |index: usize| MIB + SIZE * index as u64;
    let bytes = place(partitions.len()) + MIB;
    let file = File::create(&disk).expect("made");
    file.set_len(bytes).expect("long");
    let gpt = Gpt {
        disk: Uuid::from_u128(1),
        partitions: (1..)
            .zip(partitions.iter().enumerate())
            .map(|(number, (index, (kind, _)))| Partition {
                number,
                kind: *kind,
                id: Uuid::from_u128(u128::from(number) + 1),
                name: String::new(),
                offset: place(index),
                bytes: SIZE,
            })
            .collect(),
    };
    for (index, (_, content)) in partitions.iter().enumerate() {
        put(&disk, place(index), *content);
    }
    let (head, tail) = gpt.encode(bytes);
    assert_eq!((head.len(), tail.len()), (HEAD_LEN, TAIL_LEN));
    file.write_all_at(&head, 0).expect("written");
    file.write_all_at(&tail, bytes - TAIL_LEN as u64).expect("written");
    files_of(&disk)
}

/// The files of a disk, or its refusal with the hint.
fn files_of(disk: &Path) -> std::result::Result<Vec<PathBuf>, String> {
    let told = |error| match error {
        UnpackError::Refused { message, hint } => format!("{message} ({})", hint.unwrap_or_default()),
        other => panic!("{other}"),
    };
    let kind = Kind::of(&File::open(disk).expect("opened")).map_err(told)?;
    assert_eq!(kind, Kind::Disk);
    let root = tempfile::tempdir().expect("a folder");
    let mut tree = Tree::new(root.path()).expect("a tree");
    unpack(disk, &mut tree).map_err(told)?;
    let names = |folder: &str| -> Vec<PathBuf> {
        let list = fs::read_dir(root.path().join(folder)).into_iter().flatten().flatten();
        list.map(|entry| Path::new(folder).join(entry.file_name())).collect()
    };
    let mut files = [names(""), names("boot")].concat();
    files.sort();
    Ok(files)
}

#[test]
fn a_separate_boot_partition_becomes_part_of_the_root() {
    let efi = (EFI_SYSTEM, Content::Mark(0, b"\xeb\x58\x90mkfs.fat"));
    let boot = Content::Ext4("vmlinuz");
    for root in [ROOT_X86_64, LINUX_DATA] {
        let files = unpacked(&[(root, Content::Ext4("os-release")), efi, (EXTENDED_BOOT, boot)]);
        assert_eq!(files, Ok(["boot", "boot/vmlinuz", "os-release"].map(PathBuf::from).to_vec()));
    }
    let refused =
        unpacked(&[(LINUX_DATA, Content::Ext4("os-release")), (LINUX_DATA, boot)]).expect_err("either");
    assert!(refused.contains("each of the partitions 1, 2 may be its root"), "{refused}");
    for kind in ["4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "BC13C2FF-59E6-4262-A352-B275FD6F7172"] {
        assert!(refused.contains(kind), "{refused}");
    }
}

#[test]
fn what_is_not_read_is_named_wherever_the_root_may_be_in_it() {
    for (at, mark, what) in [
        (0, &b"XFSB"[..], "an XFS file system"),
        (0x1_0040, b"_BHRfS_M", "a Btrfs file system"),
        (512, b"LABELONE", "an LVM volume"),
        (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
    ] {
        let content = Content::Mark(at, mark);
        let boot = Content::Ext4("vmlinuz");
        // As the root itself; beside a partition that is only /boot, under the type of LVM; and of the whole disk.
        let typed = unpacked(&[(ROOT_X86_64, content)]).expect_err(what);
        assert!(typed.starts_with(&format!("partition 1: it holds {what}; only ext4 is read")), "{typed}");
        for partitions in
            [&[(LINUX_DATA, boot), (LVM, content)][..], &[(EXTENDED_BOOT, boot), (LVM, content)]]
        {
            let beside = unpacked(partitions).expect_err(what);
            assert!(beside.starts_with(&format!("partition 2 holds {what}; only ext4 is read")), "{beside}");
            assert!(beside.contains("give a tar archive of the root file system"), "{beside}");
        }
        let disk = tempfile::NamedTempFile::new().expect("a file");
        disk.as_file().set_len(SIZE).expect("long");
        put(disk.path(), 0, content);
        let whole = files_of(disk.path()).expect_err(what);
        assert!(whole.starts_with(&format!("it holds {what}; only ext4 is read")), "{whole}");
    }
    let none = unpacked(&[(EFI_SYSTEM, Content::Mark(0, b"fat"))]).expect_err("no root");
    assert!(none.contains("it has no partition for Linux (give a tar"), "{none}");
}

#[test]
fn a_file_system_without_a_partition_table_is_the_root() {
    let disk = tempfile::NamedTempFile::new().expect("a file");
    disk.as_file().set_len(SIZE).expect("long");
    put(disk.path(), 0, Content::Ext4("os-release"));
    assert_eq!(files_of(disk.path()), Ok(vec![PathBuf::from("os-release")]));
}
