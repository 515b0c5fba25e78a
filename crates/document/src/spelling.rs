//! Showing what the user wrote, and guessing what was meant.

/// The most characters of the user's text that a message repeats.
const SHOWN: usize = 60;

/// `text` in backquotes, on one line, free of control characters, cut when long.
pub fn quote(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// The candidate that `text` was most likely meant to be: the same but for case, else the nearest one that
/// differs in at most a third of its characters.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.chars().nth(2 * SHOWN).is_some() {
        return None;
    }
    let wanted = text.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_spelling_is_found_or_nothing() {
        let fields = ["inline", "scriptUri", "sha256Checksum"];
        assert_eq!(nearest("inlines", fields), Some("inline"));
        assert_eq!(nearest("scripturi", fields), Some("scriptUri"));
        assert_eq!(nearest("sha256CheckSum", fields), Some("sha256Checksum"));
        assert_eq!(nearest("banana", fields), None);
        assert_eq!(nearest(&"inline".repeat(1000), fields), None);
    }

    #[test]
    fn quoted_text_cannot_write_to_the_terminal() {
        assert_eq!(quote("a\u{1b}[2Jb\nc"), "`a\u{fffd}[2Jb\u{fffd}c`");
        assert_eq!(quote(&"x".repeat(99)).len(), 60 + 3 + 2);
    }
}
