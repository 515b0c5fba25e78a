//! A GUID partition table: the few fields an image needs, written and read strictly.
//!
//! Source: UEFI specification, chapter 5 "GUID Partition Table (GPT) Disk Layout".

use std::ops::Range;

use uuid::{Uuid, uuid};

/// Bytes per logical block: Azure's disks and QEMU's both have 512.
pub const SECTOR: u64 = 512;
/// Partition type "Linux root (x86-64)" of the Discoverable Partitions Specification.
pub const ROOT_X86_64: Uuid = uuid!("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709");
/// Partition type "Linux filesystem data": what many images have for their root.
pub const LINUX_DATA: Uuid = uuid!("0FC63DAF-8483-4772-8E79-3D69D8477DE4");
/// Partition type "extended boot loader": a separate `/boot`.
pub const EXTENDED_BOOT: Uuid = uuid!("BC13C2FF-59E6-4262-A352-B275FD6F7172");
/// Partition type "EFI system partition".
pub const EFI_SYSTEM: Uuid = uuid!("C12A7328-F81F-11D2-BA4B-00A0C93EC93B");

const SECTOR_LEN: usize = 512;
const ENTRIES: u32 = 128;
const MOST_ENTRIES: u32 = 1024;
const ENTRY_BYTES: u32 = 128;
const ENTRY_LEN: usize = 128;
const TABLE_SECTORS: u64 = 32;
const TABLE_LEN: usize = 32 * SECTOR_LEN;
const HEAD_SECTORS: u64 = 2 + TABLE_SECTORS;
const TAIL_SECTORS: u64 = TABLE_SECTORS + 1;
/// Bytes at the start of the disk: protective MBR, header and entries.
pub const HEAD_LEN: usize = 2 * SECTOR_LEN + TABLE_LEN;
/// Bytes at the end of the disk: entries and header again.
pub const TAIL_LEN: usize = TABLE_LEN + SECTOR_LEN;
const HEADER_BYTES: u32 = 92;
const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const NAME_UNITS: usize = 36;

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Number as the kernel shows it, from 1 to 128.
    pub number: u32,
    /// What it holds, e.g. [`ROOT_X86_64`].
    pub kind: Uuid,
    /// Identity of this partition (`PARTUUID`).
    pub id: Uuid,
    /// Name, at most 36 UTF-16 units; a longer one is cut.
    pub name: String,
    /// First byte on the disk, a multiple of 512.
    pub offset: u64,
    /// Length in bytes, a multiple of 512, more than 0.
    pub bytes: u64,
}

/// A table: identity of the disk and its partitions in order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    /// Identity of the disk.
    pub disk: Uuid,
    /// Partitions, by number.
    pub partitions: Vec<Partition>,
}

/// Why a disk has no usable table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GptError {
    /// A part of the table is not what the specification asks for.
    #[error("{part} of the partition table: {problem}")]
    Damaged {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Two partitions share blocks, or one leaves the usable range.
    #[error("partition {number} {problem}")]
    Misplaced {
        /// Its number.
        number: u32,
        /// What is wrong with its place.
        problem: String,
    },
}

impl Gpt {
    /// The first [`HEAD_LEN`] and the last [`TAIL_LEN`] bytes of a disk of `disk_bytes`, a multiple of 512.
    pub fn encode(&self, disk_bytes: u64) -> (Vec<u8>, Vec<u8>) {
        let sectors = disk_bytes / SECTOR;
        let table = self.table();
        let (first, last) = (1, sectors - 1);
        let mut head = protective_mbr(sectors).to_vec();
        head.extend(self.header(first, last, first + 1, sectors, &table));
        head.extend(&table);
        let mut tail = table.clone();
        tail.extend(self.header(last, first, last - TABLE_SECTORS, sectors, &table));
        (head, tail)
    }

    fn table(&self) -> Vec<u8> {
        let mut out = vec![0; TABLE_LEN];
        for (number, entry) in (1..).zip(out.chunks_exact_mut(ENTRY_LEN)) {
            let Some(partition) = self.partitions.iter().find(|partition| partition.number == number) else {
                continue;
            };
            entry[..16].copy_from_slice(&partition.kind.to_bytes_le());
            entry[16..32].copy_from_slice(&partition.id.to_bytes_le());
            let first = partition.offset / SECTOR;
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&(first + partition.bytes / SECTOR - 1).to_le_bytes());
            for (slot, unit) in entry[56..].chunks_exact_mut(2).zip(partition.name.encode_utf16()) {
                slot.copy_from_slice(&unit.to_le_bytes());
            }
        }
        out
    }

    fn header(&self, own: u64, other: u64, table_at: u64, sectors: u64, table: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(SECTOR_LEN);
        out.extend(SIGNATURE);
        out.extend(REVISION.to_le_bytes());
        out.extend(HEADER_BYTES.to_le_bytes());
        out.extend([0; 8]);
        for block in [own, other, HEAD_SECTORS, sectors - TAIL_SECTORS - 1] {
            out.extend(block.to_le_bytes());
        }
        out.extend(self.disk.to_bytes_le());
        out.extend(table_at.to_le_bytes());
        for number in [ENTRIES, ENTRY_BYTES, crc32(table)] {
            out.extend(number.to_le_bytes());
        }
        let sum = crc32(&out);
        out[16..20].copy_from_slice(&sum.to_le_bytes());
        out.resize(SECTOR_LEN, 0);
        out
    }

    /// Reads what [`Gpt::encode`] wrote: `head` and `tail` are the first and last bytes of a disk of `disk_bytes`.
    ///
    /// # Errors
    /// [`GptError`] when the protective MBR, either header or either table is damaged, when the two copies differ,
    /// or when a partition overlaps another or leaves the usable range.
    pub fn decode(head: &[u8], tail: &[u8], disk_bytes: u64) -> Result<Self, GptError> {
        let sectors = disk_bytes / SECTOR;
        if sectors < HEAD_SECTORS + TAIL_SECTORS || head.len() != HEAD_LEN || tail.len() != TAIL_LEN {
            return Err(damaged("start", "the disk is too short to hold one"));
        }
        let (mbr, rest) = head.split_at(SECTOR_LEN);
        if mbr != protective_mbr(sectors) {
            return Err(damaged("protective MBR", "it is not there or does not cover the disk"));
        }
        let (header, table) = rest.split_at(SECTOR_LEN);
        let (backup_table, backup_header) = tail.split_at(TABLE_LEN);
        let disk = disk_id(header);
        let gpt = Self { disk, partitions: partitions(table)? };
        let last = sectors - 1;
        if gpt.header(1, last, 2, sectors, table) != header {
            return Err(damaged("first header", "checksum or fields are wrong"));
        }
        if gpt.header(last, 1, last - TABLE_SECTORS, sectors, table) != backup_header {
            return Err(damaged("backup header", "checksum or fields are wrong"));
        }
        if table != backup_table {
            return Err(damaged("backup entries", "they differ from the first ones"));
        }
        gpt.check_places(&(HEAD_SECTORS * SECTOR..(sectors - TAIL_SECTORS) * SECTOR))?;
        Ok(gpt)
    }

    fn check_places(&self, usable: &Range<u64>) -> Result<(), GptError> {
        let mut by_offset: Vec<_> = self.partitions.iter().collect();
        by_offset.sort_by_key(|partition| partition.offset);
        let mut free_from = usable.start;
        for partition in by_offset {
            let misplaced =
                |problem: &str| GptError::Misplaced { number: partition.number, problem: problem.into() };
            if partition.offset < free_from {
                return Err(misplaced("overlaps what stands before it"));
            }
            free_from = partition.offset + partition.bytes;
            if free_from > usable.end {
                return Err(misplaced("ends outside the usable blocks"));
            }
        }
        Ok(())
    }
}

/// Header of a table that any program wrote: where its entries are, and what they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    disk: Uuid,
    /// First byte of the entries on the disk.
    pub table_at: u64,
    /// Bytes of the entries.
    pub table_bytes: usize,
    table_sum: u32,
}

impl Header {
    /// Where it is on a disk, in bytes.
    pub const AT: u64 = SECTOR;

    /// Reads the first header of a disk, its block 1 (UEFI specification 2.10, 5.3.2).
    ///
    /// # Errors
    /// [`GptError::Damaged`].
    pub fn decode(sector: &[u8; 512]) -> Result<Self, GptError> {
        let wrong = |problem| damaged("first header", problem);
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| sector[at + byte]));
        if &sector[..8] != SIGNATURE {
            return Err(wrong("it is not there"));
        }
        let length = word(12) as usize;
        if !(HEADER_BYTES as usize..=SECTOR_LEN).contains(&length) {
            return Err(wrong("its length is wrong"));
        }
        let mut summed = sector[..length].to_vec();
        summed[16..20].fill(0);
        if crc32(&summed) != word(16) {
            return Err(wrong("its checksum is wrong"));
        }
        let (entries, entry_bytes) = (word(80), word(84));
        if entries > MOST_ENTRIES || entry_bytes != ENTRY_BYTES {
            return Err(wrong("it has more or larger entries than any program makes"));
        }
        let table_at = (u64::from(word(76)) << 32 | u64::from(word(72))).checked_mul(SECTOR);
        let table_at = table_at.ok_or_else(|| wrong("its entries are beyond any disk"))?;
        let table_bytes = entries as usize * ENTRY_LEN;
        Ok(Self { disk: disk_id(sector), table_at, table_bytes, table_sum: word(88) })
    }

    /// The table on a disk of `disk_bytes`, from its entries.
    ///
    /// # Errors
    /// [`GptError`] when the entries are damaged, overlap, or leave the disk.
    pub fn table(&self, entries: &[u8], disk_bytes: u64) -> Result<Gpt, GptError> {
        if crc32(entries) != self.table_sum {
            return Err(damaged("entries", "their checksum is wrong"));
        }
        let gpt = Gpt { disk: self.disk, partitions: partitions(entries)? };
        gpt.check_places(&(2 * SECTOR..disk_bytes))?;
        Ok(gpt)
    }
}

fn damaged(part: &'static str, problem: &str) -> GptError {
    GptError::Damaged { part, problem: problem.into() }
}

fn disk_id(header: &[u8]) -> Uuid {
    let mut id = [0; 16];
    id.copy_from_slice(&header[56..72]);
    Uuid::from_bytes_le(id)
}

fn partitions(table: &[u8]) -> Result<Vec<Partition>, GptError> {
    (1..)
        .zip(table.chunks_exact(ENTRY_LEN))
        .filter(|(_, entry)| entry[..16] != [0; 16])
        .map(|(number, entry)| partition(number, entry))
        .collect()
}

fn partition(number: u32, entry: &[u8]) -> Result<Partition, GptError> {
    let id = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&entry[at..at + 16]);
        Uuid::from_bytes_le(bytes)
    };
    let block = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&entry[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (first, last) = (block(32), block(40));
    let bytes = last
        .checked_sub(first)
        .and_then(|more| more.checked_add(1))
        .and_then(|count| count.checked_mul(SECTOR));
    let (Some(offset), Some(bytes)) = (first.checked_mul(SECTOR), bytes) else {
        return Err(GptError::Misplaced { number, problem: "ends before it starts".into() });
    };
    if offset.checked_add(bytes).is_none() {
        return Err(GptError::Misplaced { number, problem: "ends beyond any disk".into() });
    }
    let units: Vec<u16> = entry[56..56 + 2 * NAME_UNITS]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    let name = String::from_utf16_lossy(&units);
    Ok(Partition { number, kind: id(0), id: id(16), name, offset, bytes })
}

/// The MBR that tells old software that the whole disk is taken.
fn protective_mbr(sectors: u64) -> [u8; SECTOR_LEN] {
    let mut out = [0; SECTOR_LEN];
    let covered = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    out[446..454].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    out[454..458].copy_from_slice(&1_u32.to_le_bytes());
    out[458..462].copy_from_slice(&covered.to_le_bytes());
    out[510..].copy_from_slice(&[0x55, 0xaa]);
    out
}

/// CRC-32 as ISO 3309 and the UEFI specification define it; tables here are at most 16 KiB, so bit by bit will do.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: u64 = 1 << 30;

    fn sample() -> Gpt {
        let partition = |number, kind, offset: u64, bytes: u64| Partition {
            number,
            kind,
            id: Uuid::from_u128(u128::from(number)),
            name: format!("partition {number}"),
            offset: offset << 20,
            bytes: bytes << 20,
        };
        let partitions = vec![partition(1, ROOT_X86_64, 125, 898), partition(15, EFI_SYSTEM, 1, 124)];
        Gpt { disk: Uuid::from_u128(0xabc), partitions }
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_is_written_reads_back() {
        let (head, tail) = sample().encode(DISK);
        assert_eq!(Gpt::decode(&head, &tail, DISK).unwrap(), sample());
    }

    #[test]
    fn a_table_is_read_from_its_first_header_alone() {
        let (head, _) = sample().encode(DISK);
        let read = |head: &[u8]| {
            let header = Header::decode(head[512..1024].try_into().unwrap())?;
            let at = usize::try_from(header.table_at).unwrap();
            header.table(&head[at..at + header.table_bytes], DISK)
        };
        assert_eq!(read(&head), Ok(sample()));
        for at in [512, 512 + 12, 512 + 16, 512 + 80, 1024, 1024 + 33] {
            let mut bad = head.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad).is_err(), "byte {at}");
        }
        assert!(
            Header::decode(head[512..1024].try_into().unwrap())
                .unwrap()
                .table(&head[1024..], DISK / 2)
                .is_err()
        );
    }

    #[test]
    fn every_damaged_byte_of_a_header_or_an_entry_is_noticed() {
        let (head, tail) = sample().encode(DISK);
        for at in (446..512 + 128).chain(1024..1024 + 128) {
            let mut bad = head.clone();
            bad[at] ^= 0x10;
            assert!(Gpt::decode(&bad, &tail, DISK).is_err(), "head byte {at}");
        }
        for at in [0, 14 * 128 + 33, tail.len() - 512, tail.len() - 490] {
            let mut bad = tail.clone();
            bad[at] ^= 0x10;
            assert!(Gpt::decode(&head, &bad, DISK).is_err(), "tail byte {at}");
        }
    }

    #[test]
    fn overlapping_and_overlong_partitions_are_refused() {
        let mut overlapping = sample();
        overlapping.partitions[0].offset -= SECTOR;
        let (head, tail) = overlapping.encode(DISK);
        let error = Gpt::decode(&head, &tail, DISK).unwrap_err();
        assert_eq!(error.to_string(), "partition 1 overlaps what stands before it");

        let mut overlong = sample();
        overlong.partitions[0].bytes += 1 << 20;
        let (head, tail) = overlong.encode(DISK);
        let error = Gpt::decode(&head, &tail, DISK).unwrap_err();
        assert_eq!(error.to_string(), "partition 1 ends outside the usable blocks");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(at in 0_usize..17_000, byte in 0_u8..=255, disk in 0_u64..1 << 32) {
            let (mut head, tail) = sample().encode(DISK);
            head[at % (17 * 1024)] = byte;
            let _ = Gpt::decode(&head, &tail, disk);
            let _ = Gpt::decode(&head, &tail, DISK);
        }
    }
}
