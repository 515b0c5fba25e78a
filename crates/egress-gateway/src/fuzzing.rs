//! Entry of the fuzzers to what is private.

use crate::dns::{self, Answer, Message};
use crate::http::{Parsed, parse_head};
use crate::{nflog, opening};

/// Reads bytes as everything that a build step's side may send.
pub fn everything(bytes: &[u8]) {
    opening::look(bytes);
    opening::at_end(bytes);
    if let Parsed::Head(mut head) = parse_head(bytes) {
        let rest = &bytes[head.length..];
        if let Ok(taken) = head.body.take(rest) {
            assert!(taken == rest.len() || head.body.is_done());
        }
    }
    if let Message::Question(asked) = dns::read(bytes) {
        asked.reply(&Answer::NoSuchName);
    }
    nflog::packets(bytes);
}
