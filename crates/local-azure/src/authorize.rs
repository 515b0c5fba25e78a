//! Who may: tokens are checked here, roles by `access`, which also answers `check`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use access::{Access, Action, Answer, Scope, Told};
use arm::{Environment, Inventory};
use document::SourceText;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::LocalAzure;
use crate::error::ArmError;
use crate::identity::{Audience, Principal};
use crate::store::Row;
use crate::transport::Request;

/// What roles grant, and which version of them that is.
pub(crate) type Authorization = Mutex<Option<(i64, Arc<Access>)>>;

impl LocalAzure {
    /// Who sent a request, by its token.
    pub(crate) fn authenticate(&self, request: &Request) -> Result<Principal, ArmError> {
        let missing = || {
            let message =
                "Authentication failed. The 'Authorization' header is missing or is not a bearer token.";
            ArmError::unauthenticated("AuthenticationFailed", message)
        };
        let header =
            request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
        let (scheme, token) = header.split_once(' ').ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        self.principal_of(token.trim(), Audience::Manager)
    }

    /// Whether a principal may do something; the error is Azure's, and names what is missing.
    pub(crate) fn require(&self, principal: &Principal, action: &str, scope: &str) -> Result<(), ArmError> {
        if self.may(&principal.object, Action::Control(action), scope)? {
            return Ok(());
        }
        let message = format!(
            "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope \
             '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            principal.client, principal.object
        );
        Err(ArmError::forbidden("AuthorizationFailed", message))
    }

    /// The same, for what a resource is linked with: an identity that is assigned, a subnet that is joined.
    pub(crate) fn require_linked(
        &self,
        principal: &Principal,
        (action, scope): (&str, &str),
        (linked, linked_scope): (&str, &str),
    ) -> Result<(), ArmError> {
        if self.may(&principal.object, Action::Control(linked), linked_scope)? {
            return Ok(());
        }
        let message = format!(
            "The client '{}' with object id '{}' has permission to perform action '{action}' on scope '{scope}'; \
             however, it does not have permission to perform action(s) '{linked}' on the linked scope(s) \
             '{linked_scope}' (respectively) or the linked scope(s) are invalid.",
            principal.client, principal.object
        );
        Err(ArmError::forbidden("LinkedAuthorizationFailed", message))
    }

    /// Whether an object id may do something. What is not decided, such as a condition, is not granted.
    pub(crate) fn may(&self, object: &str, action: Action<'_>, scope: &str) -> Result<bool, ArmError> {
        let access = self.access()?;
        let principal = Told::Known(object.to_owned());
        Ok(matches!(access.may(&principal, action, &Scope::new(scope)), Answer::Granted { .. }))
    }

    /// All that roles grant at the moment.
    pub(crate) fn access(&self) -> Result<Arc<Access>, ArmError> {
        let version: i64 = self.store.read(|connection| {
            let sql = "SELECT version FROM authorization";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })?;
        let mut kept = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((own, access)) = kept.as_ref()
            && *own >= version
        {
            return Ok(Arc::clone(access));
        }
        let inventory = self.inventory(&[
            "microsoft.authorization/roledefinitions",
            "microsoft.authorization/roleassignments",
            "microsoft.authorization/denyassignments",
        ])?;
        let access = Arc::new(Access::read(&inventory));
        *kept = Some((version, Arc::clone(&access)));
        Ok(access)
    }

    /// The resources of types that begin so, for those who reason about documents.
    pub(crate) fn inventory(&self, types: &[&str]) -> Result<Inventory, ArmError> {
        let text = self.document(types)?;
        let mut environment = Environment::read(SourceText::new("state", text));
        let Ok(inventory) = environment.open(|_| Ok::<_, Infallible>(SourceText::new("state", "{}")));
        Ok(inventory)
    }

    /// The resources of types that begin so as one document, those of networks in other subscriptions among them.
    pub(crate) fn document(&self, types: &[&str]) -> Result<String, ArmError> {
        let rows: Vec<Value> = self.store.read(|connection| {
            let mut rows = Vec::new();
            for resource_type in types {
                rows.extend(
                    Row::of_types(connection, resource_type, "/subscriptions")?
                        .into_iter()
                        .map(|row| row.body),
                );
            }
            Ok(rows)
        })?;
        Ok(json!({ "value": rows }).to_string())
    }
}
