//! Functions that take functions: `lambda('name', ..., expression)`.

use std::collections::HashMap;
use std::rc::Rc;

use document::quote;

use super::{Function, MANY, Made, Run, items, object, text};
use crate::template::eval::{Call, Context};
use crate::template::fault::Fault;
use crate::template::parse::{Expression, Node};
use crate::template::value::{Data, Field, Unknown, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "filter", arity: (2, 2), does: "the items of an array for which a function of item and place is true", run: Run::Call(filter) },
    Function { name: "groupBy", arity: (2, 2), does: "an object of arrays of items by the key that a function gives", run: Run::Call(group_by) },
    Function { name: "lambda", arity: (1, MANY), does: "a function of variables, as an argument of the functions here", run: Run::Call(misplaced) },
    Function { name: "lambdaVariables", arity: (1, 1), does: "a variable of a `lambda` around this", run: Run::Call(variable) },
    Function { name: "map", arity: (2, 2), does: "an array of what a function of item and place gives", run: Run::Call(map) },
    Function { name: "mapValues", arity: (2, 2), does: "an object with the values that a function gives", run: Run::Call(map_values) },
    Function { name: "reduce", arity: (3, 3), does: "what a function of the result so far, item and place gives in the end", run: Run::Call(reduce) },
    Function { name: "sort", arity: (2, 2), does: "an array in the order that a function of two items tells", run: Run::Call(sort) },
    Function { name: "toObject", arity: (2, 3), does: "an object of the keys, and the values, that functions give", run: Run::Call(to_object) },
];

/// A `lambda` among the arguments of a function.
struct Lambda<'a> {
    names: Vec<Rc<str>>,
    body: &'a Expression,
}

impl Lambda<'_> {
    /// Calls the function; values that it has no names for are left out.
    fn call(&self, call: &Call<'_, '_, '_>, values: &[Val]) -> Made {
        let mut lambdas = call.context.lambdas.to_vec();
        lambdas.extend(self.names.iter().cloned().zip(values.iter().cloned()));
        // What it makes is kept in what the function around it makes.
        call.evaluator.keep(size_of::<Val>())?;
        call.evaluator.node(self.body, Context { lambdas: &lambdas, ..call.context })
    }
}

/// The lambda at a place of the arguments, of so many variables.
fn lambda<'a>(
    call: &Call<'a, '_, '_>,
    index: usize,
    (least, most): (usize, usize),
) -> Result<Lambda<'a>, Fault> {
    let given = &call.arguments[index];
    let wrong = |message: String| {
        let variables = if least == most { least.to_string() } else { format!("{least} to {most}") };
        call.wrong(index, Fault::argument(message).expecting(format!("`lambda` with {variables} variables")))
    };
    let Node::Call { name, arguments, .. } = &given.node else {
        return Err(wrong("this is no lambda function".to_owned()));
    };
    let Some((body, names)) = arguments.split_last().filter(|_| name.eq_ignore_ascii_case("lambda")) else {
        return Err(wrong("this is no lambda function".to_owned()));
    };
    let name = |argument: &Expression| match &argument.node {
        Node::Text(name) => Ok(Rc::clone(name)),
        _ => Err(wrong("the name of a variable is no string".to_owned())),
    };
    let names = names.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    if !(least..=most).contains(&names.len()) {
        return Err(wrong(format!("the lambda function has {} variables", names.len())));
    }
    Ok(Lambda { names, body })
}

/// The items of the first argument; or why they are not known.
fn listed(call: &Call<'_, '_, '_>) -> Result<Result<Vec<Val>, Rc<Unknown>>, Fault> {
    let list = call.argument(0)?;
    if let Some(unknown) = list.as_unknown() {
        return Ok(Err(unknown.clone()));
    }
    let listed = items(&list).map_err(|fault| call.wrong(0, fault))?;
    Ok(Ok(listed.iter().map(|item| item.clone().within(list.open.as_ref())).collect()))
}

/// Unwraps what [`listed`] found, or returns that it is not known.
macro_rules! known {
    ($listed:expr) => {
        match $listed {
            Ok(items) => items,
            Err(unknown) => return Ok(Val::because(&unknown, None)),
        }
    };
}

fn place(index: usize) -> Val {
    Val::new(Data::Integer(i64::try_from(index).unwrap_or(i64::MAX)))
}

fn truth(value: &Val) -> Result<Result<bool, Rc<Unknown>>, Fault> {
    match &value.data {
        Data::Bool(value) => Ok(Ok(*value)),
        Data::Unknown(unknown) => Ok(Err(unknown.clone())),
        _ => Err(super::expected(value, "a boolean from the lambda function")),
    }
}

fn filter(call: &Call<'_, '_, '_>) -> Made {
    let (items, test) = (known!(listed(call)?), lambda(call, 1, (1, 2))?);
    let mut kept = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        if known!(truth(&test.call(call, &[item.clone(), place(index)])?)?) {
            kept.push(item);
        }
    }
    Val::array(kept)
}

fn map(call: &Call<'_, '_, '_>) -> Made {
    let (items, make) = (known!(listed(call)?), lambda(call, 1, (1, 2))?);
    let results = items.into_iter().enumerate().map(|(index, item)| make.call(call, &[item, place(index)]));
    Val::array(results.collect::<Result<_, _>>()?)
}

fn reduce(call: &Call<'_, '_, '_>) -> Made {
    let (items, join) = (known!(listed(call)?), lambda(call, 2, (2, 3))?);
    let mut result = call.argument(1)?;
    for (index, item) in items.into_iter().enumerate() {
        result = join.call(call, &[result, item, place(index)])?;
    }
    Ok(result)
}

/// A stable merge sort, for the function may be no order at all, may fail and may not know.
fn sort(call: &Call<'_, '_, '_>) -> Made {
    let (items, before) = (known!(listed(call)?), lambda(call, 1, (2, 2))?);
    let mut runs: Vec<Vec<Val>> = items.into_iter().map(|item| vec![item]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(one) = pairs.next() {
            let Some(other) = pairs.next() else {
                merged.push(one);
                break;
            };
            let mut out = Vec::with_capacity(one.len() + other.len());
            let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
            while let (Some(left), Some(right)) = (one.peek(), other.peek()) {
                let swap = known!(truth(&before.call(call, &[right.clone(), left.clone()])?)?);
                out.extend(if swap { other.next() } else { one.next() });
            }
            out.extend(one);
            out.extend(other);
            merged.push(out);
        }
        runs = merged;
    }
    Val::array(runs.pop().unwrap_or_default())
}

fn to_object(call: &Call<'_, '_, '_>) -> Made {
    let (items, key) = (known!(listed(call)?), lambda(call, 1, (1, 1))?);
    let value = if call.arguments.len() > 2 { Some(lambda(call, 2, (1, 1))?) } else { None };
    let mut members = object::Members::default();
    for item in items {
        let key = key.call(call, std::slice::from_ref(&item))?;
        if let Some(unknown) = key.as_unknown() {
            return Ok(Val::because(unknown, None));
        }
        let key = text(&key).map_err(|fault| call.wrong(1, fault))?;
        let value = value.as_ref().map_or(Ok(item.clone()), |value| value.call(call, &[item]))?;
        members.put(key, value);
    }
    members.object()
}

fn group_by(call: &Call<'_, '_, '_>) -> Made {
    let (items, key) = (known!(listed(call)?), lambda(call, 1, (1, 1))?);
    let mut groups: Vec<(String, Vec<Val>)> = Vec::new();
    let mut places = HashMap::new();
    for item in items {
        let key = key.call(call, std::slice::from_ref(&item))?;
        if let Some(unknown) = key.as_unknown() {
            return Ok(Val::because(unknown, None));
        }
        let key = text(&key).map_err(|fault| call.wrong(1, fault))?;
        let place = *places.entry(key.to_ascii_lowercase()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, group)) => group.push(item),
            None => groups.push((key.to_owned(), vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(key, group)| Ok(Field::new(&key, Val::array(group)?)));
    Val::object(groups.collect::<Result<_, Fault>>()?)
}

fn map_values(call: &Call<'_, '_, '_>) -> Made {
    let (value, make) = (call.argument(0)?, lambda(call, 1, (1, 1))?);
    if let Some(unknown) = value.as_unknown() {
        return Ok(Val::because(unknown, None));
    }
    let fields = value.as_object().ok_or_else(|| call.wrong(0, super::expected(&value, "an object")))?;
    let mut members = Vec::with_capacity(fields.members.len());
    let open = &value.open;
    for field in &fields.members {
        let value = make.call(call, &[field.value.clone().within(open.as_ref())])?;
        members.push(Field { value, ..field.clone() });
    }
    Ok(Val { open: open.clone(), ..Val::object(members)? })
}

fn variable(call: &Call<'_, '_, '_>) -> Made {
    let name = call.argument(0)?;
    let name = text(&name).map_err(|fault| call.wrong(0, fault))?;
    let found = call.context.lambdas.iter().rev().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.clone()).ok_or_else(|| {
        call.wrong(
            0,
            Fault::new(
                "unknown-name",
                format!("no lambda function around this has a variable {}", quote(name)),
            ),
        )
    })
}

fn misplaced(_: &Call<'_, '_, '_>) -> Made {
    let fault = Fault::new("not-here", "a lambda function stands here");
    Err(fault.expecting(
        "it as an argument of `filter`, `map`, `reduce`, `sort`, `toObject`, `groupBy` or `mapValues`",
    ))
}
