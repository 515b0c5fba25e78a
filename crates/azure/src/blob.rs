//! Blobs: listed and read with a token, never with an account's key.

use azure_core::http::{StatusCode, Url};
use azure_core::time::OffsetDateTime;
use azure_storage_blob::models::BlobClientDownloadOptions;
use azure_storage_blob::{BlobClient, BlobClientOptions, BlobContainerClient, BlobContainerClientOptions};
use diagnosis::redact;
use futures::TryStreamExt;
use futures::executor::block_on;

use crate::client::Client;
use crate::error::{Error, ErrorKind, ServiceError};
use crate::wire::WireError;

/// A blob of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its name in the container.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified: Option<i64>,
}

impl Client {
    /// The blobs of a container.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn blobs(&self, container: &str) -> Result<Vec<Blob>, Error> {
        let url = address(container)?;
        let (credential, client_options) = self.storage();
        let options = BlobContainerClientOptions { client_options, ..Default::default() };
        let failed = |error| failed("GET", container, &error);
        let client = BlobContainerClient::new(url, Some(credential), Some(options)).map_err(failed)?;
        let listed = block_on(async { client.list_blobs(None)?.try_collect::<Vec<_>>().await });
        let blob = |item: azure_storage_blob::models::BlobItem| {
            let properties = item.properties?;
            Some(Blob {
                name: item.name?,
                length: properties.content_length.unwrap_or(0),
                modified: properties.last_modified.map(OffsetDateTime::unix_timestamp),
            })
        };
        Ok(listed.map_err(failed)?.into_iter().filter_map(blob).collect())
    }

    /// What a blob holds from an offset on; none when it is not there, nothing at its end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn download(&self, blob: &str, from: u64) -> Result<Option<Vec<u8>>, Error> {
        let url = address(blob)?;
        let (credential, client_options) = self.storage();
        let options = BlobClientOptions { client_options, ..Default::default() };
        let failed = |error| failed("GET", blob, &error);
        let client = BlobClient::new(url, Some(credential), Some(options)).map_err(failed)?;
        let range = (from > 0).then(|| (from..).into());
        let options = BlobClientDownloadOptions { range, ..Default::default() };
        let read = block_on(async { client.download(Some(options)).await?.body.collect().await });
        match read {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(None),
            Err(error) if error.http_status() == Some(StatusCode::RequestedRangeNotSatisfiable) => {
                Ok(Some(Vec::new()))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn address(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| {
        Error::local(ErrorKind::Malformed { message: format!("no address of a blob: {error}") })
    })
}

fn failed(method: &str, url: &str, error: &azure_core::Error) -> Error {
    let kind = match (error.downcast_ref::<WireError>(), error.http_status()) {
        (Some(WireError { message, sent }), _) => {
            ErrorKind::Connection { message: redact(message), sent: *sent }
        }
        (None, Some(status)) => {
            let code = match error.kind() {
                azure_core::error::ErrorKind::HttpResponse { error_code: Some(code), .. } => code.clone(),
                _ => String::new(),
            };
            let error = ServiceError { code, message: redact(&error.to_string()), details: Vec::new() };
            ErrorKind::Refused { status: status.into(), error }
        }
        (None, None) => ErrorKind::Malformed { message: redact(&error.to_string()) },
    };
    let path = url.split('?').next().unwrap_or_default();
    Error { request: format!("{method} {path}"), ..Error::local(kind) }
}
