//! `customization.log` and `validation.log` in the line shapes that AIB's own logs have (generation B: dated
//! `ui:` lines, `(telemetry)` markers around every provisioner), so that whatever reads those reads these.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{BuildError, Result};
use crate::event::Stream;

/// A log file that is being written.
#[derive(Debug)]
pub struct PackerLog {
    path: PathBuf,
    file: BufWriter<File>,
    operation: String,
}

/// The longest line that is kept whole; the rest of a longer one is cut and counted.
const LINE_LIMIT: usize = 8192;

impl PackerLog {
    /// Starts the log of one run.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, operation: &str) -> Result<Self> {
        let file = File::create(path).map_err(BuildError::io("make", path))?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file), operation: operation.to_owned() })
    }

    /// A step of the tool itself: `==> azure-arm: text`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn say(&mut self, text: &str) -> Result<()> {
        text.lines().try_for_each(|line| self.line(&format!("ui: ==> azure-arm: {}", printable(line))))
    }

    /// An error of the tool itself.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn error(&mut self, text: &str) -> Result<()> {
        text.lines().try_for_each(|line| self.line(&format!("ui error: ==> azure-arm: {}", printable(line))))
    }

    /// Why a build ended, as Packer says it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn errored(&mut self, error: &BuildError) -> Result<()> {
        self.error(&format!("Build 'azure-arm' errored: {error}"))?;
        self.error("Some builds didn't complete successfully and had errors:")
    }

    /// A line that a script printed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn output(&mut self, stream: Stream, text: &str) -> Result<()> {
        let text = printable(text);
        match stream {
            Stream::Stdout => self.line(&format!("ui:     azure-arm: {text}")),
            Stream::Stderr => self.line(&format!("ui error: ==> azure-arm: {text}")),
        }
    }

    /// The marker around a provisioner; `what` is `Starting provisioner` or `ending`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn telemetry(&mut self, what: &str, provisioner: &str) -> Result<()> {
        self.line(&format!("[INFO] (telemetry) {what} {provisioner}"))
    }

    /// The last line, as AIB writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.line("[INFO] (telemetry) Finalizing.")?;
        let operation = self.operation.clone();
        writeln!(self.file, "[{operation}] PACKER Done exporting Packer logs to Azure Storage.")
            .and_then(|()| self.file.flush())
            .map_err(BuildError::io("write", &self.path))
    }

    fn line(&mut self, text: &str) -> Result<()> {
        let now = jiff::Timestamp::now().strftime("%Y/%m/%d %H:%M:%S");
        writeln!(self.file, "[{}] PACKER {now} {text}", self.operation)
            .and_then(|()| self.file.flush())
            .map_err(BuildError::io("write", &self.path))
    }
}

/// A line without what would steer a terminal, and of bounded length.
pub fn printable(line: &str) -> String {
    let mut text: String = line
        .chars()
        .take(LINE_LIMIT)
        .map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    let left = line.chars().count().saturating_sub(LINE_LIMIT);
    if left > 0 {
        use std::fmt::Write;
        let _ = write!(text, " [{left} characters cut]");
    }
    text
}

/// A text of several lines, each printable.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// Moves the cursor, starts a line or turns the reading direction, so that a line could pass for another.
pub fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_line_steers_a_terminal() {
        let line = "a\tb\u{1b}]0;title\u{7}\r\u{9b}2J\u{202e}gpj.exe\u{2028}z\u{e9}";
        assert_eq!(
            printable(line),
            "a\tb\u{fffd}]0;title\u{fffd}\u{fffd}\u{fffd}2J\u{fffd}gpj.exe\u{fffd}z\u{e9}"
        );
    }

    #[test]
    fn lines_have_the_shape_that_the_service_writes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("customization.log");
        let mut log = PackerLog::create(&path, "0a1b2c3d-0000-4000-8000-000000000000").expect("create");
        log.telemetry("Starting provisioner", "shell").expect("write");
        log.output(Stream::Stdout, "hello\u{1b}[31m").expect("write");
        log.output(Stream::Stderr, "oops").expect("write");
        log.error("no /a\nb\u{1b}[2J").expect("write");
        log.finish().expect("write");
        let text = std::fs::read_to_string(path).expect("read");
        let shapes: Vec<_> = text.lines().map(|line| line[39..].split_at(7).1).collect();
        assert!(shapes[0].ends_with("[INFO] (telemetry) Starting provisioner shell"), "{text}");
        assert!(shapes[1].ends_with("ui:     azure-arm: hello\u{fffd}[31m"), "{text}");
        assert!(shapes[2].ends_with("ui error: ==> azure-arm: oops"), "{text}");
        assert!(text.ends_with("PACKER Done exporting Packer logs to Azure Storage.\n"), "{text}");
        assert!(text.lines().all(|line| line.contains("PACKER")), "no line is without its begin: {text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert_eq!(&shapes[0][4..5], "/", "a date comes first: {}", shapes[0]);
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        assert!(printable(&"x".repeat(LINE_LIMIT + 5)).ends_with("x [5 characters cut]"));
    }
}
