//! Tokens: JSON web tokens (RFC 7519), signed with HMAC and SHA-256.
//!
//! Only this endpoint makes and reads them, so there is one algorithm and no choice of it: a token whose header says
//! anything else is not read on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::{Principal, Secrets};
use crate::error::ArmError;

/// How long a token holds, in seconds.
pub(crate) const LIFE: i64 = 3600;

/// How far clocks may be apart, in seconds.
const SKEW: i64 = 60;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The resource manager, and what stands in for Microsoft Graph.
    Manager,
    /// Blobs.
    Storage,
}

impl Audience {
    /// The audience of a scope or resource that a client asks for; `https://localhost:8443//.default` is a real one.
    pub fn of_scope(scope: &str) -> Self {
        let resource = scope.trim_end_matches("/.default").trim_end_matches('/');
        let storage = resource.eq_ignore_ascii_case("https://storage.azure.com")
            || resource.to_ascii_lowercase().contains(".blob.");
        if storage { Self::Storage } else { Self::Manager }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Manager => "https://management.azure.com/",
            Self::Storage => "https://storage.azure.com/",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    appid: String,
    oid: String,
    sub: String,
    tid: String,
    ver: String,
}

fn key(secrets: &Secrets) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, format!("token {}", secrets.signing_key).as_bytes())
}

fn issuer(secrets: &Secrets) -> String {
    format!("https://sts.windows.net/{}/", secrets.tenant)
}

/// A token for a principal.
pub(crate) fn issue(
    secrets: &Secrets,
    principal: &Principal,
    audience: Audience,
    now: i64,
) -> Result<String, ArmError> {
    let claims = Claims {
        aud: audience.name().to_owned(),
        iss: issuer(secrets),
        iat: now,
        nbf: now,
        exp: now + LIFE,
        appid: principal.client.clone(),
        oid: principal.object.clone(),
        sub: principal.object.clone(),
        tid: secrets.tenant.clone(),
        ver: "1.0".to_owned(),
    };
    let claims = serde_json::to_vec(&claims).map_err(|error| ArmError::internal(error.to_string()))?;
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&key(secrets), signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref())))
}

/// The object id of whom a token was given to.
///
/// # Errors
/// Azure's: `InvalidAuthenticationToken`, `InvalidAuthenticationTokenAudience`, `ExpiredAuthenticationToken`.
pub(crate) fn verify(
    secrets: &Secrets,
    token: &str,
    audience: Audience,
    now: i64,
) -> Result<String, ArmError> {
    let invalid = || ArmError::unauthenticated("InvalidAuthenticationToken", "The access token is invalid.");
    let (signed, tag) = token.rsplit_once('.').ok_or_else(invalid)?;
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| invalid())?;
    hmac::verify(&key(secrets), signed.as_bytes(), &tag).map_err(|_| invalid())?;
    let (header, claims) = signed.split_once('.').ok_or_else(invalid)?;
    if header != URL_SAFE_NO_PAD.encode(HEADER) {
        return Err(invalid());
    }
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| invalid())?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| invalid())?;
    if claims.iss != issuer(secrets) || claims.nbf > now + SKEW {
        return Err(invalid());
    }
    if claims.aud != audience.name() {
        let message = "The access token has been obtained for wrong audience or resource.";
        return Err(ArmError::unauthenticated("InvalidAuthenticationTokenAudience", message));
    }
    if claims.exp <= now {
        return Err(ArmError::unauthenticated("ExpiredAuthenticationToken", "The access token has expired."));
    }
    Ok(claims.oid)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn secrets(signing_key: &str) -> Secrets {
        let text = |text: &str| text.to_owned();
        Secrets {
            tenant: text("t"),
            subscription: text("s"),
            client_id: text("c"),
            client_secret: text("x"),
            object_id: text("o"),
            signing_key: text(signing_key),
        }
    }

    fn principal() -> Principal {
        let text = |text: &str| text.to_owned();
        Principal { object: text("o"), client: text("c"), name: text("first"), kind: Kind::Application }
    }

    fn code(token: &str, audience: Audience, now: i64) -> String {
        verify(&secrets("k"), token, audience, now).expect_err("must be refused").code
    }

    #[test]
    fn a_token_holds_for_its_hour_and_its_audience() {
        let token = issue(&secrets("k"), &principal(), Audience::Manager, 1_000).expect("a token");
        assert_eq!(verify(&secrets("k"), &token, Audience::Manager, 1_000 + LIFE - 1), Ok("o".to_owned()));
        assert_eq!(code(&token, Audience::Manager, 1_000 + LIFE), "ExpiredAuthenticationToken");
        assert_eq!(code(&token, Audience::Manager, 1_000 - SKEW - 1), "InvalidAuthenticationToken");
        assert_eq!(code(&token, Audience::Storage, 1_000), "InvalidAuthenticationTokenAudience");
    }

    #[test]
    fn a_forged_or_foreign_token_is_refused() {
        let token = issue(&secrets("another"), &principal(), Audience::Manager, 1_000).expect("a token");
        assert_eq!(code(&token, Audience::Manager, 1_000), "InvalidAuthenticationToken");
        let own = issue(&secrets("k"), &principal(), Audience::Manager, 1_000).expect("a token");
        let (_, claims_and_tag) = own.split_once('.').expect("three parts");
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        for forged in
            [format!("{none}.{claims_and_tag}"), format!("{own}x"), own.replace('.', ""), String::new()]
        {
            assert_eq!(code(&forged, Audience::Manager, 1_000), "InvalidAuthenticationToken", "{forged}");
        }
    }

    #[test]
    fn scopes_as_clients_write_them() {
        for (scope, audience) in [
            ("https://localhost:8443//.default", Audience::Manager),
            ("https://management.azure.com/.default", Audience::Manager),
            ("https://storage.azure.com/.default", Audience::Storage),
            ("https://storage.azure.com/", Audience::Storage),
        ] {
            assert_eq!(Audience::of_scope(scope), audience, "{scope}");
        }
    }
}
