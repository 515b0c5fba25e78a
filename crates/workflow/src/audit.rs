//! The record of who asked for what, when, with which ids: one JSON line for each request that changes something, only ever
//! appended to.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use azure::Who;
use serde::Serialize;

use crate::error::Error;

/// The record, open for appending.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: File,
    who: Who,
}

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    action: &'a str,
    id: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
}

impl Audit {
    /// Opens the record, or begins one that its owner alone can read.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open(path: &Path, who: Who) -> Result<Self, Error> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.map_err(|error| Error::File { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned(), file, who })
    }

    /// Object id of whom the requests are made as, where the token tells.
    pub fn object_id(&self) -> Option<&str> {
        self.who.object_id.as_deref()
    }

    /// Writes down that something is asked for.
    ///
    /// # Errors
    /// When the record cannot be written: nothing is done that is not in it.
    pub fn asked(&mut self, action: &str, id: &str) -> Result<(), Error> {
        self.line(action, id, "asked", None)
    }

    /// Writes down how it went.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn ended(&mut self, action: &str, id: &str, failed: Option<&azure::Error>) -> Result<(), Error> {
        self.line(action, id, if failed.is_some() { "failed" } else { "done" }, failed)
    }

    fn line(
        &mut self,
        action: &str,
        id: &str,
        outcome: &str,
        failed: Option<&azure::Error>,
    ) -> Result<(), Error> {
        let line = Line {
            time: jiff::Timestamp::now().to_string(),
            tenant: self.who.tenant.as_deref(),
            object_id: self.who.object_id.as_deref(),
            client_id: self.who.client_id.as_deref(),
            action,
            id,
            outcome,
            code: failed.and_then(azure::Error::code),
            client_request_id: failed.map(|error| error.client_request_id.as_str()),
            correlation_id: failed.and_then(|error| error.correlation_id.as_deref()),
        };
        let failed = |error: std::io::Error| Error::File { path: self.path.clone(), error };
        let mut text = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        // One write, so that lines of two processes never mix.
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data()).map_err(failed)
    }
}
