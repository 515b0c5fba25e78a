//! Blobs: files of the state's folder, `blobs/<account>/<container>/<blob>`, behind the part of the blob service that
//! staging and script accounts need. What it does not offer, it says so.

mod authorize;
mod list;
pub(crate) mod service;
mod signature;

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use http::header::{
    ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::{Method, StatusCode};
use rustix::fs::SeekFrom;

use crate::LocalAzure;
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::path::Path;
use crate::store::Row;
use crate::transport::{Body, Content, Request, Response};

pub(crate) use authorize::Access;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub account: String,
    pub container: String,
    /// Name of the blob; empty for a container or the account.
    pub blob: String,
}

impl LocalAzure {
    /// The folder of a container, made when missing; of the account for an empty name. Names are checked by whoever takes
    /// them from a request.
    pub(crate) fn container(&self, account: &str, container: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join("blobs").join(account).join(container);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Removes an account's blobs.
    pub(crate) fn remove_account(&self, account: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.folder.join("blobs").join(account)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The file of a blob, or the folder of a container.
    pub(crate) fn file_of(&self, target: &Target) -> PathBuf {
        let folder = self.folder.join("blobs").join(&target.account).join(&target.container);
        if target.blob.is_empty() { folder } else { folder.join(&target.blob) }
    }
}

/// The answer to a request about blobs; errors are the blob service's XML.
pub(crate) fn handle(call: &mut Call<'_>) -> Response {
    let answer = answer(call);
    if let Err(ArmError { internal: Some(internal), .. }) = &answer {
        (call.azure.log)(&format!("{} {}: {internal}", call.request.method, call.request.path));
    }
    let version = call.request.header("x-ms-version").unwrap_or("2021-12-02").to_owned();
    answer.unwrap_or_else(|error| refused(&error)).with_field("x-ms-version", &version)
}

fn refused(error: &ArmError) -> Response {
    let mut response = Response::empty(error.status).with_field("x-ms-error-code", &error.code);
    let text = list::escaped(&error.message);
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{text}</Message></Error>",
        error.code
    );
    response.body = Content::Bytes(xml.into_bytes());
    response.with(CONTENT_TYPE, "application/xml")
}

/// Takes an upload's head alone, before anything of its body is kept: the request again, or its refusal.
pub(crate) fn admit_upload(azure: &LocalAzure, request: Request) -> Result<Request, Box<Response>> {
    let refused = |error: &ArmError| Box::new(refused(error));
    let path = Path::parse(&request.path).map_err(|error| refused(&error))?;
    let call = Call { azure, request, path, variables: Vec::new(), principal: None };
    match admit(&call) {
        Ok(_) => Ok(call.request),
        Err(error) => Err(refused(&error)),
    }
}

/// What a request is about, for whoever may.
fn admit(call: &Call<'_>) -> Result<Target, ArmError> {
    let (target, account) = target_of(call)?;
    let comp = call.request.parameter("comp").unwrap_or_default();
    let is_container = call.request.parameter("restype").as_deref() == Some("container");
    let access = access_of(&call.request.method, &target, is_container, &comp);
    authorize::require(call, &account, &target, access)?;
    Ok(target)
}

/// What a path is about, and its account.
fn target_of(call: &Call<'_>) -> Result<(Target, Row), ArmError> {
    let mut segments = call.path.segments().iter();
    let account = segments.next().cloned().unwrap_or_default();
    let container = segments.next().cloned().unwrap_or_default();
    let target = Target { account, container, blob: segments.cloned().collect::<Vec<_>>().join("/") };
    let subscription = call.azure.subscription();
    let row = call
        .azure
        .store
        .read(|connection| crate::storage::of_name(connection, &subscription, &target.account))?;
    let row =
        row.ok_or_else(|| ArmError::not_found("ResourceNotFound", "The specified account does not exist."))?;
    Ok((target, row))
}

fn answer(call: &mut Call<'_>) -> Answer {
    let target = admit(call)?;
    let comp = call.request.parameter("comp").unwrap_or_default();
    let is_container = call.request.parameter("restype").as_deref() == Some("container");
    let method = call.request.method.clone();
    match (method.as_str(), is_container, comp.as_str(), target.blob.is_empty()) {
        ("GET", false, "list", true) if target.container.is_empty() => list::containers(call, &target),
        ("GET", true, "list", true) => list::blobs(call, &target),
        ("GET" | "HEAD", true, "", true) => container_properties(call, &target),
        ("PUT", true, "", true) => make_container(call, &target),
        ("DELETE", true, "", true) => remove_container(call, &target),
        ("GET", false, "pagelist", false) => list::pages(call, &target),
        ("GET" | "HEAD", false, "", false) => read(call, &target),
        ("PUT", false, "", false) => write(call, &target),
        ("DELETE", false, "", false) => delete(call, &target),
        _ => Err(ArmError::not_implemented(format!(
            "the operation '{method} comp={comp}' of the blob service"
        ))),
    }
}

fn access_of(method: &Method, target: &Target, is_container: bool, comp: &str) -> Access {
    match (method.as_str(), is_container || target.blob.is_empty()) {
        ("GET", true) if comp == "list" && !target.container.is_empty() => Access::List,
        ("GET" | "HEAD", true) => Access::ReadContainer,
        ("PUT", true) => Access::WriteContainer,
        (_, true) => Access::DeleteContainer,
        ("GET" | "HEAD", false) => Access::Read,
        ("DELETE", false) => Access::Delete,
        _ => Access::Write,
    }
}

/// 3 to 63 lower-case letters, digits and hyphens.
fn check_container(name: &str) -> Result<(), ArmError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (3..=63).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(ArmError::bad("InvalidResourceName", "The specified resource name contains invalid characters."))
}

fn no_container() -> ArmError {
    ArmError::not_found("ContainerNotFound", "The specified container does not exist.")
}

fn no_blob() -> ArmError {
    ArmError::not_found("BlobNotFound", "The specified blob does not exist.")
}

fn require_container(call: &Call<'_>, target: &Target) -> Result<PathBuf, ArmError> {
    let folder = call.azure.file_of(&Target { blob: String::new(), ..target.clone() });
    if folder.is_dir() { Ok(folder) } else { Err(no_container()) }
}

/// A time as HTTP writes it.
fn http_date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Changes whenever the file does.
fn etag(meta: &Metadata) -> String {
    format!("\"0x{:X}{:X}{:X}{:X}\"", meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec())
}

fn with_times(response: Response, meta: &Metadata) -> Response {
    response.with(ETAG, &etag(meta)).with(LAST_MODIFIED, &http_date(meta.mtime()))
}

fn container_properties(call: &Call<'_>, target: &Target) -> Answer {
    let folder = require_container(call, target)?;
    Ok(with_times(Response::empty(StatusCode::OK), &fs::metadata(folder)?))
}

fn make_container(call: &Call<'_>, target: &Target) -> Answer {
    check_container(&target.container)?;
    if call.azure.file_of(target).is_dir() {
        let message = "The specified container already exists.";
        return Err(ArmError::conflict("ContainerAlreadyExists", message));
    }
    let folder = call.azure.container(&target.account, &target.container)?;
    Ok(with_times(Response::empty(StatusCode::CREATED), &fs::metadata(folder)?))
}

fn remove_container(call: &Call<'_>, target: &Target) -> Answer {
    fs::remove_dir_all(require_container(call, target)?)?;
    Ok(Response::empty(StatusCode::ACCEPTED))
}

/// A blob's file, opened.
fn open(call: &Call<'_>, target: &Target) -> Result<(File, Metadata), ArmError> {
    require_container(call, target)?;
    let file = File::open(call.azure.file_of(target)).map_err(|_| no_blob())?;
    let meta = file.metadata()?;
    if meta.is_file() { Ok((file, meta)) } else { Err(no_blob()) }
}

/// Conditions of a request against what is there.
fn check_conditions(call: &Call<'_>, meta: Option<&Metadata>) -> Result<(), ArmError> {
    let field = |name| call.request.headers.get(name).and_then(|value| value.to_str().ok());
    let own = meta.map(etag);
    let fits = |wanted: &str| own.as_deref().is_some_and(|own| wanted == "*" || wanted == own);
    if field(IF_MATCH).is_some_and(|wanted| !fits(wanted)) {
        let message = "The condition specified using HTTP conditional header(s) is not met.";
        return Err(ArmError::new(StatusCode::PRECONDITION_FAILED, "ConditionNotMet", message));
    }
    if field(IF_NONE_MATCH).is_some_and(fits) {
        return Err(ArmError::conflict("BlobAlreadyExists", "The specified blob already exists."));
    }
    Ok(())
}

/// `bytes=0-99` as first byte and length; everything for no range.
fn range(text: Option<&str>, size: u64) -> Result<(u64, u64), ArmError> {
    let Some(text) = text else { return Ok((0, size)) };
    let invalid = || {
        let message = "The range specified is invalid for the current size of the resource.";
        ArmError::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message)
    };
    let (first, last) =
        text.strip_prefix("bytes=").and_then(|text| text.split_once('-')).ok_or_else(invalid)?;
    let first: u64 = first.parse().map_err(|_| invalid())?;
    let last: u64 = if last.is_empty() { u64::MAX } else { last.parse().map_err(|_| invalid())? };
    if first >= size || last < first {
        return Err(invalid());
    }
    Ok((first, last.min(size - 1) - first + 1))
}

/// Disks are page blobs, as Azure's are, so that clients skip their holes.
fn blob_type(target: &Target) -> &'static str {
    if target.blob.to_ascii_lowercase().ends_with(".vhd") { "PageBlob" } else { "BlockBlob" }
}

fn read(call: &Call<'_>, target: &Target) -> Answer {
    let (file, meta) = open(call, target)?;
    check_conditions(call, Some(&meta))?;
    let wanted = call.request.header("x-ms-range").or_else(|| call.request.header(RANGE.as_str()));
    let size = meta.len();
    let (start, length) = range(wanted, size)?;
    let status = if wanted.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = with_times(Response::empty(status), &meta)
        .with(CONTENT_TYPE, "application/octet-stream")
        .with(ACCEPT_RANGES, "bytes")
        .with_field("x-ms-blob-type", blob_type(target))
        .with_field("x-ms-creation-time", &http_date(meta.mtime()))
        .with_field("x-ms-lease-status", "unlocked")
        .with_field("x-ms-lease-state", "available")
        .with_field("x-ms-server-encrypted", "true");
    if wanted.is_some() {
        response = response.with(CONTENT_RANGE, &format!("bytes {start}-{}/{size}", start + length - 1));
    }
    response.body = Content::Part(file, start, length);
    Ok(response)
}

/// A whole blob at once.
fn write(call: &mut Call<'_>, target: &Target) -> Answer {
    require_container(call, target)?;
    let kind = call.request.header("x-ms-blob-type").unwrap_or("BlockBlob");
    if kind != "BlockBlob" || call.request.header("x-ms-copy-source").is_some() {
        return Err(ArmError::not_implemented(format!("writing a blob as {kind}, or as a copy")));
    }
    if call.request.headers.keys().any(|name| name.as_str().starts_with("x-ms-meta-")) {
        return Err(ArmError::not_implemented("metadata of a blob"));
    }
    let path = call.azure.file_of(target);
    check_conditions(call, fs::metadata(&path).ok().as_ref())?;
    let Body::File(file) = std::mem::replace(&mut call.request.body, Body::Bytes(Vec::new())) else {
        return Err(ArmError::internal("an upload without a file"));
    };
    let clash =
        |_| ArmError::conflict("BlobNameConflict", "A blob has the name of a part of this one's path.");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(clash)?;
    }
    if path.is_dir() {
        return Err(clash(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let kept = file.persist(&path).map_err(|error| ArmError::from(error.error))?;
    let response = with_times(Response::empty(StatusCode::CREATED), &kept.metadata()?);
    Ok(response.with_field("x-ms-request-server-encrypted", "true"))
}

fn delete(call: &Call<'_>, target: &Target) -> Answer {
    let (_, meta) = open(call, target)?;
    check_conditions(call, Some(&meta))?;
    fs::remove_file(call.azure.file_of(target))?;
    Ok(Response::empty(StatusCode::ACCEPTED).with_field("x-ms-delete-type-permanent", "true"))
}

/// The parts of a file that hold data, as first and last byte, in whole pages of 512 bytes.
fn extents(file: &File, size: u64) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(data) = rustix::fs::seek(file, SeekFrom::Data(at)) else { break };
        let hole = rustix::fs::seek(file, SeekFrom::Hole(data)).unwrap_or(size);
        let (first, last) = (data / 512 * 512, (hole.div_ceil(512) * 512).min(size) - 1);
        match all.last_mut() {
            Some((_, end)) if *end + 1 >= first => *end = last,
            _ => all.push((first, last)),
        }
        at = hole;
    }
    all
}

/// The account of a target, for whoever asks about roles.
fn id_of(account: &Row) -> &str {
    account.body["id"].as_str().unwrap_or_default()
}
