//! What a trial of an image found, for people's tables, JSON and `JUnit`.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use super::accelerator::Accelerator;

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// What was expected was seen.
    Pass,
    /// It was not, or nothing could be seen.
    Fail,
    /// It was not asked for.
    Skip,
}

/// One test and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestResult {
    /// Stable name.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// What was seen, or what is wrong; may have several lines.
    pub detail: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The answer of `try`; its JSON form is a contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TryReport {
    /// The image that was booted: its file, or its resource id.
    pub image: String,
    /// From the start of QEMU to the first answered SSH command, in seconds; in Azure, from the request for the machine until
    /// it was there.
    pub boot_seconds: f64,
    /// How the guest's instructions were run; none in Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<Accelerator>,
    /// In the order in which they ran.
    pub tests: Vec<TestResult>,
}

impl TryReport {
    /// Whether no test failed.
    pub fn passed(&self) -> bool {
        self.tests.iter().all(|test| test.status != Status::Fail)
    }

    /// The report as a `JUnit` XML document with one suite.
    ///
    /// # Errors
    /// A description of what could not be written as XML.
    pub fn junit(&self) -> Result<String, String> {
        let mut suite = TestSuite::new(self.image.as_str());
        suite.add_property(("boot_seconds", self.boot_seconds.to_string().as_str()));
        if let Some(accelerator) = self.accelerator {
            suite.add_property(("accelerator", accelerator.to_string().as_str()));
        }
        for test in &self.tests {
            let mut status = match test.status {
                Status::Pass => TestCaseStatus::success(),
                Status::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
                Status::Skip => TestCaseStatus::skipped(),
            };
            if test.status != Status::Pass {
                status.set_message(test.detail.as_str());
            }
            let mut case = TestCase::new(test.name.as_str(), status);
            case.set_classname("try").set_time(Duration::from_secs_f64(test.seconds.max(0.0)));
            if test.status == Status::Pass {
                case.set_system_out(test.detail.as_str());
            }
            suite.add_test_case(case);
        }
        let mut report = Report::new("aks-jumpbox try");
        report.add_test_suite(suite);
        report.to_string().map_err(|error| error.to_string())
    }
}

/// Seconds with the precision that means something.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> TryReport {
        let test = |name: &str, status, detail: &str| TestResult {
            name: name.to_owned(),
            status,
            detail: detail.to_owned(),
            seconds: 0.25,
        };
        TryReport {
            image: "out/jumpbox.vhd".to_owned(),
            boot_seconds: 37.5,
            accelerator: Some(Accelerator::Tcg),
            tests: vec![
                test("kubectl answers", Status::Pass, "Client Version: v1.32"),
                test("no-failed-units", Status::Fail, "chrony.service <failed>\u{1b}[0m"),
                test("fresh-identity", Status::Skip, "no second boot was asked for"),
            ],
        }
    }

    #[test]
    fn json_is_the_contract() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&report()).unwrap());
    }

    #[test]
    fn junit() {
        insta::assert_snapshot!(report().junit().unwrap());
    }

    #[test]
    fn a_failed_test_fails_the_trial_and_a_skipped_one_does_not() {
        let mut report = report();
        assert!(!report.passed());
        report.tests.remove(1);
        assert!(report.passed());
    }
}
