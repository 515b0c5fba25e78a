//! The 512-byte footer that makes a raw disk a fixed VHD.
//!
//! Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0. Azure adds that the virtual size, which
//! leaves the footer out, is a whole number of MiB.

use std::fmt;

use uuid::Uuid;

/// Length of the footer in bytes.
pub const FOOTER_BYTES: u64 = 512;
/// The same, as the length of a buffer.
pub const FOOTER_LEN: usize = 512;
/// Azure takes virtual sizes that are a multiple of this.
pub const MIB: u64 = 1024 * 1024;

const SECTOR: u64 = 512;
const COOKIE: &[u8; 8] = b"conectix";
const CHECKSUM_AT: usize = 64;
const FIXED: u32 = 2;
/// Features: none but the reserved bit that the specification wants set.
const FEATURES: u32 = 2;
const FORMAT_VERSION: u32 = 0x0001_0000;
/// Windows' own name: with `vpc ` QEMU would compute the size from the geometry, which rounds it down.
const CREATOR: &[u8; 4] = b"win ";
const CREATOR_VERSION: u32 = 0x000a_0000;
const CREATOR_HOST: &[u8; 4] = b"Wi2k";
/// Seconds from the Unix epoch to 2000-01-01T00:00:00Z, where the format's clock starts.
const EPOCH: u64 = 946_684_800;

/// What a footer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Size of the disk in bytes, without the footer.
    pub virtual_bytes: u64,
    /// When the disk was made, in seconds since the Unix epoch (from 2000 to 2136).
    pub created: u64,
    /// Identity of the disk.
    pub id: Uuid,
}

/// Why 512 bytes are not the footer of a fixed VHD.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FooterError {
    /// The cookie is missing.
    #[error("no VHD footer: the last 512 bytes do not start with `conectix`")]
    NoCookie,
    /// The checksum does not match the bytes.
    #[error("the VHD footer's checksum is {stored:#010x} but its bytes give {computed:#010x}")]
    Checksum {
        /// What the footer says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// Some field has a value that a fixed VHD cannot have.
    #[error("the VHD footer's {field} is {value}, expected {expected}")]
    Field {
        /// Field name of the specification.
        field: &'static str,
        /// The value read.
        value: String,
        /// What it must be.
        expected: String,
    },
}

impl Footer {
    /// The footer as bytes.
    pub fn encode(&self) -> [u8; 512] {
        let mut out = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, COOKIE);
        put(8, &FEATURES.to_be_bytes());
        put(12, &FORMAT_VERSION.to_be_bytes());
        put(16, &u64::MAX.to_be_bytes());
        let seconds = u32::try_from(self.created.saturating_sub(EPOCH)).unwrap_or(u32::MAX);
        put(24, &seconds.to_be_bytes());
        put(28, CREATOR);
        put(32, &CREATOR_VERSION.to_be_bytes());
        put(36, CREATOR_HOST);
        put(40, &self.virtual_bytes.to_be_bytes());
        put(48, &self.virtual_bytes.to_be_bytes());
        put(56, &geometry(self.virtual_bytes).encode());
        put(60, &FIXED.to_be_bytes());
        put(68, self.id.as_bytes());
        let sum = checksum(&out);
        out[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
        out
    }

    /// Reads a footer strictly.
    ///
    /// # Errors
    /// [`FooterError`] when the bytes are not the footer of a fixed VHD, or contradict each other.
    pub fn decode(bytes: &[u8; 512]) -> Result<Self, FooterError> {
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
        if &bytes[..8] != COOKIE {
            return Err(FooterError::NoCookie);
        }
        let (stored, computed) = (u32_at(CHECKSUM_AT), checksum(bytes));
        if stored != computed {
            return Err(FooterError::Checksum { stored, computed });
        }
        let virtual_bytes = u64_at(48);
        expect("file format version", u32_at(12), FORMAT_VERSION)?;
        expect("disk type", u32_at(60), FIXED)?;
        expect("data offset", u64_at(16), u64::MAX)?;
        expect("original size", u64_at(40), virtual_bytes)?;
        expect("disk geometry", u32_at(56), u32::from_be_bytes(geometry(virtual_bytes).encode()))?;
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[68..84]);
        Ok(Self { virtual_bytes, created: EPOCH + u64::from(u32_at(24)), id: Uuid::from_bytes(id) })
    }
}

fn expect<T: PartialEq + fmt::Display + Copy>(
    field: &'static str,
    value: T,
    expected: T,
) -> Result<(), FooterError> {
    if value == expected {
        return Ok(());
    }
    Err(FooterError::Field { field, value: value.to_string(), expected: expected.to_string() })
}

/// One's complement of the sum of all bytes but the checksum's own.
fn checksum(bytes: &[u8; 512]) -> u32 {
    let all: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = bytes[CHECKSUM_AT..CHECKSUM_AT + 4].iter().map(|byte| u32::from(*byte)).sum();
    !(all - own)
}

/// Cylinders, heads and sectors per track, as BIOS-era software sees the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    cylinders: u16,
    heads: u8,
    sectors: u8,
}

impl Geometry {
    fn encode(self) -> [u8; 4] {
        let [high, low] = self.cylinders.to_be_bytes();
        [high, low, self.heads, self.sectors]
    }
}

/// The specification's appendix "CHS Calculation", step by step.
fn geometry(virtual_bytes: u64) -> Geometry {
    let total = (virtual_bytes / SECTOR).min(65_535 * 16 * 255);
    let (sectors, heads, tracks) = if total >= 65_535 * 16 * 63 {
        (255, 16, total / 255)
    } else {
        let tracks = total / 17;
        let heads = tracks.div_ceil(1024).max(4);
        if tracks < heads * 1024 && heads <= 16 {
            (17, heads, tracks)
        } else if total / 31 < 16 * 1024 {
            (31, 16, total / 31)
        } else {
            (63, 16, total / 63)
        }
    };
    let small = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
    Geometry {
        cylinders: u16::try_from(tracks / heads).unwrap_or(u16::MAX),
        heads: small(heads),
        sectors: small(sectors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer(virtual_bytes: u64) -> Footer {
        Footer { virtual_bytes, created: 1_700_000_000, id: Uuid::from_u128(0x1234) }
    }

    #[test]
    fn fields_stand_where_the_specification_puts_them() {
        let bytes = footer(2 << 30).encode();
        assert_eq!(&bytes[..8], b"conectix");
        assert_eq!(bytes[8..12], [0, 0, 0, 2]);
        assert_eq!(bytes[16..24], [0xff; 8]);
        assert_eq!(u32::from_be_bytes(bytes[24..28].try_into().unwrap()), 1_700_000_000 - 946_684_800);
        assert_eq!(&bytes[28..32], b"win ");
        assert_eq!(u64::from_be_bytes(bytes[40..48].try_into().unwrap()), 2 << 30);
        assert_eq!(u64::from_be_bytes(bytes[48..56].try_into().unwrap()), 2 << 30);
        assert_eq!(bytes[60..64], [0, 0, 0, 2]);
        assert_eq!(bytes[84], 0, "not a saved state");
        assert!(bytes[85..].iter().all(|byte| *byte == 0), "the reserved rest is zero");
    }

    #[test]
    fn geometry_follows_the_specification() {
        let chs = |bytes| {
            let Geometry { cylinders, heads, sectors } = geometry(bytes);
            (cylinders, heads, sectors)
        };
        assert_eq!(chs(1 << 30), (2080, 16, 63));
        assert_eq!(chs(2 << 30), (4161, 16, 63));
        assert_eq!(chs(30 << 30), (62415, 16, 63));
        assert_eq!(chs(32 * MIB), (963, 4, 17));
        assert_eq!(chs(4095 << 30), (65535, 16, 255));
        assert_eq!(chs(240 * MIB), (990, 16, 31));
    }

    #[test]
    fn what_is_written_reads_back() {
        for bytes in [MIB, 1 << 30, 30 << 30, 4095 << 30] {
            assert_eq!(Footer::decode(&footer(bytes).encode()).unwrap(), footer(bytes));
        }
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        let good = footer(1 << 30).encode();
        for at in 0..512 {
            let mut bad = good;
            bad[at] ^= 1;
            assert!(Footer::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_dynamic_disk_is_not_taken_for_a_fixed_one() {
        let mut bytes = footer(1 << 30).encode();
        bytes[63] = 3;
        let sum = checksum(&bytes);
        bytes[64..68].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(
            Footer::decode(&bytes).unwrap_err().to_string(),
            "the VHD footer's disk type is 3, expected 2"
        );
    }
}
