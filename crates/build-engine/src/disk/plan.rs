//! How large the disk is and what stands where on it: decided before one byte is written.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::DiskError;
use super::gpt::{EFI_SYSTEM, Gpt, Partition, ROOT_X86_64};
use super::vhd::MIB;

/// Where the EFI system partition starts, in bytes.
pub const EFI_OFFSET: u64 = MIB;
/// Where the root partition starts, in bytes; the EFI system partition ends here.
pub const ROOT_OFFSET: u64 = 125 * MIB;
/// Number of the root partition, as on Azure's Debian images.
pub const ROOT_NUMBER: u32 = 1;
/// Number of the EFI system partition, as on Azure's Debian images.
pub const EFI_NUMBER: u32 = 15;
/// Azure's largest operating system disk, in GiB.
pub const MAX_SIZE_GIB: u32 = 4095;

/// Block of the root file system, in bytes.
pub(super) const BLOCK: u64 = IN_BLOCK as u64;
/// The same for what is in memory.
pub(super) const IN_BLOCK: usize = 4096;
/// One inode per this many bytes, and its size: mke2fs's usual values, stated so that the host's
/// `/etc/mke2fs.conf` does not matter.
const BYTES_PER_INODE: u64 = 16_384;
pub(super) const INODE_BYTES: u16 = 256;
const BLOCKS_PER_GROUP: u64 = 32_768;
const JOURNAL_MIB: u64 = 64;
/// A symbolic link up to this long lives in its inode.
const INLINE_LINK: u64 = 59;
/// Free for the first boot when the template states a size.
const LEAST_FREE: u64 = 64 * MIB;
/// Free beside the content when we choose the size: a quarter of it, and at least this.
const CHOSEN_FREE: u64 = 256 * MIB;
/// The features that both GRUB and every kernel of the supported distributions know.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// What a disk is asked to be.
#[derive(Clone, Debug)]
pub struct DiskSpec {
    /// `osDiskSizeGB` of the template, 1 to 4095; without it the smallest whole GiB with a quarter of the content,
    /// and at least 256 MiB, left free.
    pub size_gib: Option<u32>,
    /// Identities; the boot files inside the root must carry the same.
    pub ids: DiskIds,
}

/// The identities that a disk and the boot files in it share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskIds {
    /// Of the VHD.
    pub vhd: Uuid,
    /// Of the partition table.
    pub disk: Uuid,
    /// Of the root partition (`PARTUUID`).
    pub root_partition: Uuid,
    /// Of the EFI system partition (`PARTUUID`).
    pub efi_partition: Uuid,
    /// Of the root file system (`UUID`).
    pub root: Uuid,
    /// Serial number of the EFI system partition's file system.
    pub efi: u32,
}

impl DiskIds {
    /// Fresh random identities.
    pub fn random() -> Self {
        Self {
            vhd: Uuid::new_v4(),
            disk: Uuid::new_v4(),
            root_partition: Uuid::new_v4(),
            efi_partition: Uuid::new_v4(),
            root: Uuid::new_v4(),
            efi: Uuid::new_v4().as_fields().0,
        }
    }

    /// The EFI file system's identity as `/etc/fstab` wants it, e.g. `1234-ABCD`.
    pub fn efi_uuid(&self) -> String {
        format!("{:04X}-{:04X}", self.efi >> 16, self.efi & 0xffff)
    }
}

/// What a tree takes on an ext4 file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeSize {
    /// Blocks of 4 KiB: data, folders and long symbolic links.
    pub blocks: u64,
    /// Files, folders and everything else that needs an inode.
    pub inodes: u64,
}

impl TreeSize {
    /// Walks the tree at `root`, following no link. The tree must be the image's alone: nothing else mounted in it.
    ///
    /// # Errors
    /// [`DiskError::Io`] with the path that could not be read.
    pub fn measure(root: &Path) -> Result<Self, DiskError> {
        let mut size = Self::default();
        let mut linked = HashSet::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let mut entry_bytes = 24;
            for entry in std::fs::read_dir(&folder).map_err(DiskError::io("list", &folder))? {
                let entry = entry.map_err(DiskError::io("list", &folder))?;
                let path = entry.path();
                let meta = entry.metadata().map_err(DiskError::io("look at", &path))?;
                entry_bytes += 8 + (entry.file_name().as_bytes().len() as u64).next_multiple_of(4);
                if meta.is_dir() {
                    folders.push(path);
                } else if meta.nlink() == 1 || linked.insert((meta.dev(), meta.ino())) {
                    size.inodes += 1;
                    size.blocks += blocks_of(&meta);
                }
            }
            size.inodes += 1;
            // A hash index and half-filled blocks take up to as much again in a large folder.
            size.blocks += if entry_bytes < BLOCK { 1 } else { 1 + 2 * entry_bytes.div_ceil(BLOCK) };
        }
        Ok(size)
    }
}

fn blocks_of(meta: &std::fs::Metadata) -> u64 {
    if meta.is_file() {
        // A sparse file keeps its holes; its allocation is rounded up because hosts have other block sizes.
        let allocated = meta.blocks() * 512;
        let bytes = if allocated < meta.len() { allocated + BLOCK } else { meta.len() };
        return bytes.div_ceil(BLOCK);
    }
    u64::from(meta.is_symlink() && meta.len() > INLINE_LINK)
}

/// A disk that can be written: every size and place is decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Identities.
    pub ids: DiskIds,
    /// Size of the disk without the footer, a whole number of GiB.
    pub virtual_bytes: u64,
    /// What the root's tree takes.
    pub content: TreeSize,
}

impl Plan {
    /// The plan for the tree at `root`.
    ///
    /// # Errors
    /// As [`TreeSize::measure`] and [`Plan::new`].
    pub fn for_tree(spec: &DiskSpec, root: &Path) -> Result<Self, DiskError> {
        Self::new(spec, TreeSize::measure(root)?)
    }

    /// Chooses or checks the size for a tree.
    ///
    /// # Errors
    /// [`DiskError::TooSmall`] naming the smallest size that fits, [`DiskError::TooLarge`] when none does,
    /// [`DiskError::BadSize`] for a size outside 1 to 4095.
    pub fn new(spec: &DiskSpec, content: TreeSize) -> Result<Self, DiskError> {
        let chosen_free = (content.blocks / 4).max(CHOSEN_FREE / BLOCK);
        let size_gib = match spec.size_gib {
            None => smallest(content, chosen_free)?,
            Some(asked) if !(1..=MAX_SIZE_GIB).contains(&asked) => return Err(DiskError::BadSize { asked }),
            Some(asked) if !fits(content, LEAST_FREE / BLOCK, asked) => {
                let smallest_gib = smallest(content, LEAST_FREE / BLOCK)?;
                return Err(DiskError::TooSmall {
                    asked_gib: asked,
                    smallest_gib,
                    content_bytes: content.blocks * BLOCK,
                    files: content.inodes,
                });
            }
            Some(asked) => asked,
        };
        Ok(Self { ids: spec.ids.clone(), virtual_bytes: gib(size_gib), content })
    }

    /// The partition table.
    pub fn gpt(&self) -> Gpt {
        let root = Partition {
            number: ROOT_NUMBER,
            kind: ROOT_X86_64,
            id: self.ids.root_partition,
            name: "root".into(),
            offset: ROOT_OFFSET,
            bytes: self.root_bytes(),
        };
        let efi = Partition {
            number: EFI_NUMBER,
            kind: EFI_SYSTEM,
            id: self.ids.efi_partition,
            name: "EFI system".into(),
            offset: EFI_OFFSET,
            bytes: ROOT_OFFSET - EFI_OFFSET,
        };
        Gpt { disk: self.ids.disk, partitions: vec![root, efi] }
    }

    /// Bytes of the root partition.
    pub(super) fn root_bytes(&self) -> u64 {
        root_blocks(self.virtual_bytes) * BLOCK
    }

    /// What the finished file will take on the host at most, in bytes; its holes take nothing.
    pub fn allocation(&self) -> u64 {
        let content = self.content.blocks * BLOCK + self.content.inodes * u64::from(INODE_BYTES);
        content + content / 50 + 32 * MIB
    }

    /// Arguments for `mke2fs` that put the tree at `root` into the root partition of the disk image `file`.
    ///
    /// They may be run anywhere both paths mean the same, for instance inside the namespaces in which `root` is
    /// mounted and its owners have their right numbers.
    pub fn mke2fs_arguments(&self, root: &Path, file: &Path) -> Vec<OsString> {
        self.arguments(self.ids.root, ROOT_OFFSET, root, file)
    }

    /// The same for a file system `offset` bytes into `file`, with the identity `uuid`.
    pub(super) fn arguments(&self, uuid: Uuid, offset: u64, root: &Path, file: &Path) -> Vec<OsString> {
        let mut out: Vec<OsString> =
            ["-q", "-F", "-t", "ext4", "-m", "5", "-O", FEATURES].map(Into::into).into();
        let numbers = [
            ("-b", BLOCK.to_string()),
            ("-I", INODE_BYTES.to_string()),
            ("-i", BYTES_PER_INODE.to_string()),
            ("-J", format!("size={JOURNAL_MIB}")),
            ("-U", uuid.to_string()),
            // The file is new, so everything not written is zero already.
            ("-E", format!("offset={offset},nodiscard,lazy_itable_init=1,lazy_journal_init=1")),
        ];
        out.extend(numbers.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()]));
        out.extend(["-d".into(), root.into(), file.into()]);
        out.push(root_blocks(self.virtual_bytes).to_string().into());
        out
    }
}

const fn gib(size: u32) -> u64 {
    (size as u64) << 30
}

/// The root partition ends a MiB before the disk does: the backup table needs 33 sectors, and partitions are aligned.
const fn root_blocks(virtual_bytes: u64) -> u64 {
    (virtual_bytes - ROOT_OFFSET - MIB) / BLOCK
}

fn smallest(content: TreeSize, free_blocks: u64) -> Result<u32, DiskError> {
    (1..=MAX_SIZE_GIB)
        .find(|size| fits(content, free_blocks, *size))
        .ok_or(DiskError::TooLarge { content_bytes: content.blocks * BLOCK })
}

fn fits(content: TreeSize, free_blocks: u64, size_gib: u32) -> bool {
    let blocks = root_blocks(gib(size_gib));
    // Extent and attribute blocks of fragmented or much-attributed files: a hundredth covers what was measured.
    let needed = content.blocks + content.blocks / 100 + free_blocks + metadata_blocks(blocks);
    let inodes = blocks * BLOCK / BYTES_PER_INODE;
    needed <= blocks && content.inodes + content.inodes / 10 + 1000 <= inodes
}

/// Blocks that ext4 keeps for itself on a file system of `blocks`: inode tables, bitmaps, descriptors with room to
/// grow, journal, `lost+found`.
fn metadata_blocks(blocks: u64) -> u64 {
    let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
    let descriptors = (groups * 64).div_ceil(BLOCK);
    let growth = (groups * 1024 * 64).div_ceil(BLOCK).min(BLOCK / 4 + descriptors);
    let copies = superblock_copies(groups);
    let tables = blocks * BLOCK / BYTES_PER_INODE * u64::from(INODE_BYTES) / BLOCK + groups;
    tables + 2 * groups + copies * (1 + growth) + JOURNAL_MIB * MIB / BLOCK + 16
}

/// How many of the first `groups` block groups hold a copy of the superblock (feature `sparse_super`): the groups 0, 1
/// and the powers of 3, 5 and 7.
fn superblock_copies(groups: u64) -> u64 {
    let powers = |base: u64| {
        std::iter::successors(Some(base), |power| power.checked_mul(base))
            .take_while(|power| *power < groups)
            .count() as u64
    };
    groups.min(2) + powers(3) + powers(5) + powers(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(size_gib: Option<u32>) -> DiskSpec {
        DiskSpec { size_gib, ids: DiskIds::random() }
    }

    fn tree(mib: u64, inodes: u64) -> TreeSize {
        TreeSize { blocks: mib * 256, inodes }
    }

    #[test]
    fn the_chosen_size_is_the_smallest_whole_gib_with_headroom() {
        let size = |tree| Plan::new(&spec(None), tree).unwrap().virtual_bytes >> 30;
        assert_eq!(size(tree(430, 17_000)), 1);
        assert_eq!(size(tree(580, 17_000)), 2, "less than 256 MiB would be free on 1 GiB");
        assert_eq!(size(tree(1300, 40_000)), 2);
        assert_eq!(size(tree(1450, 40_000)), 3, "less than a quarter would be free on 2 GiB");
        assert_eq!(size(tree(430, 150_000)), 3, "inodes count too");
    }

    #[test]
    fn a_stated_size_is_taken_as_it_is_or_refused_with_the_smallest_that_fits() {
        assert_eq!(Plan::new(&spec(Some(30)), tree(430, 17_000)).unwrap().virtual_bytes, 30 << 30);
        let error = Plan::new(&spec(Some(1)), tree(1400, 17_000)).unwrap_err();
        assert!(matches!(error, DiskError::TooSmall { asked_gib: 1, smallest_gib: 2, .. }), "{error}");
        assert!(matches!(Plan::new(&spec(Some(0)), tree(1, 1)), Err(DiskError::BadSize { asked: 0 })));
        assert!(matches!(Plan::new(&spec(Some(4096)), tree(1, 1)), Err(DiskError::BadSize { asked: 4096 })));
        assert!(matches!(Plan::new(&spec(None), tree(5 << 20, 1)), Err(DiskError::TooLarge { .. })));
    }

    #[test]
    fn partitions_stand_as_on_azures_debian_images() {
        let gpt = Plan::new(&spec(Some(2)), tree(430, 17_000)).unwrap().gpt();
        let places: Vec<_> =
            gpt.partitions.iter().map(|part| (part.number, part.offset / MIB, part.bytes / MIB)).collect();
        assert_eq!(places, [(1, 125, 1922), (15, 1, 124)]);
    }

    #[test]
    fn the_arguments_do_not_depend_on_the_hosts_configuration() {
        let mut plan = Plan::new(&spec(Some(2)), tree(430, 17_000)).unwrap();
        plan.ids.root = Uuid::from_u128(1);
        let arguments = plan.mke2fs_arguments(Path::new("/merged root"), Path::new("/out/a.partial"));
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(
            words.join("|"),
            "-q|-F|-t|ext4|-m|5|-O|none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
             sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum|-b|4096|-I|256|-i|16384|\
             -J|size=64|-U|00000000-0000-0000-0000-000000000001|\
             -E|offset=131072000,nodiscard,lazy_itable_init=1,lazy_journal_init=1|\
             -d|/merged root|/out/a.partial|492032"
        );
    }

    #[test]
    fn superblock_copies_are_in_groups_0_1_and_powers_of_3_5_7() {
        // Of the first 90 groups: 0, 1, 3, 5, 7, 9, 25, 27, 49, 81.
        assert_eq!([1, 2, 3, 4, 8, 90].map(superblock_copies), [1, 2, 2, 3, 5, 10]);
    }

    #[test]
    fn the_efi_identity_is_written_as_mount_expects_it() {
        let ids = DiskIds { efi: 0x00ab_cd01, ..DiskIds::random() };
        assert_eq!(ids.efi_uuid(), "00AB-CD01");
    }
}
