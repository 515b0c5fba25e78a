//! Host names as points of a line, so that patterns of names are ranges.
//!
//! Read backwards and sorted, all names that end in a suffix stand next to each other. The patterns of a policy
//! therefore cut all names there are into a few cells, and no pattern tells two names of one cell apart.

use std::cmp::Ordering;

use crate::certificate::{NameRange, Requests};
use crate::flow::Application;
use crate::fqdn::FqdnPattern;
use crate::ranges::Ranges;

/// What a flow is known to ask for: an application protocol, and a name or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speech {
    pub application: Option<Application>,
    pub name: Option<String>,
}

/// The cells into which the patterns of a policy cut all names.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Where each cell begins, read backwards. The first begins with the empty text.
    starts: Vec<Vec<u8>>,
}

/// How many [`Application::EVERY`] are.
const LANGUAGES: u32 = 4;

impl Names {
    pub fn new<'a>(patterns: impl Iterator<Item = &'a FqdnPattern>) -> Self {
        let mut starts: Vec<_> = patterns.flat_map(|pattern| ends(pattern).into_iter().flatten()).collect();
        starts.push(Vec::new());
        starts.sort_unstable();
        starts.dedup();
        Self { starts }
    }

    /// Whether every cell is within a pattern or outside of it.
    pub fn know(&self, pattern: &FqdnPattern) -> bool {
        ends(pattern).iter().flatten().all(|end| self.starts.binary_search(end).is_ok())
    }

    /// Cells and, before them, the place of "no name".
    fn width(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX / 4).saturating_add(1)
    }

    /// The point of an application and a name.
    pub fn point(&self, application: Option<Application>, name: Option<&str>) -> u32 {
        let base = base(application) * self.width();
        base + name.map_or(0, |name| self.cell(name) + 1)
    }

    fn cell(&self, name: &str) -> u32 {
        let before = self.starts.partition_point(|start| backwards(name, start) != Ordering::Less);
        u32::try_from(before.saturating_sub(1)).unwrap_or(u32::MAX / 4)
    }

    /// Every point there is.
    pub fn everything(&self) -> Ranges<u32> {
        Ranges::range(0, LANGUAGES * self.width() - 1)
    }

    /// The names that fit a pattern, asked for by `applications`.
    pub fn matching(&self, patterns: &[&FqdnPattern], applications: &[Option<Application>]) -> Ranges<u32> {
        let width = self.width();
        let cells = patterns.iter().map(|pattern| {
            let [start, end] = ends(pattern);
            let index = |key: &Vec<u8>| self.starts.binary_search(key).unwrap_or_else(|at| at);
            let first = start.as_ref().map_or(0, index);
            let last = end.as_ref().map_or(self.starts.len(), index);
            (u32::try_from(first).unwrap_or(0) + 1, u32::try_from(last).unwrap_or(0))
        });
        let cells: Vec<_> = cells.collect();
        let ranges = applications.iter().flat_map(|application| {
            let base = base(*application) * width;
            cells.iter().map(move |(first, last)| (base + first, base + last))
        });
        Ranges::union_of(ranges.collect())
    }

    /// Flows that name nothing, whatever they speak.
    pub fn nameless(&self) -> Ranges<u32> {
        Ranges::union_of((0..LANGUAGES).map(|base| (base * self.width(), base * self.width())).collect())
    }

    /// A set of points in words.
    pub fn requests(&self, set: &Ranges<u32>) -> Vec<Requests> {
        let mut requests = Vec::new();
        let width = self.width();
        for (base, application) in (0..).zip(Application::EVERY) {
            let own = Ranges::range(base * width, (base + 1) * width - 1);
            for &(first, last) in set.intersection(&own).as_slice() {
                let (mut first, last) = (first - base * width, last - base * width);
                if first == 0 {
                    requests.push(Requests { application, names: None });
                    first = 1;
                }
                if let Some(start) = self.starts.get(first as usize - 1).filter(|_| first <= last) {
                    let end = self.starts.get(last as usize).cloned();
                    let names = NameRange { first: start.clone(), end };
                    requests.push(Requests { application, names: Some(names) });
                }
            }
        }
        requests
    }

    /// What a point stands for; `None` when no host name lies in its cell.
    pub fn example(&self, point: u32) -> Option<Speech> {
        let application = Application::EVERY.get((point / self.width()) as usize).copied()?;
        let name = match point % self.width() {
            0 => None,
            cell => Some(self.name_in(cell - 1)?),
        };
        Some(Speech { application, name })
    }

    fn name_in(&self, cell: u32) -> Option<String> {
        let start = self.starts.get(cell as usize)?;
        let begun =
            String::from_utf8(start.iter().rev().copied().filter(|byte| *byte != 0).collect()).ok()?;
        let labels =
            ["", "www", "host", "a", "z", "0", "www.", "a.", "z.", "-a", "a-", "www.example.org", "a_"];
        let candidates = labels.iter().map(|label| format!("{label}{begun}"));
        let shorter = begun.get(1..).unwrap_or_default().to_owned();
        let candidates = candidates.chain(labels.iter().map(|label| format!("{label}{shorter}")));
        candidates.into_iter().find(|name| {
            self.cell(name) == cell && FqdnPattern::parse(name).is_ok_and(|pattern| !pattern.is_wildcard())
        })
    }
}

fn base(application: Option<Application>) -> u32 {
    match application {
        None => 0,
        Some(Application::Http) => 1,
        Some(Application::Https) => 2,
        Some(Application::Mssql) => 3,
    }
}

/// Where the names that fit a pattern begin, and where those behind them begin, read backwards; `None` at either end
/// of all names.
fn ends(pattern: &FqdnPattern) -> [Option<Vec<u8>>; 2] {
    let start: Vec<u8> = pattern.rest().bytes().rev().collect();
    let mut end = start.clone();
    if pattern.is_wildcard() {
        let Some(last) = end.last_mut() else { return [None, None] };
        *last += 1;
    } else {
        end.push(0);
    }
    [Some(start), Some(end)]
}

/// Compares a name, read backwards and ignoring case, with the start of a cell.
fn backwards(name: &str, start: &[u8]) -> Ordering {
    name.bytes().rev().map(|byte| byte.to_ascii_lowercase()).cmp(start.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patterns(texts: &[&str]) -> Vec<FqdnPattern> {
        texts.iter().map(|text| FqdnPattern::parse(text).unwrap()).collect()
    }

    const ALPHABET: [&str; 9] = ["a", "b", "-", ".", "a.b", "b.a", "ab", "a.a.b", "c"];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn cells_agree_with_patterns(
            texts in prop::collection::vec((any::<bool>(), prop::collection::vec(prop::sample::select(&ALPHABET[..]), 1..4)), 1..8),
            name in prop::collection::vec(prop::sample::select(&ALPHABET[..]), 1..5),
        ) {
            let text = |(star, parts): &(bool, Vec<&str>)| format!("{}{}", if *star { "*" } else { "" }, parts.concat());
            let patterns: Vec<_> = texts.iter().filter_map(|parts| FqdnPattern::parse(&text(parts)).ok()).collect();
            let names = Names::new(patterns.iter());
            let name = name.concat();
            let point = names.point(Some(Application::Https), Some(&name));
            for pattern in &patterns {
                let set = names.matching(&[pattern], &[Some(Application::Https)]);
                prop_assert_eq!(set.contains(point), pattern.matches(&name), "{} {}", pattern, name);
                prop_assert!(!set.contains(names.point(None, Some(&name))));
                prop_assert!(!set.contains(names.point(Some(Application::Https), None)));
            }
        }
    }

    #[test]
    fn a_cell_is_shown_by_a_name_in_it() {
        let patterns = patterns(&["*.contoso.com", "www.contoso.com", "contoso.com", "*"]);
        let names = Names::new(patterns.iter());
        for name in ["any.contoso.com", "www.contoso.com", "contoso.com", "example.org"] {
            let point = names.point(Some(Application::Http), Some(name));
            let speech = names.example(point).unwrap();
            let found = speech.name.unwrap();
            assert_eq!(names.point(Some(Application::Http), Some(&found)), point, "{name}: {found}");
        }
        assert_eq!(names.example(0), Some(Speech { application: None, name: None }));
    }
}
