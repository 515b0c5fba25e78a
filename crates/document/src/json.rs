//! JSON with `//` and `/* */` comments, as published samples are written.
//!
//! RFC 8259 otherwise. A missing or surplus comma and a name given twice are reported and stepped over, so
//! that one run finds them all; anything worse ends the reading.

use std::collections::HashSet;

use crate::{
    Diagnostic, Document, Kind, MAX_BYTES, MAX_DEPTH, MAX_VALUES, Member, Number, Object, SourceText, Span,
    Value, quote,
};

/// Reads a JSON text. At most [`MAX_BYTES`] bytes, [`MAX_VALUES`] values and [`MAX_DEPTH`] levels; a byte order mark
/// is skipped.
pub fn parse_json(source: &SourceText) -> Document {
    parse_within(source, MAX_VALUES, false)
}

/// Reads a JSON text as Azure's resource manager takes the bodies of deployments: names may stand without quotation
/// marks, and strings may have several lines.
pub fn parse_lenient_json(source: &SourceText) -> Document {
    parse_within(source, MAX_VALUES, true)
}

/// Reads a JSON text of at most so many values.
pub(crate) fn parse_within(source: &SourceText, values: usize, lenient: bool) -> Document {
    let text = source.text();
    if text.len() > MAX_BYTES {
        return Document::broken(too_large(text.len()));
    }
    let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut parser = Parser { text, at: start, values, lenient, diagnostics: Vec::new() };
    let value = match parser.document() {
        Ok(value) => Some(value),
        Err(fatal) => {
            parser.diagnostics.push(*fatal);
            None
        }
    };
    Document { value, diagnostics: parser.diagnostics }
}

pub(crate) fn too_large(len: usize) -> Diagnostic {
    Diagnostic::error("too-large", Span::default(), format!("the text has {len} bytes"))
        .expecting(format!("at most {MAX_BYTES} bytes"))
}

/// Boxed, because it is rare and would make every result large.
type Step<T> = Result<T, Box<Diagnostic>>;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// How many more values may be read.
    values: usize,
    /// Whether names may stand without quotation marks, and strings may have several lines.
    lenient: bool,
    diagnostics: Vec<Diagnostic>,
}

impl Parser<'_> {
    fn document(&mut self) -> Step<Value> {
        let value = self.value(0)?;
        self.blank()?;
        if self.at < self.text.len() {
            return Err(Box::new(self.unexpected("the end of the text")));
        }
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// An error about what stands here.
    fn unexpected(&self, expected: &str) -> Diagnostic {
        let Some(c) = self.text[self.at..].chars().next() else {
            let span = Span::new(self.at, self.at);
            return Diagnostic::error("unexpected-end", span, "the text ends too soon").expecting(expected);
        };
        let span = Span::new(self.at, self.at + c.len_utf8());
        let message = format!("unexpected {}", quote(c.encode_utf8(&mut [0; 4])));
        Diagnostic::error("syntax", span, message).expecting(expected)
    }

    /// Skips blanks and comments.
    fn blank(&mut self) -> Step<()> {
        loop {
            let rest = &self.text[self.at..];
            if let Some(comment) = rest.strip_prefix("//") {
                self.at += 2 + comment.find('\n').unwrap_or(comment.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    let span = Span::new(self.at, self.at + 2);
                    return Err(Box::new(
                        Diagnostic::error("unexpected-end", span, "the comment is not closed")
                            .expecting("`*/`"),
                    ));
                };
                self.at += 2 + end + 2;
            } else if matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
                self.at += 1;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Step<Value> {
        self.blank()?;
        let start = self.at;
        let Some(left) = self.values.checked_sub(1) else {
            let span = Span::new(start, start);
            return Err(Box::new(
                Diagnostic::error("too-large", span, "the text holds too many values")
                    .expecting(format!("at most {MAX_VALUES} values")),
            ));
        };
        self.values = left;
        let kind = match self.peek() {
            Some(b'{') => self.nested(depth, Self::object)?,
            Some(b'[') => self.nested(depth, Self::array)?,
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Kind::Number(self.number()?),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => self.word()?,
            Some(b'\'') => {
                return Err(Box::new(self.unexpected("a value").hinting("write strings in double quotes")));
            }
            _ => return Err(Box::new(self.unexpected("a value"))),
        };
        Ok(Value { span: Span::new(start, self.at), kind })
    }

    fn nested(&mut self, depth: usize, read: fn(&mut Self, usize) -> Step<Kind>) -> Step<Kind> {
        if depth == MAX_DEPTH {
            let span = Span::new(self.at, self.at + 1);
            return Err(Box::new(
                Diagnostic::error("too-deep", span, "arrays and objects are nested too deeply")
                    .expecting(format!("at most {MAX_DEPTH} levels")),
            ));
        }
        self.at += 1;
        read(self, depth + 1)
    }

    fn array(&mut self, depth: usize) -> Step<Kind> {
        let mut items = Vec::new();
        self.blank()?;
        if self.eat(b']') {
            return Ok(Kind::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.after_item(b']')? {
                return Ok(Kind::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Step<Kind> {
        let mut members: Vec<Member> = Vec::new();
        let mut seen = HashSet::new();
        self.blank()?;
        if self.eat(b'}') {
            return Ok(Kind::Object(Object { members }));
        }
        loop {
            self.blank()?;
            let start = self.at;
            let key = self.key()?;
            let key_span = Span::new(start, self.at);
            self.blank()?;
            if !self.eat(b':') {
                return Err(Box::new(self.unexpected("`:`")));
            }
            let value = self.value(depth)?;
            if seen.insert(key.clone()) {
                members.push(Member { key, key_span, value });
            } else {
                let message = format!("{} is given twice", quote(&key));
                self.diagnostics.push(
                    Diagnostic::error("duplicate-field", key_span, message).hinting("keep one of them"),
                );
            }
            if self.after_item(b'}')? {
                return Ok(Kind::Object(Object { members }));
            }
        }
    }

    /// A name in double quotes; from lenient clients also without.
    fn key(&mut self) -> Step<String> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$') if self.lenient => {
                let rest = &self.text[self.at..];
                let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
                let len = rest.find(|c| !fits(c)).unwrap_or(rest.len());
                self.at += len;
                Ok(rest[..len].to_owned())
            }
            _ => Err(Box::new(self.unexpected("a name in double quotes"))),
        }
    }

    /// Steps over the comma or the closing bracket after an item; true when the list is closed. A missing or
    /// trailing comma is reported and stepped over.
    fn after_item(&mut self, close: u8) -> Step<bool> {
        let item_end = self.at;
        self.blank()?;
        if self.eat(close) {
            return Ok(true);
        }
        let comma = Span::new(self.at, self.at + 1);
        if self.eat(b',') {
            self.blank()?;
            let closed = self.eat(close);
            if closed {
                let message = format!("a comma before the closing `{}`", char::from(close));
                self.diagnostics
                    .push(Diagnostic::error("trailing-comma", comma, message).hinting("remove the comma"));
            }
            return Ok(closed);
        }
        let starts_item = match self.peek() {
            Some(b'"') => true,
            Some(b'{' | b'[' | b'-' | b'0'..=b'9') => close == b']',
            _ => false,
        };
        if starts_item && self.at > item_end {
            let span = Span::new(item_end, item_end);
            self.diagnostics.push(
                Diagnostic::error("missing-comma", span, "a comma is missing here").hinting("add a comma"),
            );
            return Ok(false);
        }
        Err(Box::new(self.unexpected(&format!("`,` or `{}`", char::from(close)))))
    }

    /// `true`, `false`, `null`, or an error that names what was written.
    fn word(&mut self) -> Step<Kind> {
        let rest = &self.text[self.at..];
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..len];
        let kind = match word {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "null" => Kind::Null,
            _ => {
                let span = Span::new(self.at, self.at + len);
                let lower = word.to_ascii_lowercase();
                let hint = match lower.as_str() {
                    "true" | "false" | "null" => format!("write `{lower}` in lower case"),
                    _ => "write strings in double quotes".to_owned(),
                };
                return Err(Box::new(
                    Diagnostic::error("syntax", span, format!("unexpected {}", quote(word)))
                        .expecting("a value")
                        .hinting(hint),
                ));
            }
        };
        self.at += len;
        Ok(kind)
    }

    fn digits(&mut self) -> Step<()> {
        let rest = &self.text[self.at..];
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        self.at += len;
        if len == 0 { Err(Box::new(self.unexpected("a digit"))) } else { Ok(()) }
    }

    fn number(&mut self) -> Step<Number> {
        let start = self.at;
        self.eat(b'-');
        if self.eat(b'0') {
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(Box::new(self.unexpected("a number without leading zeros")));
            }
        } else {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(Number(self.text[start..self.at].to_owned()))
    }

    fn string(&mut self) -> Step<String> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                // Templates may have strings of several lines.
                Some(byte @ (b'\n' | b'\r')) if self.lenient => {
                    out.push(char::from(byte));
                    self.at += 1;
                }
                Some(b'\n' | b'\r') | None => {
                    let span = Span::new(start, self.at);
                    return Err(Box::new(
                        Diagnostic::error("unexpected-end", span, "the string is not closed")
                            .expecting("`\"` on the same line"),
                    ));
                }
                Some(_) => {
                    let span = Span::new(self.at, self.at + 1);
                    return Err(Box::new(
                        Diagnostic::error("syntax", span, "a control character inside a string")
                            .hinting("write it as an escape, such as `\\t`"),
                    ));
                }
            }
        }
    }

    fn escape(&mut self) -> Step<char> {
        let start = self.at;
        self.at += 1;
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => {
                return Err(Box::new(
                    self.unexpected("one of `\"` `\\` `/` `b` `f` `n` `r` `t` `u` after a backslash")
                        .hinting("write a backslash as `\\\\`"),
                ));
            }
        };
        self.at += 1;
        Ok(escaped)
    }

    /// `\uXXXX`, or two of them for a character beyond the first 65536.
    fn unicode_escape(&mut self, start: usize) -> Step<char> {
        self.at += 1;
        let first = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            } else {
                first
            }
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| {
            let half = Diagnostic::error("syntax", Span::new(start, self.at), "half of a surrogate pair")
                .expecting("both halves, such as `\\ud83d\\ude00`");
            Box::new(half)
        })
    }

    fn hex4(&mut self) -> Step<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(Box::new(self.unexpected("four hexadecimal digits"))) };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
