//! Functions of objects. Those that take arrays, too, stand with these.

use std::collections::HashMap;

use super::{Function, MANY, Made, Run, expected, json, text};
use crate::template::eval;
use crate::template::fault::Fault;
use crate::template::value::{Data, Field, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "createObject", arity: (0, MANY), does: "an object of keys and values in turn", run: Run::Any(create) },
    Function { name: "items", arity: (1, 1), does: "an array of `{\"key\", \"value\"}`, sorted by key", run: Run::Outer(items) },
    Function { name: "json", arity: (1, 1), does: "what a JSON text holds", run: Run::Whole(|values| json::read(text(&values[0])?)) },
    Function { name: "null", arity: (0, 0), does: "null", run: Run::Any(|_| Ok(Val::new(Data::Null))) },
    Function { name: "objectKeys", arity: (1, 1), does: "the names of an object's members, sorted", run: Run::Outer(keys) },
    Function { name: "shallowMerge", arity: (1, 1), does: "the objects of an array put together, without those inside them", run: Run::Outer(merge) },
    Function { name: "tryGet", arity: (2, MANY), does: "a property or an item, then one of that, and so on; null where there is none", run: Run::Any(try_get) },
];

fn create(values: &[Val]) -> Made {
    if !values.len().is_multiple_of(2) {
        return Err(Fault::argument("a key is without a value").expecting("keys and values in turn"));
    }
    let mut members = Members::default();
    for pair in values.chunks_exact(2) {
        if let Some(unknown) = pair[0].as_unknown() {
            return Ok(Val::because(unknown, None));
        }
        members.put(text(&pair[0])?, pair[1].clone());
    }
    members.object()
}

/// Members of an object in the making; of several values of one key, ignoring case, the last one stays.
#[derive(Default)]
pub struct Members {
    list: Vec<Field>,
    places: HashMap<String, usize>,
}

impl Members {
    pub fn put(&mut self, key: &str, value: Val) {
        let place = *self.places.entry(key.to_ascii_lowercase()).or_insert(self.list.len());
        match self.list.get_mut(place) {
            Some(member) => member.value = value,
            None => self.list.push(Field::new(key, value)),
        }
    }

    pub fn object(self) -> Made {
        Val::object(self.list)
    }
}

/// The members of an object that is told whole, by key.
fn sorted(value: &Val) -> Result<Result<Vec<Field>, Val>, Fault> {
    let fields = value.as_object().ok_or_else(|| expected(value, "an object"))?;
    if let Some(open) = &value.open {
        return Ok(Err(Val::unknown(format!("the fields of {open}"))));
    }
    let mut members = fields.members.clone();
    members.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Ok(members))
}

fn items(values: &[Val]) -> Made {
    let members = match sorted(&values[0])? {
        Ok(members) => members,
        Err(unknown) => return Ok(unknown),
    };
    let item = |field: Field| {
        Val::object(vec![Field::new("key", Val::text(field.key)), Field::new("value", field.value)])
    };
    Val::array(members.into_iter().map(item).collect::<Result<_, _>>()?)
}

fn keys(values: &[Val]) -> Made {
    match sorted(&values[0])? {
        Ok(members) => Val::array(members.into_iter().map(|field| Val::text(field.key)).collect()),
        Err(unknown) => Ok(unknown),
    }
}

fn merge(values: &[Val]) -> Made {
    let (mut members, mut open) = (Members::default(), None);
    for object in super::items(&values[0])? {
        if let Some(unknown) = object.as_unknown() {
            return Ok(Val::because(unknown, None));
        }
        let fields = object.as_object().ok_or_else(|| expected(object, "an array of objects"))?;
        open = open.or_else(|| object.open.clone());
        for field in &fields.members {
            members.put(&field.key, field.value.clone());
        }
    }
    Ok(Val { open, ..members.object()? })
}

#[expect(clippy::unnecessary_wraps, reason = "the functions of the table may fail")]
fn try_get(values: &[Val]) -> Made {
    let mut value = values[0].clone();
    for key in &values[1..] {
        if value.as_unknown().is_some() || matches!(value.data, Data::Null) {
            return Ok(value);
        }
        value = eval::item(&value, key).unwrap_or(Val::new(Data::Null));
    }
    Ok(value)
}
