//! The path of a request: decoded, without its doubled slashes, and what it addresses.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::error::ArmError;

/// The longest path, in bytes as sent. Azure's longest ids have about half of it.
const MAX_LENGTH: usize = 4096;

/// The segments of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    segments: Vec<String>,
}

/// What a path below `providers` addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What the resource is in: an id, or empty for the root.
    pub scope: String,
    /// Namespace of the provider.
    pub namespace: String,
    /// Types and names, outermost first.
    pub pairs: Vec<(String, String)>,
    /// A type or an action after the last name.
    pub rest: Option<String>,
}

impl Path {
    /// Reads a path as it was sent.
    ///
    /// # Errors
    /// When it is too long, is no text, or has a segment that a name cannot have.
    pub fn parse(raw: &str) -> Result<Self, ArmError> {
        let wrong =
            |why: &str| ArmError::bad("InvalidRequestUri", format!("The request URI is invalid: {why}."));
        if raw.len() > MAX_LENGTH {
            return Err(wrong("it is too long"));
        }
        let mut segments = Vec::new();
        for raw in raw.split('/').filter(|segment| !segment.is_empty()) {
            let segment = percent_decode_str(raw).decode_utf8().map_err(|_| wrong("it is not UTF-8"))?;
            if segment == "." || segment == ".." {
                return Err(wrong("a segment is a dot"));
            }
            if segment.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '?' | '#')) {
                return Err(wrong("a segment has a character that no name has"));
            }
            segments.push(segment.into_owned());
        }
        Ok(Self { segments })
    }

    /// The segments, decoded.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The path without its last segments.
    pub fn without(&self, last: usize) -> String {
        let kept = self.segments.len().saturating_sub(last);
        self.segments[..kept].iter().fold(String::new(), |path, segment| path + "/" + segment)
    }

    /// What follows the last `providers`.
    pub fn address(&self) -> Option<Address> {
        let at = self.segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"))?;
        let namespace = self.segments.get(at + 1)?.clone();
        let rest = &self.segments[at + 2..];
        let pairs = rest.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let odd = rest.chunks_exact(2).remainder().first().cloned();
        Some(Address { scope: self.without(self.segments.len() - at), namespace, pairs, rest: odd })
    }

    /// The variables of a pattern such as `/subscriptions/{subscription}/locations` where this path fits it. A pattern
    /// that begins with `{scope}` fits whatever is in front of the rest.
    pub fn fit<'p>(&self, pattern: &'p str) -> Option<Vec<(&'p str, String)>> {
        let mut parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        let mut segments = self.segments.as_slice();
        let mut variables = Vec::new();
        if parts.first() == Some(&"{scope}") {
            parts.remove(0);
            let front = segments.len().checked_sub(parts.len())?;
            variables.push(("scope", self.without(parts.len())));
            segments = &segments[front..];
        }
        if parts.len() != segments.len() {
            return None;
        }
        for (part, segment) in parts.into_iter().zip(segments) {
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => variables.push((name, segment.clone())),
                None if part.eq_ignore_ascii_case(segment) => {}
                None => return None,
            }
        }
        Some(variables)
    }
}

/// First segments of paths that belong to the resource manager and to logging in; no storage account has such a name.
pub const RESERVED: [&str; 9] =
    ["adfs", "common", "metadata", "msi", "organizations", "providers", "subscriptions", "tenants", "v1.0"];

/// Whether a name is one that a storage account can have: 3 to 24 lower-case letters and digits.
pub fn is_account(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=24).contains(&name.len()) && name.chars().all(fits)
}

/// Whether a path is one of blobs: it begins with an account's name.
pub fn is_of_blobs(path: &str) -> bool {
    let first = path.split('/').find(|segment| !segment.is_empty()).unwrap_or_default();
    is_account(first) && !RESERVED.contains(&first)
}

/// Whether a request uploads into a container: a path of three segments and more behind an account's name.
pub fn is_upload(method: &Method, path: &str) -> bool {
    *method == Method::PUT
        && is_of_blobs(path)
        && path.split('/').filter(|segment| !segment.is_empty()).count() >= 3
}

impl Address {
    /// The full type, with an action or a list's type left out.
    pub fn resource_type(&self) -> String {
        self.pairs.iter().fold(self.namespace.clone(), |all, (kind, _)| all + "/" + kind)
    }

    /// The id of the resource.
    pub fn id(&self) -> String {
        let start = format!("{}/providers/{}", self.scope, self.namespace);
        self.pairs.iter().fold(start, |id, (kind, name)| id + "/" + kind + "/" + name)
    }

    /// The type that a list is about.
    pub fn listed_type(&self) -> String {
        format!("{}/{}", self.resource_type(), self.rest.as_deref().unwrap_or_default())
    }

    /// Where what a list is about lives: the parent resource, else the scope.
    pub fn listed_in(&self) -> String {
        if self.pairs.is_empty() { self.scope.clone() } else { self.id() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_slashes_are_one_and_names_are_decoded() {
        let path =
            Path::parse("//subscriptions/s/resourcegroups/my%20group/providers/A.B//c/n").expect("a path");
        assert_eq!(path.segments()[3], "my group");
        let address = path.address().expect("an address");
        assert_eq!(address.resource_type(), "A.B/c");
        assert_eq!(address.id(), "/subscriptions/s/resourcegroups/my group/providers/A.B/c/n");
        assert_eq!(address.rest, None);
    }

    #[test]
    fn tricks_are_refused() {
        for raw in
            ["/a/../b", "/a/%2e%2e/b", "/a%2fb", "/a%00b", "/a%5cb", "/%ff", "/a%3fb", &"/a".repeat(3000)]
        {
            assert!(Path::parse(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn patterns_fit_ignoring_case() {
        let path = Path::parse("/subscriptions/s/RESOURCEGROUPS/g").expect("a path");
        let found = path.fit("/subscriptions/{subscription}/resourceGroups/{group}").expect("it fits");
        assert_eq!(found, [("subscription", "s".to_owned()), ("group", "g".to_owned())]);
        assert_eq!(path.fit("/subscriptions/{subscription}"), None);
        let path = Path::parse("/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions")
            .expect("a path");
        let found = path.fit("{scope}/providers/Microsoft.Authorization/roleDefinitions").expect("it fits");
        assert_eq!(found, [("scope", "/subscriptions/s".to_owned())]);
    }

    #[test]
    fn lists_and_actions_have_a_rest() {
        let path = Path::parse("/subscriptions/s/resourceGroups/g/providers/A/b/n/run").expect("a path");
        let address = path.address().expect("an address");
        assert_eq!(
            (address.rest.as_deref(), address.listed_in().as_str()),
            (Some("run"), address.id().as_str())
        );
        let path = Path::parse("/subscriptions/s/providers/A/b").expect("a path");
        let address = path.address().expect("an address");
        assert_eq!(
            (address.listed_type(), address.listed_in()),
            ("A/b".to_owned(), "/subscriptions/s".to_owned())
        );
    }
}
