//! Resource ids: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}/...`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// The id of a resource, a resource group, a subscription or another scope.
///
/// Azure compares ids without regard to case; so do `==`, the order and the hash. The spelling that was given
/// is what is shown.
#[derive(Debug, Clone)]
pub struct ResourceId {
    text: Arc<str>,
    /// The text in lower case.
    key: Arc<str>,
    /// What stands before the last `/providers/`; the whole id when there is none.
    scope_len: usize,
}

/// Why a text is not a resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It does not start with `/`.
    #[error("a resource id starts with `/`")]
    NotAbsolute,
    /// A part between two slashes is empty, or the id ends with a slash.
    #[error("part {0} of the resource id is empty")]
    EmptyPart(usize),
    /// The id does not start with one of the words that ids start with.
    #[error("a resource id starts with `/subscriptions/` or `/providers/`, not `/{0}/`")]
    UnknownStart(String),
    /// A part that must be followed by a name is the last one.
    #[error("`{0}` is not followed by a name")]
    NameMissing(String),
    /// A part stands where `resourceGroups` or `providers` must stand.
    #[error("`{0}` stands where `resourceGroups` or `providers` is expected")]
    Unexpected(String),
}

impl FromStr for ResourceId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rest = text.strip_prefix('/').ok_or(ParseError::NotAbsolute)?;
        if let Some(empty) = rest.split('/').position(|part| part.trim().is_empty()) {
            return Err(ParseError::EmptyPart(empty + 1));
        }
        let mut parts = rest.split('/');
        // The namespace that nothing follows yet.
        let mut open = None;
        let (mut scope_len, mut length, mut at) = (None, 0, 0);
        while let Some(word) = parts.next() {
            let name = parts.next().ok_or_else(|| ParseError::NameMissing(word.to_owned()))?;
            if word.eq_ignore_ascii_case("providers") {
                scope_len = Some(length);
                open = Some(name);
            } else if scope_len.is_some() {
                open = None;
            } else if at == 0 && !word.eq_ignore_ascii_case("subscriptions") {
                return Err(ParseError::UnknownStart(word.to_owned()));
            } else if at > 1 || (at == 1 && !word.eq_ignore_ascii_case("resourceGroups")) {
                return Err(ParseError::Unexpected(word.to_owned()));
            }
            length += word.len() + name.len() + 2;
            at += 1;
        }
        match open {
            Some(provider) => Err(ParseError::NameMissing(provider.to_owned())),
            None => Ok(Self::of(text, scope_len.unwrap_or(text.len()))),
        }
    }
}

impl ResourceId {
    fn of(text: &str, scope_len: usize) -> Self {
        Self { text: text.into(), key: text.to_ascii_lowercase().into(), scope_len }
    }

    /// Reads an id.
    ///
    /// # Errors
    /// When the text is not a resource id.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }

    /// The id of a resource within a scope by its full type and its names, outermost first. Names that are missing are
    /// those of the outermost resources, and `*`; surplus ones are of scopes further out.
    pub(crate) fn named(scope: &str, resource_type: &str, names: &str) -> Option<Self> {
        let mut types = resource_type.trim_matches('/').split('/');
        let mut id = format!("{}/providers/{}", scope.trim_end_matches('/'), types.next()?);
        let types: Vec<_> = types.collect();
        let names: Vec<_> = names.split('/').filter(|name| !name.trim().is_empty()).collect();
        let surplus = names.len().saturating_sub(types.len());
        let missing = types.len().saturating_sub(names.len());
        for (index, kind) in types.iter().enumerate() {
            let name = index.checked_sub(missing).and_then(|index| names.get(index + surplus)).copied();
            id = format!("{id}/{kind}/{}", name.unwrap_or("*"));
        }
        Self::parse(&id).ok()
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name after a word at a place among the first parts.
    fn outermost(&self, place: usize, word: &str) -> Option<&str> {
        let (mut words, mut names) = (self.text.split('/').skip(2 * place + 1), None);
        if words.next()?.eq_ignore_ascii_case(word) {
            names = words.next();
        }
        names
    }

    /// The subscription's id, where the resource is in one.
    pub fn subscription(&self) -> Option<&str> {
        self.outermost(0, "subscriptions")
    }

    /// The resource group's name, where the resource is in one.
    pub fn resource_group(&self) -> Option<&str> {
        self.subscription().and_then(|_| self.outermost(1, "resourceGroups"))
    }

    /// The namespace of the resource provider, such as `Microsoft.Network`; of the last one, when the id is
    /// that of an extension resource such as a role assignment.
    pub fn provider(&self) -> Option<&str> {
        self.own().next()
    }

    /// What stands after the last `/providers/`: the namespace, then type and name by turns.
    fn own(&self) -> impl Iterator<Item = &str> {
        self.text[self.scope_len..].split('/').skip(2)
    }

    /// The words of the full type: the namespace, and the types, outermost first.
    fn types(&self) -> impl Iterator<Item = &str> {
        let types = self.own().skip(1).step_by(2);
        self.provider().into_iter().chain(types)
    }

    /// The full type, such as `Microsoft.Network/virtualNetworks/subnets`. `None` for subscriptions and
    /// resource groups.
    pub fn resource_type(&self) -> Option<String> {
        let mut types = self.types();
        let mut full = types.next()?.to_owned();
        for word in types {
            full.push('/');
            full.push_str(word);
        }
        Some(full)
    }

    /// Whether this is the id of a resource, rather than of a subscription or a resource group.
    pub(crate) fn is_resource(&self) -> bool {
        self.scope_len < self.text.len()
    }

    /// Whether the full type is `resource_type`, ignoring case.
    pub fn is_type(&self, resource_type: &str) -> bool {
        let mut wanted = resource_type.split('/');
        self.is_resource()
            && self.types().all(|own| wanted.next().is_some_and(|wanted| wanted.eq_ignore_ascii_case(own)))
            && wanted.next().is_none()
    }

    /// The names from the outermost resource to this one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.own().skip(2).step_by(2)
    }

    /// The name of what the id stands for: the resource, else the resource group, else the subscription.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// What contains this resource: the parent resource, else the scope that it is in or extends. `None` for
    /// what nothing contains.
    pub fn parent(&self) -> Option<Self> {
        let end = self.text.len() - self.text.rsplit('/').take(2).map(|part| part.len() + 1).sum::<usize>();
        match (self.is_resource(), self.names().nth(1)) {
            (true, Some(_)) => {
                Some(Self { text: self.text[..end].into(), key: self.key[..end].into(), ..*self })
            }
            (true, None) => Self::parse(&self.text[..self.scope_len]).ok(),
            (false, _) => self.resource_group().and_then(|_| Self::parse(&self.text[..end]).ok()),
        }
    }

    /// Types and names without the scope, in lower case: what two spellings of one resource share when one of
    /// them does not know its subscription or resource group.
    pub fn tail(&self) -> &str {
        &self.key[self.scope_len..]
    }

    /// The id's text in lower case, which equal ids share.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The id of a resource inside this one, such as a subnet of a virtual network.
    #[must_use]
    pub fn child(&self, kind: &str, name: &str) -> Self {
        Self::of(&format!("{}/{kind}/{name}", self.text), self.scope_len)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for ResourceId {}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const SUBNET: &str = "/subscriptions/s1/resourceGroups/rg-Net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/build";

    #[test]
    fn a_child_resource_knows_its_parts() {
        let id = ResourceId::parse(SUBNET).expect("an id");
        assert_eq!(id.subscription(), Some("s1"));
        assert_eq!(id.resource_group(), Some("rg-Net"));
        assert_eq!(id.provider(), Some("Microsoft.Network"));
        assert!(id.is_type("microsoft.network/VIRTUALNETWORKS/subnets"));
        assert_eq!(id.names().collect::<Vec<_>>(), ["vnet", "build"]);
        assert_eq!(id.name(), "build");
        assert_eq!(id.to_string(), SUBNET);
        let parents: Vec<_> =
            std::iter::successors(id.parent(), ResourceId::parent).map(|id| id.to_string()).collect();
        assert_eq!(
            parents,
            [
                "/subscriptions/s1/resourceGroups/rg-Net/providers/Microsoft.Network/virtualNetworks/vnet",
                "/subscriptions/s1/resourceGroups/rg-Net",
                "/subscriptions/s1",
            ]
        );
        assert_eq!(id.parent().map(|vnet| vnet.child("subnets", "build")), Some(id));
    }

    #[test]
    fn case_does_not_matter() {
        let ids: HashSet<_> = [SUBNET.to_owned(), SUBNET.to_uppercase()]
            .iter()
            .filter_map(|text| ResourceId::parse(text).ok())
            .collect();
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn an_extension_resource_belongs_to_its_scope() {
        let text = format!("{SUBNET}/providers/Microsoft.Authorization/roleAssignments/ra");
        let id = ResourceId::parse(&text).expect("an id");
        assert!(id.is_type("Microsoft.Authorization/roleAssignments"));
        assert_eq!(id.parent(), ResourceId::parse(SUBNET).ok());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let error = |text: &str| ResourceId::parse(text).expect_err(text);
        assert_eq!(error("subscriptions/s"), ParseError::NotAbsolute);
        assert_eq!(error("/subscriptions//x"), ParseError::EmptyPart(2));
        assert_eq!(error("/subscriptions/s/"), ParseError::EmptyPart(3));
        assert_eq!(error("/subscription/s"), ParseError::UnknownStart("subscription".into()));
        assert_eq!(error("/subscriptions"), ParseError::NameMissing("subscriptions".into()));
        assert_eq!(error("/subscriptions/s/groups/g"), ParseError::Unexpected("groups".into()));
        assert_eq!(
            error("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute"),
            ParseError::NameMissing("Microsoft.Compute".into())
        );
        assert_eq!(error("/"), ParseError::EmptyPart(1));
    }
}
