//! Where a build's time went: parts with begin and length, nested; written also when the build fails.

use std::cell::RefCell;
use std::slice;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::manifest::Stage;

/// Name of the part that makes the last layer.
pub(crate) const FINISH: &str = "finish";
/// Name of the part that writes the disk.
pub(crate) const DISK: &str = "disk";
/// Name of the part in which validators run.
pub(crate) const VALIDATE: &str = "validate";

/// A part of a build. The parts inside it follow one another and lie within it; what is between them is the part's
/// own. Of the build's own parts, [`VALIDATE`] and [`DISK`] lie beside one another.
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
        let start_seconds = self.now() - stages.iter().map(|stage| stage.seconds).sum::<f64>();
        for part in consecutive(stages, start_seconds) {
            self.add(part);
        }
    }

    /// Adds a part that was under way beside others, and its stages, which followed one another from its begin on.
    pub fn add_stages(&self, name: &str, start_seconds: f64, stages: &[Stage]) {
        let seconds = stages.iter().map(|stage| stage.seconds).sum();
        self.add(Part {
            name: name.into(),
            start_seconds,
            seconds,
            parts: consecutive(stages, start_seconds),
        });
    }

    /// The finished parts of the build itself, in the order in which they began.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = self.open.borrow().first().cloned().unwrap_or_default();
        parts.sort_by(|a, b| a.start_seconds.total_cmp(&b.start_seconds));
        parts
    }

    fn add(&self, part: Part) {
        if let Some(parts) = self.open.borrow_mut().last_mut() {
            parts.push(part);
        }
    }

    /// Seconds since the build began.
    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// Stages that follow one another from `start_seconds` on, as parts.
fn consecutive(stages: &[Stage], mut start_seconds: f64) -> Vec<Part> {
    let part = |Stage { name, seconds }: &Stage| {
        let part = Part { name: name.clone(), start_seconds, seconds: *seconds, parts: Vec::new() };
        start_seconds += seconds;
        part
    };
    stages.iter().map(part).collect()
}

/// What follows the customizers, of a build's parts: the manifest's `stages`.
pub(crate) fn stages<'a>(parts: &'a [Part]) -> Vec<Stage> {
    let of_part = |part: &'a Part| match part {
        Part { name, parts, .. } if name == FINISH || name == DISK => parts.as_slice(),
        Part { name, .. } if name == VALIDATE => slice::from_ref(part),
        _ => &[],
    };
    let stage = |part: &Part| Stage { name: part.name.clone(), seconds: part.seconds };
    parts.iter().flat_map(of_part).map(stage).collect()
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

    #[test]
    fn what_ran_beside_another_part_stands_where_it_began() {
        let timeline = Timeline::new(Instant::now());
        let stage = |name: &str, seconds| Stage { name: name.into(), seconds };
        timeline.part("customize", || ());
        let start = timeline.now();
        timeline.part(VALIDATE, || timeline.part("validator 1", || ()));
        timeline.add_stages(DISK, start, &[stage("root file system", 1.0), stage("digest", 0.5)]);
        timeline.part("distribute", || ());
        let parts = timeline.parts();
        assert_eq!(
            parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(),
            ["customize", DISK, VALIDATE, "distribute"]
        );
        assert_within(&parts[1..2], start, start + 1.5);
        let names: Vec<_> = stages(&parts).into_iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["root file system", "digest", VALIDATE]);
    }
}
