//! Functions of URIs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use document::quote;

use super::{Function, Made, Run, expected, json, text};
use crate::template::fault::Fault;
use crate::template::value::{Data, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "buildUri", arity: (1, 1), does: "a URI of its parts: scheme, host, port, path, query", run: Run::Whole(build) },
    Function { name: "dataUri", arity: (1, 1), does: "a string as a data URI", run: Run::Whole(data) },
    Function { name: "dataUriToString", arity: (1, 1), does: "the string of a data URI", run: Run::Whole(data_to_string) },
    Function { name: "parseUri", arity: (1, 1), does: "the parts of a URI: scheme, host, port, path, query", run: Run::Whole(parse) },
    Function { name: "uri", arity: (2, 2), does: "a URI of a base and a relative one", run: Run::Whole(join) },
    Function { name: "uriComponent", arity: (1, 1), does: "a string with everything but letters, digits and `-_.~` as `%XX`", run: Run::Whole(|values| Val::made_text(component(text(&values[0])?))) },
    Function { name: "uriComponentToString", arity: (1, 1), does: "the string of such a component", run: Run::Whole(|values| Val::made_text(decoded(text(&values[0])?)?)) },
];

fn component(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

fn decoded(component: &str) -> Result<String, Fault> {
    let (mut bytes, mut rest) = (Vec::with_capacity(component.len()), component.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| *byte == b'%')
        {
            bytes.push(code);
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| Fault::argument(format!("{} holds no text", quote(component))))
}

fn data(values: &[Val]) -> Made {
    let (kind, text) = match &values[0].data {
        Data::Text(text) => ("text/plain;charset=utf8", text.as_ref().to_owned()),
        _ => ("application/json", json::write(&values[0])),
    };
    Val::made_text(format!("data:{kind};base64,{}", STANDARD.encode(text)))
}

fn data_to_string(values: &[Val]) -> Made {
    let whole = text(&values[0])?;
    let wrong =
        || Fault::argument(format!("{} is no data URI", quote(whole))).expecting("`data:...;base64,...`");
    let rest = whole.get(..5).filter(|start| start.eq_ignore_ascii_case("data:")).map(|_| &whole[5..]);
    let (kind, data) = rest.and_then(|rest| rest.split_once(',')).ok_or_else(wrong)?;
    if !kind.to_ascii_lowercase().ends_with(";base64") {
        return Val::made_text(decoded(data)?);
    }
    let bytes = STANDARD.decode(data.trim()).map_err(|_| wrong())?;
    Val::made_text(String::from_utf8(bytes).map_err(|_| wrong())?)
}

/// A URI: scheme with `://`, authority, and the rest from its path on.
fn parts(uri: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((scheme, &rest[..end], &rest[end..]))
}

/// Resolves a reference against a base (RFC 3986, section 5.2).
fn join(values: &[Val]) -> Made {
    let (base, relative) = (text(&values[0])?, text(&values[1])?);
    let wrong = || {
        Fault::argument(format!("{} is no absolute URI", quote(base)))
            .expecting("such as `https://host/path`")
    };
    let (scheme, authority, rest) = parts(base).ok_or_else(wrong)?;
    if parts(relative).is_some() {
        return Val::made_text(relative.to_owned());
    }
    if let Some(authority) = relative.strip_prefix("//") {
        return Val::made_text(format!("{scheme}://{authority}"));
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
    let (own, tail) = relative.split_at(relative.find(['?', '#']).unwrap_or(relative.len()));
    let merged = match own {
        "" => path.to_owned(),
        own if own.starts_with('/') => own.to_owned(),
        own => format!("{folder}{own}"),
    };
    Val::made_text(format!("{scheme}://{authority}{}{tail}", without_dots(&merged)))
}

/// A path without `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        match part {
            ".." | "." => {
                if part == ".." {
                    out.pop();
                }
                if parts.peek().is_none() {
                    out.push("");
                }
            }
            part => out.push(part),
        }
    }
    format!("/{}", out.join("/"))
}

fn parse(values: &[Val]) -> Made {
    let uri = text(&values[0])?;
    let wrong = || Fault::argument(format!("{} is no absolute URI", quote(uri)));
    let (scheme, authority, rest) = parts(uri).ok_or_else(wrong)?;
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Val::new(Data::Integer(port.parse().map_err(|_| wrong())?))),
        None => (authority, Val::new(Data::Null)),
    };
    Ok(Val::fields([
        ("scheme", Val::text(scheme)),
        ("host", Val::text(host)),
        ("port", port),
        ("path", Val::text(if path.is_empty() { "/" } else { path })),
        ("query", Val::text(query)),
    ]))
}

fn build(values: &[Val]) -> Made {
    values[0].as_object().ok_or_else(|| expected(&values[0], "an object"))?;
    let part = |name: &str| values[0].get(name).and_then(|value| value.symbol()).unwrap_or_default();
    let led = |mark: &str, part: &str| match part {
        "" => String::new(),
        part if part.starts_with(mark) => part.to_owned(),
        part => format!("{mark}{part}"),
    };
    let (path, query) = (led("/", &part("path")), led("?", &part("query")));
    Val::made_text(format!("{}://{}{}{path}{query}", part("scheme"), part("host"), led(":", &part("port"))))
}
