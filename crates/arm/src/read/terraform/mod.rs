//! Terraform plans as JSON (`terraform show -json PLAN`): `azurerm` resources, and the bodies of `azapi` ones.
//!
//! What a plan leaves to the apply (`after_unknown`) is unknown. An id that is not known yet is that of the
//! resource which the configuration refers to in its place, where it refers to a single one.

mod plan;
mod shapes;

use std::collections::HashMap;

use document::{Diagnostic, Kind, Member, Object, SourceText, Span, Value, parse_json};

use super::{Scope, text};
use crate::ResourceId;
use crate::inventory::{Collector, Draft};
use plan::{Plan, Planned};
use shapes::{Field, How, SHAPES, Shape, Target};

/// Reads every resource of a plan.
pub(super) fn read(collector: &mut Collector, value: &Value, scope: &Scope) {
    let plan = Plan::new(value);
    let ids = ids(&plan, scope);
    let (mut drafts, mut items): (Vec<Draft>, Vec<Draft>) = (Vec::new(), Vec::new());
    for (planned, id) in plan.resources.iter().zip(&ids) {
        let shape = shape(planned.kind);
        let value = shape.map(|shape| mapped(planned, shape, &plan, &ids)).or_else(|| azapi(planned));
        let Some(value) = value else { continue };
        let is_item = shape.is_some_and(|shape| matches!(shape.target, Target::Item(_)));
        match id {
            Some(id) => {
                let list = if is_item { &mut items } else { &mut drafts };
                list.push(Draft { id: id.clone(), value, doubt: None });
            }
            None => unplaced(collector, planned),
        }
    }
    itemise(&mut drafts, items);
    for draft in drafts {
        collector.add(draft);
    }
}

/// The id of every resource, as far as it follows: by its own fields, else by the resource that the configuration refers
/// to, whose id may follow in the same way.
fn ids(plan: &Plan<'_>, scope: &Scope) -> Vec<Option<ResourceId>> {
    let mut ids: Vec<_> = plan.resources.iter().map(|planned| named_id(planned, scope)).collect();
    let mut open: Vec<usize> = (0..ids.len()).filter(|index| ids[*index].is_none()).collect();
    loop {
        let found: Vec<_> = open
            .iter()
            .filter_map(|&index| Some((index, referred_id(&plan.resources[index], plan, &ids)?)))
            .collect();
        if found.is_empty() {
            return ids;
        }
        for (index, id) in found {
            ids[index] = Some(id);
        }
        open.retain(|index| ids[*index].is_none());
    }
}

/// Puts items into the lists of the resources they belong to. Of one that the plan does not make, more may be there.
fn itemise(drafts: &mut Vec<Draft>, items: Vec<Draft>) {
    let mut places: HashMap<ResourceId, usize> =
        drafts.iter().enumerate().map(|(place, draft)| (draft.id.clone(), place)).collect();
    for Draft { id, value, doubt } in items {
        let Kind::Object(members) = value.kind else { continue };
        let place = *places.entry(id.clone()).or_insert_with(|| {
            let rest = members.iter().map(|member| {
                let why = format!("`{}`, of which the plan only adds items", member.key);
                let rest = Value::unknown(member.value.span, why);
                Member { value: Value { span: rest.span, kind: Kind::Array(vec![rest]) }, ..member.clone() }
            });
            let value = Value { span: value.span, kind: Kind::Object(Object::of(rest.collect())) };
            drafts.push(Draft { id, value, doubt });
            drafts.len() - 1
        });
        let Kind::Object(own) = &mut drafts[place].value.kind else { continue };
        let mut own_members: Vec<Member> = std::mem::take(own).into_iter().collect();
        for member in members {
            let item = Value { span: member.value.span, kind: Kind::Array(vec![member.value]) };
            match own_members.iter_mut().find(|own| own.key == member.key) {
                Some(own) => joined(&mut own.value, item),
                None => own_members.push(Member { value: item, ..member }),
            }
        }
        *own = Object::of(own_members);
    }
}

fn shape(kind: &str) -> Option<&'static Shape> {
    SHAPES.iter().find(|shape| shape.terraform == kind)
}

fn unplaced(collector: &mut Collector, planned: &Planned<'_>) {
    let message =
        format!("which resource `{}` belongs to is known only after the plan is applied", planned.address);
    let error = Diagnostic::error("unknown-value", planned.values.span, message).hinting(
        "name the resource group and the parent in the configuration, or give the deployed resources",
    );
    collector.reader.report(error);
}

/// The id of a resource by its own id or by names.
fn named_id(planned: &Planned<'_>, scope: &Scope) -> Option<ResourceId> {
    if is_azapi(planned.kind) {
        return azapi_id(planned);
    }
    let shape = shape(planned.kind)?;
    let own = |field| text(planned.values, field).and_then(|id| ResourceId::parse(id).ok());
    match shape.target {
        Target::Of(field) | Target::Item(field) => own(field),
        Target::In(field) => Some(own(field)?.child(shape.arm, text(planned.values, "name")?)),
        Target::Named(fields) => {
            // An inline child's id is not that of its own resource type.
            if let Some(id) = own("id").filter(|id| id.is_type(shape.arm)) {
                return Some(id);
            }
            let names: Option<Vec<_>> = fields.iter().map(|field| text(planned.values, field)).collect();
            let group = text(planned.values, "resource_group_name").map(str::to_owned);
            let scope = Scope { resource_group: group, ..scope.clone() };
            scope.id(shape.arm, &names?.join("/"))
        }
    }
}

/// The id of a resource whose parent's id is not known yet: the configuration tells which resource that is.
fn referred_id(planned: &Planned<'_>, plan: &Plan<'_>, ids: &[Option<ResourceId>]) -> Option<ResourceId> {
    let by_field = |field: &str| ids.get(plan.referred(planned, field)?)?.clone();
    if is_azapi(planned.kind) {
        let kind = text(planned.values, "type")?.split('@').next()?.rsplit('/').next()?;
        return Some(by_field("parent_id")?.child(kind, text(planned.values, "name")?));
    }
    let shape = shape(planned.kind)?;
    match shape.target {
        Target::Of(field) | Target::Item(field) => by_field(field),
        Target::In(field) => Some(by_field(field)?.child(shape.arm, text(planned.values, "name")?)),
        Target::Named(_) => None,
    }
}

/// The resource in Azure's spelling.
fn mapped(planned: &Planned<'_>, shape: &Shape, plan: &Plan<'_>, ids: &[Option<ResourceId>]) -> Value {
    let mut object = fields(planned.values, planned.unknown, shape.fields, &planned.address);
    // The configuration knows ids that the plan does not.
    for Field(terraform, arm, how) in shape.fields {
        let open = |member: &&mut Member| member.key == *arm && member.value.unknown_because().is_some();
        if matches!(how, How::Object("id"))
            && let Some(id) = plan.referred(planned, terraform).and_then(|index| ids.get(index)?.as_ref())
            && let Some(member) = object.iter_mut().find(open)
        {
            let id = Value { span: member.value.span, ..Value::from(id.to_string()) };
            member.value = Value { span: id.span, ..Value::object([("id", id)]) };
        }
    }
    Value { span: planned.values.span, kind: Kind::Object(Object::of(object)) }
}

/// The members of an object in Azure's spelling, with what is unknown in `unknown`'s places.
fn fields(values: &Value, unknown: Option<&Value>, shape: &[Field], path: &str) -> Vec<Member> {
    let mut out: Vec<Member> = Vec::new();
    for Field(terraform, arm, how) in shape {
        let path = format!("{path}.{terraform}");
        let open = unknown.and_then(|unknown| unknown.get(terraform));
        let given =
            values.as_object().and_then(|object| object.iter().find(|member| member.key == *terraform));
        let span = given.map_or(values.span, |member| member.value.span);
        let value = if open.is_some_and(|open| open.kind == Kind::Bool(true)) {
            later(span, &path)
        } else {
            match (given.filter(|member| !crate::is_absent(&member.value)), how) {
                (Some(member), How::Told(how)) => converted(&member.value, open, how, &path),
                (Some(member), how) => converted(&member.value, open, how, &path),
                (None, How::Told(_)) => Value::unknown(span, format!("`{path}`, which the plan leaves out")),
                (None, _) => continue,
            }
        };
        match out.iter_mut().find(|other| other.key == *arm) {
            Some(other) => joined(&mut other.value, value),
            None => out.push(Member { key: (*arm).to_owned(), key_span: span, value }),
        }
    }
    out
}

fn later(span: Span, path: &str) -> Value {
    Value::unknown(span, format!("`{path}`, known only after the plan is applied"))
}

fn converted(value: &Value, open: Option<&Value>, how: &How, path: &str) -> Value {
    let span = value.span;
    let at = |kind| Value { span, kind };
    match (how, &value.kind) {
        (How::Plain, _) => overlaid(value, open, path),
        (How::Object(field), _) => Value { span, ..Value::object([(*field, overlaid(value, open, path))]) },
        (How::Objects(field), Kind::Array(_)) => {
            let Kind::Array(items) = overlaid(value, open, path).kind else { return later(span, path) };
            let wrapped = items.into_iter().map(|item| match item.kind {
                Kind::Unknown(_) => item,
                _ => Value { span: item.span, ..Value::object([(*field, item)]) },
            });
            at(Kind::Array(wrapped.collect()))
        }
        (How::Enabled, Kind::Bool(true)) => at(Kind::String("Enabled".into())),
        (How::Enabled, Kind::Bool(false)) => at(Kind::String("Disabled".into())),
        (How::Block(shape), Kind::Array(blocks)) => {
            let open = open.and_then(Value::as_array).and_then(<[Value]>::first);
            let members = blocks.first().map_or(Vec::new(), |block| fields(block, open, shape, path));
            at(Kind::Object(Object::of(members)))
        }
        (How::Blocks(shape, constants), Kind::Array(blocks)) => {
            let open = open.and_then(Value::as_array).unwrap_or_default();
            let blocks = blocks.iter().enumerate().map(|(index, block)| {
                let mut members = fields(block, open.get(index), shape, &format!("{path}[{index}]"));
                members.extend(constants.iter().map(|(key, text)| Member {
                    key: (*key).to_owned(),
                    key_span: block.span,
                    value: Value { span: block.span, ..Value::from(*text) },
                }));
                Value { span: block.span, kind: Kind::Object(Object::of(members)) }
            });
            at(Kind::Array(blocks.collect()))
        }
        // Not what the provider writes: whoever reads it complains about what it is.
        _ => value.clone(),
    }
}

/// A value with the unknown parts of it unknown.
fn overlaid(value: &Value, open: Option<&Value>, path: &str) -> Value {
    let Some(open) = open else { return value.clone() };
    let kind = match (&value.kind, &open.kind) {
        (_, Kind::Bool(true)) => return later(value.span, path),
        (Kind::Array(items), Kind::Array(opens)) => {
            let items = items.iter().enumerate().map(|(index, item)| overlaid(item, opens.get(index), path));
            // A list may hold more than is known yet.
            let more = opens.iter().skip(items.len()).filter(|open| open.kind == Kind::Bool(true));
            Kind::Array(items.chain(more.map(|_| later(value.span, path))).collect())
        }
        (Kind::Object(object), Kind::Object(_)) => {
            let mut members: Vec<Member> = object.iter().cloned().collect();
            for member in &mut members {
                member.value =
                    overlaid(&member.value, open.get(&member.key), &format!("{path}.{}", member.key));
            }
            for member in open.as_object().into_iter().flatten() {
                if member.value.kind == Kind::Bool(true) && !members.iter().any(|own| own.key == member.key) {
                    let value = later(value.span, &format!("{path}.{}", member.key));
                    members.push(Member { value, ..member.clone() });
                }
            }
            Kind::Object(Object::of(members))
        }
        _ => return value.clone(),
    };
    Value { span: value.span, kind }
}

/// Puts two lists together; what is not known makes the whole unknown.
fn joined(into: &mut Value, from: Value) {
    match (&mut into.kind, from.kind) {
        (Kind::Unknown(_), _) => {}
        (Kind::Array(items), Kind::Array(more)) => items.extend(more),
        (_, kind) => *into = Value { span: from.span, kind },
    }
}

fn is_azapi(kind: &str) -> bool {
    kind == "azapi_resource" || kind == "azapi_update_resource"
}

fn azapi_id(planned: &Planned<'_>) -> Option<ResourceId> {
    let own = |field| text(planned.values, field).and_then(|id| ResourceId::parse(id).ok());
    if let Some(id) = own("id").or_else(|| own("resource_id")) {
        return Some(id);
    }
    let full = text(planned.values, "type")?.split('@').next()?;
    let (parent, name) = (own("parent_id")?, text(planned.values, "name")?);
    let kind = full.rsplit('/').next()?;
    if parent.resource_type().is_some() {
        return Some(parent.child(kind, name));
    }
    ResourceId::parse(&format!("{parent}/providers/{full}/{name}")).ok()
}

/// The body of an `azapi` resource, which is in Azure's spelling already: an object, or JSON in a text.
fn azapi(planned: &Planned<'_>) -> Option<Value> {
    if !is_azapi(planned.kind) {
        return None;
    }
    let open = planned.unknown.and_then(|unknown| unknown.get("body"));
    let path = format!("{}.body", planned.address);
    let body = planned.values.get("body");
    let span = body.map_or(planned.values.span, |body| body.span);
    let body = match body.map(|body| &body.kind) {
        Some(Kind::String(text)) => {
            // Places inside a text are all the place of the text.
            let inner = parse_json(&SourceText::new("body", text.as_str())).value;
            inner.map_or_else(|| later(span, &path), |value| placed(value, span))
        }
        Some(_) => overlaid(planned.values.get("body")?, open, &path),
        None => Value { span, ..Value::object::<&str>([]) },
    };
    let (Kind::Object(body), None) = (body.kind, open.filter(|open| open.kind == Kind::Bool(true))) else {
        return Some(Value { span, ..Value::object([("properties", later(span, &path))]) });
    };
    let name = planned.values.get("name").cloned();
    let mut members: Vec<Member> = body.into_iter().collect();
    members.extend(name.map(|value| Member { key: "name".into(), key_span: value.span, value }));
    Some(Value { span, kind: Kind::Object(Object::of(members)) })
}

fn placed(value: Value, span: Span) -> Value {
    let kind = match value.kind {
        Kind::Array(items) => Kind::Array(items.into_iter().map(|item| placed(item, span)).collect()),
        Kind::Object(object) => {
            let members = object.into_iter().map(|member| Member {
                key_span: span,
                value: placed(member.value, span),
                ..member
            });
            Kind::Object(Object::of(members.collect()))
        }
        other => other,
    };
    Value { span, kind }
}
