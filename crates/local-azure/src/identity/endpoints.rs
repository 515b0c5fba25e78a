//! Discovery and logging in, as real clients need them (azure-clients.md 2.1).

use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::json;

use super::Principal;
use super::token::{Audience, LIFE, issue, verify};
use crate::LocalAzure;
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::transport::{Response, parameters};

impl LocalAzure {
    /// Whom a token was given to, and that he is still there.
    pub(crate) fn principal_of(&self, token: &str, audience: Audience) -> Result<Principal, ArmError> {
        let now = jiff::Timestamp::now().as_second();
        let object = verify(&self.secrets, token, audience, now)?;
        let found = self.store.read(|connection| Principal::find(connection, &object))?;
        found.ok_or_else(|| {
            ArmError::unauthenticated(
                "InvalidAuthenticationToken",
                "The principal of the access token does not exist.",
            )
        })
    }
}

pub(crate) fn metadata(call: &mut Call<'_>) -> Answer {
    let origin = &call.request.origin;
    let body = json!({
        "name": "local", "portal": origin, "resourceManager": format!("{origin}/"),
        "authentication": {
            "loginEndpoint": format!("{origin}/adfs"), "audiences": [format!("{origin}/")],
            "tenant": "common", "identityProvider": "ADFS",
        },
        "graphAudience": format!("{origin}/"), "graph": origin, "microsoftGraphResourceId": origin,
        "media": origin, "batch": origin, "gallery": origin, "sqlManagement": origin,
        "activeDirectoryDataLake": origin, "logAnalyticsResourceId": origin, "vmImageAliasDoc": "",
        "suffixes": { "storage": "localhost", "keyVaultDns": "vault.localhost" },
    });
    Ok(Response::json(StatusCode::OK, &body))
}

pub(crate) fn openid(call: &mut Call<'_>) -> Answer {
    let (origin, tenant) = (&call.request.origin, call.variable("tenant"));
    let end = if tenant.eq_ignore_ascii_case("adfs") { "oauth2/token" } else { "oauth2/v2.0/token" };
    let body = json!({
        "issuer": format!("{origin}/{tenant}"),
        "authorization_endpoint": format!("{origin}/{tenant}/oauth2/authorize"),
        "token_endpoint": format!("{origin}/{tenant}/{end}"),
        "jwks_uri": format!("{origin}/{tenant}/discovery/keys"),
        "response_types_supported": ["token"], "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["HS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    });
    Ok(Response::json(StatusCode::OK, &body))
}

/// A token for a client id and its secret. Errors have OAuth's form (RFC 6749, 5.2).
pub(crate) fn token(call: &mut Call<'_>) -> Answer {
    let form = String::from_utf8_lossy(call.request.bytes()).into_owned();
    let form = parameters(&form);
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    let refused = |status, error: &str, description: &str| {
        let body = json!({ "error": error, "error_description": description });
        Ok(Response::json(status, &body).with(CACHE_CONTROL, "no-store"))
    };
    if field("grant_type") != "client_credentials" {
        let description = "only client_credentials are granted: log in as a service principal";
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", description);
    }
    let (client, secret) = (field("client_id"), field("client_secret"));
    let now = jiff::Timestamp::now().as_second();
    let found = call.azure.store.read(|connection| Principal::log_in(connection, client, secret, now))?;
    let Some(principal) = found else {
        let description =
            "the client id or secret is not one of this endpoint's; it prints them when it starts";
        return refused(StatusCode::UNAUTHORIZED, "invalid_client", description);
    };
    let scope =
        [field("scope"), field("resource")].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let token = issue(call.azure.secrets(), &principal, Audience::of_scope(scope), now)?;
    let body = json!({
        "token_type": "Bearer", "expires_in": LIFE, "ext_expires_in": LIFE, "expires_on": (now + LIFE).to_string(),
        "access_token": token,
    });
    Ok(Response::json(StatusCode::OK, &body).with(CACHE_CONTROL, "no-store"))
}
