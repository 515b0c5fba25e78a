//! Where a command prints: one document on standard output, everything else on standard error.
//!
//! Texts hold names that others chose. What is printed for people goes through [`shown`], which leaves nothing in it that
//! steers a terminal but the styles of [`paint`]; what is printed for programs keeps its data.

use std::fs::{self, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anstyle::{AnsiColor, Style};
use build_engine::log::steers;
use clap::ColorChoice;
use serde::Serialize;

use crate::errors::{Category, Failure, Problem};

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: exactly one JSON document, or JSON lines where a command streams.
    Json,
}

/// How much is told beside the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only the answer, warnings and errors.
    Quiet,
    /// Progress, too.
    Normal,
    /// Every line that the programs we run print.
    Verbose,
}

/// Settings of everything that is printed.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// How answers are written.
    pub format: Format,
    /// Whether answers on standard output are coloured.
    pub colour: bool,
    /// Whether messages on standard error are coloured.
    pub error_colour: bool,
    /// Whether a person watches standard error, so that it may be redrawn.
    pub interactive: bool,
    /// How much is told.
    pub verbosity: Verbosity,
}

impl Output {
    /// Resolves the flags against the terminal and `NO_COLOR` (no-color.org: set and not empty).
    pub fn resolve(format: Format, color: ColorChoice, verbosity: Verbosity) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wanted = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color,
        };
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = io::stderr().is_terminal();
        Self {
            format,
            colour: format == Format::Text && wanted(io::stdout().is_terminal()),
            error_colour: wanted(terminal),
            interactive: terminal && !dumb,
            verbosity,
        }
    }

    /// Tells something beside the answer, unless the user asked for quiet.
    pub fn note(self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            tell(&format!("{text}\n"));
        }
    }

    /// Tells something that a careful user would act on.
    pub fn warn(self, text: &str) {
        tell(&format!("{} {text}\n", paint(self.error_colour, YELLOW, "warning:")));
    }

    /// `text` in a style, where standard output is coloured.
    pub fn paint(self, style: Style, text: &str) -> String {
        paint(self.colour, style, text)
    }
}

/// Writes a text for people to standard error.
pub fn tell(text: &str) {
    eprint!("{}", shown(text));
}

/// Writes a text for people to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    print_as_it_is(&shown(text))
}

/// Writes a document to standard output. A reader that went away (`| head`) is no error.
pub fn print_as_it_is(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::io("write to", Path::new("standard output"), &error))
        }
        _ => Ok(()),
    }
}

/// Writes one JSON document to standard output.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Problem::new(Category::Internal, "could not write JSON").caused_by(&error))?;
    print_as_it_is(&(escaped(&text) + "\n"))
}

/// Writes one JSON document on a line of its own, for programs that read a stream.
pub fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Problem::new(Category::Internal, "could not write JSON").caused_by(&error))?;
    print_as_it_is(&(escaped(&text) + "\n"))
}

/// The same JSON, in which what steers a terminal is written as an escape. It stands in strings alone; `serde_json`
/// escapes nothing above U+001F.
fn escaped(json: &str) -> String {
    // All of these are below U+10000, so that one escape is enough.
    let escape = |c: char| format!("\\u{:04x}", u32::from(c));
    json.chars().map(|c| if c != '\n' && steers(c) { escape(c) } else { c.to_string() }).collect()
}

/// Writes a file that readers see as it was or as a whole: into a temporary file beside it, which is then renamed. What
/// is no regular file, such as `/dev/stdout`, is written to as it stands.
///
/// # Errors
/// When the folder is not there, or cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = match fs::metadata(path) {
        Ok(there) if !there.is_file() => fs::write(path, bytes),
        // A link stays one, and who may read the file does not change.
        Ok(there) => path.canonicalize().and_then(|file| replace(&file, bytes, Some(there.permissions()))),
        Err(_) => replace(path, bytes, None),
    };
    written.map_err(|error| Failure::io("write", path, &error))
}

fn replace(file: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    // A new file is readable by whom the user's mask says; temporary files are secret else.
    let mut temporary =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
    if let Some(permissions) = permissions {
        temporary.as_file().set_permissions(permissions)?;
    }
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file)?;
    Ok(())
}

/// Success.
pub const GREEN: Style = AnsiColor::Green.on_default();
/// Failure.
pub const RED: Style = AnsiColor::Red.on_default();
/// Warning.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
/// What matters most.
pub const BOLD: Style = Style::new().bold();
/// What matters least.
pub const DIM: Style = Style::new().dimmed();

const ESCAPE: &str = "\u{1b}";

/// Stands for the escape character of our own styles until they are printed. No document can hold it: it is another one
/// each time the program runs.
static OWN_ESCAPE: LazyLock<String> =
    LazyLock::new(|| format!("<style {:016x}>", RandomState::new().hash_one(std::process::id())));

/// `text` in a style when `colour` is wanted; to be printed by way of [`shown`].
pub fn paint(colour: bool, style: Style, text: &str) -> String {
    let code = |code: String| code.replace(ESCAPE, &OWN_ESCAPE);
    if colour {
        code(style.render().to_string()) + text + &code(style.render_reset().to_string())
    } else {
        text.to_owned()
    }
}

/// What a terminal gets to see: each character that would steer it is replaced, and our own styles become escape
/// sequences.
pub fn shown(text: &str) -> String {
    plain(text, |c| c != '\n' && steers(c)).replace(OWN_ESCAPE.as_str(), ESCAPE)
}

/// What others named, on one line, so that no part of it passes for a line of ours.
pub fn line(text: &str) -> String {
    plain(text, steers)
}

fn plain(text: &str, replaced: impl Fn(char) -> bool) -> String {
    text.chars().map(|c| if replaced(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A length of time for people: `0.4 s`, `12 s`, `3 min 5 s`, `2 h`, `5 days`.
pub fn duration(seconds: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, which is fine here"
    )]
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 10.0 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h", whole / 3600),
        _ => format!("{} days", whole / 86_400),
    }
}

/// A size for people, in binary units as disks of virtual machines are counted.
pub fn bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let value = |unit: u64| count as f64 / unit as f64;
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", value(1024)),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", value(1_048_576)),
        _ => format!("{:.1} GiB", value(1_073_741_824)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitStatus;

    #[test]
    fn durations_and_sizes_read_as_people_say_them() {
        let said = [0.04, 9.96, 12.4, 185.0, 7200.0, 500_000.0].map(duration);
        assert_eq!(said, ["0.0 s", "10.0 s", "12 s", "3 min 5 s", "2 h", "5 days"]);
        assert_eq!([12, 2048, 3 << 20, 2 << 30].map(bytes), ["12 B", "2.0 KiB", "3.0 MiB", "2.0 GiB"]);
    }

    #[test]
    fn only_our_own_styles_steer_a_terminal() {
        let painted = paint(true, RED, "a\u{1b}[31mb\u{202e}") + "\u{1b}[2J\u{9b}2J\r\n\tc";
        let expected = "\u{1b}[31ma\u{fffd}[31mb\u{fffd}\u{1b}[0m\u{fffd}[2J\u{fffd}2J\u{fffd}\n\tc";
        assert_eq!(shown(&painted), expected);
        assert_eq!(line("a\n✓ pass"), "a\u{fffd}✓ pass");
    }

    #[test]
    fn json_keeps_what_it_escapes() {
        let value = serde_json::json!({"name": "a\u{1b}[31m\u{9b}2J\u{202e}\u{7f}\n"});
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.chars().any(|c| c != '\n' && steers(c)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_behind_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("page.html"), folder.path().join("link.html"));
        write_whole(&file, b"a longer text").unwrap();
        assert_ne!(fs::metadata(&file).unwrap().permissions().mode() & 0o400, 0);
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        write_whole(&link, b"short").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"short");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o664);
        assert!(link.is_symlink(), "the link is still one");
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 2, "nothing temporary is left");

        let nowhere = folder.path().join("nowhere/page.html");
        assert_eq!(write_whole(&nowhere, b"").unwrap_err().status(), ExitStatus::WrongQuestion);
        assert_eq!(write_whole(folder.path(), b"").unwrap_err().status(), ExitStatus::WrongQuestion);
        write_whole(Path::new("/dev/null"), b"text").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file(), "a device stays one");
    }
}
