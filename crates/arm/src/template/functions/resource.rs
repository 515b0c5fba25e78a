//! Functions of resources: their ids, and what is known of them.

use document::quote;

use super::scope::lacking;
use super::{Function, MANY, Made, Run, text};
use crate::ResourceId;
use crate::template::eval::Call;
use crate::template::fault::Fault;
use crate::template::frame::Named;
use crate::template::place::{Level, Place, is_open};
use crate::template::value::{Data, Field, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "extensionResourceId", arity: (3, MANY), does: "the id of a resource that extends another", run: Run::Any(extension) },
    Function { name: "list*", arity: (1, 3), does: "what a resource provider lists (`listKeys` and others): a run-time value of this name", run: Run::Call(list) },
    Function { name: "managementGroupResourceId", arity: (2, MANY), does: "the id of a resource of a management group", run: Run::Call(|call| id_at(call, Level::ManagementGroup)) },
    Function { name: "pickZones", arity: (3, 5), does: "availability zones of a type in a region", run: Run::Runtime("which only Azure knows") },
    Function { name: "providers", arity: (1, 2), does: "a resource provider and its types (deprecated)", run: Run::Runtime("which only Azure knows") },
    Function { name: "reference", arity: (1, 3), does: "the properties of a resource that a document describes, or the resource itself (`Full`)", run: Run::Call(reference) },
    Function { name: "references", arity: (1, 3), does: "the properties of all resources of a loop, by its symbolic name", run: Run::Call(references) },
    Function { name: "resourceId", arity: (2, MANY), does: "the id of a resource", run: Run::Call(|call| id_at(call, call.context.frame.place.level)) },
    Function { name: "resourceInfo", arity: (1, 1), does: "id, name and type of a resource by its symbolic name", run: Run::Call(info) },
    Function { name: "subscriptionResourceId", arity: (2, MANY), does: "the id of a resource of a subscription", run: Run::Call(|call| id_at(call, Level::Subscription)) },
    Function { name: "tenantResourceId", arity: (2, MANY), does: "the id of a resource of the tenant", run: Run::Call(|call| id_at(call, Level::Tenant)) },
    Function { name: "toLogicalZone", arity: (3, 3), does: "the logical zone of a physical one", run: Run::Runtime("which only Azure knows") },
    Function { name: "toLogicalZones", arity: (3, 3), does: "the logical zones of physical ones", run: Run::Runtime("which only Azure knows") },
    Function { name: "toPhysicalZone", arity: (3, 3), does: "the physical zone of a logical one", run: Run::Runtime("which only Azure knows") },
    Function { name: "toPhysicalZones", arity: (3, 3), does: "the physical zones of logical ones", run: Run::Runtime("which only Azure knows") },
];

/// The arguments as texts, or what stands for them; or why one of them has none.
fn named(values: &[Val]) -> Result<Result<Vec<String>, Val>, Fault> {
    let mut names = Vec::with_capacity(values.len());
    for value in values {
        match (value.symbol(), value.as_unknown()) {
            (Some(name), _) => names.push(name.as_ref().to_owned()),
            (None, Some(unknown)) => return Ok(Err(Val::because(unknown, None))),
            (None, None) => return Err(super::expected(value, "a string")),
        }
    }
    Ok(Ok(names))
}

/// An id of names that are not all known, or known.
fn id(text: String, values: &[Val]) -> Val {
    match values.iter().find_map(Val::as_unknown) {
        Some(unknown) => Val::because(unknown, Some(text)),
        None if text.rsplit_once("/providers/").is_some_and(|(scope, _)| is_open(scope)) => {
            Val::unknown_as(lacking(&text), Some(text.clone()))
        }
        None => Val::text(text),
    }
}

/// Type and names behind a scope, which the type has as many of as words after its namespace.
fn within(scope: &str, resource_type: &str, names: &[String]) -> Result<String, Fault> {
    let mut words = resource_type.trim_matches('/').split('/');
    let mut id = format!("{}/providers/{}", scope.trim_end_matches('/'), words.next().unwrap_or_default());
    let words: Vec<_> = words.collect();
    if words.len() != names.len() {
        let message = format!(
            "the type {} has {} names, and {} are given",
            quote(resource_type),
            words.len(),
            names.len()
        );
        return Err(
            Fault::argument(message).expecting("one name for each word of the type after its namespace")
        );
    }
    for (word, name) in words.iter().zip(names) {
        id = format!("{id}/{word}/{name}");
    }
    Ok(id)
}

/// `resourceId([subscription], [group], type, name...)` and its kin.
fn id_at(call: &Call<'_, '_, '_>, level: Level) -> Made {
    let values = call.values()?;
    let names = match named(&values)? {
        Ok(names) => names,
        Err(unknown) => return Ok(unknown),
    };
    let Some(at) = names.iter().position(|name| name.contains('/') && !name.starts_with('{')) else {
        return Err(
            Fault::argument("no argument is a type").expecting("such as `Microsoft.Network/virtualNetworks`")
        );
    };
    let mut place = Place { level, ..call.context.frame.place.clone() };
    match (&names[..at], level) {
        ([], _) => {}
        ([group], Level::Group) => place.group.clone_from(group),
        ([subscription, group], Level::Group | Level::Subscription) => {
            place.level = Level::Group;
            place.subscription.clone_from(subscription);
            place.group.clone_from(group);
        }
        ([subscription], Level::Subscription) => place.subscription.clone_from(subscription),
        ([_], Level::ManagementGroup) => {
            let scope = format!("/providers/Microsoft.Management/managementGroups/{}", names[0]);
            return Ok(id(within(&scope, &names[1], &names[2..])?, &values));
        }
        _ => {
            let fault = Fault::argument(format!("{at} arguments stand before the type"));
            return Err(fault.expecting("a subscription and a resource group at most"));
        }
    }
    Ok(id(within(&place.id(), &names[at], &names[at + 1..])?, &values))
}

fn extension(values: &[Val]) -> Made {
    match named(values)? {
        Ok(names) => Ok(id(within(&names[0], &names[1], &names[2..])?, values)),
        Err(unknown) => Ok(unknown),
    }
}

/// The resource that an argument names: by id, by symbolic name or by name.
fn target(call: &Call<'_, '_, '_>) -> Result<Result<ResourceId, Val>, Fault> {
    let value = call.argument(0)?;
    let (Some(name), unknown) = (value.symbol(), value.as_unknown()) else {
        return match value.as_unknown() {
            Some(unknown) => Ok(Err(Val::because(unknown, None))),
            None => Err(call.wrong(0, super::expected(&value, "the id or the name of a resource"))),
        };
    };
    if name.starts_with('/') {
        let parsed = ResourceId::parse(&name);
        return parsed.map(Ok).map_err(|error| call.wrong(0, Fault::argument(error.to_string())));
    }
    let frame = call.context.frame;
    let key = name.to_ascii_lowercase();
    let (symbolic, turn) = match key.strip_suffix(']').and_then(|key| key.split_once('[')) {
        Some((symbolic, turn)) => (symbolic, turn.parse().unwrap_or(usize::MAX)),
        None => (key.as_str(), 0),
    };
    if let Some(found) = frame.symbolic(symbolic, |ids| ids.get(turn).cloned()) {
        return Ok(Ok(found));
    }
    match (frame.named(&key), unknown) {
        (Some(Named::One(found)), _) => Ok(Ok(found)),
        (_, Some(unknown)) => Ok(Err(Val::because(unknown, None))),
        (Some(Named::Several), None) => {
            Ok(Err(Val::unknown(format!("which resource {} is meant: several have this name", quote(&name)))))
        }
        (None, None) => {
            Ok(Err(Val::unknown(format!("{}, which names no resource of the template", quote(&name)))))
        }
    }
}

/// Evaluates the arguments after the first, for what is wrong with them.
fn is_full(call: &Call<'_, '_, '_>) -> Result<bool, Fault> {
    let values: Result<Vec<_>, Fault> = (1..call.arguments.len()).map(|index| call.argument(index)).collect();
    match values?.get(1).map(|value| &value.data) {
        None | Some(Data::Unknown(_)) => Ok(false),
        Some(Data::Text(full)) if full.eq_ignore_ascii_case("Full") => Ok(true),
        Some(Data::Text(plain)) if plain.is_empty() => Ok(false),
        Some(_) => Err(call.wrong(2, Fault::argument("the last argument is wrong").expecting("`'Full'`"))),
    }
}

fn reference(call: &Call<'_, '_, '_>) -> Made {
    let is_full = is_full(call)?;
    match target(call)? {
        Ok(id) => Ok(told(call, &id, is_full)),
        Err(unknown) => Ok(unknown),
    }
}

/// What is known of a resource; in full, its id as well.
fn told(call: &Call<'_, '_, '_>, id: &ResourceId, is_full: bool) -> Val {
    let value = call.evaluator.world.borrow_mut().resource(id);
    let (Some(fields), true) = (value.as_object(), is_full && value.get("id").is_none()) else {
        return value;
    };
    let mut members = fields.members.clone();
    members.push(Field::new("id", self::id(id.to_string(), &[])));
    Val::object(members).map_or(value.clone(), |full| full.within(value.open.as_ref()))
}

fn references(call: &Call<'_, '_, '_>) -> Made {
    let (is_full, name) = (is_full(call)?, call.argument(0)?);
    if let Some(unknown) = name.as_unknown() {
        return Ok(Val::because(unknown, None));
    }
    let name = text(&name).map_err(|fault| call.wrong(0, fault))?;
    let ids = call.context.frame.symbolic(&name.to_ascii_lowercase(), |ids| Some(ids.to_vec()));
    match ids {
        Some(ids) => {
            call.evaluator.spend(256 * ids.len())?;
            call.evaluator.keep(256 * ids.len())?;
            Val::array(ids.iter().map(|id| told(call, id, is_full)).collect())
        }
        None => Err(call
            .wrong(0, Fault::new("unknown-name", format!("no loop has the symbolic name {}", quote(name))))),
    }
}

fn info(call: &Call<'_, '_, '_>) -> Made {
    let found = match target(call)? {
        Ok(id) => id,
        Err(unknown) => return Ok(unknown),
    };
    let members = vec![
        Field::new("id", id(found.to_string(), &[])),
        Field::new("name", id(found.names().collect::<Vec<_>>().join("/"), &[])),
        Field::new("type", Val::text(found.resource_type().unwrap_or_default())),
    ];
    Ok(Val::object(members)?.within(Some(&"a resource, which only Azure knows".into())))
}

/// `listKeys` and its kin: what run-time values have under this name.
fn list(call: &Call<'_, '_, '_>) -> Made {
    for index in 1..call.arguments.len() {
        call.argument(index)?;
    }
    let id = match target(call)? {
        Ok(id) => id,
        Err(unknown) => return Ok(unknown),
    };
    let known = call.evaluator.world.borrow_mut().resource(&id).get(call.name);
    let reason = || format!("what `{}` gives of `{}`", call.name, crate::inventory::label(&id));
    Ok(known.unwrap_or_else(|| Val::unknown(reason())))
}
