//! One request on its way to its answer.

use http::StatusCode;
use serde_json::{Value, json};

use crate::LocalAzure;
use crate::error::ArmError;
use crate::identity::Principal;
use crate::path::Path;
use crate::transport::{Request, Response};

/// What an operation answers.
pub(crate) type Answer = Result<Response, ArmError>;

/// A request, who sent it, and what its path names.
pub(crate) struct Call<'a> {
    pub azure: &'a LocalAzure,
    pub request: Request,
    pub path: Path,
    /// Variables of the operation's pattern.
    pub variables: Vec<(&'static str, String)>,
    /// Who calls; nobody where the operation needs no token.
    pub principal: Option<Principal>,
}

impl Call<'_> {
    /// A variable of the pattern.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    /// The body as a JSON object.
    pub fn object(&self) -> Result<Value, ArmError> {
        let value: Value = serde_json::from_slice(self.request.bytes()).map_err(|error| {
            let message =
                format!("The request content was invalid and could not be deserialized: '{error}'.");
            ArmError::bad("InvalidRequestContent", message)
        })?;
        if value.is_object() {
            return Ok(value);
        }
        let message =
            "The request content was invalid and could not be deserialized: 'an object is expected'.";
        Err(ArmError::bad("InvalidRequestContent", message))
    }

    /// Who calls.
    pub fn caller(&self) -> Result<&Principal, ArmError> {
        self.principal
            .as_ref()
            .ok_or_else(|| ArmError::internal("an operation without a token asked who calls"))
    }

    /// The version of the interface that the client speaks.
    pub fn api_version(&self) -> String {
        self.request.parameter("api-version").unwrap_or_default()
    }

    /// A list; `after` is where its next page begins.
    pub fn list(&self, values: &[Value], after: Option<&str>) -> Response {
        let mut list = json!({ "value": values });
        if let Some(after) = after {
            let skip = percent_encoding::utf8_percent_encode(after, percent_encoding::NON_ALPHANUMERIC);
            let others: Vec<_> = self
                .request
                .query
                .split('&')
                .filter(|part| {
                    !part.to_ascii_lowercase().starts_with("%24skiptoken=")
                        && !part.to_ascii_lowercase().starts_with("$skiptoken=")
                })
                .collect();
            let path = &self.request.path;
            list["nextLink"] =
                format!("{}{path}?{}&%24skiptoken={skip}", self.request.origin, others.join("&")).into();
        }
        Response::json(StatusCode::OK, &list)
    }

    /// Where a page begins: after this key.
    pub fn after(&self) -> Option<String> {
        self.request.parameter("$skiptoken")
    }
}
