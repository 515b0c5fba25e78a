//! What the endpoint offers: the operation that answers a request, and what it needs. The first that fits answers.

mod table;

use http::Method;

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::path::Path;
use crate::{generic, types};

pub(crate) use table::OFFERS;

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

use Needs::{Action, OfType};

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
            (
                "PUT",
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.VirtualMachineImages/imageTemplates/t/runOutputs/o",
                "HttpMethodNotAllowed",
            ),
            (
                "PUT",
                "/subscriptions/s/providers/Microsoft.Resources/deployments/d/operations/o",
                "HttpMethodNotAllowed",
            ),
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
