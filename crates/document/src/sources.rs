//! Several texts that are read together.

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
}
