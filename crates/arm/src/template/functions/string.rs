//! Functions of strings. Those that take arrays, too, stand with these.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use document::quote;

use super::{Function, MANY, Made, Run, boolean, count, expected, format, hash, integer, items, json, text};
use crate::template::eval::Call;
use crate::template::fault::Fault;
use crate::template::value::{Data, Val};

/// The longest text that `padLeft` makes.
const MAX_PADDED: usize = 131_072;

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "base64", arity: (1, 1), does: "a string in base64", run: Run::Whole(|values| Val::made_text(STANDARD.encode(text(&values[0])?))) },
    Function { name: "base64ToJson", arity: (1, 1), does: "what a JSON text in base64 holds", run: Run::Whole(|values| json::read(&decoded(text(&values[0])?)?)) },
    Function { name: "base64ToString", arity: (1, 1), does: "a string from base64", run: Run::Whole(|values| Val::made_text(decoded(text(&values[0])?)?)) },
    Function { name: "endsWith", arity: (2, 2), does: "whether a string ends with another, ignoring case", run: Run::Whole(|values| ends(values, |one, other| one.ends_with(other))) },
    Function { name: "fail", arity: (1, 1), does: "nothing: the deployment fails with this message", run: Run::Whole(fail) },
    Function { name: "format", arity: (1, MANY), does: "a string with `{0}`, `{1}` and so on replaced", run: Run::Any(format::format) },
    Function { name: "guid", arity: (1, MANY), does: "a UUID that hangs on the arguments alone: version 5 in the name space of Azure", run: Run::Whole(|values| Ok(Val::text(hash::guid(&parts(values)?)))) },
    Function { name: "join", arity: (2, 2), does: "the strings of an array, with another between them", run: Run::Whole(join) },
    Function { name: "newGuid", arity: (0, 0), does: "a new UUID; only in the default of a parameter", run: Run::Call(|call| only_in_default(call, "a new one for every deployment")) },
    Function { name: "padLeft", arity: (2, 3), does: "a string filled up on its left", run: Run::Whole(pad) },
    Function { name: "replace", arity: (3, 3), does: "a string with one part replaced by another everywhere", run: Run::Whole(replace) },
    Function { name: "split", arity: (2, 2), does: "the parts of a string between one delimiter or several", run: Run::Whole(split) },
    Function { name: "startsWith", arity: (2, 2), does: "whether a string starts with another, ignoring case", run: Run::Whole(|values| ends(values, |one, other| one.starts_with(other))) },
    Function { name: "string", arity: (1, 1), does: "a value as a string; arrays and objects as JSON", run: Run::Whole(string) },
    Function { name: "substring", arity: (2, 3), does: "a part of a string, from a place, so long", run: Run::Whole(substring) },
    Function { name: "toLower", arity: (1, 1), does: "a string in lower case", run: Run::Whole(|values| Val::made_text(text(&values[0])?.to_lowercase())) },
    Function { name: "toUpper", arity: (1, 1), does: "a string in upper case", run: Run::Whole(|values| Val::made_text(text(&values[0])?.to_uppercase())) },
    Function { name: "trim", arity: (1, 1), does: "a string without the blanks around it", run: Run::Whole(|values| Ok(Val::text(text(&values[0])?.trim()))) },
    Function { name: "uniqueString", arity: (1, MANY), does: "13 characters that hang on the arguments alone", run: Run::Whole(|values| Ok(Val::text(hash::unique_string(&parts(values)?)))) },
];

fn decoded(coded: &str) -> Result<String, Fault> {
    let bytes = STANDARD
        .decode(coded.trim())
        .map_err(|_| Fault::argument(format!("{} is no base64", quote(coded))))?;
    String::from_utf8(bytes).map_err(|_| Fault::argument("the base64 holds no text").expecting("UTF-8"))
}

/// The arguments of a hash, joined with `-`.
fn parts(values: &[Val]) -> Result<String, Fault> {
    let parts: Result<Vec<_>, Fault> = values.iter().map(text).collect();
    Ok(parts?.join("-"))
}

fn ends(values: &[Val], does: fn(&str, &str) -> bool) -> Made {
    boolean(does(&text(&values[0])?.to_lowercase(), &text(&values[1])?.to_lowercase()))
}

fn fail(values: &[Val]) -> Made {
    Err(Fault::new("failed", format!("the template fails: {}", text(&values[0])?)))
}

/// A value that no two deployments share.
pub fn only_in_default(call: &Call<'_, '_, '_>, what: &str) -> Made {
    if !call.context.is_default {
        let fault =
            Fault::new("not-here", format!("`{}` stands outside of a parameter's default", call.name));
        return Err(fault.hinting("make it the default of a parameter, and use the parameter here"));
    }
    call.values()?;
    Ok(Val::unknown(format!("`{}()`, {what}; give the parameter a value", call.name)))
}

fn join(values: &[Val]) -> Made {
    let parts: Option<Vec<_>> = items(&values[0])?.iter().map(Val::symbol).collect();
    let parts = parts.ok_or_else(|| Fault::argument("the array does not hold strings alone"))?;
    let delimiter = text(&values[1])?;
    let size: usize = parts.iter().map(|part| part.len() + delimiter.len()).sum();
    if size > crate::template::value::MAX_SIZE {
        return Err(crate::template::value::too_large());
    }
    Val::made_text(parts.join(delimiter))
}

fn pad(values: &[Val]) -> Made {
    let whole = match &values[0].data {
        Data::Text(_) | Data::Integer(_) => values[0].symbol().unwrap_or_default(),
        _ => return Err(expected(&values[0], "a string or an integer")),
    };
    let (length, with) = (count(&values[1])?, values.get(2).map_or(Ok(" "), text)?);
    let mut letters = with.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(Fault::argument(format!("{} is not one character", quote(with))));
    };
    if length > MAX_PADDED {
        return Err(Fault::argument(format!("the string is to be {length} long"))
            .expecting(format!("at most {MAX_PADDED}")));
    }
    let missing = length.saturating_sub(whole.chars().count());
    Val::made_text(std::iter::repeat_n(letter, missing).chain(whole.chars()).collect())
}

fn replace(values: &[Val]) -> Made {
    let [whole, old, new] = [text(&values[0])?, text(&values[1])?, text(&values[2])?];
    if old.is_empty() {
        return Err(Fault::argument("an empty string cannot be replaced"));
    }
    let found = whole.matches(old).count();
    if whole.len().saturating_add(found.saturating_mul(new.len())) > crate::template::value::MAX_SIZE {
        return Err(crate::template::value::too_large());
    }
    Val::made_text(whole.replace(old, new))
}

fn split(values: &[Val]) -> Made {
    let whole = text(&values[0])?;
    let delimiters: Vec<&str> = match &values[1].data {
        Data::Array(list) => list.items.iter().map(text).collect::<Result<_, _>>()?,
        _ => vec![text(&values[1])?],
    };
    let delimiters: Vec<_> = delimiters.into_iter().filter(|delimiter| !delimiter.is_empty()).collect();
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(letter) = whole[at..].chars().next() {
        match delimiters.iter().find(|delimiter| whole[at..].starts_with(**delimiter)) {
            Some(delimiter) => {
                parts.push(Val::text(&whole[start..at]));
                at += delimiter.len();
                start = at;
            }
            None => at += letter.len_utf8(),
        }
    }
    parts.push(Val::text(&whole[start..]));
    Val::array(parts)
}

fn string(values: &[Val]) -> Made {
    match &values[0].data {
        Data::Text(_) => Ok(values[0].clone()),
        Data::Bool(_) => Ok(Val::text(values[0].symbol().unwrap_or_default())),
        _ => Val::made_text(json::write(&values[0])),
    }
}

fn substring(values: &[Val]) -> Made {
    let whole: Vec<char> = text(&values[0])?.chars().collect();
    let start = usize::try_from(integer(&values[1])?).ok();
    let rest = start.and_then(|start| whole.get(start..));
    let rest = rest.ok_or_else(|| {
        Fault::argument("the place is outside of the string").expecting(format!("0 to {}", whole.len()))
    })?;
    let Some(length) = values.get(2) else { return Val::made_text(rest.iter().collect()) };
    let part = usize::try_from(integer(length)?).ok().and_then(|length| rest.get(..length));
    let part = part.ok_or_else(|| {
        Fault::argument("the string is not so long").expecting(format!("0 to {} from this place", rest.len()))
    })?;
    Val::made_text(part.iter().collect())
}
