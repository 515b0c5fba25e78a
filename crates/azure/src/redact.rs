//! Texts of others without what would let somebody in.

/// What begins a secret; it ends where no character of one stands.
const BEGINNINGS: [&str; 5] = ["sig=", "Bearer ", "AccountKey=", "client_secret=", "client_assertion="];

/// A text in which signatures, tokens and keys are `***`.
pub(crate) fn redact(text: &str) -> String {
    BEGINNINGS.iter().fold(text.to_owned(), |text, beginning| without(&text, beginning))
}

fn without(text: &str, beginning: &str) -> String {
    let mut pieces = text.split(beginning);
    let mut redacted = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let in_secret = |c: char| c.is_ascii_alphanumeric() || "%+/=._~-".contains(c);
        let rest = piece.trim_start_matches(in_secret);
        redacted.push_str(beginning);
        redacted.push_str(if rest.len() == piece.len() { "" } else { "***" });
        redacted.push_str(rest);
    }
    redacted
}
