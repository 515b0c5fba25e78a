//! Where a template is deployed: the scope that its functions see and that its resources are in.

use crate::ResourceId;
use crate::read::Scope;

use super::value::Val;

/// The level of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Group,
    Subscription,
    ManagementGroup,
    Tenant,
}

impl Level {
    /// The level that a template's `$schema` names.
    pub fn of_schema(schema: &str) -> Self {
        let schema = schema.to_ascii_lowercase();
        if schema.contains("subscriptiondeploymenttemplate") {
            Self::Subscription
        } else if schema.contains("managementgroupdeploymenttemplate") {
            Self::ManagementGroup
        } else if schema.contains("tenantdeploymenttemplate") {
            Self::Tenant
        } else {
            Self::Group
        }
    }
}

/// Where a deployment goes. A name that is not known is `*`, or in braces what it hangs on.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub level: Level,
    pub subscription: String,
    pub group: String,
    /// Region of the environment, by its name.
    pub location: Option<String>,
}

/// Whether a part of an id is not known.
pub fn is_open(part: &str) -> bool {
    part.contains(['*', '{'])
}

impl Place {
    /// The place of a document's template.
    pub fn new(level: Level, scope: &Scope) -> Self {
        let name = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
        let (subscription, group) = (name(&scope.subscription), name(&scope.resource_group));
        // Azure tells a region by its name, whatever its display name is.
        let location = scope.location.as_ref().map(|name| name.to_ascii_lowercase().replace(' ', ""));
        Self { level, subscription, group, location }
    }

    /// The id of the resource group, subscription or tenant itself; empty for the tenant.
    pub fn id(&self) -> String {
        match self.level {
            Level::Group => format!("/subscriptions/{}/resourceGroups/{}", self.subscription, self.group),
            Level::Subscription => format!("/subscriptions/{}", self.subscription),
            Level::ManagementGroup => "/providers/Microsoft.Management/managementGroups/*".to_owned(),
            Level::Tenant => String::new(),
        }
    }

    /// The id of a resource here by its full type and its names, outermost first.
    pub fn resource(&self, resource_type: &str, names: &str) -> Option<ResourceId> {
        if resource_type.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups") {
            let id = format!("/subscriptions/{}/resourceGroups/{names}", self.subscription);
            return ResourceId::parse(&id).ok();
        }
        if resource_type.eq_ignore_ascii_case("Microsoft.Resources/subscriptions") {
            return ResourceId::parse(&format!("/subscriptions/{names}")).ok();
        }
        ResourceId::named(&self.id(), resource_type, names)
    }
}

/// A text that may hold parts which are not known.
pub fn text_or_symbol(text: String, reason: &str) -> Val {
    if is_open(&text) { Val::unknown_as(reason, Some(text)) } else { Val::text(text) }
}
