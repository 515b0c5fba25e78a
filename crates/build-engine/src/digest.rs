//! Keys: the SHA-256 of everything that could change a result.

use std::fmt::Write;
use std::io::Read;

use sha2::{Digest, Sha256};

/// Part of every key: raised whenever the engine would make something else of the same inputs.
pub const ENGINE_VERSION: u32 = 1;

/// A key under construction. Every part is hashed with its label and length, so that no two different sequences
/// of parts give the same key.
#[derive(Debug)]
pub struct KeyBuilder(Sha256);

impl KeyBuilder {
    /// A key of the given kind, for example `layer`.
    pub fn new(kind: &str) -> Self {
        Self(Sha256::new()).part("kind", kind.as_bytes()).part("engine", &ENGINE_VERSION.to_le_bytes())
    }

    /// Adds one part.
    #[must_use]
    pub fn part(mut self, label: &str, bytes: &[u8]) -> Self {
        for field in [label.as_bytes(), bytes] {
            self.0.update((field.len() as u64).to_le_bytes());
            self.0.update(field);
        }
        self
    }

    /// The key: 64 lower-case hexadecimal digits.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// SHA-256 of bytes, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of what a reader yields, in lower-case hexadecimal.
///
/// # Errors
/// When reading fails.
pub fn sha256_of(mut reader: impl Read) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..length]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_run_into_each_other() {
        let one = KeyBuilder::new("t").part("a", b"bc").finish();
        let other = KeyBuilder::new("t").part("ab", b"c").finish();
        assert_ne!(one, other);
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn sha256_is_the_standard_one() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
