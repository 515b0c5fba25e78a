//! `format`: composite formatting as .NET has it, for strings, integers and booleans.

use document::quote;

use super::{Made, text};
use crate::template::fault::Fault;
use crate::template::value::{Data, Val};

/// The most digits or blanks that a placeholder asks for.
const MAX_WIDTH: usize = 1000;

/// `format('{0}-{1:D3}', a, b)`.
pub fn format(values: &[Val]) -> Made {
    if let Some(unknown) = values[0].as_unknown() {
        return Ok(Val::because(unknown, None));
    }
    let (mut out, mut unknown, mut nameless) = (String::new(), None, false);
    let mut rest = text(&values[0])?;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let mark = &rest[at..];
        if mark.starts_with("{{") || mark.starts_with("}}") {
            out.push_str(&mark[..1]);
            rest = &mark[2..];
            continue;
        }
        let end = mark.find('}').filter(|_| mark.starts_with('{'));
        let Some(end) = end else {
            return Err(
                Fault::argument("a brace of the format is single").expecting("`{0}`, or `{{` for a brace")
            );
        };
        let value = argument(&mark[1..end], &values[1..])?;
        if let Some(why) = value.0.as_unknown() {
            unknown.get_or_insert_with(|| why.clone());
            nameless |= value.0.symbol().is_none();
            out.push_str(value.0.symbol().as_deref().unwrap_or_default());
        } else {
            out.push_str(&shown(&value.0, &value.1)?);
        }
        if out.len() > crate::template::value::MAX_SIZE {
            return Err(crate::template::value::too_large());
        }
        rest = &mark[end + 1..];
    }
    out.push_str(rest);
    match unknown {
        Some(unknown) => Ok(Val::because(&unknown, (!nameless).then_some(out))),
        None => Val::made_text(out),
    }
}

/// How a value is shown: `[,width][:specifier]`.
struct Shape {
    width: i64,
    specifier: String,
}

fn argument(placeholder: &str, values: &[Val]) -> Result<(Val, Shape), Fault> {
    let (place, specifier) = placeholder.split_once(':').unwrap_or((placeholder, ""));
    let (index, width) = place.split_once(',').unwrap_or((place, "0"));
    let wrong =
        || Fault::argument(format!("the format has a placeholder {}", quote(&format!("{{{placeholder}}}"))));
    let width: i64 = width.trim().parse().map_err(|_| wrong().expecting("a width after the comma"))?;
    let index: usize = index.trim().parse().map_err(|_| wrong().expecting("a number, such as `{0}`"))?;
    let value = values.get(index).ok_or_else(|| {
        wrong().expecting(format!("0 to {}: so many values are given", values.len().saturating_sub(1)))
    })?;
    Ok((value.clone(), Shape { width, specifier: specifier.to_owned() }))
}

fn shown(value: &Val, shape: &Shape) -> Result<String, Fault> {
    let plain = match &value.data {
        Data::Null => String::new(),
        Data::Integer(number) if !shape.specifier.is_empty() => integer(*number, &shape.specifier)?,
        Data::Array(_) | Data::Object(_) => super::json::write(value),
        Data::Float(number) => number.as_str().to_owned(),
        _ => value.symbol().unwrap_or_default().as_ref().to_owned(),
    };
    let width = usize::try_from(shape.width.unsigned_abs()).unwrap_or(usize::MAX);
    if width > MAX_WIDTH {
        return Err(Fault::argument("a placeholder of the format is too wide")
            .expecting(format!("at most {MAX_WIDTH}")));
    }
    Ok(if shape.width < 0 { format!("{plain:<width$}") } else { format!("{plain:>width$}") })
}

/// An integer by a .NET standard specifier (D, X, N, F) or by zeros.
fn integer(number: i64, specifier: &str) -> Result<String, Fault> {
    let unknown = || {
        Fault::argument(format!("the format has a specifier {}", quote(specifier)))
            .expecting("D, X, N, F with a number of digits, or zeros")
    };
    let (letter, digits) = specifier.split_at(specifier.chars().next().map_or(0, char::len_utf8));
    let digits: Option<usize> = if digits.is_empty() { None } else { digits.parse().ok() };
    if digits.is_some_and(|digits| digits > MAX_WIDTH) {
        return Err(unknown());
    }
    let sign = if number < 0 { "-" } else { "" };
    let magnitude = number.unsigned_abs();
    let fraction =
        |digits: usize| if digits == 0 { String::new() } else { format!(".{}", "0".repeat(digits)) };
    Ok(match (letter, digits) {
        ("D" | "d" | "G" | "g", digits) => format!("{sign}{magnitude:0>width$}", width = digits.unwrap_or(1)),
        ("X", digits) => format!("{number:0>width$X}", width = digits.unwrap_or(1)),
        ("x", digits) => format!("{number:0>width$x}", width = digits.unwrap_or(1)),
        ("F" | "f", digits) => format!("{sign}{magnitude}{}", fraction(digits.unwrap_or(2))),
        ("N" | "n", digits) => format!("{sign}{}{}", grouped(magnitude), fraction(digits.unwrap_or(2))),
        _ if specifier.bytes().all(|byte| byte == b'0') && specifier.len() <= MAX_WIDTH => {
            format!("{sign}{magnitude:0>width$}", width = specifier.len())
        }
        _ => return Err(unknown()),
    })
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
