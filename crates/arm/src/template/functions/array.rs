//! Functions of arrays; those that take strings or objects, too, stand here as well.

use super::{Function, MANY, Made, Run, boolean, count, counted, expected, integer, items, text};
use crate::template::fault::Fault;
use crate::template::value::{Data, Field, Val, too_large};

/// The most numbers that `range` makes, and the largest of them ("Array functions for ARM templates").
const MAX_RANGE: i64 = 10_000;
const MAX_NUMBER: i64 = 2_147_483_647;

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "array", arity: (1, 1), does: "an array with this value, or the array itself", run: Run::Outer(array) },
    Function { name: "concat", arity: (1, MANY), does: "strings joined, or arrays joined", run: Run::Any(concat) },
    Function { name: "contains", arity: (2, 2), does: "whether an array holds a value, an object a key, a string a string", run: Run::Any(contains) },
    Function { name: "createArray", arity: (0, MANY), does: "an array of the arguments", run: Run::Any(|values| Val::array(values.to_vec())) },
    Function { name: "empty", arity: (1, 1), does: "whether an array, an object or a string is empty or null", run: Run::Outer(empty) },
    Function { name: "first", arity: (1, 1), does: "the first item or character", run: Run::Outer(first) },
    Function { name: "flatten", arity: (1, 1), does: "an array of the items of the arrays in an array", run: Run::Outer(flatten) },
    Function { name: "indexFromEnd", arity: (2, 2), does: "the item so many from the end, 1 the last", run: Run::Outer(|values| from_end(values, false)) },
    Function { name: "indexOf", arity: (2, 2), does: "the first place of an item, or of a string ignoring case; -1 for none", run: Run::Whole(|values| index_of(values, false)) },
    Function { name: "intersection", arity: (1, MANY), does: "what arrays or objects share", run: Run::Whole(intersection) },
    Function { name: "last", arity: (1, 1), does: "the last item or character", run: Run::Outer(last) },
    Function { name: "lastIndexOf", arity: (2, 2), does: "the last place of an item, or of a string ignoring case; -1 for none", run: Run::Whole(|values| index_of(values, true)) },
    Function { name: "length", arity: (1, 1), does: "the number of items, of characters, or of an object's members", run: Run::Outer(length) },
    Function { name: "max", arity: (1, MANY), does: "the largest of integers or of an array of them", run: Run::Whole(|values| extreme(values, true)) },
    Function { name: "min", arity: (1, MANY), does: "the smallest of integers or of an array of them", run: Run::Whole(|values| extreme(values, false)) },
    Function { name: "range", arity: (2, 2), does: "integers from a first one, so many", run: Run::Whole(range) },
    Function { name: "skip", arity: (2, 2), does: "the items or characters after so many", run: Run::Outer(skip) },
    Function { name: "take", arity: (2, 2), does: "so many first items or characters", run: Run::Outer(take) },
    Function { name: "tryIndexFromEnd", arity: (2, 2), does: "the item so many from the end, or null", run: Run::Outer(|values| from_end(values, true)) },
    Function { name: "union", arity: (1, MANY), does: "the items of arrays, each once; objects put together, the last value winning", run: Run::Any(union) },
];

fn array(values: &[Val]) -> Made {
    match &values[0].data {
        Data::Array(_) => Ok(values[0].clone()),
        _ => Val::array(vec![values[0].clone()]),
    }
}

fn concat(values: &[Val]) -> Made {
    let is_array = values.iter().any(|value| matches!(value.data, Data::Array(_)));
    if let Some(unknown) = values.iter().find_map(Val::as_unknown) {
        let parts: Option<Vec<_>> = values.iter().map(Val::symbol).collect();
        return Ok(Val::because(unknown, parts.map(|parts| parts.concat()).filter(|_| !is_array)));
    }
    if is_array {
        let lists: Result<Vec<_>, Fault> = values.iter().map(opened).collect();
        return Val::array(lists?.concat());
    }
    let texts: Result<Vec<_>, Fault> = values
        .iter()
        .map(|value| match (&value.data, value.symbol()) {
            (Data::Array(_) | Data::Object(_), _) | (_, None) => Err(expected(value, "strings, or arrays")),
            (_, Some(text)) => Ok(text),
        })
        .collect();
    Val::made_text(texts?.concat())
}

/// The items of an array, as open as it is.
fn opened(value: &Val) -> Result<Vec<Val>, Fault> {
    Ok(items(value)?.iter().map(|item| item.clone().within(value.open.as_ref())).collect())
}

fn contains(values: &[Val]) -> Made {
    let [container, wanted] = values else { return boolean(false) };
    if let Some(unknown) = container.as_unknown() {
        return Ok(Val::because(unknown, None));
    }
    let unknown =
        || Ok(wanted.unknown_inside().map_or(Val::unknown("an item"), |why| Val::because(why, None)));
    match &container.data {
        Data::Array(list) => {
            let answers: Vec<_> = list.items.iter().map(|item| item.equals(wanted)).collect();
            match answers.iter().position(Option::is_none) {
                _ if answers.contains(&Some(true)) => boolean(true),
                None => boolean(false),
                Some(open) => {
                    list.items[open].unknown_inside().map_or_else(unknown, |why| Ok(Val::because(why, None)))
                }
            }
        }
        _ if wanted.as_unknown().is_some() => unknown(),
        Data::Object(fields) => match (fields.find(text(wanted)?), &container.open) {
            (Some(_), _) => boolean(true),
            (None, None) => boolean(false),
            (None, Some(open)) => Ok(Val::unknown(format!("the fields of {open}"))),
        },
        Data::Text(whole) => boolean(whole.contains(wanted.symbol().as_deref().unwrap_or_default())),
        _ => Err(expected(container, "an array, an object or a string")),
    }
}

fn empty(values: &[Val]) -> Made {
    match &values[0].data {
        Data::Null => boolean(true),
        Data::Text(text) => boolean(text.is_empty()),
        Data::Array(list) => boolean(list.items.is_empty()),
        Data::Object(fields) => match &values[0].open {
            Some(open) if fields.members.is_empty() => Ok(Val::unknown(format!("the fields of {open}"))),
            _ => boolean(fields.members.is_empty()),
        },
        _ => Err(expected(&values[0], "an array, an object or a string")),
    }
}

/// An end of an array or a string; null, or nothing, where that is empty.
fn end(value: &Val, item: fn(&[Val]) -> Option<&Val>, letter: fn(&str) -> Option<char>) -> Made {
    match &value.data {
        Data::Array(list) => {
            let found = item(&list.items).cloned().unwrap_or(Val::new(Data::Null));
            Ok(found.within(value.open.as_ref()))
        }
        Data::Text(text) => Ok(Val::text(letter(text).map_or(String::new(), String::from))),
        _ => Err(expected(value, "an array or a string")),
    }
}

fn first(values: &[Val]) -> Made {
    end(&values[0], <[Val]>::first, |text| text.chars().next())
}

fn last(values: &[Val]) -> Made {
    end(&values[0], <[Val]>::last, |text| text.chars().next_back())
}

fn flatten(values: &[Val]) -> Made {
    let lists = opened(&values[0])?;
    if let Some(unknown) = lists.iter().find_map(Val::as_unknown) {
        return Ok(Val::because(unknown, None));
    }
    let size: usize = lists.iter().map(Val::size).sum();
    let inner: Result<Vec<_>, Fault> = lists.iter().map(opened).collect();
    if size > super::super::value::MAX_SIZE { Err(too_large()) } else { Val::array(inner?.concat()) }
}

fn from_end(values: &[Val], tries: bool) -> Made {
    let (list, place) = (items(&values[0])?, integer(&values[1])?);
    let place = usize::try_from(place).ok().filter(|place| *place > 0);
    let found = place.and_then(|place| list.get(list.len().checked_sub(place)?));
    match found {
        Some(item) => Ok(item.clone().within(values[0].open.as_ref())),
        None if tries => Ok(Val::new(Data::Null)),
        None => Err(Fault::new("no-item", "the array has no such item")
            .expecting(format!("1 to {}, counted from the end", list.len()))),
    }
}

fn index_of(values: &[Val], from_the_end: bool) -> Made {
    let found = match &values[0].data {
        Data::Array(list) => {
            let matches = |item: &Val| item.equals(&values[1]) == Some(true);
            if from_the_end {
                list.items.iter().rposition(matches)
            } else {
                list.items.iter().position(matches)
            }
        }
        Data::Text(whole) => {
            let (whole, wanted) = (whole.to_lowercase(), text(&values[1])?.to_lowercase());
            let byte = if from_the_end { whole.rfind(&wanted) } else { whole.find(&wanted) };
            byte.map(|byte| whole[..byte].encode_utf16().count())
        }
        _ => return Err(expected(&values[0], "an array or a string")),
    };
    found.map_or_else(|| Ok(Val::new(Data::Integer(-1))), counted)
}

fn intersection(values: &[Val]) -> Made {
    if let Data::Object(own) = &values[0].data {
        let shared = own.members.iter().filter(|member| {
            values[1..].iter().all(|other| {
                let found = other.as_object().and_then(|fields| fields.find(&member.key));
                found.is_some_and(|value| value.equals(&member.value) == Some(true))
            })
        });
        let shared = shared.cloned().collect();
        values[1..].iter().try_for_each(|other| match other.data {
            Data::Object(_) => Ok(()),
            _ => Err(expected(other, "an object, as the others are")),
        })?;
        return Val::object(shared);
    }
    let mut shared = distinct(items(&values[0])?.iter().cloned());
    for other in &values[1..] {
        let other = items(other)?;
        shared.retain(|item| other.iter().any(|one| one.equals(item) == Some(true)));
    }
    Val::array(shared)
}

/// Items without those that are there already.
fn distinct(items: impl Iterator<Item = Val>) -> Vec<Val> {
    let mut out: Vec<Val> = Vec::new();
    // Scalars are told apart by their text; comparing each with each would take too long.
    let mut seen = std::collections::HashSet::new();
    for item in items {
        let is_new = match (&item.data, item.symbol()) {
            (Data::Unknown(_), _) | (_, None) => !out.iter().any(|own| own.equals(&item) == Some(true)),
            (_, Some(text)) => seen.insert((item.describe(), text)),
        };
        if is_new {
            out.push(item);
        }
    }
    out
}

fn length(values: &[Val]) -> Made {
    match &values[0].data {
        Data::Text(text) => counted(text.encode_utf16().count()),
        Data::Array(list) => counted(list.items.len()),
        Data::Object(fields) => match &values[0].open {
            Some(open) => Ok(Val::unknown(format!("the fields of {open}"))),
            None => counted(fields.members.len()),
        },
        _ => Err(expected(&values[0], "an array, a string or an object")),
    }
}

fn extreme(values: &[Val], largest: bool) -> Made {
    let list = match values {
        [one] if one.as_array().is_some() => items(one)?,
        several => several,
    };
    let numbers: Result<Vec<_>, Fault> = list.iter().map(integer).collect();
    let numbers = numbers?.into_iter();
    let found = if largest { numbers.max() } else { numbers.min() };
    found.map_or_else(
        || Err(Fault::argument("the array is empty").expecting("at least one integer")),
        super::number,
    )
}

fn range(values: &[Val]) -> Made {
    let (from, many) = (integer(&values[0])?, integer(&values[1])?);
    if !(0..=MAX_RANGE).contains(&many) {
        let fault = Fault::argument(format!("`range` is to make {many} integers"));
        return Err(fault.expecting(format!("0 to {MAX_RANGE}")));
    }
    if from.saturating_add(many) > MAX_NUMBER {
        return Err(
            Fault::argument("the last integer is too large").expecting(format!("at most {MAX_NUMBER}"))
        );
    }
    Val::array((from..from + many).map(|number| Val::new(Data::Integer(number))).collect())
}

fn take(values: &[Val]) -> Made {
    let many = count(&values[1])?;
    match &values[0].data {
        Data::Array(list) => Ok(Val {
            open: values[0].open.clone(),
            ..Val::array(list.items.iter().take(many).cloned().collect())?
        }),
        Data::Text(text) => Ok(Val::text(text.chars().take(many).collect::<String>())),
        _ => Err(expected(&values[0], "an array or a string")),
    }
}

fn skip(values: &[Val]) -> Made {
    let many = count(&values[1])?;
    match &values[0].data {
        Data::Array(list) => Ok(Val {
            open: values[0].open.clone(),
            ..Val::array(list.items.iter().skip(many).cloned().collect())?
        }),
        Data::Text(text) => Ok(Val::text(text.chars().skip(many).collect::<String>())),
        _ => Err(expected(&values[0], "an array or a string")),
    }
}

/// Arrays or objects together; objects inside objects are put together, too.
fn union(values: &[Val]) -> Made {
    if let Some(unknown) = values.iter().find_map(Val::as_unknown) {
        return Ok(Val::because(unknown, None));
    }
    if values.iter().all(|value| matches!(value.data, Data::Object(_))) {
        let mut all = values.iter().cloned();
        let first = all.next().unwrap_or(Val::new(Data::Null));
        return all.try_fold(first, |own, more| joined(&own, &more));
    }
    let lists: Result<Vec<_>, Fault> = values.iter().map(opened).collect();
    Val::array(distinct(lists?.concat().into_iter()))
}

fn joined(own: &Val, more: &Val) -> Made {
    let (Data::Object(fields), Data::Object(other)) = (&own.data, &more.data) else {
        return Ok(more.clone());
    };
    let mut members = fields.members.clone();
    let mut places: std::collections::HashMap<String, usize> =
        members.iter().enumerate().map(|(at, member)| (member.key.to_ascii_lowercase(), at)).collect();
    for field in &other.members {
        let key = field.key.to_ascii_lowercase();
        if let Some(&at) = places.get(&key) {
            let value = joined(&members[at].value, &field.value)?;
            members[at] = Field { value, ..field.clone() };
        } else {
            places.insert(key, members.len());
            members.push(field.clone());
        }
    }
    let open = own.open.clone().or_else(|| more.open.clone());
    Ok(Val { open, ..Val::object(members)? }.placed(more.span))
}
