//! Errors as users meet them: one shape for every crate's errors, printed as text or as the contract's JSON.
//!
//! Crates below the command line keep their own precise errors. Here they become [`Problem`]s: a category, what
//! failed, where it stands in a file, what mends it, and the chain of causes.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use build_engine::boot::BootError;
use build_engine::egress::sentence;
use build_engine::error::BuildError;
use build_engine::event::{Connection, Event, Phase, RunState};
use document::{Diagnostic, Position, SourceText};
use sandbox::SandboxError;
use serde::Serialize;
use serde_json::json;

use crate::exit::ExitStatus;
use crate::output::{DIM, RED, YELLOW, paint};

/// Whose fault it is, in the words of the JSON contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Arguments or a file of the user.
    Input,
    /// A network that cannot be reached or that refused.
    Network,
    /// An image template.
    Template,
    /// A build that ran and failed.
    Build,
    /// A role that is missing in Azure.
    Access,
    /// This machine.
    Host,
    /// Azure itself, or the way to it.
    Azure,
    /// This program.
    Internal,
}

impl Category {
    const fn exit_status(self) -> ExitStatus {
        match self {
            Self::Input | Self::Template => ExitStatus::WrongQuestion,
            Self::Build | Self::Access => ExitStatus::No,
            Self::Network | Self::Host | Self::Azure | Self::Internal => ExitStatus::NotAble,
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    category: Category,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    /// The value that is wrong, such as `properties.customize[2].inline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// What is allowed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    /// Whether the step that failed is a customizer or a validator.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    /// The step that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    /// The end of what it printed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    last_lines: Vec<String>,
    /// What it was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Connection>,
    #[serde(skip)]
    rendered: Option<String>,
}

impl Problem {
    /// A problem with nothing known but what failed.
    pub fn new(category: Category, message: impl Into<String>) -> Self {
        Self {
            category,
            message: message.into(),
            file: None,
            line: None,
            column: None,
            hint: None,
            causes: Vec::new(),
            path: None,
            expected: None,
            phase: None,
            step: None,
            last_lines: Vec::new(),
            refused: Vec::new(),
            rendered: None,
        }
    }

    /// A complaint about a place in a document.
    pub fn in_document(category: Category, found: &Diagnostic, source: &SourceText) -> Self {
        let at = source.position(found.span.start);
        Self {
            line: u32::try_from(at.line).ok(),
            column: u32::try_from(at.column).ok(),
            hint: found.hint.clone(),
            path: Some(found.path.clone()).filter(|path| !path.is_empty()),
            expected: found.expected.clone(),
            rendered: Some(found.render(source)),
            ..Self::new(category, &found.message).in_file(source.name())
        }
    }

    /// Adds the file that it is about.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Adds the place that it is about, in a file that is not held as a whole.
    #[must_use]
    pub fn at(self, file: &Path, at: Position) -> Self {
        Self {
            line: u32::try_from(at.line).ok(),
            column: u32::try_from(at.column).ok(),
            ..self.in_file(file)
        }
    }

    /// Adds what is allowed there.
    #[must_use]
    pub fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds what mends it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what a program printed.
    #[must_use]
    pub fn printed(mut self, lines: Vec<String>) -> Self {
        self.last_lines = lines;
        self
    }

    /// Adds the chain of causes, outermost first.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }
}

impl From<BuildError> for Problem {
    fn from(error: BuildError) -> Self {
        let category = match &error {
            BuildError::Input { .. } => Category::Input,
            BuildError::Step(_) | BuildError::Interrupted | BuildError::Sandbox(SandboxError::Image(_)) => {
                Category::Build
            }
            BuildError::Host { .. }
            | BuildError::Io { .. }
            | BuildError::Tool(_)
            | BuildError::Sandbox(_) => Category::Host,
            BuildError::Network { .. } => Category::Network,
        };
        let mut problem = Self::new(category, error.to_string());
        problem.hint = error.hint();
        if let BuildError::Step(failure) = &error {
            problem.step = Some(failure.index);
            problem.phase = Some(failure.phase);
            problem.last_lines.clone_from(&failure.last_lines);
            problem.refused.clone_from(&failure.refused);
        }
        match error.source() {
            Some(cause) => problem.caused_by(cause),
            None => problem,
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        if matches!(error, BuildError::Interrupted) {
            Self::interrupted()
        } else {
            Problem::from(error).into()
        }
    }
}

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        let category = match &error {
            BootError::Cancelled => return Self::interrupted(),
            BootError::Image(_) => Category::Input,
            // The image was started and did not do what an image must.
            BootError::Guest { .. }
            | BootError::Silent { .. }
            | BootError::Unfinished { .. }
            | BootError::OutOfTime
            | BootError::Unanswered { .. } => Category::Build,
            BootError::Tool(_)
            | BootError::Io { .. }
            | BootError::NoFirmware(_)
            | BootError::QemuEnded { .. } => Category::Host,
        };
        let mut problem = Problem::new(category, error.to_string());
        problem.hint = error.hint();
        match error.source() {
            Some(cause) => problem.caused_by(cause).into(),
            None => problem.into(),
        }
    }
}

/// Why a command ended without its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    status: ExitStatus,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::several(vec![problem])
    }
}

impl Failure {
    /// Several problems of one kind.
    pub fn several(problems: Vec<Problem>) -> Self {
        let status = problems.first().map_or(ExitStatus::NotAble, |problem| problem.category.exit_status());
        Self { status, problems, warnings: Vec::new() }
    }

    /// The same failure, with what else its author would want to know.
    #[must_use]
    pub fn beside(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    /// What else was found beside the errors, for people.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The user, or a termination signal, stopped the work.
    pub fn interrupted() -> Self {
        let problem = Problem::new(Category::Build, ExitStatus::Interrupted.meaning());
        Self { status: ExitStatus::Interrupted, problems: vec![problem], warnings: Vec::new() }
    }

    /// Reading or writing `path` failed.
    pub fn io(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound};
        let category = match error.kind() {
            NotFound | IsADirectory | NotADirectory | InvalidData => Category::Input,
            _ => Category::Host,
        };
        Problem::new(category, format!("could not {doing} {}", path.display()))
            .in_file(path)
            .caused_by(error)
            .into()
    }

    /// The exit code that follows.
    pub const fn status(&self) -> ExitStatus {
        self.status
    }

    /// What is wrong, at least one thing.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The contract's JSON: `{"error":...}`, or `{"errors":[...]}` for several.
    pub fn to_json(&self) -> serde_json::Value {
        match self.problems.as_slice() {
            [one] => json!({"error": one}),
            several => json!({"errors": several}),
        }
    }

    /// The last event of a stream that this failure ends.
    pub fn to_event(&self) -> Event {
        let first = self.problems.first();
        let messages: Vec<_> = self.problems.iter().map(Problem::with_causes).collect();
        let interrupted = self.status == ExitStatus::Interrupted;
        Event::Failed {
            run_state: if interrupted { RunState::Canceled } else { RunState::Failed },
            phase: first.and_then(|problem| problem.phase),
            step: first.and_then(|problem| problem.step),
            message: messages.join("; "),
            hint: first.and_then(|problem| problem.hint.clone()),
            last_lines: first.map(|problem| problem.last_lines.clone()).unwrap_or_default(),
            refused: first.map(|problem| problem.refused.clone()).unwrap_or_default(),
        }
    }

    /// The text for people, with the lines of the file that are meant.
    pub fn to_text(&self, colour: bool) -> String {
        let mut text: String = self.problems.iter().map(|problem| problem.to_text(colour)).collect();
        if self.problems.len() > 1 {
            let _ = writeln!(text, "{} problems", self.problems.len());
        }
        text
    }
}

impl Problem {
    fn with_causes(&self) -> String {
        self.causes.iter().fold(self.message.clone(), |text, cause| text + ": " + cause)
    }

    /// The text for people.
    pub fn to_text(&self, colour: bool) -> String {
        if let Some(rendered) = &self.rendered {
            return match rendered.split_once(": error: ") {
                Some((place, rest)) => format!("{place}: {} {rest}", paint(colour, RED, "error:")),
                None => rendered.clone(),
            };
        }
        let place = match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => format!("{}:{line}:{column}: ", file.display()),
            _ => String::new(),
        };
        let mut text = format!("{place}{} {}\n", paint(colour, RED, "error:"), self.message);
        if let Some(expected) = &self.expected {
            let _ = writeln!(text, "  expected: {expected}");
        }
        for cause in &self.causes {
            let _ = writeln!(text, "  caused by: {cause}");
        }
        for line in &self.last_lines {
            let _ = writeln!(text, "  {} {line}", paint(colour, DIM, "|"));
        }
        for connection in &self.refused {
            let _ = writeln!(text, "  {} {}", paint(colour, YELLOW, "!"), sentence(connection));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{} {hint}", paint(colour, YELLOW, "hint:"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_is_an_object_and_several_are_a_list() {
        let one = Problem::new(Category::Host, "qemu is missing").hint("install it");
        let json = Failure::from(one.clone()).to_json();
        assert_eq!(json["error"]["category"], "host");
        assert_eq!(json["error"]["hint"], "install it");
        let json = Failure::several(vec![one.clone(), one.in_file("a.json")]).to_json();
        assert_eq!(json["errors"][1]["file"], "a.json");
    }

    #[test]
    fn the_chain_of_causes_is_kept_and_shown() {
        let io = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "permission denied");
        let failure = Failure::io("write", Path::new("/x"), &io);
        assert_eq!(failure.status(), ExitStatus::NotAble);
        assert_eq!(failure.to_json()["error"]["causes"][0], "permission denied");
        assert_eq!(failure.to_text(false), "error: could not write /x\n  caused by: permission denied\n");
    }
}
