//! Expressions of the template language as trees: `[concat(parameters('name'), '-', copyIndex())]`.
//!
//! Places are byte offsets into the text between the brackets' string, brackets included.

use std::ops::Range;
use std::rc::Rc;

use document::quote;

use super::fault::Fault;
use super::functions::Function;

/// The longest expression that Azure takes, in characters ("ARM template limits").
pub const MAX_CHARACTERS: usize = 24_576;

/// The deepest nesting of calls, indexes and properties in one expression.
const MAX_DEPTH: usize = 64;

/// An expression and its place.
#[derive(Debug, PartialEq)]
pub struct Expression {
    /// Where it stands in the text.
    pub at: Range<usize>,
    /// What it is.
    pub node: Node,
}

/// What an expression is.
#[derive(Debug, PartialEq)]
pub enum Node {
    Text(Rc<str>),
    Integer(i64),
    Call {
        /// The function's name, with its namespace where it has one: `contoso.name`.
        name: String,
        /// The function of the language that it is; none of a template's own.
        function: Option<&'static Function>,
        arguments: Vec<Expression>,
    },
    Property {
        of: Box<Expression>,
        name: String,
    },
    Index {
        of: Box<Expression>,
        index: Box<Expression>,
    },
}

/// Reads a text that starts with `[` and ends with `]`.
pub fn parse(text: &str) -> Result<Expression, Fault> {
    if text.len() > MAX_CHARACTERS && text.chars().count() > MAX_CHARACTERS {
        let fault = Fault::new("too-long", "the expression is too long");
        return Err(fault.expecting(format!("at most {MAX_CHARACTERS} characters")).at(0..1));
    }
    let end = text.len().saturating_sub(1);
    let mut parser = Parser { text: text.get(..end).unwrap_or_default(), at: 1 };
    let expression = parser.operand(0)?;
    parser.blank();
    if parser.at < end {
        return Err(parser.unexpected("the end of the expression"));
    }
    Ok(expression)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Steps over a mark, with the blanks before it.
    fn eat(&mut self, mark: char) -> bool {
        self.blank();
        let found = self.rest().starts_with(mark);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self, expected: &str) -> Fault {
        let (message, length) = match self.rest().chars().next() {
            Some(c) => (format!("unexpected {} in an expression", quote(&c.to_string())), c.len_utf8()),
            None => ("the expression ends too soon".to_owned(), 1),
        };
        Fault::new("expression-syntax", message).expecting(expected).at(self.at..self.at + length)
    }

    /// A word of letters, digits and `_`; empty where none stands.
    fn word(&mut self) -> String {
        let length = self
            .rest()
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$'))
            .unwrap_or(self.rest().len());
        let word = self.rest()[..length].to_owned();
        self.at += length;
        word
    }

    /// A literal or a call, with the properties and items taken of its value.
    fn operand(&mut self, depth: usize) -> Result<Expression, Fault> {
        self.blank();
        if depth == MAX_DEPTH {
            let fault = Fault::new("too-deep", "the expression is nested too deeply");
            return Err(fault.expecting(format!("at most {MAX_DEPTH} levels")).at(self.at..self.at + 1));
        }
        let mut value = self.primary(depth)?;
        let mut links = depth;
        loop {
            let start = value.at.start;
            let node = if self.eat('.') {
                self.blank();
                let name = self.word();
                if name.is_empty() {
                    return Err(self.unexpected("the name of a property"));
                }
                Node::Property { of: Box::new(value), name }
            } else if self.eat('[') {
                let index = Box::new(self.operand(depth + 1)?);
                if !self.eat(']') {
                    return Err(self.unexpected("`]`"));
                }
                Node::Index { of: Box::new(value), index }
            } else {
                return Ok(value);
            };
            links += 1;
            value = Expression { at: start..self.at, node };
            if links > MAX_DEPTH {
                let fault = Fault::new("too-deep", "the expression is nested too deeply");
                return Err(fault.expecting(format!("at most {MAX_DEPTH} levels")).at(value.at));
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Expression, Fault> {
        let start = self.at;
        if self.eat('\'') {
            let text = self.literal(start)?;
            return Ok(Expression { at: start..self.at, node: Node::Text(text.into()) });
        }
        let sign = usize::from(self.rest().starts_with(['-', '+']));
        if self.rest()[sign..].starts_with(|c: char| c.is_ascii_digit()) {
            return self.integer(sign);
        }
        let mut name = self.word();
        if name.is_empty() {
            return Err(self.unexpected("a function, a number or a text in single quotes"));
        }
        // A namespace and a function of it.
        if self.rest().starts_with('.') {
            self.at += 1;
            name = format!("{name}.{}", self.word());
        }
        if !self.eat('(') {
            return Err(bare_word(&name, start..start + name.len()));
        }
        let mut arguments = Vec::new();
        if !self.eat(')') {
            loop {
                arguments.push(self.operand(depth + 1)?);
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.unexpected("`,` or `)`"));
                }
            }
        }
        Ok(Expression { at: start..self.at, node: Node::Call { name, function: None, arguments } })
    }

    fn integer(&mut self, sign: usize) -> Result<Expression, Fault> {
        let start = self.at;
        self.at += sign;
        let digits = self.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest().len());
        self.at += digits;
        let at = start..self.at;
        if self.rest().starts_with('.') {
            let fault = Fault::new("expression-syntax", "an expression holds no number with a fraction");
            return Err(fault.hinting("write it as `float('1.5')`").at(at));
        }
        let number = self.text[at.clone()].trim_start_matches('+').parse().map_err(|_| {
            Fault::new("number-range", "this number is too large").expecting("64 bits").at(at.clone())
        })?;
        Ok(Expression { at, node: Node::Integer(number) })
    }

    /// The rest of a literal in single quotes; two of them stand for one.
    fn literal(&mut self, start: usize) -> Result<String, Fault> {
        let mut out = String::new();
        loop {
            let Some(end) = self.rest().find('\'') else {
                let fault = Fault::new("expression-syntax", "the text is not closed");
                return Err(fault.expecting("`'`; two of them stand for one").at(start..start + 1));
            };
            out.push_str(&self.rest()[..end]);
            self.at += end + 1;
            if !self.rest().starts_with('\'') {
                return Ok(out);
            }
            out.push('\'');
            self.at += 1;
        }
    }
}

fn bare_word(word: &str, at: Range<usize>) -> Fault {
    let hint = match word.to_ascii_lowercase().as_str() {
        constant @ ("true" | "false" | "null") => format!("write `{constant}()`"),
        _ => format!("write `'{word}'` for a text, `parameters('{word}')` or `variables('{word}')`"),
    };
    Fault::new("expression-syntax", format!("{} is not called", quote(word)))
        .expecting("`(` after the name of a function")
        .hinting(hint)
        .at(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (Range<usize>, String) {
        let fault = parse(text).expect_err(text);
        (fault.place().expect("a place"), fault.message().to_owned())
    }

    #[test]
    fn calls_properties_and_items_nest() {
        let tree = parse("[ contoso.f('it''s', -3).a [ g() ] ]").expect("an expression");
        let Node::Index { of, index } = tree.node else { panic!("{tree:?}") };
        assert_eq!(index.node, Node::Call { name: "g".into(), function: None, arguments: Vec::new() });
        let Node::Property { of, name } = of.node else { panic!("{of:?}") };
        assert_eq!(name, "a");
        let Node::Call { name, arguments, .. } = of.node else { panic!("{of:?}") };
        assert_eq!((name.as_str(), of.at), ("contoso.f", 2..24));
        assert_eq!(arguments[0].node, Node::Text("it's".into()));
        assert_eq!((&arguments[1].node, &arguments[1].at), (&Node::Integer(-3), &(21..23)));
    }

    #[test]
    fn what_is_no_expression_is_told_with_its_place() {
        assert_eq!(fault("[]"), (1..2, "the expression ends too soon".into()));
        assert_eq!(fault("['a' 'b']"), (5..6, "unexpected `'` in an expression".into()));
        assert_eq!(fault("[f(1,)]"), (5..6, "unexpected `)` in an expression".into()));
        assert_eq!(fault("[f('é]"), (3..4, "the text is not closed".into()));
        assert_eq!(fault("[résumé()]"), (1..2, "`r` is not called".into()));
        assert_eq!(fault("[true]"), (1..5, "`true` is not called".into()));
        assert_eq!(fault("[1.5]"), (1..2, "an expression holds no number with a fraction".into()));
        assert_eq!(fault("[99999999999999999999]"), (1..21, "this number is too large".into()));
        assert_eq!(fault("[f()]]"), (4..5, "unexpected `]` in an expression".into()));
        let deep = format!("[{}1{}]", "f(".repeat(5_000), ")".repeat(5_000));
        assert!(fault(&deep).1.contains("too deeply"));
        let deep = format!("[f(){}]", ".a".repeat(5_000));
        assert!(fault(&deep).1.contains("too deeply"));
        let long = format!("['{}']", "x".repeat(MAX_CHARACTERS));
        assert!(fault(&long).1.contains("too long"));
    }
}
