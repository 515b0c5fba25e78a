//! An empty copy-on-write disk in front of the image, so that no boot ever changes the image.
//!
//! The file is the smallest valid qcow2: header, reference counts, and a first-level table that maps nothing, so
//! every read falls through to the image and, past its end, to zeros. It names no backing file; QEMU is told which
//! one on its command line, with the exact number of bytes that are disk. The virtual size may exceed the image's,
//! which is how a test sees the root file system grow.

const CLUSTER: u64 = 1 << 16;
/// One second-level table of one cluster maps this many bytes.
const BYTES_PER_L1_ENTRY: u64 = CLUSTER / 8 * CLUSTER;
const HEADER_BYTES: u32 = 104;

/// Largest virtual size in bytes: Azure's largest disk is 64 TiB.
pub(super) const MAX_SIZE: u64 = 64 << 40;

/// The whole content of an empty qcow2 file (QEMU's `docs/interop/qcow2.txt`, version 3) of `size` bytes; `size` is
/// a multiple of 512 and at most [`MAX_SIZE`].
pub(super) fn empty_qcow2(size: u64) -> Vec<u8> {
    let entries = size.div_ceil(BYTES_PER_L1_ENTRY).max(1);
    let used_clusters = 3 + (entries * 8).div_ceil(CLUSTER);
    let mut file = Vec::new();
    // Header, in the first cluster.
    file.extend(b"QFI\xfb");
    put32(&mut file, 3);
    put64(&mut file, 0); // backing file name: none
    put32(&mut file, 0);
    put32(&mut file, CLUSTER.trailing_zeros());
    put64(&mut file, size);
    put32(&mut file, 0); // not encrypted
    put32(&mut file, u32::try_from(entries).unwrap_or(u32::MAX));
    put64(&mut file, 3 * CLUSTER); // first-level table
    put64(&mut file, CLUSTER); // table of reference count blocks
    put32(&mut file, 1); // which has one cluster
    put32(&mut file, 0); // no snapshots
    put64(&mut file, 0);
    for _feature_mask in ["incompatible", "compatible", "autoclear"] {
        put64(&mut file, 0);
    }
    put32(&mut file, 4); // reference counts of 2^4 bits
    put32(&mut file, HEADER_BYTES);
    // Second cluster: where the one block of reference counts is. Third cluster: that block.
    pad(&mut file, CLUSTER);
    put64(&mut file, 2 * CLUSTER);
    pad(&mut file, 2 * CLUSTER);
    for _cluster in 0..used_clusters {
        file.extend(1u16.to_be_bytes());
    }
    pad(&mut file, used_clusters * CLUSTER);
    file
}

fn put32(file: &mut Vec<u8>, value: u32) {
    file.extend(value.to_be_bytes());
}

fn put64(file: &mut Vec<u8>, value: u64) {
    file.extend(value.to_be_bytes());
}

fn pad(file: &mut Vec<u8>, length: u64) {
    file.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at32(file: &[u8], offset: usize) -> u32 {
        u32::from_be_bytes(file[offset..offset + 4].try_into().unwrap())
    }

    fn at64(file: &[u8], offset: usize) -> u64 {
        u64::from_be_bytes(file[offset..offset + 8].try_into().unwrap())
    }

    #[test]
    fn header_follows_the_specification() {
        let file = empty_qcow2(3 << 30);
        assert_eq!(&file[..4], b"QFI\xfb");
        assert_eq!((at32(&file, 4), at32(&file, 20)), (3, 16));
        assert_eq!((at64(&file, 8), at64(&file, 24)), (0, 3 << 30));
        assert_eq!((at32(&file, 36), at64(&file, 40)), (6, 0x3_0000));
        assert_eq!((at64(&file, 48), at32(&file, 56)), (0x1_0000, 1));
        assert_eq!((at32(&file, 96), at32(&file, 100)), (4, 104));
        assert_eq!(at64(&file, 0x1_0000), 0x2_0000);
        assert_eq!(&file[0x2_0000..0x2_000a], [0, 1, 0, 1, 0, 1, 0, 1, 0, 0]);
        assert!(file[0x3_0000..].iter().all(|byte| *byte == 0), "nothing is mapped");
        assert_eq!(file.len(), 4 * 65536);
    }

    #[test]
    fn every_cluster_of_the_largest_disk_is_counted() {
        let file = empty_qcow2(MAX_SIZE);
        let entries = u64::from(at32(&file, 36));
        assert_eq!(entries * BYTES_PER_L1_ENTRY, MAX_SIZE);
        let clusters = file.len() / 65536;
        assert_eq!(clusters, 3 + 16);
        let counts = &file[0x2_0000..0x3_0000];
        assert!(counts[..2 * clusters].chunks(2).all(|count| count == [0, 1]));
        assert!(counts[2 * clusters..].iter().all(|byte| *byte == 0));
    }
}
