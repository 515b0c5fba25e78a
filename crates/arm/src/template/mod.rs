//! The language of ARM templates: expressions, functions, loops and nested deployments, evaluated into descriptions
//! of resources.
//!
//! Templates refer to each other's resources in any order, so all of an environment are evaluated together: each
//! resource again when one that it asked for becomes known, starting from knowing nothing of each other. That can only
//! make known what was not, so the order of the documents does not matter. What is still not known at the end says why.

mod code;
mod copy;
mod depends;
mod deploy;
mod eval;
mod fault;
mod frame;
mod functions;
mod instances;
mod limits;
mod parameters;
mod parse;
mod place;
mod plan;
mod value;
mod world;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use document::{Kind, Value};

use crate::inventory::Collector;
use crate::read::{Scope, member, text};
use deploy::Deployer;
pub(crate) use deploy::LINKED;
use eval::Evaluator;
use frame::{Frame, Given};
use place::{Level, Place};
use value::{Val, too_large};
use world::World;

pub use functions::reference as function_reference;
pub use plan::{Deployment, Plan, Planned};

/// A template and what its environment says about it.
#[derive(Debug)]
pub(crate) struct Template {
    pub value: Value,
    /// Whether it is said to be a template, rather than a description of what exists, such as an export.
    pub is_deployable: bool,
    /// The deployment's name, where it is known.
    pub name: Option<String>,
    pub scope: Scope,
    /// The document of its parameter file.
    pub parameter_file: Option<Value>,
    /// Values of parameters, which win over those of the file.
    pub parameters: Vec<(String, Value)>,
}

impl Template {
    /// Whether it is deployed over what the other documents describe (`metadata.replaces` is true): like a deployment,
    /// its resources take the place of those that are there.
    fn replaces(&self) -> bool {
        let says = member(&self.value, "metadata").and_then(|metadata| member(metadata, "replaces"));
        says.is_some_and(|says| says.kind == Kind::Bool(true))
    }
}

/// Evaluates templates together and adds the resources that they describe.
pub(crate) fn evaluate(collector: &mut Collector, templates: Vec<Template>) {
    if templates.is_empty() {
        return;
    }
    let mut world = World::default();
    for (id, value) in std::mem::take(&mut collector.described) {
        world.add(&id, value);
    }
    for (id, _, value) in &collector.runtime {
        world.add(id, value.clone());
    }
    let sources = std::mem::take(&mut collector.sources);
    let evaluator = Evaluator::new(&sources, world);
    let deployed = Deployer::new(&evaluator, &templates).deploy();
    collector.used = evaluator.world.into_inner().into_used();
    let replaces: Vec<bool> = templates.iter().map(Template::replaces).collect();
    drop(templates);
    collector.sources = sources;
    collector.unread |= deployed.unread;
    for finding in deployed.found {
        collector.reader.report(finding);
    }
    for described in deployed.described {
        if replaces[described.document] {
            collector.over.push(described.draft());
        } else {
            collector.add(described.draft());
        }
    }
}

/// What the expressions of a document's template refer to; `None`, after a complaint, where it is too large.
fn frame_of<'t>(evaluator: &Evaluator<'t>, template: &'t Template, index: usize) -> Option<Frame<'t>> {
    let value = &template.value;
    let file = template.parameter_file.as_ref();
    if limits::is_too_large(evaluator, "template", value)
        || file.is_some_and(|file| limits::is_too_large(evaluator, "parameter file", file))
    {
        return None;
    }
    let literal =
        |value: &Value| Val::literal(value).unwrap_or_else(|_| evaluator.wrong(too_large(), value.span));
    let mut given: HashMap<String, Given> = HashMap::new();
    if let Some(file) = file
        && let Some(object) = file.as_object()
    {
        let outer = member(file, "parameters").and_then(Value::as_object).unwrap_or(object);
        given = frame::given(outer, literal);
    }
    for (name, value) in &template.parameters {
        let one = Given { value: literal(value), span: value.span };
        given.insert(name.to_ascii_lowercase(), one);
    }
    let place = Place::new(Level::of_schema(text(value, "$schema").unwrap_or_default()), &template.scope);
    let level = place.level;
    let location = template.name.as_ref().and(template.scope.location.as_deref());
    let location = location.filter(|_| level == Level::Subscription);
    let deployment = deploy::own_deployment(template.name.as_deref(), location);
    evaluator.check(value);
    let origin = if index == 0 { String::new() } else { format!(" of document {}", index + 1) };
    let frame = Frame::new(evaluator, value, given, place, (deployment, origin));
    frame.check(evaluator);
    Some(frame)
}
