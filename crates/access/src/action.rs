//! Operations of resource providers, and the patterns in which roles name them.

use std::fmt;

/// An operation of a resource provider, such as `Microsoft.Network/virtualNetworks/subnets/join/action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action<'a> {
    /// An operation on resources.
    Control(&'a str),
    /// An operation on the data that a resource holds.
    Data(&'a str),
}

impl<'a> Action<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        match self {
            Self::Control(name) | Self::Data(name) => name,
        }
    }
}

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a role says of operations: a name in which each `*` stands for any text, slashes included; compared ignoring
/// case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern of a text.
    pub fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    /// Whether an operation is meant.
    pub fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        // Between the ends the leftmost place of each piece leaves the most for the others.
        for piece in pieces {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last)
    }

    /// Whether it stands for more than reading, of a whole resource provider or of all.
    pub(crate) fn is_of_a_provider(&self) -> bool {
        let before = self.0.split_once('*').map(|(before, _)| before);
        before.is_some_and(|before| before.matches('/').count() <= 1) && !self.0.ends_with("/read")
    }

    /// How much it may grant, to compare roles by: one for a plain name, more the earlier a wildcard stands, and less
    /// where only one kind of operation, such as `/read`, may follow.
    pub(crate) fn breadth(&self) -> u64 {
        const DEEPEST: usize = 8;
        let Some((before, after)) = self.0.split_once('*') else { return 1 };
        let depth = before.matches('/').count() + usize::from(!after.is_empty());
        16_u64.pow(u32::try_from(DEEPEST.saturating_sub(depth)).unwrap_or(0))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    /// One character after the other: slow, and plainly right.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                naive(rest, name) || name.split_first().is_some_and(|(_, name)| naive(pattern, name))
            }
            ([a, rest @ ..], [b, name @ ..]) => a == b && naive(rest, name),
            _ => false,
        }
    }

    #[test]
    fn wildcards_cross_slashes_and_case_does_not_matter() {
        let join = "Microsoft.Network/virtualNetworks/subnets/join/action";
        for pattern in ["*", "microsoft.network/*", "*/action", "Microsoft.Network/*/JOIN/action", join] {
            assert!(Pattern::new(pattern).matches(join), "{pattern}");
        }
        for pattern in ["*/read", "Microsoft.Network", "Microsoft.Network/*/read", "", "*/subnets/join"] {
            assert!(!Pattern::new(pattern).matches(join), "{pattern}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]
        #[test]
        fn every_match_is_the_plain_one(pattern in "[ab/*]{0,7}", name in "[ab/]{0,9}") {
            let expected = naive(pattern.as_bytes(), name.as_bytes());
            proptest::prop_assert_eq!(Pattern::new(&pattern).matches(&name), expected);
        }
    }
}
