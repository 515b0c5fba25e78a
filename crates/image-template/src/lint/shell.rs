//! A small reader of shell scripts: enough to tell which programs are called with which words.
//!
//! It knows quotes, backslashes, comments, here-documents, redirections, pipes and lists, and looks into
//! command substitutions. It does not expand anything and does not know functions or aliases, so what it
//! finds is a reason for a warning, never for an error.

/// How deeply command substitutions are followed.
const MAX_DEPTH: usize = 6;

/// A simple command.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Command {
    /// Its words without quotes; a substitution stays as it is written.
    pub words: Vec<String>,
    /// Where it starts in the script, in bytes.
    pub offset: usize,
    /// Whether its output is the next command's input.
    pub piped: bool,
    /// Files that its output is written to.
    pub outputs: Vec<String>,
    /// The text of its here-documents.
    pub here: String,
}

/// All simple commands of a script, those inside substitutions last.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut found = Vec::new();
    let mut pending = vec![(0, script, 0)];
    while let Some((base, text, depth)) = pending.pop() {
        let mut reader = Reader { text, ..Reader::default() };
        reader.run();
        found.extend(
            reader.commands.into_iter().map(|command| Command { offset: base + command.offset, ..command }),
        );
        if depth < MAX_DEPTH {
            pending.extend(reader.inner.into_iter().map(|(at, inner)| (base + at, inner, depth + 1)));
        }
    }
    found
}

struct HereDocument {
    command: usize,
    delimiter: String,
    strip_tabs: bool,
}

#[derive(Default)]
struct Reader<'a> {
    text: &'a str,
    at: usize,
    current: Command,
    commands: Vec<Command>,
    here: Vec<HereDocument>,
    /// Substitutions: where each starts, and its text.
    inner: Vec<(usize, &'a str)>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn run(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                '\n' => {
                    self.at += 1;
                    self.end(false);
                    self.here_documents();
                }
                c if c.is_whitespace() => self.at += c.len_utf8(),
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                '<' | '>' => self.redirection(),
                '&' if self.eat("&>>") || self.eat("&>") => self.output(),
                '|' if self.eat("||") => self.end(false),
                '|' => {
                    self.at += 1;
                    self.eat("&");
                    self.end(true);
                }
                ';' | '&' | '(' | ')' => {
                    self.at += 1;
                    self.end(false);
                }
                '\\' if self.eat("\\\n") => {}
                _ => self.ordinary_word(),
            }
        }
        self.end(false);
    }

    fn ordinary_word(&mut self) {
        let offset = self.at;
        let word = self.word();
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if digits && self.rest().starts_with(['<', '>']) {
            // The number of a file descriptor, such as in `2> file`.
            return;
        }
        if self.current.words.is_empty() {
            self.current.offset = offset;
        }
        self.current.words.push(word);
    }

    fn end(&mut self, piped: bool) {
        let command = std::mem::take(&mut self.current);
        if !command.words.is_empty() || !command.outputs.is_empty() {
            self.commands.push(Command { piped, ..command });
        }
    }

    fn blanks(&mut self) {
        while self.eat(" ") || self.eat("\t") || self.eat("\\\n") {}
    }

    fn redirection(&mut self) {
        if self.rest().starts_with("<(") || self.rest().starts_with(">(") {
            let word = self.word();
            self.current.words.push(word);
        } else if self.eat("<<<") {
            self.blanks();
            self.word();
        } else if self.eat("<<") {
            let strip_tabs = self.eat("-");
            self.blanks();
            let delimiter = self.word();
            self.here.push(HereDocument { command: self.commands.len(), delimiter, strip_tabs });
        } else if self.eat(">&") || self.eat("<&") || self.eat("<") {
            self.blanks();
            self.word();
        } else {
            self.at += 1;
            if !self.eat(">") {
                self.eat("|");
            }
            self.output();
        }
    }

    fn output(&mut self) {
        self.blanks();
        let file = self.word();
        self.current.outputs.push(file);
    }

    /// The bodies of the here-documents that the line just read has opened.
    fn here_documents(&mut self) {
        for document in std::mem::take(&mut self.here) {
            let mut body = String::new();
            while !self.rest().is_empty() {
                let line = self.rest().split_inclusive('\n').next().unwrap_or_default();
                self.at += line.len();
                let text = line.trim_end_matches(['\n', '\r']);
                let text = if document.strip_tabs { text.trim_start_matches('\t') } else { text };
                if text == document.delimiter {
                    break;
                }
                body.push_str(text);
                body.push('\n');
            }
            if let Some(command) = self.commands.get_mut(document.command) {
                command.here.push_str(&body);
            }
        }
    }

    /// One word, its quotes removed. Always moves on, unless at the end or at a blank or an operator.
    fn word(&mut self) -> String {
        let mut word = String::new();
        if (self.rest().starts_with("<(") || self.rest().starts_with(">(")) && word.is_empty() {
            self.substitution(&mut word, 2, ')');
        }
        while let Some(c) = self.peek() {
            match c {
                '\'' => {
                    let quoted = &self.rest()[1..];
                    let len = quoted.find('\'').unwrap_or(quoted.len());
                    word.push_str(&quoted[..len]);
                    self.at = (self.at + len + 2).min(self.text.len());
                }
                '"' => self.double_quoted(&mut word),
                '\\' => {
                    self.at += 1;
                    if let Some(c) = self.peek() {
                        self.at += c.len_utf8();
                        if c != '\n' {
                            word.push(c);
                        }
                    }
                }
                '$' if self.rest().starts_with("$(") => self.substitution(&mut word, 2, ')'),
                '`' => self.substitution(&mut word, 1, '`'),
                ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                c if c.is_whitespace() => break,
                c => {
                    word.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        word
    }

    fn double_quoted(&mut self, word: &mut String) {
        self.at += 1;
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    self.at += 1;
                    if let Some(c) = self.peek() {
                        self.at += c.len_utf8();
                        if !matches!(c, '"' | '\\' | '$' | '`' | '\n') {
                            word.push('\\');
                        }
                        if c != '\n' {
                            word.push(c);
                        }
                    }
                }
                '$' if self.rest().starts_with("$(") => self.substitution(word, 2, ')'),
                '`' => self.substitution(word, 1, '`'),
                c => {
                    word.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// A substitution that starts here with `opening` bytes; its text is kept in the word and read later.
    fn substitution(&mut self, word: &mut String, opening: usize, close: char) {
        let start = self.at + opening;
        let inner = &self.text[start..];
        let len =
            if close == ')' { closing_bracket(inner) } else { inner.find(close) }.unwrap_or(inner.len());
        self.inner.push((start, &inner[..len]));
        let end = (start + len + 1).min(self.text.len());
        word.push_str(&self.text[self.at..end]);
        self.at = end;
    }
}

/// Where the bracket that is open at the start is closed. Quoted text does not count.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut depth = 1;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if let Some(open) = quote {
            if c == open {
                quote = None;
            } else if c == '\\' && open == '"' {
                escaped = true;
            }
        } else {
            match c {
                '\\' => escaped = true,
                '\'' | '"' => quote = Some(c),
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands as `words > outputs`, `|` after those that are piped on.
    fn shown(script: &str) -> Vec<String> {
        commands(script)
            .iter()
            .map(|command| {
                let outputs: String = command.outputs.iter().flat_map(|file| [" > ", file]).collect();
                let piped = if command.piped { " |" } else { "" };
                format!("{}{outputs}{piped}", command.words.join("_"))
            })
            .collect()
    }

    #[test]
    fn words_commands_and_pipes() {
        assert_eq!(
            shown("a 'b c' \"d $x\" e\\ f; g&&h||i | j |& k &"),
            ["a_b c_d $x_e f", "g", "h", "i |", "j |", "k"]
        );
        assert_eq!(shown("a \\\n  b # c\n# d\ne#f"), ["a_b", "e#f"]);
        assert_eq!(shown("if x; then y; fi"), ["if_x", "then_y", "fi"]);
    }

    #[test]
    fn redirections_are_not_words() {
        assert_eq!(shown("a > f 2>&1 < g >> 'h i' &> j b"), ["a_b > f > h i > j"]);
        assert_eq!(shown("a <<< 'reboot'"), ["a"]);
    }

    #[test]
    fn here_documents_are_not_commands() {
        let found = commands("tee x <<'END' | y\nreboot\nEND\ncat <<-E\n\tz\n\tE\nw");
        assert_eq!(
            found.iter().map(|command| command.words.join(" ")).collect::<Vec<_>>(),
            ["tee x", "y", "cat", "w"]
        );
        assert_eq!(found[0].here, "reboot\n");
        assert_eq!(found[2].here, "z\n");
    }

    #[test]
    fn substitutions_are_words_and_commands() {
        assert_eq!(shown("a \"$(b ')' | c)\" `d` <(e)"), ["a_$(b ')' | c)_`d`_<(e)", "e", "d", "b_) |", "c"]);
        assert_eq!(commands("x $(y)")[1].offset, 4);
    }

    #[test]
    fn broken_scripts_end() {
        for script in ["'", "\"", "\\", "$(", "`", "a <<", "a <<E\nb", ">", "<(", "a | ", "((((", "\"$(\"$("]
        {
            commands(script);
        }
        commands(&"$(".repeat(10_000));
        commands(&"<<a ".repeat(10_000));
    }
}
