//! Where a build's time went: parts with begin and length, nested; written also when the build fails.

use std::cell::RefCell;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::manifest::Stage;

/// A part of a build. The parts inside it follow one another and lie within it; what is between them is the part's
/// own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What was done.
    pub name: String,
    /// When it began, in seconds since the build did.
    pub start_seconds: f64,
    /// How long it took, in seconds; up to the failure, when it failed.
    pub seconds: f64,
    /// Its own parts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// A timeline being written.
#[derive(Debug)]
pub struct Timeline {
    began: Instant,
    /// The parts so far of the build and of each part that is under way, innermost last.
    open: RefCell<Vec<Vec<Part>>>,
}

impl Timeline {
    /// An empty timeline of a build that began then.
    pub fn new(began: Instant) -> Self {
        Self { began, open: RefCell::new(vec![Vec::new()]) }
    }

    /// Notes how long `work` takes, however it ends.
    pub fn part<T>(&self, name: impl Into<String>, work: impl FnOnce() -> T) -> T {
        let start_seconds = self.now();
        self.open.borrow_mut().push(Vec::new());
        let result = work();
        let parts = self.open.borrow_mut().pop().unwrap_or_default();
        self.add(Part { name: name.into(), start_seconds, seconds: self.now() - start_seconds, parts });
        result
    }

    /// Adds stages that followed one another without a gap and ended just now: what a job measured inside its sandbox.
    pub fn stages_until_now(&self, stages: &[Stage]) {
        let mut start_seconds = self.now() - stages.iter().map(|stage| stage.seconds).sum::<f64>();
        for Stage { name, seconds } in stages {
            self.add(Part { name: name.clone(), start_seconds, seconds: *seconds, parts: Vec::new() });
            start_seconds += seconds;
        }
    }

    /// The finished parts of the build itself.
    pub fn parts(&self) -> Vec<Part> {
        self.open.borrow().first().cloned().unwrap_or_default()
    }

    fn add(&self, part: Part) {
        if let Some(parts) = self.open.borrow_mut().last_mut() {
            parts.push(part);
        }
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_within(parts: &[Part], mut from: f64, to: f64) {
        for part in parts {
            let end = part.start_seconds + part.seconds;
            assert!(from <= part.start_seconds + 1e-9 && end <= to + 1e-9, "{part:?} in {from} to {to}");
            assert_within(&part.parts, part.start_seconds, end);
            from = end;
        }
    }

    #[test]
    fn parts_nest_and_follow_one_another_also_when_one_fails() {
        let timeline = Timeline::new(Instant::now());
        timeline.part("base", || ());
        let failed: Result<(), &str> = timeline.part("customize", || {
            for (name, result) in [("step 1", Ok(())), ("step 2", Err("broken")), ("step 3", Ok(()))] {
                timeline.part(name, || result)?;
            }
            Ok(())
        });
        assert_eq!(failed, Err("broken"));
        let parts = timeline.parts();
        assert_within(&parts, 0.0, timeline.now());
        assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["base", "customize"]);
        let steps: Vec<_> = parts[1].parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(steps, ["step 1", "step 2"]);
    }

    #[test]
    fn a_jobs_stages_end_where_they_are_added() {
        let timeline =
            Timeline::new(Instant::now().checked_sub(std::time::Duration::from_secs(10)).expect("a clock"));
        let stage = |name: &str, seconds| Stage { name: name.into(), seconds };
        timeline.stages_until_now(&[stage("a", 1.0), stage("b", 2.0)]);
        let parts = timeline.parts();
        assert_within(&parts, 0.0, timeline.now());
        assert!((parts[0].start_seconds - 7.0).abs() < 1.0, "{parts:?}");
    }
}
