//! Several texts that are read together.

use std::ops::Range;

use crate::{Diagnostic, Document, SourceText, Span, parse_json, parse_toml};

/// Texts laid end to end, so that one span tells both the text and the place in it.
///
/// A span of 0 to 0, which values made by a program have, is in none of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// Each text and the offset of its first byte.
    texts: Vec<(usize, SourceText)>,
}

impl Sources {
    /// Adds a JSON text and reads it; every place in what is returned is a place in these sources.
    pub fn add_json(&mut self, text: SourceText) -> Document {
        self.add(text, parse_json)
    }

    /// Adds a TOML text and reads it, as [`Self::add_json`] does.
    pub fn add_toml(&mut self, text: SourceText) -> Document {
        self.add(text, parse_toml)
    }

    fn add(&mut self, text: SourceText, parse: fn(&SourceText) -> Document) -> Document {
        // One byte between two texts keeps the end of one from being the start of the next.
        let offset = self.texts.last().map_or(1, |(start, text)| start + text.text().len() + 1);
        let mut document = parse(&text);
        self.texts.push((offset, text));
        for diagnostic in &mut document.diagnostics {
            diagnostic.span = diagnostic.span.moved(offset);
        }
        if let Some(value) = &mut document.value {
            value.shift(offset);
        }
        document
    }

    /// The texts, in the order they were added.
    pub fn texts(&self) -> impl Iterator<Item = &SourceText> {
        self.texts.iter().map(|(_, text)| text)
    }

    /// The whole of the text that was added last.
    pub fn last(&self) -> Span {
        self.texts.last().map_or(Span::default(), |(start, _)| Span::new(*start, *start))
    }

    /// The text that a span is in, and the span within it.
    pub fn find(&self, span: Span) -> Option<(&SourceText, Span)> {
        let index = self.texts.partition_point(|(start, _)| *start <= span.start).checked_sub(1)?;
        let (start, text) = &self.texts[index];
        Some((text, Span::new(span.start - start, span.end.saturating_sub(*start))))
    }

    /// The place of some bytes of a JSON string whose span, quotes included, is `string`: escapes are longer in
    /// the text than what they stand for. The whole string, where that is not one of JSON.
    pub fn inside(&self, string: Span, bytes: Range<usize>) -> Span {
        let Some((text, local)) = self.find(string) else { return string };
        let Some(inner) = text.text().get(local.start + 1..local.end.saturating_sub(1)) else {
            return string;
        };
        if !text.text()[local.start..].starts_with('"') {
            return string;
        }
        let place = |wanted: usize| {
            let (mut at, mut decoded) = (0, 0);
            while decoded < wanted && at < inner.len() {
                let (raw, meant) = character(&inner[at..]);
                at += raw;
                decoded += meant;
            }
            string.start + 1 + at
        };
        Span::new(place(bytes.start), place(bytes.end))
    }

    /// Where a span is, as `file:line:column`; `nowhere` for what no text holds.
    pub fn place(&self, span: Span) -> String {
        self.find(span).map_or_else(
            || "nowhere".to_owned(),
            |(text, span)| {
                let at = text.position(span.start);
                format!("{}:{}:{}", text.name(), at.line, at.column)
            },
        )
    }

    /// A complaint about these sources as one about a single text; a complaint about none of them is about the
    /// first. `None` when there is no text at all.
    pub fn localize(&self, diagnostic: &Diagnostic) -> Option<(&SourceText, Diagnostic)> {
        let found = self.find(diagnostic.span);
        let (text, span) = found.or_else(|| Some((&self.texts.first()?.1, Span::default())))?;
        Some((text, Diagnostic { span, ..diagnostic.clone() }))
    }
}

/// How many bytes the first character of the inside of a JSON string takes, and how many it stands for.
fn character(inner: &str) -> (usize, usize) {
    let plain = inner.chars().next().map_or((1, 1), |c| (c.len_utf8(), c.len_utf8()));
    let Some(escape) = inner.strip_prefix('\\') else { return plain };
    let code = |at: usize| escape.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match (escape.starts_with('u'), code(1)) {
        // Two escapes stand for one character of four bytes.
        (true, Some(0xd800..=0xdfff)) => (12.min(inner.len()), 4),
        (true, Some(code)) => (6, char::from_u32(code).map_or(1, char::len_utf8)),
        _ => (2.min(inner.len()), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_tells_the_text_and_the_place() {
        let mut sources = Sources::default();
        let first = sources.add_json(SourceText::new("a.json", "[1,\n 2]"));
        let second = sources.add_toml(SourceText::new("b.toml", "x = 3\ny = nonsense\n"));
        let third = sources.add_json(SourceText::new("c.json", ""));
        let two = &first.value.as_ref().and_then(|value| value.as_array()).expect("an array")[1];
        assert_eq!(sources.place(two.span), "a.json:2:2");
        assert_eq!(sources.place(second.diagnostics[0].span), "b.toml:2:5");
        assert_eq!(sources.place(third.diagnostics[0].span), "c.json:1:1");
        assert_eq!(sources.place(Span::default()), "nowhere");
        let (text, local) = sources.localize(&second.diagnostics[0]).expect("a text");
        assert!(local.render(text).starts_with("b.toml:2:5: error"), "{}", local.render(text));
        assert_eq!(sources.texts().count(), 3);
    }

    #[test]
    fn a_place_inside_a_string_counts_its_escapes() {
        let mut sources = Sources::default();
        let document = sources.add_json(SourceText::new("a.json", r#"["x", "a\n\"é\u00e9\ud83d\ude00z"]"#));
        let value = document.value.expect("a value");
        let string = &value.as_array().expect("an array")[1];
        let text = string.as_str().expect("a string");
        let shown = |wanted: &str| {
            let at = text.find(wanted).expect(wanted);
            let span = sources.inside(string.span, at..at + wanted.len());
            let (text, span) = sources.find(span).expect("a text");
            text.text()[span.start..span.end].to_owned()
        };
        assert_eq!(shown("a"), "a");
        assert_eq!(shown("\""), "\\\"");
        assert_eq!(shown("éé"), "é\\u00e9");
        assert_eq!(shown("😀"), "\\ud83d\\ude00");
        assert_eq!(shown("z"), "z");
    }
}
