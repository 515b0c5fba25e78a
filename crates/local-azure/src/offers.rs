//! What the endpoint offers: one table of operations. The first that fits a request answers it.

use http::Method;

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::identity::graph;
use crate::path::Path;
use crate::{
    compute, deployments, generic, groups, identity, images, lro, providers, roles, storage, subscriptions,
    types,
};

/// What a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: discovery and logging in.
    Nothing,
    /// To be logged in.
    Token,
    /// This action, at the path without so many of its last segments.
    Action(&'static str, usize),
    /// The action that follows from method and resource type.
    OfType,
}

/// An operation.
#[derive(Debug)]
pub(crate) struct Offer {
    pub method: &'static str,
    pub path: &'static str,
    pub does: &'static str,
    pub needs: Needs,
    pub run: fn(&mut Call<'_>) -> Answer,
}

const fn offer(
    method: &'static str,
    path: &'static str,
    does: &'static str,
    needs: Needs,
    run: fn(&mut Call<'_>) -> Answer,
) -> Offer {
    Offer { method, path, does, needs, run }
}

const GROUP: &str = "/subscriptions/{subscription}/resourceGroups/{group}";
const PROVIDER: &str = "/subscriptions/{subscription}/providers/{namespace}";
const DEPLOYMENT: &str = "{scope}/providers/Microsoft.Resources/deployments/{name}";
const TEMPLATE: &str = "{scope}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}";
const FEATURE: &str =
    "/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}/features/{feature}";

use Needs::{Action, Nothing, OfType, Token};

/// Every operation, in the order in which they are tried.
pub(crate) const OFFERS: &[Offer] = &[
    offer("GET", "/metadata/endpoints", "addresses of this cloud", Nothing, identity::metadata),
    offer("GET", "/{tenant}/.well-known/openid-configuration", "where to log in", Nothing, identity::openid),
    offer(
        "GET",
        "/{tenant}/v2.0/.well-known/openid-configuration",
        "where to log in",
        Nothing,
        identity::openid,
    ),
    offer("POST", "/{tenant}/oauth2/token", "log in as a service principal", Nothing, identity::token),
    offer("POST", "/{tenant}/oauth2/v2.0/token", "log in as a service principal", Nothing, identity::token),
    offer("GET", "/v1.0/servicePrincipals", "principals", Token, graph::service_principals),
    offer("POST", "/v1.0/servicePrincipals", "the application's own", Token, graph::make_service_principal),
    offer("GET", "/v1.0/servicePrincipals/{id}", "a principal", Token, graph::get_service_principal),
    offer("DELETE", "/v1.0/servicePrincipals/{id}", "remove it and its application", Token, graph::remove),
    offer("GET", "/v1.0/applications", "applications", Token, graph::applications),
    offer(
        "POST",
        "/v1.0/applications",
        "make an application and its principal",
        Token,
        graph::make_application,
    ),
    offer("GET", "/v1.0/applications/{id}", "an application", Token, graph::get_application),
    offer("PATCH", "/v1.0/applications/{id}", "change its name", Token, graph::change_application),
    offer("DELETE", "/v1.0/applications/{id}", "remove it and its principal", Token, graph::remove),
    offer("POST", "/v1.0/applications/{id}/addPassword", "make a password", Token, graph::add_password),
    offer("POST", "/v1.0/applications/{id}/removePassword", "remove one", Token, graph::remove_password),
    offer("POST", "/v1.0/servicePrincipals/{id}/addPassword", "make a password", Token, graph::add_password),
    offer("POST", "/v1.0/servicePrincipals/{id}/removePassword", "remove one", Token, graph::remove_password),
    offer("POST", "/v1.0/directoryObjects/getByIds", "names of principals", Token, graph::by_ids),
    offer("GET", "/tenants", "the tenant", Token, subscriptions::tenants),
    offer("GET", "/subscriptions", "the subscription", Token, subscriptions::list),
    offer(
        "GET",
        "/subscriptions/{subscription}",
        "the subscription",
        Action("Microsoft.Resources/subscriptions/read", 0),
        subscriptions::get,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/locations",
        "regions",
        Action("Microsoft.Resources/subscriptions/locations/read", 1),
        subscriptions::locations,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/resources",
        "all resources",
        Action("Microsoft.Resources/subscriptions/resources/read", 1),
        subscriptions::resources,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/providers",
        "resource providers",
        Action("Microsoft.Resources/subscriptions/providers/read", 1),
        providers::list,
    ),
    offer(
        "GET",
        PROVIDER,
        "a resource provider",
        Action("Microsoft.Resources/subscriptions/providers/read", 2),
        providers::get,
    ),
    offer(
        "POST",
        "/subscriptions/{subscription}/providers/{namespace}/register",
        "register a resource provider",
        Action("{namespace}/register/action", 3),
        providers::register,
    ),
    offer(
        "POST",
        "/subscriptions/{subscription}/providers/{namespace}/unregister",
        "unregister a resource provider",
        Action("{namespace}/unregister/action", 3),
        providers::unregister,
    ),
    offer(
        "GET",
        FEATURE,
        "a preview feature",
        Action("Microsoft.Features/providers/features/read", 6),
        providers::feature,
    ),
    offer(
        "POST",
        "/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}/features/{feature}/register",
        "register a preview feature",
        Action("Microsoft.Features/providers/features/register/action", 7),
        providers::register_feature,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/resourceGroups",
        "resource groups",
        Action("Microsoft.Resources/subscriptions/resourceGroups/read", 1),
        groups::list,
    ),
    offer(
        "GET",
        GROUP,
        "a resource group",
        Action("Microsoft.Resources/subscriptions/resourceGroups/read", 0),
        groups::get,
    ),
    offer(
        "HEAD",
        GROUP,
        "whether a resource group exists",
        Action("Microsoft.Resources/subscriptions/resourceGroups/read", 0),
        groups::head,
    ),
    offer(
        "PUT",
        GROUP,
        "make or change a resource group",
        Action("Microsoft.Resources/subscriptions/resourceGroups/write", 0),
        groups::put,
    ),
    offer(
        "PATCH",
        GROUP,
        "change the tags of a resource group",
        Action("Microsoft.Resources/subscriptions/resourceGroups/write", 0),
        groups::patch,
    ),
    offer(
        "DELETE",
        GROUP,
        "delete a resource group and everything in it",
        Action("Microsoft.Resources/subscriptions/resourceGroups/delete", 0),
        groups::delete,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/resourceGroups/{group}/resources",
        "resources of a group",
        Action("Microsoft.Resources/subscriptions/resourceGroups/resources/read", 1),
        subscriptions::resources,
    ),
    offer(
        "GET",
        "{scope}/providers/Microsoft.Authorization/roleDefinitions",
        "role definitions that can be assigned here",
        Action("Microsoft.Authorization/roleDefinitions/read", 3),
        roles::definitions,
    ),
    offer(
        "GET",
        "{scope}/providers/Microsoft.Authorization/roleDefinitions/{name}",
        "a role definition",
        Action("Microsoft.Authorization/roleDefinitions/read", 4),
        roles::definition,
    ),
    offer(
        "PUT",
        "{scope}/providers/Microsoft.Authorization/roleDefinitions/{name}",
        "make or change a custom role",
        Action("Microsoft.Authorization/roleDefinitions/write", 4),
        roles::put_definition,
    ),
    offer(
        "DELETE",
        "{scope}/providers/Microsoft.Authorization/roleDefinitions/{name}",
        "delete a custom role",
        Action("Microsoft.Authorization/roleDefinitions/delete", 4),
        roles::delete_definition,
    ),
    offer(
        "GET",
        "{scope}/providers/Microsoft.Authorization/roleAssignments",
        "role assignments",
        Action("Microsoft.Authorization/roleAssignments/read", 3),
        roles::assignments,
    ),
    offer(
        "PUT",
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
        "assign a role",
        Action("Microsoft.Authorization/roleAssignments/write", 4),
        roles::put_assignment,
    ),
    offer(
        "DELETE",
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
        "take a role away",
        Action("Microsoft.Authorization/roleAssignments/delete", 4),
        roles::delete_assignment,
    ),
    offer("PUT", DEPLOYMENT, "deploy a template", OfType, deployments::put),
    offer("GET", DEPLOYMENT, "a deployment", OfType, deployments::get),
    offer("HEAD", DEPLOYMENT, "whether a deployment exists", OfType, deployments::head),
    offer("DELETE", DEPLOYMENT, "forget a deployment", OfType, deployments::delete),
    offer(
        "POST",
        "{scope}/providers/Microsoft.Resources/deployments/{name}/validate",
        "check a deployment",
        OfType,
        deployments::validate,
    ),
    offer(
        "POST",
        "{scope}/providers/Microsoft.Resources/deployments/{name}/whatIf",
        "what a deployment would change",
        OfType,
        deployments::what_if,
    ),
    offer(
        "GET",
        "{scope}/providers/Microsoft.Resources/deployments/{name}/operations",
        "what a deployment did with each resource",
        Action("Microsoft.Resources/deployments/operations/read", 5),
        deployments::operations,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/resourceGroups/{group}/deployments/{name}/operations",
        "what a deployment did with each resource",
        Action("Microsoft.Resources/deployments/operations/read", 3),
        deployments::operations,
    ),
    offer("GET", TEMPLATE, "an image template", OfType, generic::get),
    offer("HEAD", TEMPLATE, "whether an image template exists", OfType, generic::head),
    offer("PUT", TEMPLATE, "make an image template", OfType, images::put),
    offer("PATCH", TEMPLATE, "change an image template", OfType, images::patch),
    offer(
        "DELETE",
        TEMPLATE,
        "delete an image template and its staging resource group",
        OfType,
        images::delete,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operations/{operation}",
        "how an operation stands",
        Token,
        lro::get,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operationResults/{operation}",
        "what an operation came to",
        Token,
        lro::result,
    ),
    offer(
        "POST",
        "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability",
        "whether a storage account can have a name",
        Action("Microsoft.Storage/checkNameAvailability/read", 3),
        storage::check_name,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/publishers",
        "publishers of platform images",
        Action("Microsoft.Compute/locations/publishers/read", 5),
        compute::catalogue,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/publishers/{publisher}/artifacttypes/vmimage/offers",
        "offers of a publisher",
        Action("Microsoft.Compute/locations/publishers/artifacttypes/offers/read", 9),
        compute::catalogue,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus",
        "skus of an offer",
        Action("Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/read", 11),
        compute::catalogue,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions",
        "versions of a platform image",
        Action("Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read", 13),
        compute::catalogue,
    ),
    offer(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions/{version}",
        "a version of a platform image",
        Action("Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read", 14),
        compute::version,
    ),
];

/// The operations on every resource type, by what its path addresses.
const OF_ITEMS: [Offer; 5] = [
    offer("GET", "{scope}/providers/{type}/{name}", "a resource", OfType, generic::get),
    offer("HEAD", "{scope}/providers/{type}/{name}", "whether a resource exists", OfType, generic::head),
    offer("PUT", "{scope}/providers/{type}/{name}", "make or replace a resource", OfType, generic::put),
    offer("PATCH", "{scope}/providers/{type}/{name}", "change a resource's tags", OfType, generic::patch),
    offer("DELETE", "{scope}/providers/{type}/{name}", "delete a resource", OfType, generic::delete),
];

const LIST: Offer = offer("GET", "{scope}/providers/{type}", "resources of a type", OfType, generic::list);
const ACTION: Offer = offer(
    "POST",
    "{scope}/providers/{type}/{name}/{action}",
    "an action that a type has",
    OfType,
    types::act,
);

/// An operation, and the variables of its path.
type Found = (&'static Offer, Vec<(&'static str, String)>);

/// The operation that answers a request.
///
/// # Errors
/// When nothing is offered there, or not by this method.
pub(crate) fn find(method: &Method, path: &Path) -> Result<Found, ArmError> {
    let mut others = false;
    for offer in OFFERS {
        if let Some(variables) = path.fit(offer.path) {
            if offer.method == method.as_str() {
                return Ok((offer, variables));
            }
            others = true;
        }
    }
    if let (Some(address), false) = (path.address(), others) {
        let found = match (address.rest.is_some(), method.as_str()) {
            (true, "GET") => Some(&LIST),
            (true, "POST") => Some(&ACTION),
            (true, _) => None,
            (false, _) if address.pairs.is_empty() => None,
            (false, method) => OF_ITEMS.iter().find(|offer| offer.method == method),
        };
        if let Some(offer) = found {
            return Ok((offer, Vec::new()));
        }
        others = true;
    }
    if others {
        let message = format!("The request method '{method}' is not offered for '{}'.", path.without(0));
        return Err(ArmError::new(http::StatusCode::METHOD_NOT_ALLOWED, "HttpMethodNotAllowed", message));
    }
    let message = format!("No operation is offered at '{}'.", path.without(0));
    Err(ArmError::not_found("InvalidResourceType", message))
}

impl Offer {
    /// The action that it needs, and where.
    pub fn action(&self, call: &Call<'_>) -> Result<(String, String), ArmError> {
        if let Action(action, last) = self.needs {
            let action = action.replace("{namespace}", call.variable("namespace"));
            return Ok((action, call.path.without(last)));
        }
        let address = call.path.address().ok_or_else(|| ArmError::internal("no address"))?;
        let (resource_type, scope) = match (&address.rest, self.method) {
            (Some(rest), "POST") => {
                return Ok((format!("{}/{rest}/action", address.resource_type()), address.listed_in()));
            }
            (Some(_), _) => (address.listed_type(), address.listed_in()),
            (None, _) => (address.resource_type(), address.id()),
        };
        let verb = match self.method {
            "GET" | "HEAD" => "read",
            "DELETE" => "delete",
            _ => "write",
        };
        Ok((format!("{resource_type}/{verb}"), scope))
    }
}

/// A date, and perhaps `-preview`. Clients speak many; they are not listed.
pub(crate) fn check_api_version(version: &str) -> Result<(), ArmError> {
    if version.is_empty() {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(ArmError::bad("MissingApiVersionParameter", message));
    }
    let date = version.get(..10).and_then(|date| date.parse::<jiff::civil::Date>().ok());
    let suffix = version.get(10..).unwrap_or_default();
    let known = suffix.is_empty()
        || suffix.strip_prefix('-').is_some_and(|word| {
            !word.is_empty()
                && word.len() < 20
                && word.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c.is_ascii_digit())
        });
    if date.is_none_or(|date| date.year() < 2014) || !known {
        let message = format!("The api-version '{version}' is invalid. It is a date, such as '2024-02-01'.");
        return Err(ArmError::bad("InvalidApiVersionParameter", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, path: &str) -> String {
        let method: Method = method.parse().expect("a method");
        match find(&method, &Path::parse(path).expect("a path")) {
            Ok((offer, _)) => offer.does.to_owned(),
            Err(error) => error.code,
        }
    }

    #[test]
    fn requests_find_their_operation() {
        for (method, path, does) in [
            ("GET", "/subscriptions", "the subscription"),
            ("GET", "/Subscriptions/s/resourcegroups/g", "a resource group"),
            ("POST", "/adfs/oauth2/token", "log in as a service principal"),
            ("GET", "/subscriptions/s/providers/Microsoft.Network", "a resource provider"),
            ("GET", "/subscriptions/s/providers/Microsoft.Network/virtualNetworks", "resources of a type"),
            ("PUT", "/subscriptions/s/resourcegroups/g/providers/A.B//c/n", "make or replace a resource"),
            ("POST", "/subscriptions/s/resourceGroups/g/providers/A.B/c/n/Run", "an action that a type has"),
            ("GET", "/subscriptions/s/resourceGroups/g/providers/A.B/c/n/d", "resources of a type"),
            ("PUT", "/subscriptions/s/resourceGroups/g/providers/A.B/c/n/d", "HttpMethodNotAllowed"),
            ("PUT", "/subscriptions/s", "HttpMethodNotAllowed"),
            ("GET", "/nothing/of/this", "InvalidResourceType"),
            ("GET", "/", "InvalidResourceType"),
        ] {
            assert_eq!(found(method, path), does, "{method} {path}");
        }
    }

    #[test]
    fn versions_are_dates() {
        for version in ["2024-02-01", "2018-02-01-preview", "2022-05-01-preview", "2026-03-03"] {
            assert_eq!(check_api_version(version), Ok(()), "{version}");
        }
        for version in
            ["", "2024-13-01", "latest", "2024-02-01-", "2024-02-01x", "1999-01-01", "2024-02-01-PREVIEW"]
        {
            assert!(check_api_version(version).is_err(), "{version}");
        }
    }
}
