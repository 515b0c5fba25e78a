//! Signatures of the blob service: Shared Key, and shared access signatures of an account, a container or a blob
//! ("Authorize with Shared Key", "Create an account SAS", "Create a service SAS" of Azure's documentation).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_LENGTH;
use ring::hmac;

use super::{Access, Target};
use crate::call::Call;
use crate::error::ArmError;
use crate::storage;
use crate::transport::parameters;

fn failed(why: &str) -> ArmError {
    let message = format!("Server failed to authenticate the request: {why}.");
    ArmError::forbidden("AuthenticationFailed", message)
}

/// Whether one of the account's keys has signed a text.
fn is_signed(call: &Call<'_>, account: &str, text: &str, signature: &str) -> bool {
    let Ok(tag) = STANDARD.decode(signature) else { return false };
    storage::keys(call.azure, account)
        .iter()
        .any(|(_, key)| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes(), &tag).is_ok())
}

/// `Authorization: SharedKey account:signature`.
pub(super) fn shared_key(call: &Call<'_>, target: &Target, given: &str) -> Result<(), ArmError> {
    let (account, signature) =
        given.trim().split_once(':').ok_or_else(|| failed("the signature is not readable"))?;
    if account != target.account {
        return Err(failed("the signature is another account's"));
    }
    let date = call.request.header("x-ms-date").or_else(|| call.request.header("date")).unwrap_or_default();
    check_date(date)?;
    if is_signed(call, account, &text_of_request(call, account), signature) {
        return Ok(());
    }
    Err(failed("the signature does not fit the request"))
}

/// A request holds for fifteen minutes.
fn check_date(date: &str) -> Result<(), ArmError> {
    let sent = jiff::fmt::rfc2822::parse(date).map_err(|_| failed("its date is missing or not readable"))?;
    let apart = jiff::Timestamp::now().as_second() - sent.timestamp().as_second();
    if apart.abs() > 900 { Err(failed("its date is more than fifteen minutes off")) } else { Ok(()) }
}

fn text_of_request(call: &Call<'_>, account: &str) -> String {
    let request = &call.request;
    let field = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let length = field(CONTENT_LENGTH.as_str());
    let mut lines = vec![request.method.as_str().to_owned()];
    for name in ["content-encoding", "content-language"] {
        lines.push(field(name));
    }
    lines.push(if length == "0" { String::new() } else { length });
    for name in [
        "content-md5",
        "content-type",
        "date",
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ] {
        lines.push(field(name));
    }
    if request.header("x-ms-date").is_some() {
        lines[6] = String::new();
    }
    let mut own: Vec<(String, String)> = request
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().trim().to_owned()))
        .collect();
    own.sort();
    lines.extend(own.into_iter().map(|(name, value)| format!("{name}:{value}")));
    lines.push(format!("/{account}{}", request.path));
    let mut query: Vec<(String, String)> = parameters(&request.query)
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    query.sort();
    lines.extend(query.into_iter().map(|(name, value)| format!("{name}:{value}")));
    lines.join("\n")
}

/// A signature in the query.
pub(super) fn shared_access(call: &Call<'_>, target: &Target, access: Access) -> Result<(), ArmError> {
    let all = parameters(&call.request.query);
    let field = |name: &str| all.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let version = field("sv");
    let text =
        if field("ss").is_empty() { service_text(target, &field)? } else { account_text(target, &field) };
    if version < "2018-11-09" {
        return Err(failed("signatures of versions before 2018-11-09 are not read"));
    }
    if !is_signed(call, &target.account, &text, field("sig")) {
        return Err(failed("the signature does not fit"));
    }
    check_times(field("st"), field("se"))?;
    if !field("sip").is_empty() || !field("si").is_empty() {
        return Err(failed("signatures bound to an address or a stored policy are not read"));
    }
    if !access.letters().chars().any(|letter| field("sp").contains(letter)) || !covers(target, access, &field)
    {
        let message = "This request is not authorized to perform this operation using this permission.";
        return Err(ArmError::forbidden("AuthorizationPermissionMismatch", message));
    }
    Ok(())
}

/// Whether a signature is for this kind of thing.
fn covers<'a>(target: &Target, access: Access, field: &impl Fn(&str) -> &'a str) -> bool {
    use Access::{DeleteContainer, ReadContainer, WriteContainer};
    let container = matches!(access, Access::List | ReadContainer | WriteContainer | DeleteContainer);
    match field("sr") {
        "" => {
            let level = if target.container.is_empty() {
                's'
            } else if container {
                'c'
            } else {
                'o'
            };
            field("ss").contains('b') && field("srt").contains(level)
        }
        "b" => !container,
        "c" => access == Access::List || !container,
        _ => false,
    }
}

fn check_times(start: &str, end: &str) -> Result<(), ArmError> {
    let now = jiff::Timestamp::now();
    // A date alone is its first moment.
    let time = |text: &str| {
        text.parse::<jiff::Timestamp>().ok().or_else(|| format!("{text}T00:00:00Z").parse().ok())
    };
    if !start.is_empty() && time(start).is_none_or(|start| start > now) {
        return Err(failed("the signature does not hold yet"));
    }
    match time(end) {
        Some(end) if end > now => Ok(()),
        _ => Err(failed("the signature has expired")),
    }
}

fn account_text<'a>(target: &Target, field: &impl Fn(&str) -> &'a str) -> String {
    let names: &[&str] = if field("sv") >= "2020-12-06" {
        &["sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses"]
    } else {
        &["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    };
    names.iter().fold(format!("{}\n", target.account), |text, name| text + field(name) + "\n")
}

fn service_text<'a>(target: &Target, field: &impl Fn(&str) -> &'a str) -> Result<String, ArmError> {
    let resource = match field("sr") {
        "b" => format!("/blob/{}/{}/{}", target.account, target.container, target.blob),
        "c" => format!("/blob/{}/{}", target.account, target.container),
        _ => return Err(failed("signatures of this kind of resource are not read")),
    };
    let mut parts = vec![
        field("sp"),
        field("st"),
        field("se"),
        &resource,
        field("si"),
        field("sip"),
        field("spr"),
        field("sv"),
    ];
    parts.extend([field("sr"), ""]);
    if field("sv") >= "2020-12-06" {
        parts.push(field("ses"));
    }
    parts.extend(["rscc", "rscd", "rsce", "rscl", "rsct"].map(field));
    Ok(parts.join("\n"))
}
