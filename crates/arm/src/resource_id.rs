//! Resource ids: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}/...`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The id of a resource, a resource group, a subscription or another scope.
///
/// Azure compares ids without regard to case; so do `==`, the order and the hash. The spelling that was given
/// is what is shown.
#[derive(Debug, Clone)]
pub struct ResourceId {
    text: String,
    subscription: Option<String>,
    resource_group: Option<String>,
    /// What stands before the last `/providers/`; the whole id when there is none.
    scope_len: usize,
    /// Namespace of the resource provider, after the last `/providers/`.
    provider: Option<String>,
    /// Pairs of type and name after the namespace, outermost first.
    segments: Vec<(String, String)>,
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
        let parts: Vec<&str> = rest.split('/').collect();
        if let Some(empty) = parts.iter().position(|part| part.trim().is_empty()) {
            return Err(ParseError::EmptyPart(empty + 1));
        }
        let mut id = Self {
            text: text.to_owned(),
            subscription: None,
            resource_group: None,
            scope_len: text.len(),
            provider: None,
            segments: Vec::new(),
        };
        let mut at = 0;
        let mut length = 0;
        while let Some(&word) = parts.get(at) {
            let name = parts.get(at + 1).ok_or_else(|| ParseError::NameMissing(word.to_owned()))?;
            let provider = word.eq_ignore_ascii_case("providers");
            if provider {
                id.scope_len = length;
                id.provider = Some((*name).to_owned());
                id.segments.clear();
            } else if id.provider.is_some() {
                id.segments.push((word.to_owned(), (*name).to_owned()));
            } else if at == 0 && word.eq_ignore_ascii_case("subscriptions") {
                id.subscription = Some((*name).to_owned());
            } else if at == 0 {
                return Err(ParseError::UnknownStart(word.to_owned()));
            } else if at == 2 && word.eq_ignore_ascii_case("resourceGroups") {
                id.resource_group = Some((*name).to_owned());
            } else {
                return Err(ParseError::Unexpected(word.to_owned()));
            }
            length += word.len() + name.len() + 2;
            at += 2;
        }
        match &id.provider {
            Some(provider) if id.segments.is_empty() => Err(ParseError::NameMissing(provider.clone())),
            _ => Ok(id),
        }
    }
}

impl ResourceId {
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

    /// The subscription's id, where the resource is in one.
    pub fn subscription(&self) -> Option<&str> {
        self.subscription.as_deref()
    }

    /// The resource group's name, where the resource is in one.
    pub fn resource_group(&self) -> Option<&str> {
        self.resource_group.as_deref()
    }

    /// The namespace of the resource provider, such as `Microsoft.Network`; of the last one, when the id is
    /// that of an extension resource such as a role assignment.
    pub fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    /// The full type, such as `Microsoft.Network/virtualNetworks/subnets`. `None` for subscriptions and
    /// resource groups.
    pub fn resource_type(&self) -> Option<String> {
        let provider = self.provider.as_deref()?;
        let types = self.segments.iter().map(|(kind, _)| kind.as_str());
        Some(std::iter::once(provider).chain(types).collect::<Vec<_>>().join("/"))
    }

    /// Whether the full type is `resource_type`, ignoring case.
    pub fn is_type(&self, resource_type: &str) -> bool {
        self.resource_type().is_some_and(|own| own.eq_ignore_ascii_case(resource_type))
    }

    /// The names from the outermost resource to this one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|(_, name)| name.as_str())
    }

    /// The name of what the id stands for: the resource, else the resource group, else the subscription.
    pub fn name(&self) -> &str {
        let own = self.segments.last().map(|(_, name)| name.as_str());
        own.or(self.resource_group()).or(self.subscription()).unwrap_or_default()
    }

    /// What contains this resource: the parent resource, else the scope that it is in or extends. `None` for
    /// what nothing contains.
    pub fn parent(&self) -> Option<Self> {
        let end = match (&self.provider, self.segments.as_slice()) {
            (Some(_), [.., _, (kind, name)]) => self.text.len() - kind.len() - name.len() - 2,
            (Some(_), _) => self.scope_len,
            (None, _) => {
                let group = self.resource_group.as_ref()?;
                self.text.len() - "/resourceGroups/".len() - group.len()
            }
        };
        Self::parse(&self.text[..end]).ok()
    }

    /// Types and names without the scope, in lower case: what two spellings of one resource share when one of
    /// them does not know its subscription or resource group.
    pub fn tail(&self) -> String {
        self.text[self.scope_len..].to_ascii_lowercase()
    }

    /// The id's text in lower case, which equal ids share.
    pub fn key(&self) -> String {
        self.text.to_ascii_lowercase()
    }

    /// The id of a resource inside this one, such as a subnet of a virtual network.
    #[must_use]
    pub fn child(&self, kind: &str, name: &str) -> Self {
        let mut child = self.clone();
        child.text = format!("{}/{kind}/{name}", self.text);
        child.segments.push((kind.to_owned(), name.to_owned()));
        child
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
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
        let other = other.text.bytes().map(|byte| byte.to_ascii_lowercase());
        self.text.bytes().map(|byte| byte.to_ascii_lowercase()).cmp(other)
    }
}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.to_ascii_lowercase().hash(state);
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
            std::iter::successors(id.parent(), ResourceId::parent).map(|id| id.text).collect();
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
