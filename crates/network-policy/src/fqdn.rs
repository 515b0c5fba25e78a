//! FQDN patterns of firewall rules.
//!
//! Source: Azure Firewall FAQ, "How do wildcards work in target URLs and target FQDNs in application rules?": an
//! asterisk is taken only as the left-most character and stands for anything, dots included.

use std::fmt;

/// An exact name, or everything that ends in a suffix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FqdnPattern {
    wildcard: bool,
    /// Lower case, no trailing dot; what follows the asterisk when there is one.
    rest: String,
}

/// Why a text is not an FQDN pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing was written.
    #[error("an FQDN pattern must not be empty")]
    Empty,
    /// An asterisk that is not the first character.
    #[error("'{0}': an asterisk is only taken as the first character")]
    Asterisk(String),
    /// A character that no DNS name has.
    #[error("'{text}': '{character}' cannot be part of a host name")]
    Character {
        /// What was written.
        text: String,
        /// The offending character.
        character: char,
    },
    /// Two dots in a row, a leading dot, or a name or label that is too long.
    #[error("'{0}' is not a host name: labels are 1 to 63 characters, the name at most 253")]
    Labels(String),
}

impl FqdnPattern {
    /// Reads a pattern such as `get.helm.sh`, `*.blob.core.windows.net` or `*`; case and a trailing dot do not
    /// matter.
    ///
    /// # Errors
    /// When the asterisk is not left-most or the rest is not a host name.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (wildcard, rest) = match name.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, name.as_str()),
        };
        if rest.contains('*') {
            return Err(PatternError::Asterisk(text.to_owned()));
        }
        let odd = |c: &char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_');
        if let Some(character) = rest.chars().find(odd) {
            return Err(PatternError::Character { text: text.to_owned(), character });
        }
        if rest.is_empty() {
            return if wildcard {
                Ok(Self { wildcard, rest: String::new() })
            } else {
                Err(PatternError::Empty)
            };
        }
        let labels = if wildcard { rest.strip_prefix('.').unwrap_or(rest) } else { rest };
        if rest.len() > 253 || labels.split('.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(PatternError::Labels(text.to_owned()));
        }
        Ok(Self { wildcard, rest: rest.to_owned() })
    }

    /// `*`.
    pub(crate) fn everything() -> Self {
        Self { wildcard: true, rest: String::new() }
    }

    /// Whether the pattern has an asterisk.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// What names have to end in, or be.
    pub(crate) fn rest(&self) -> &str {
        &self.rest
    }

    /// Whether `name` (no trailing dot) fits, ignoring case.
    pub fn matches(&self, name: &str) -> bool {
        let (name, rest) = (name.as_bytes(), self.rest.as_bytes());
        let start = match name.len().checked_sub(rest.len()) {
            Some(start) if self.wildcard || start == 0 => start,
            _ => return false,
        };
        name[start..].eq_ignore_ascii_case(rest)
    }
}

impl fmt::Display for FqdnPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*" } else { "" }, self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        FqdnPattern::parse(pattern).unwrap().matches(name)
    }

    /// The target FQDN rows of the FAQ's table.
    #[test]
    fn documented_wildcard_table() {
        assert!(matches("www.contoso.com", "www.contoso.com"));
        assert!(!matches("www.contoso.com", "any.contoso.com"));
        assert!(matches("*.contoso.com", "any.contoso.com"));
        assert!(matches("*.contoso.com", "sub1.any.contoso.com"));
        assert!(!matches("*.contoso.com", "contoso.com"));
        assert!(matches("*contoso.com", "example.anycontoso.com"));
        assert!(matches("*contoso.com", "contoso.com"));
        assert!(matches("*contoso.com", "th3re4lcontoso.com"));
        assert!(matches("*", "anything.example.org"));
        for unsupported in ["www.contoso.*", "*.contoso.*", "www.*contoso.com"] {
            assert_eq!(FqdnPattern::parse(unsupported), Err(PatternError::Asterisk(unsupported.to_owned())));
        }
    }

    #[test]
    fn case_and_the_root_dot_do_not_matter() {
        assert!(matches("WWW.Contoso.com.", "www.contoso.COM"));
        assert!(!matches("*.contoso.com", "contoso.com.example.org"));
    }

    #[test]
    fn what_is_not_a_host_name_is_refused() {
        let long = format!("{}.example.org", "a".repeat(64));
        for text in [
            "",
            ".",
            "a..b",
            ".a.b",
            "*..b",
            "www.contoso.com:8080",
            "a b",
            "b\u{fc}cher.example",
            "a/b",
            &long,
        ] {
            assert!(FqdnPattern::parse(text).is_err(), "{text:?}");
        }
    }
}
