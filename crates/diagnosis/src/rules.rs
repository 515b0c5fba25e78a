//! The rules: `rules.toml`, compiled once.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};
use serde::Deserialize;

/// A known failure: how it shows, why it happens, what mends it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which stays the same.
    pub id: String,
    /// Where in a build's life it happens.
    pub phase: Phase,
    /// Where it is told.
    pub input: Input,
    /// Whether it can be why a build failed.
    pub severity: Severity,
    /// How well it is known.
    pub evidence: Evidence,
    /// The signature, a regular expression.
    pub pattern: String,
    /// What makes a line with the signature harmless, a regular expression.
    pub unless: Option<String>,
    /// How often the signature must be there to mean anything.
    #[serde(default = "once")]
    pub min_count: usize,
    /// Whether it only says that something else failed.
    #[serde(default)]
    pub wrapper: bool,
    /// Rules that explain more where they are found, too.
    #[serde(default)]
    pub below: Vec<String>,
    /// Requirements of `check` that would explain it when they are not met.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// Why it happens, in sentences.
    pub cause: String,
    /// What mends it, in sentences.
    pub fix: String,
}

fn once() -> usize {
    1
}

/// Gives an enumeration its words in `rules.toml` and in answers.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
        pub enum $name {
            $($(#[$what])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// A part of a build's life.
    Phase {
        /// The template is submitted.
        Submit = "submit",
        /// A run waits to begin.
        Queue = "queue",
        /// The service makes what the build runs on.
        Infra = "infra",
        /// The build VM is reached.
        Connect = "connect",
        /// Customizers run.
        Customize = "customize",
        /// The image is generalized.
        Deprovision = "deprovision",
        /// The disk is captured.
        Capture = "capture",
        /// Validators run.
        Validate = "validate",
        /// The image goes where it is wanted.
        Distribute = "distribute",
        /// What the build used is deleted.
        Cleanup = "cleanup",
        /// A template is run, cancelled or deleted.
        Lifecycle = "lifecycle",
        /// After the build, and around it.
        Post = "post",
        /// Any; it says nothing.
        Noise = "noise",
    }
}

words! {
    /// Where a signature is told.
    Input {
        /// In the answer to submitting a template.
        Template = "template",
        /// In the status of a run, and in its log.
        Run = "run",
        /// In customization.log or validation.log.
        Log = "log",
        /// By a client, such as the Azure CLI.
        Client = "client",
    }
}

words! {
    /// Whether a rule can be why a build failed.
    Severity {
        /// It can.
        Error = "error",
        /// It is worth knowing and never the reason.
        Warning = "warning",
        /// It looks bad and is not.
        Noise = "noise",
    }
}

words! {
    /// How well a rule is known.
    Evidence {
        /// The service's documentation says so.
        Documented = "documented",
        /// It was reported in public.
        Reported = "reported",
        /// The source of the program that prints it says so.
        Source = "source",
        /// Nobody has verified it.
        Assumed = "assumed",
    }
}

#[derive(Deserialize)]
struct File {
    rule: Vec<Rule>,
}

/// A rule that can be looked for.
pub(crate) struct Compiled {
    pub rule: &'static Rule,
    pub pattern: Regex,
    pub unless: Option<Regex>,
}

/// Rules that are looked for in texts of one size.
pub(crate) struct Group {
    /// The signatures of `rules`, in that order.
    pub set: RegexSet,
    pub rules: Vec<&'static Compiled>,
}

impl Group {
    fn of(wanted: impl Fn(&Rule) -> bool) -> Self {
        let rules: Vec<_> = COMPILED.iter().filter(|compiled| wanted(compiled.rule)).collect();
        let set = RegexSet::new(rules.iter().map(|compiled| compiled.pattern.as_str()));
        Self { set: set.expect("the signatures, which a test compiles"), rules }
    }
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let file: File = toml::from_str(include_str!("rules.toml")).expect("rules.toml, which a test reads");
    file.rule
});

static COMPILED: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let compiled = |rule: &'static Rule| Compiled {
        rule,
        pattern: regex(&rule.pattern),
        unless: rule.unless.as_deref().map(regex),
    };
    RULES.iter().map(compiled).collect()
});

/// Rules whose signature stands in one line.
pub(crate) static OF_LINES: LazyLock<Group> = LazyLock::new(|| Group::of(|rule| !spans_lines(rule)));

/// Rules whose signature may span lines.
pub(crate) static OF_WINDOWS: LazyLock<Group> = LazyLock::new(|| Group::of(spans_lines));

fn spans_lines(rule: &Rule) -> bool {
    rule.pattern.contains("(?s")
}

/// A regular expression of ours.
pub(crate) fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of ours, which a test compiles")
}

/// Every rule, in the order of a build's life.
pub fn rules() -> &'static [Rule] {
    &RULES
}
