//! Blobs that the image service uses for a template: by a signature in their address, else by what the roles of the
//! template's identity let it (azure-image-builder.md 1.5, 5.3). Nothing goes over a network.

use std::fs::File;
use std::path::PathBuf;

use http::{HeaderMap, Method};

use super::{Access, Target, authorize, open, require_container, target_of};
use crate::LocalAzure;
use crate::call::Call;
use crate::error::ArmError;
use crate::path::Path;
use crate::transport::{Body, Request};

/// A blob's name and its file, opened. `uri` is an address of this endpoint, `object` the identity's object id.
pub(crate) fn read(azure: &LocalAzure, uri: &str, object: &str) -> Result<(Target, File), ArmError> {
    let (call, target) = admitted(azure, uri, object, Access::Read)?;
    let (file, _) = open(&call, &target)?;
    Ok((target, file))
}

/// Where a blob is to be written.
pub(crate) fn write(azure: &LocalAzure, uri: &str, object: &str) -> Result<(Target, PathBuf), ArmError> {
    let (call, target) = admitted(azure, uri, object, Access::Write)?;
    require_container(&call, &target)?;
    let file = azure.file_of(&target);
    Ok((target, file))
}

fn admitted<'a>(
    azure: &'a LocalAzure,
    uri: &str,
    object: &str,
    access: Access,
) -> Result<(Call<'a>, Target), ArmError> {
    let invalid = || ArmError::bad("InvalidUri", "The address is not one of a blob.");
    let parsed: http::Uri = uri.parse().map_err(|_| invalid())?;
    let method = if access == Access::Read { Method::GET } else { Method::PUT };
    let path = Path::parse(parsed.path())?;
    let request = Request {
        method,
        path: parsed.path().to_owned(),
        query: parsed.query().unwrap_or_default().to_owned(),
        headers: HeaderMap::new(),
        origin: String::new(),
        body: Body::Bytes(Vec::new()),
    };
    let call = Call { azure, request, path, variables: Vec::new(), principal: None };
    let (target, account) = target_of(&call)?;
    if target.container.is_empty() || target.blob.is_empty() {
        return Err(invalid());
    }
    if call.request.parameter("sig").is_some() {
        authorize::require(&call, &account, &target, access)?;
    } else {
        authorize::by_role(azure, object, &account, &target, access)?;
    }
    Ok((call, target))
}
