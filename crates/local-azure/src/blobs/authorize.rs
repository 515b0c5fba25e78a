//! Who may use a blob: a token and its roles, the account's key, or a shared access signature. Nothing is public.

use access::Action;
use http::header::AUTHORIZATION;

use super::{Target, id_of, signature};
use crate::LocalAzure;
use crate::call::Call;
use crate::error::ArmError;
use crate::identity::Audience;
use crate::store::Row;

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Delete,
    List,
    ReadContainer,
    WriteContainer,
    DeleteContainer,
}

const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";

impl Access {
    /// The operation that a role has to grant.
    fn action(self) -> Action<'static> {
        match self {
            Self::Read | Self::List => {
                Action::Data("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read")
            }
            Self::Write => {
                Action::Data("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write")
            }
            Self::Delete => {
                Action::Data("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete")
            }
            Self::ReadContainer => {
                Action::Control("Microsoft.Storage/storageAccounts/blobServices/containers/read")
            }
            Self::WriteContainer => {
                Action::Control("Microsoft.Storage/storageAccounts/blobServices/containers/write")
            }
            Self::DeleteContainer => {
                Action::Control("Microsoft.Storage/storageAccounts/blobServices/containers/delete")
            }
        }
    }

    /// Letters of which a signature has to have one.
    pub(super) fn letters(self) -> &'static str {
        match self {
            // An account's signature may do with containers what it may with blobs; any other may not.
            Self::Read | Self::ReadContainer => "r",
            Self::Write | Self::WriteContainer => "wc",
            Self::Delete | Self::DeleteContainer => "d",
            Self::List => "l",
        }
    }
}

/// Refuses whoever may not.
pub(super) fn require(
    call: &Call<'_>,
    account: &Row,
    target: &Target,
    access: Access,
) -> Result<(), ArmError> {
    let header = call.request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match header.and_then(|header| header.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            let principal = call.azure.principal_of(token.trim(), Audience::Storage)?;
            by_role(call.azure, &principal.object, account, target, access)
        }
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sharedkey") => {
            signature::shared_key(call, target, rest)
        }
        Some(_) => Err(ArmError::bad("InvalidAuthenticationInfo", "The authentication scheme is not known.")),
        None if call.request.parameter("sig").is_some() => signature::shared_access(call, target, access),
        None => {
            let message =
                "Server failed to authenticate the request. Public access is not permitted on this account.";
            Err(ArmError::unauthenticated("NoAuthenticationInformation", message))
        }
    }
}

/// Refuses whom no role lets.
pub(super) fn by_role(
    azure: &LocalAzure,
    object: &str,
    account: &Row,
    target: &Target,
    access: Access,
) -> Result<(), ArmError> {
    let scope = format!("{}/blobServices/default/containers/{}", id_of(account), target.container);
    if azure.may(object, access.action(), &scope)? {
        return Ok(());
    }
    let message = format!(
        "This request is not authorized to perform this operation using this permission: {} (or another operation of \
         {BLOBS}) at {scope}.",
        access.action()
    );
    Err(ArmError::forbidden("AuthorizationPermissionMismatch", message))
}
