//! `guid` and `uniqueString`: the values that Azure gives.

use uuid::{Uuid, uuid};

/// The name space of `guid` (Bicep, "String functions": the version 5 UUID of its arguments).
const NAMESPACE: Uuid = uuid!("11fb06fb-712d-4ddd-98c7-e71bbd588830");

/// The letters of `uniqueString`.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The UUID of the arguments, joined with `-`.
pub fn guid(joined: &str) -> String {
    Uuid::new_v5(&NAMESPACE, joined.as_bytes()).to_string()
}

/// Thirteen characters for the arguments, joined with `-`: 64 bits, five at a time from the most significant end.
pub fn unique_string(joined: &str) -> String {
    let hash = hash(joined.as_bytes());
    // Five bits for each letter; the four that are left are the upper ones of the last.
    let letter = |index: u32| LETTERS[usize::try_from(hash << (5 * index) >> 59).unwrap_or_default()];
    (0..13).map(letter).map(char::from).collect()
}

const A: u32 = 0xAB0E_9789;
const B: u32 = 0x239B_961B;

/// Two lanes of a 32-bit Murmur3, seeded with 0.
fn hash(bytes: &[u8]) -> u64 {
    let (mut h1, mut h2) = (0_u32, 0_u32);
    let first = |word: u32| word.wrapping_mul(B).rotate_left(15).wrapping_mul(A);
    let second = |word: u32| word.wrapping_mul(A).rotate_left(17).wrapping_mul(B);
    let blocks = bytes.chunks_exact(8);
    let tail = blocks.remainder();
    for block in blocks {
        let (k1, k2) = block.split_at(4);
        h1 ^= first(word(k1));
        h1 = h1.rotate_left(19).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x561C_CD1B);
        h2 ^= second(word(k2));
        h2 = h2.rotate_left(13).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x0BCA_A747);
    }
    let (k1, k2) = tail.split_at(tail.len().min(4));
    h1 ^= first(word(k1));
    h2 ^= second(word(k2));
    // The length counts modulo 2^32.
    let length = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or_default();
    (h1, h2) = (h1 ^ length, h2 ^ length);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finished(h1), finished(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    u64::from(h2) << 32 | u64::from(h1)
}

/// Up to four bytes, the least significant first.
fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// Murmur3's finaliser.
fn finished(mut lane: u32) -> u32 {
    lane ^= lane >> 16;
    lane = lane.wrapping_mul(0x85EB_CA6B);
    lane ^= lane >> 13;
    lane = lane.wrapping_mul(0xC2B2_AE35);
    lane ^ lane >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_strings_are_those_of_azure() {
        for (joined, expected) in [
            ("test", "rbgf3xv4ufgzg"),
            ("t", "fsnwonksnm7cy"),
            ("abc", "cgtzqvhu4i23s"),
            ("hello-world", "a7wkljktk6wne"),
            ("foo-bar-baz", "xzi4ioaxtmth4"),
            ("test-test2-test3", "bqgd334z2uj64"),
        ] {
            assert_eq!(unique_string(joined), expected, "{joined}");
        }
    }

    #[test]
    fn guids_are_version_5_in_azures_name_space() {
        let guid = guid("a-b");
        assert_eq!(guid, Uuid::new_v5(&NAMESPACE, b"a-b").to_string());
        assert_eq!(&guid[14..15], "5");
    }
}
