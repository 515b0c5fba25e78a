//! Tests that run over SSH in the booted image.

use crate::Recipe;
use crate::tools::tools_of;

/// A test: a command that must succeed and print something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmokeTest {
    /// What the test shows.
    pub name: String,
    /// A command for `/bin/sh`, run as a user who may use sudo without a password. It must exit with 0.
    pub run: String,
    /// Text that its standard output must contain; `None` when the exit code says it all.
    pub expect: Option<String>,
}

impl SmokeTest {
    fn new(name: impl Into<String>, run: impl Into<String>, expect: &str) -> Self {
        Self { name: name.into(), run: run.into(), expect: Some(expect.to_owned()) }
    }
}

impl Recipe {
    /// The tests of the booted image that follow from the recipe: each tool answers, then the recipe's own. What
    /// every jump box must show (SSH settings in effect, no failed unit) is tested whatever the recipe says.
    pub fn smoke_tests(&self) -> Vec<SmokeTest> {
        let mut tests = Vec::new();
        for package in &self.packages {
            let known: Vec<_> = tools_of(package)
                .map(|tool| SmokeTest::new(format!("{} answers", tool.name), tool.run, tool.expect))
                .collect();
            if known.is_empty() {
                let run = format!("dpkg-query --show --showformat='${{db:Status-Status}}' {package}");
                tests.push(SmokeTest::new(format!("{package} is installed"), run, "installed"));
            }
            tests.extend(known);
        }
        tests.extend(self.extra_smoke_tests.iter().cloned());
        tests
    }
}
