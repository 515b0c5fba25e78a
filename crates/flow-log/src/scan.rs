//! Finds the records of a log in text that arrives in pieces.
//!
//! Three frames exist: `{"records": [...]}`, as flow logs are stored; one object a line, as diagnostic settings
//! export; and a plain array. Only brackets and strings are looked at here; what is inside a record is read by
//! [`document`].

use document::{Position, SourceText, parse_json};

use crate::error::{LogError, moved};

/// The longest record that is read, in bytes. One holds a minute of one network interface.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

const START: Position = Position { line: 1, column: 1 };
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// A whole record and where it begins.
pub(crate) struct Found {
    pub text: SourceText,
    pub start: Position,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Between records that stand for themselves.
    Outside,
    /// Between the records of a list; `wrapped` in an object.
    List { wrapped: bool },
    /// In an object that is a record, or the wrapping around a list of them.
    Record { listed: bool, wrapped: bool },
    /// Behind the list of a wrapping object, up to its end.
    Tail,
}

/// Cuts text into records.
pub(crate) struct Scanner {
    state: State,
    buffer: Vec<u8>,
    start: Position,
    at: Position,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    pub fn new() -> Self {
        Self {
            state: State::Outside,
            buffer: Vec::new(),
            start: START,
            at: START,
            depth: 0,
            in_string: false,
            escaped: false,
        }
    }

    /// Takes a piece of the text, of any size, and hands out each record that it completes.
    pub fn feed(
        &mut self,
        piece: &[u8],
        each: &mut dyn FnMut(Found) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        for &byte in piece {
            let at_start = self.at == START && self.state == State::Outside;
            if at_start && BYTE_ORDER_MARK.contains(&byte) {
                continue;
            }
            if let Some(found) = self.byte(byte)? {
                each(found)?;
            }
            self.advance(byte);
        }
        Ok(())
    }

    /// Where the text breaks off, when it does: a log that is still being written.
    pub fn finish(self) -> Result<Option<Position>, LogError> {
        match self.state {
            State::Outside => Ok(None),
            State::List { .. } | State::Tail => Ok(Some(self.at)),
            State::Record { .. } => self.broken_off().map(Some),
        }
    }

    /// A record that lacks its end was broken off only if nothing else is wrong with it.
    fn broken_off(self) -> Result<Position, LogError> {
        // The last character may be broken off, too.
        let valid = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&self.buffer[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Err(not_text(self.start)),
        };
        let text = SourceText::new("", valid);
        let document = parse_json(&text);
        let wrong = document.diagnostics.iter().find(|found| {
            found.is_error() && !(found.code == "unexpected-end" || found.span.start >= text.text().len())
        });
        // A word such as `tru` and a number such as `1.` end too soon in other words.
        let at_end =
            |at: usize| text.text()[at..].bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'\\');
        match wrong {
            Some(found) if !at_end(found.span.start) => Err(LogError::within(self.start, &text, found)),
            _ => Ok(moved(self.start, text.position(valid.len()))),
        }
    }

    fn byte(&mut self, byte: u8) -> Result<Option<Found>, LogError> {
        match self.state {
            State::Outside => self.outside(byte).map(|()| None),
            State::List { wrapped } => self.between(byte, wrapped).map(|()| None),
            State::Record { listed, wrapped } => self.inside(byte, listed, wrapped),
            State::Tail => {
                self.bracket(byte)?;
                if self.depth == 0 {
                    self.state = State::Outside;
                }
                Ok(None)
            }
        }
    }

    fn outside(&mut self, byte: u8) -> Result<(), LogError> {
        match byte {
            b'{' => self.begin(false, false),
            b'[' => self.state = State::List { wrapped: false },
            _ if byte.is_ascii_whitespace() => {}
            _ => {
                return Err(
                    self.unexpected(byte, "a JSON object on a line of its own, or {\"records\": [...]}")
                );
            }
        }
        Ok(())
    }

    fn between(&mut self, byte: u8, wrapped: bool) -> Result<(), LogError> {
        match byte {
            b'{' => self.begin(true, wrapped),
            b']' if wrapped => {
                self.state = State::Tail;
                self.depth = 1;
            }
            b']' => self.state = State::Outside,
            b',' => {}
            _ if byte.is_ascii_whitespace() => {}
            _ => return Err(self.unexpected(byte, "a record in braces, or `]`")),
        }
        Ok(())
    }

    fn begin(&mut self, listed: bool, wrapped: bool) {
        self.state = State::Record { listed, wrapped };
        self.start = self.at;
        self.depth = 1;
        self.buffer.clear();
        self.buffer.push(b'{');
    }

    fn inside(&mut self, byte: u8, listed: bool, wrapped: bool) -> Result<Option<Found>, LogError> {
        if self.buffer.len() == MAX_RECORD_BYTES {
            return Err(LogError::new(self.start, "this record is too long")
                .expecting(format!("at most {} MiB", MAX_RECORD_BYTES >> 20)));
        }
        self.buffer.push(byte);
        self.bracket(byte)?;
        if !listed && self.depth == 2 && byte == b'[' && !self.in_string && opens_records(&self.buffer) {
            self.buffer.clear();
            self.state = State::List { wrapped: true };
            return Ok(None);
        }
        if self.depth > 0 {
            return Ok(None);
        }
        self.state = if listed { State::List { wrapped } } else { State::Outside };
        let text = String::from_utf8(std::mem::take(&mut self.buffer)).map_err(|_| not_text(self.start))?;
        Ok(Some(Found { text: SourceText::new("", text), start: self.start }))
    }

    /// Follows strings and brackets.
    fn bracket(&mut self, byte: u8) -> Result<(), LogError> {
        if self.in_string {
            match byte {
                b'\n' => return Err(LogError::new(self.at, "the string is not closed").expecting("`\"`")),
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Ok(());
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        Ok(())
    }

    fn advance(&mut self, byte: u8) {
        if byte == b'\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else if byte & 0xc0 != 0x80 {
            self.at.column += 1;
        }
    }

    fn unexpected(&self, byte: u8, expected: &str) -> LogError {
        let shown =
            if byte.is_ascii_graphic() { format!("`{}`", char::from(byte)) } else { "byte".to_owned() };
        LogError::new(self.at, format!("unexpected {shown}: this is no flow log")).expecting(expected)
    }
}

fn not_text(start: Position) -> LogError {
    LogError::new(start, "this record is not UTF-8")
}

/// Whether the text so far ends in `"records": [`.
fn opens_records(buffer: &[u8]) -> bool {
    let before = |text: &'_ [u8], end: &[u8]| -> Option<usize> {
        text.trim_ascii_end().strip_suffix(end).map(<[u8]>::len)
    };
    let colon = before(buffer, b"[").and_then(|end| before(&buffer[..end], b":"));
    colon.is_some_and(|end| before(&buffer[..end], b"\"records\"").is_some())
}
