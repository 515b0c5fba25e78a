//! Lists of containers and blobs, and the pages of a disk, in XML as the blob service writes it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::{Target, blob_type, etag, extents, http_date, open, range, require_container, with_times};
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::transport::{Content, Response};

/// The most items in one page of a list.
const PAGE: usize = 5000;

/// A text inside XML. Characters that XML cannot hold are left out.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && c != '\t' => {}
            c => out.push(c),
        }
    }
    out
}

fn xml(body: String) -> Response {
    let mut response = Response::empty(StatusCode::OK);
    response.body = Content::Bytes(body.into_bytes());
    response.with(CONTENT_TYPE, "application/xml")
}

pub(super) fn containers(call: &Call<'_>, target: &Target) -> Answer {
    let mut names: Vec<(String, fs::Metadata)> = Vec::new();
    if let Ok(entries) = fs::read_dir(call.azure.file_of(target)) {
        for entry in entries.flatten() {
            names.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?));
        }
    }
    names.sort_by(|one, other| one.0.cmp(&other.0));
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Containers>");
    for (name, meta) in names.iter().filter(|(_, meta)| meta.is_dir()) {
        let _ = write!(
            body,
            "<Container><Name>{}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>{}</Etag></Properties></Container>",
            escaped(name),
            http_date(meta.mtime()),
            escaped(&etag(meta))
        );
    }
    body.push_str("</Containers><NextMarker /></EnumerationResults>");
    Ok(xml(body))
}

/// Every file below a folder, by its path inside, in the order of names.
fn files(folder: &Path, inside: &str, all: &mut Vec<(String, fs::Metadata)>) -> Result<(), ArmError> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{inside}{}", entry.file_name().to_string_lossy());
        let meta = entry.metadata()?;
        if meta.is_dir() {
            files(&entry.path(), &format!("{name}/"), all)?;
        } else if meta.is_file() {
            all.push((name, meta));
        }
    }
    Ok(())
}

pub(super) fn blobs(call: &Call<'_>, target: &Target) -> Answer {
    let folder = require_container(call, target)?;
    let wanted = |name: &str| call.request.parameter(name).unwrap_or_default();
    let (prefix, marker, delimiter) = (wanted("prefix"), wanted("marker"), wanted("delimiter"));
    let most = wanted("maxresults").parse().unwrap_or(PAGE).clamp(1, PAGE);
    let mut all = Vec::new();
    files(&folder, "", &mut all)?;
    all.retain(|(name, _)| name.starts_with(&prefix) && (marker.is_empty() || *name >= marker));
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let next = all.get(most).map(|(name, _)| name.clone()).unwrap_or_default();
    all.truncate(most);
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"{}\"><Prefix>{}</Prefix><Blobs>",
        escaped(&target.container),
        escaped(&prefix)
    );
    let mut folders: Vec<String> = Vec::new();
    for (name, meta) in &all {
        let rest = &name[prefix.len()..];
        if let Some(at) = rest.find(&delimiter).filter(|_| !delimiter.is_empty()) {
            let folder = format!("{prefix}{}", &rest[..at + delimiter.len()]);
            if folders.last() != Some(&folder) {
                let _ = write!(body, "<BlobPrefix><Name>{}</Name></BlobPrefix>", escaped(&folder));
                folders.push(folder);
            }
            continue;
        }
        let own = Target { blob: name.clone(), ..target.clone() };
        let (date, tag, kind) = (http_date(meta.mtime()), escaped(&etag(meta)), blob_type(&own));
        let _ = write!(
            body,
            "<Blob><Name>{}</Name><Properties><Creation-Time>{date}</Creation-Time><Last-Modified>{date}</Last-Modified>\
             <Etag>{tag}</Etag><Content-Length>{}</Content-Length><Content-Type>application/octet-stream</Content-Type>\
             <BlobType>{kind}</BlobType><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>\
             </Properties></Blob>",
            escaped(name),
            meta.len()
        );
    }
    let _ = write!(body, "</Blobs><NextMarker>{}</NextMarker></EnumerationResults>", escaped(&next));
    Ok(xml(body))
}

/// Which pages of a disk hold data.
pub(super) fn pages(call: &Call<'_>, target: &Target) -> Answer {
    let (file, meta) = open(call, target)?;
    let wanted = call.request.header("x-ms-range").or_else(|| call.request.header("range"));
    let (start, length) = range(wanted, meta.len())?;
    let end = start + length.saturating_sub(1);
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><PageList>");
    for (first, last) in extents(&file, meta.len()) {
        let (first, last) = (first.max(start), last.min(end));
        if first <= last {
            let _ = write!(body, "<PageRange><Start>{first}</Start><End>{last}</End></PageRange>");
        }
    }
    body.push_str("</PageList>");
    Ok(with_times(xml(body), &meta).with_field("x-ms-blob-content-length", &meta.len().to_string()))
}
