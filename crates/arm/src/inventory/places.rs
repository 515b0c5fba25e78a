//! Names and where they stand in a list.

use std::collections::HashMap;

/// Below so many names, looking at each is faster than a table of them.
const FEW: usize = 16;

/// Where names stand in a list, ignoring case.
pub(crate) enum Places {
    Few(usize),
    Many(HashMap<String, usize>),
}

impl Places {
    /// The places of names, the first one's being 0.
    pub fn of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Self {
        match names.len() {
            few @ 0..FEW => Self::Few(few),
            _ => Self::Many(names.enumerate().map(|(at, name)| (name.to_ascii_lowercase(), at)).collect()),
        }
    }

    /// The place of a name in the list, of which items may have been added and replaced.
    pub fn find<T>(&self, list: &[T], name_of: impl Fn(&T) -> &str, name: &str) -> Option<usize> {
        match self {
            Self::Few(few) => list.iter().take(*few).position(|one| name_of(one).eq_ignore_ascii_case(name)),
            Self::Many(places) => places.get(&name.to_ascii_lowercase()).copied(),
        }
    }
}
