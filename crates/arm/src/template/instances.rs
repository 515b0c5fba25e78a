//! The resources of a template: each turn of a loop and each child by itself, with its id, and whether it exists.

use std::collections::HashSet;

use document::{Kind, Value};

use super::copy::{self, Turns};
use super::eval::{Context, Evaluator, Loop};
use super::fault::Fault;
use super::frame::Frame;
use super::place::{Level, Place};
use super::value::Data;
use super::world::Path;
use crate::ResourceId;
use crate::inventory::label;
use crate::read::{member, text};

/// Roughly the memory of a resource before it is evaluated, in bytes.
const INSTANCE: usize = 8 * 1024;

const DEPLOYMENT: &str = "Microsoft.Resources/deployments";

/// One resource of a template: one turn of its loop.
pub struct Instance<'t> {
    pub body: &'t Value,
    pub id: ResourceId,
    pub loops: Vec<Loop>,
    pub is_deployment: bool,
    /// What it waits for.
    pub after: Vec<ResourceId>,
    /// Why it is not known whether it exists; `None` when it does.
    pub doubt: Option<String>,
}

/// What resources stand in.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Full type and names of the resource that they are children of.
    pub parent: Option<(&'a str, &'a str)>,
    /// Why it is not known whether they exist.
    pub doubt: Option<&'a str>,
    pub loops: &'a [Loop],
}

/// The resources of a template that exist or may; the frame learns their names. `path` is that of the task.
pub fn of<'t>(
    evaluator: &Evaluator<'t>,
    template: &'t Value,
    frame: &Frame<'t>,
    around: Around<'_>,
    path: &Path,
) -> Vec<Instance<'t>> {
    let mut expansion = Expansion { evaluator, frame, path, met: 0, found: Vec::new() };
    if let Some(resources) = member(template, "resources") {
        expansion.listed(resources, around);
    }
    let found = expansion.found;
    check_names(evaluator, &found);
    found
}

/// Reports a resource that the template surely has twice.
fn check_names(evaluator: &Evaluator<'_>, instances: &[Instance<'_>]) {
    let mut seen = HashSet::new();
    for instance in instances.iter().filter(|instance| instance.doubt.is_none()) {
        if !seen.insert(instance.id.key()) {
            let message = format!("`{}` is in the template twice", label(&instance.id));
            let at = member(instance.body, "name").map_or(instance.body.span, |name| name.span);
            let fault = Fault::new("duplicate-resource", message);
            evaluator.wrong(fault.hinting("in a loop, the name needs `copyIndex()`"), at);
        }
    }
}

struct Expansion<'e, 't> {
    evaluator: &'e Evaluator<'t>,
    frame: &'e Frame<'t>,
    path: &'e Path,
    /// How many resources were met, those that do not exist included.
    met: usize,
    found: Vec<Instance<'t>>,
}

impl<'t> Expansion<'_, 't> {
    /// Resources are a list or, by symbolic name, an object.
    fn listed(&mut self, resources: &'t Value, around: Around<'_>) {
        match &resources.kind {
            Kind::Array(items) => items.iter().for_each(|item| self.turned(item, None, around)),
            Kind::Object(object) => {
                object.iter().for_each(|member| self.turned(&member.value, Some(&member.key), around));
            }
            _ => {}
        }
    }

    /// Every turn of a resource's loop.
    fn turned(&mut self, body: &'t Value, symbolic: Option<&str>, around: Around<'_>) {
        let Some(one) = copy::own_loop(body) else {
            self.instance(body, symbolic, around);
            return;
        };
        let mut loops = around.loops.to_vec();
        loops.push(Loop { name: text(one, "name").unwrap_or_default().into(), index: None });
        let (turns, doubt) = match self.evaluator.turns(one, Context::new(self.frame, around.loops)) {
            Turns::Known(turns) => (turns, None),
            Turns::Open(unknown) => (1, unknown.as_unknown().map(|why| format!("its loop, {}", why.reason))),
        };
        for turn in 0..turns {
            if self.evaluator.is_exhausted() {
                return;
            }
            if let (Some(last), None) = (loops.last_mut(), &doubt) {
                last.index = Some(turn);
            }
            let doubt = doubt.as_deref().or(around.doubt);
            self.instance(body, symbolic, Around { doubt, loops: &loops, ..around });
        }
    }

    fn instance(&mut self, body: &'t Value, symbolic: Option<&str>, around: Around<'_>) {
        if let Err(fault) = self.evaluator.keep(INSTANCE) {
            self.evaluator.wrong(fault, body.span);
            return;
        }
        self.met += 1;
        let context = Context::new(self.frame, around.loops);
        let own_type = member(body, "type").map(|own| self.evaluator.value(own, context));
        let Some(own_type) = own_type.as_ref().and_then(|own| own.as_text()) else { return };
        let (resource_type, names) = self.identity(body, own_type, around);
        let is_deployment = resource_type.trim_matches('/').eq_ignore_ascii_case(DEPLOYMENT);
        let is_existing = member(body, "existing").is_some_and(|value| value.kind == Kind::Bool(true));
        let target = &self.frame.target;
        // Only these two may be elsewhere.
        let elsewhere =
            (is_deployment || is_existing).then(|| place_of(self.evaluator, body, context, target));
        let place = elsewhere.as_ref().unwrap_or(target);
        let Some(id) = id(self.evaluator, body, (&resource_type, &names), context, place) else { return };
        let (exists, doubt) = self.condition(body, around);
        self.frame.name(symbolic, &names, &id);
        if exists && !is_existing {
            let (loops, doubt) = (around.loops.to_vec(), doubt.clone());
            self.found.push(Instance { body, id, loops, is_deployment, after: Vec::new(), doubt });
        }
        if let (Some(children), true) = (member(body, "resources"), exists) {
            let (parent, doubt) = (Some((resource_type.as_str(), names.as_str())), doubt.as_deref());
            self.listed(children, Around { parent, doubt, ..around });
        }
    }

    /// Whether a resource exists or may, and why that is not known.
    fn condition(&self, body: &'t Value, around: Around<'_>) -> (bool, Option<String>) {
        let outer = around.doubt.map(str::to_owned);
        let Some(condition) = member(body, "condition") else { return (true, outer) };
        let value = self.evaluator.value(condition, Context::new(self.frame, around.loops));
        match &value.data {
            Data::Bool(exists) => (*exists, outer),
            Data::Unknown(why) => (true, Some(format!("its condition, {}", why.reason))),
            _ => {
                let fault = Fault::argument(format!("{} is no condition", value.describe()));
                self.evaluator.wrong(fault.expecting("a boolean"), condition.span);
                (true, Some("its condition".to_owned()))
            }
        }
    }

    /// Full type and names; a name that is not known is `*` and what tells it from all others.
    fn identity(&self, body: &'t Value, own_type: &str, around: Around<'_>) -> (String, String) {
        let context = Context::new(self.frame, around.loops);
        let own = member(body, "name").and_then(|name| self.evaluator.value(name, context).symbol());
        let own = own.map_or_else(
            || {
                let place: Vec<_> = self.path.iter().chain([&self.met]).map(usize::to_string).collect();
                format!("*{}", place.join("."))
            },
            |name| name.as_ref().to_owned(),
        );
        match around.parent {
            Some((outer_type, names)) if !own_type.trim_matches('/').contains('/') => {
                (format!("{outer_type}/{own_type}"), format!("{names}/{own}"))
            }
            _ => (own_type.to_owned(), own),
        }
    }
}

/// The id of a resource by its full type and names, at its own `scope` where it has one.
fn id<'t>(
    evaluator: &Evaluator<'t>,
    body: &'t Value,
    (resource_type, names): (&str, &str),
    context: Context<'_, 't>,
    place: &Place,
) -> Option<ResourceId> {
    let scope = member(body, "scope").map(|scope| evaluator.value(scope, context));
    match scope.and_then(|scope| scope.symbol()) {
        Some(scope) if scope.as_ref() == "/" => ResourceId::named("", resource_type, names),
        Some(scope) if scope.starts_with('/') => ResourceId::named(&scope, resource_type, names),
        Some(scope) => {
            let parts: Vec<_> = scope.split('/').collect();
            let (types, own) = parts.split_at(1.min(parts.len()));
            // `Microsoft.Network/virtualNetworks/name`, in the place of the template.
            let kinds: Vec<_> = own.iter().step_by(2).copied().collect();
            let outer: Vec<_> = own.iter().skip(1).step_by(2).copied().collect();
            let scope =
                place.resource(&format!("{}/{}", types.concat(), kinds.join("/")), &outer.join("/"))?;
            ResourceId::named(scope.as_str(), resource_type, names)
        }
        None => place.resource(resource_type, names),
    }
}

/// Where a deployment inside one to `place` goes, or where an existing resource is.
pub fn place_of<'t>(
    evaluator: &Evaluator<'t>,
    body: &'t Value,
    context: Context<'_, 't>,
    place: &Place,
) -> Place {
    let field = |name| {
        let value = evaluator.value(member(body, name)?, context);
        Some(value.symbol().map_or_else(|| "*".to_owned(), |name| name.as_ref().to_owned()))
    };
    let (subscription, group) = (field("subscriptionId"), field("resourceGroup"));
    let template = member(body, "properties").and_then(|properties| member(properties, "template"));
    let schema = template.and_then(|template| text(template, "$schema")).unwrap_or_default();
    let level = match (&group, Level::of_schema(schema)) {
        (Some(_), _) => Level::Group,
        (None, Level::Group) => place.level,
        (None, level) => level,
    };
    Place {
        level,
        subscription: subscription.unwrap_or_else(|| place.subscription.clone()),
        group: group.unwrap_or_else(|| place.group.clone()),
        location: place.location.clone(),
    }
}
