//! ARM templates: resources whose names and values are literal, or refer to literal ones.

use std::collections::HashMap;

use document::{Kind, Member, Object, Value};

use super::expression::Symbols;
use super::{Given, Scope, member, text};
use crate::inventory::{Collector, Draft};

const DEPLOYMENT: &str = "microsoft.resources/deployments";

/// Reads every resource of a template.
pub(super) fn read(collector: &mut Collector, template: &Value, given: &Given<'_>) {
    let mut values: HashMap<String, Value> = HashMap::new();
    for (name, value) in &given.parameters {
        values.insert(name.to_ascii_lowercase(), (*value).clone());
    }
    let symbols = symbols(template, values, given.scope.clone());
    if let Some(resources) = member(template, "resources") {
        Reading { collector, unnamed: 0 }.resources(resources, &symbols, None);
    }
}

struct Reading<'a> {
    collector: &'a mut Collector,
    /// How many resources have a name that is not known.
    unnamed: usize,
}

/// The resource around a child in a template.
struct Around<'a> {
    resource_type: &'a str,
    names: &'a str,
    doubt: Option<&'a str>,
}

impl Reading<'_> {
    /// Resources are a list or, by symbolic name, an object.
    fn resources(&mut self, resources: &Value, symbols: &Symbols, around: Option<&Around<'_>>) {
        match &resources.kind {
            Kind::Array(items) => items.iter().for_each(|item| self.resource(item, symbols, around)),
            Kind::Object(object) => {
                object.iter().for_each(|member| self.resource(&member.value, symbols, around));
            }
            _ => {}
        }
    }

    fn resource(&mut self, resource: &Value, symbols: &Symbols, around: Option<&Around<'_>>) {
        let Some(own_type) = text(resource, "type") else { return };
        let around_doubt = || around.and_then(|around| around.doubt).map(str::to_owned);
        let doubt = match existence(resource, symbols) {
            Existence::Certain => around_doubt(),
            Existence::Doubtful(reason) => Some(reason),
            Existence::Absent => return,
        };
        if own_type.to_ascii_lowercase().ends_with(DEPLOYMENT) {
            self.deployment(resource, symbols, doubt.as_deref());
            return;
        }
        let (resource_type, names) = self.identity(resource, own_type, symbols, around);
        let Some(id) = symbols.scope.id(&resource_type, &names) else { return };
        self.collector.add(Draft { id, value: body(resource, symbols), doubt: doubt.clone() });
        if let Some(children) = member(resource, "resources") {
            let around = Around { resource_type: &resource_type, names: &names, doubt: doubt.as_deref() };
            self.resources(children, symbols, Some(&around));
        }
    }

    /// Full type and names; a name that is not known is `*` and a number.
    fn identity(
        &mut self,
        resource: &Value,
        own_type: &str,
        symbols: &Symbols,
        around: Option<&Around<'_>>,
    ) -> (String, String) {
        let name = member(resource, "name").and_then(|name| symbols.name(name)).unwrap_or_else(|| {
            self.unnamed += 1;
            format!("*{}", self.unnamed)
        });
        match around {
            Some(around) if !around.resource_type.is_empty() && !own_type.contains('/') => {
                (format!("{}/{own_type}", around.resource_type), format!("{}/{name}", around.names))
            }
            _ => (own_type.to_owned(), name),
        }
    }

    /// The template inside a deployment, in the resource group that the deployment names.
    fn deployment(&mut self, resource: &Value, symbols: &Symbols, doubt: Option<&str>) {
        let Some(properties) = member(resource, "properties") else { return };
        let Some(template) = member(properties, "template") else { return };
        let field =
            |name| member(resource, name).map(|value| symbols.name(value).unwrap_or_else(|| "*".to_owned()));
        let scope = Scope {
            subscription: field("subscriptionId").or_else(|| symbols.scope.subscription.clone()),
            resource_group: field("resourceGroup").or_else(|| symbols.scope.resource_group.clone()),
            location: symbols.scope.location.clone(),
        };
        let options = member(properties, "expressionEvaluationOptions");
        let inner = options
            .and_then(|options| text(options, "scope"))
            .is_some_and(|scope| scope.eq_ignore_ascii_case("inner"));
        // By default a template inside uses the parameters and variables of the one around it.
        let own = if inner {
            let given = member(properties, "parameters").and_then(Value::as_object);
            let values = given.into_iter().flatten().filter_map(|parameter| {
                let value = symbols.value(parameter.value.get("value")?);
                Some((parameter.key.to_ascii_lowercase(), value))
            });
            self::symbols(template, values.collect(), scope)
        } else {
            symbols.in_scope(scope)
        };
        if let Some(resources) = member(template, "resources") {
            self.resources(resources, &own, Some(&Around { resource_type: "", names: "", doubt }));
        }
    }
}

/// What the expressions of a template may refer to. A parameter's default counts where it was given no value.
fn symbols(template: &Value, mut values: HashMap<String, Value>, scope: Scope) -> Symbols {
    let members = |field| member(template, field).and_then(Value::as_object).into_iter().flatten();
    let parameters = members("parameters").map(|parameter| {
        let name = parameter.key.to_ascii_lowercase();
        let value = match values.remove(&name) {
            Some(given) => Some(given).filter(|value| value.unknown_because().is_none()),
            None => member(&parameter.value, "defaultValue").cloned(),
        };
        (name, value)
    });
    let parameters = parameters.collect();
    let variables =
        members("variables").map(|variable| (variable.key.to_ascii_lowercase(), variable.value.clone()));
    Symbols::new(parameters, variables.collect(), scope)
}

/// The resource with its expressions evaluated, and without its children.
fn body(resource: &Value, symbols: &Symbols) -> Value {
    let Some(object) = resource.as_object() else { return resource.clone() };
    let own = object.iter().filter(|member| !member.key.eq_ignore_ascii_case("resources"));
    let members = own.map(|member| Member { value: looped(symbols.value(&member.value)), ..member.clone() });
    Value { span: resource.span, kind: Kind::Object(Object::of(members.collect())) }
}

/// A value whose `copy` loops, which make lists, are those lists, unknown.
fn looped(value: Value) -> Value {
    let Value { span, kind } = value;
    let kind = match kind {
        Kind::Array(items) => Kind::Array(items.into_iter().map(looped).collect()),
        Kind::Object(object) => {
            let mut members: Vec<Member> = Vec::with_capacity(object.len());
            for member in object {
                match &member.value.kind {
                    Kind::Array(loops) if member.key.eq_ignore_ascii_case("copy") => {
                        members.extend(loops.iter().filter_map(|one| made_by_loop(&member, one)));
                    }
                    _ => members.push(Member { value: looped(member.value), ..member }),
                }
            }
            Kind::Object(Object::of(members))
        }
        other => other,
    };
    Value { span, kind }
}

fn made_by_loop(member: &Member, one: &Value) -> Option<Member> {
    let key = text(one, "name")?.to_owned();
    let value = Value::unknown(one.span, "a copy loop, which is not evaluated");
    Some(Member { key, key_span: member.key_span, value })
}

/// Whether a resource of a template exists.
enum Existence {
    Certain,
    Absent,
    /// Not known, because of this.
    Doubtful(String),
}

fn existence(resource: &Value, symbols: &Symbols) -> Existence {
    if member(resource, "existing").is_some_and(|value| value.kind == Kind::Bool(true)) {
        // A reference to what another document describes.
        return Existence::Absent;
    }
    if member(resource, "copy").is_some() {
        return Existence::Doubtful("a copy loop, which is not evaluated".to_owned());
    }
    let Some(condition) = member(resource, "condition") else { return Existence::Certain };
    match symbols.value(condition).kind {
        Kind::Bool(true) => Existence::Certain,
        Kind::Bool(false) => Existence::Absent,
        Kind::Unknown(reason) => Existence::Doubtful(format!("its condition, {reason}")),
        _ => Existence::Doubtful("its condition".to_owned()),
    }
}
