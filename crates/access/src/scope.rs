//! Where roles are assigned.

use std::fmt;

/// A scope: the root, a management group, a subscription, a resource group or a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// The scope of an id; `/` is the root.
    pub fn new(id: &str) -> Self {
        Self(format!("/{}", id.trim_matches('/')))
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is granted here holds there, too. `None` for a management group: which subscriptions it has, no
    /// id tells.
    pub fn holds_in(&self, other: &Self) -> Option<bool> {
        let (own, other) = (self.0.to_ascii_lowercase(), other.0.to_ascii_lowercase());
        let inside = other.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if own == "/" || inside {
            return Some(true);
        }
        let is_group = own.starts_with("/providers/microsoft.management/managementgroups/");
        if is_group { None } else { Some(false) }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn a_scope_holds_in_what_is_inside_it() {
        let group = Scope::new("/subscriptions/s/resourceGroups/rg");
        let resource = "/Subscriptions/S/resourcegroups/RG/providers/Microsoft.Network/virtualNetworks/v";
        assert_eq!(group.holds_in(&Scope::new(resource)), Some(true));
        assert_eq!(Scope::new("/").holds_in(&group), Some(true));
        assert_eq!(group.holds_in(&Scope::new("/subscriptions/s")), Some(false));
        assert_eq!(group.holds_in(&Scope::new("/subscriptions/s/resourceGroups/rg2")), Some(false));
        let management = Scope::new("/providers/Microsoft.Management/managementGroups/m");
        assert_eq!(management.holds_in(&group), None);
    }
}
