//! Entry of the fuzzers to what is private.

use std::path::PathBuf;

use super::gpt::Gpt;
use super::listing;
use super::vhd::Footer;

/// Reads bytes as parts of a disk, and as what `debugfs` prints of one.
pub fn everything(bytes: &[u8]) {
    if let Some((footer, _)) = bytes.split_first_chunk() {
        let _ = Footer::decode(footer);
    }
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let _ = Gpt::decode(head, tail, 1 << 30);
    let _ = listing::parse(bytes, &[(2, PathBuf::new())]);
    let text = String::from_utf8_lossy(bytes);
    listing::attributes(&text, "security.capability");
    listing::attribute_names(&text);
    listing::modified(&text);
    listing::inline(&text);
    let _ = listing::extents(&text);
}
