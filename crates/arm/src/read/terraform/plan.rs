//! The resources of a plan, what is not known of them, and what the configuration makes them refer to.

use std::collections::HashMap;

use document::Value;

use crate::read::{member, text};

/// The deepest nesting of modules that is followed.
const MAX_DEPTH: usize = 32;

/// A resource of a plan.
pub(super) struct Planned<'a> {
    /// Its address, such as `module.hub.azurerm_subnet.build[0]`.
    pub address: String,
    /// Terraform's type.
    pub kind: &'a str,
    /// What is known of it.
    pub values: &'a Value,
    /// Which parts of it are known only after the apply.
    pub unknown: Option<&'a Value>,
}

/// A plan.
pub(super) struct Plan<'a> {
    pub resources: Vec<Planned<'a>>,
    /// The expressions of a resource by its address without indices.
    expressions: HashMap<String, &'a Value>,
    /// Places in `resources` by address without indices.
    places: HashMap<String, Vec<usize>>,
}

impl<'a> Plan<'a> {
    pub fn new(value: &'a Value) -> Self {
        let mut unknown = HashMap::new();
        for change in items(value, "resource_changes") {
            let after = member(change, "change").and_then(|change| member(change, "after_unknown"));
            if let (Some(address), Some(after)) = (text(change, "address"), after) {
                unknown.insert(address, after);
            }
        }
        let mut resources = Vec::new();
        let root = |field| member(value, field).and_then(|values| member(values, "root_module"));
        if let Some(module) = root("planned_values") {
            planned(module, &unknown, &mut resources, 0);
        }
        // Data sources that were read already are only in the state before the plan.
        if let Some(module) =
            member(value, "prior_state").and_then(|state| member(state, "values")?.get("root_module"))
        {
            let mut before = Vec::new();
            planned(module, &unknown, &mut before, 0);
            resources
                .extend(before.into_iter().filter(|one| one.address.split('.').any(|part| part == "data")));
        }
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, one) in resources.iter().enumerate() {
            places.entry(without_indices(&one.address)).or_default().push(index);
        }
        let mut expressions = HashMap::new();
        if let Some(module) = root("configuration") {
            configured(module, "", &mut expressions, 0);
        }
        Self { resources, expressions, places }
    }

    /// The place in [`Self::resources`] of the only resource that the configuration of a field refers to.
    pub fn referred(&self, from: &Planned<'_>, field: &str) -> Option<usize> {
        let address = without_indices(&from.address);
        let references = items(self.expressions.get(&address)?.get(field)?, "references");
        let module = &address[..address.len() - local(&address).len()];
        let mut found = references.iter().filter_map(Value::as_str).filter_map(|reference| {
            let resource = resource_part(&without_indices(reference))?;
            match self.places.get(&format!("{module}{resource}"))?.as_slice() {
                [only] => Some(*only),
                // The same key of a loop most likely, but not certainly.
                _ => None,
            }
        });
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    member(value, field).and_then(Value::as_array).unwrap_or_default()
}

fn planned<'a>(
    module: &'a Value,
    unknown: &HashMap<&str, &'a Value>,
    out: &mut Vec<Planned<'a>>,
    depth: usize,
) {
    for resource in items(module, "resources") {
        let (Some(address), Some(kind)) = (text(resource, "address"), text(resource, "type")) else {
            continue;
        };
        let Some(values) = member(resource, "values") else { continue };
        out.push(Planned {
            address: address.to_owned(),
            kind,
            values,
            unknown: unknown.get(address).copied(),
        });
    }
    if depth < MAX_DEPTH {
        for child in items(module, "child_modules") {
            planned(child, unknown, out, depth + 1);
        }
    }
}

fn configured<'a>(module: &'a Value, prefix: &str, out: &mut HashMap<String, &'a Value>, depth: usize) {
    for resource in items(module, "resources") {
        if let (Some(address), Some(expressions)) =
            (text(resource, "address"), member(resource, "expressions"))
        {
            out.insert(format!("{prefix}{address}"), expressions);
        }
    }
    let calls = member(module, "module_calls").and_then(Value::as_object);
    for call in calls.into_iter().flatten().filter(|_| depth < MAX_DEPTH) {
        if let Some(module) = member(&call.value, "module") {
            configured(module, &format!("{prefix}module.{}.", call.key), out, depth + 1);
        }
    }
}

/// An address or reference without `[...]`.
fn without_indices(address: &str) -> String {
    let mut depth = 0_usize;
    let keep = |c: &char| {
        let inside = depth > 0;
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        !inside && !matches!(c, '[' | ']')
    };
    address.chars().filter(keep).collect()
}

/// The part of an address after its modules.
fn local(address: &str) -> &str {
    let mut rest = address;
    while let Some(inner) = rest.strip_prefix("module.") {
        let Some((_, after)) = inner.split_once('.') else { break };
        rest = after;
    }
    rest
}

/// `type.name` or `data.type.name` of a reference; `None` for variables, modules and the like.
fn resource_part(reference: &str) -> Option<String> {
    let count = if reference.starts_with("data.") { 3 } else { 2 };
    let parts: Vec<_> = reference.split('.').take(count).collect();
    let named =
        parts.len() == count && !["var", "local", "module", "each", "count", "path"].contains(&parts[0]);
    named.then(|| parts.join("."))
}
