//! Resources of templates: loops, conditions, names, children, and deployments inside deployments.

use std::collections::{HashMap, HashSet};

use document::{Diagnostic, Kind, Value};

use super::copy::{self, Turns};
use super::depends;
use super::eval::{Context, Evaluator, Loop};
use super::fault::Fault;
use super::frame::{self, Frame, Given};
use super::place::{Level, Place, id_within, text_or_symbol};
use super::value::{Data, Field, MAX_SIZE, Val, sealed};
use crate::ResourceId;
use crate::inventory::{Draft, label};
use crate::read::{member, text};

/// The largest resource, in bytes ("ARM template limits").
const MAX_RESOURCE: usize = 1024 * 1024;

/// The most resources of a template, its loops turned ("ARM template limits").
const MAX_RESOURCES: usize = 800;

/// Roughly the memory of a resource before it is evaluated, in bytes.
const INSTANCE: usize = 8 * 1024;

const DEPLOYMENT: &str = "Microsoft.Resources/deployments";

/// Members of a resource that say how it is deployed rather than what it is.
const DIRECTIVES: [&str; 7] =
    ["resources", "copy", "condition", "existing", "dependsOn", "metadata", "comments"];

/// Evaluates the templates of one document.
pub struct Deployer<'e, 't> {
    evaluator: &'e Evaluator<'t>,
    document: usize,
    pub described: Vec<Described>,
    /// Whether a template is elsewhere, so that resources are missing here.
    pub unread: bool,
    /// How many resources have a name that is not known.
    unnamed: usize,
    /// Bytes of all resources.
    size: usize,
}

/// A resource as a template describes it.
pub struct Described {
    id: ResourceId,
    value: Val,
    doubt: Option<String>,
}

impl Described {
    /// The description as documents give it.
    pub fn draft(self) -> Draft {
        Draft { id: self.id, value: self.value.into_value(), doubt: self.doubt }
    }
}

/// The resource around a child.
struct Around<'a> {
    resource_type: &'a str,
    names: &'a str,
}

/// One resource of a template: one turn of its loop.
pub struct Instance<'t> {
    pub body: &'t Value,
    pub id: ResourceId,
    pub loops: Vec<Loop>,
    resource_type: String,
    /// Why it is not known whether it exists; `None` when it does.
    doubt: Option<String>,
    is_absent: bool,
}

impl<'e, 't> Deployer<'e, 't> {
    pub fn new(evaluator: &'e Evaluator<'t>, document: usize) -> Self {
        Self { evaluator, document, described: Vec::new(), unread: false, unnamed: 0, size: 0 }
    }

    /// Evaluates every resource of a template, which goes to `place`. Returns its outputs.
    pub fn template(
        &mut self,
        template: &'t Value,
        frame: &Frame<'t>,
        place: &Place,
        doubt: Option<&str>,
        loops: &[Loop],
    ) -> Val {
        let mut instances = Vec::new();
        if let Some(resources) = member(template, "resources") {
            self.listed(resources, frame, place, (doubt, None), loops, &mut instances);
        }
        instances.retain(|instance: &Instance<'_>| !instance.is_absent);
        if instances.len() > MAX_RESOURCES {
            let message = format!("the template has {} resources", instances.len());
            let warning = Diagnostic::warning("limit", template.span, message);
            self.evaluator
                .report(warning.hinting(format!("Azure deploys at most {MAX_RESOURCES} of one template")));
        }
        self.check_names(&instances);
        depends::check(self.evaluator, frame, &instances);
        for instance in &instances {
            self.resource(instance, frame, place);
        }
        self.outputs(template, Context::new(frame, loops))
    }

    /// Reports a resource that the template surely has twice.
    fn check_names(&self, instances: &[Instance<'t>]) {
        let mut seen = HashSet::new();
        for instance in instances.iter().filter(|instance| instance.doubt.is_none()) {
            if !seen.insert(instance.id.key()) {
                let message = format!("`{}` is in the template twice", label(&instance.id));
                let at = member(instance.body, "name").map_or(instance.body.span, |name| name.span);
                let fault = Fault::new("duplicate-resource", message);
                self.evaluator.wrong(fault.hinting("in a loop, the name needs `copyIndex()`"), at);
            }
        }
    }

    /// Resources are a list or, by symbolic name, an object.
    fn listed(
        &mut self,
        resources: &'t Value,
        frame: &Frame<'t>,
        place: &Place,
        around: (Option<&str>, Option<&Around<'_>>),
        loops: &[Loop],
        out: &mut Vec<Instance<'t>>,
    ) {
        match &resources.kind {
            Kind::Array(items) => {
                for item in items {
                    self.expand(item, None, frame, place, around, loops, out);
                }
            }
            Kind::Object(object) => {
                for member in object {
                    self.expand(&member.value, Some(&member.key), frame, place, around, loops, out);
                }
            }
            _ => {}
        }
    }

    /// The instances of a resource and of those inside it.
    #[allow(clippy::too_many_arguments)]
    fn expand(
        &mut self,
        body: &'t Value,
        symbolic: Option<&str>,
        frame: &Frame<'t>,
        place: &Place,
        around: (Option<&str>, Option<&Around<'_>>),
        loops: &[Loop],
        out: &mut Vec<Instance<'t>>,
    ) {
        let context = Context::new(frame, loops);
        let Some(one) = copy::own_loop(body) else {
            self.instance(body, symbolic, context, place, around, out);
            return;
        };
        let mut inner = loops.to_vec();
        inner.push(Loop { name: text(one, "name").unwrap_or_default().into(), index: None });
        let (turns, doubt) = match self.evaluator.turns(one, context) {
            Turns::Known(turns) => (turns, None),
            Turns::Open(unknown) => (1, unknown.as_unknown().map(|why| format!("its loop, {}", why.reason))),
        };
        let around = (doubt.as_deref().or(around.0), around.1);
        for turn in 0..turns {
            if self.evaluator.is_exhausted() {
                return;
            }
            if let (Some(last), None) = (inner.last_mut(), &doubt) {
                last.index = Some(turn);
            }
            self.instance(body, symbolic, Context::new(frame, &inner), place, around, out);
        }
    }

    fn instance(
        &mut self,
        body: &'t Value,
        symbolic: Option<&str>,
        context: Context<'_, 't>,
        place: &Place,
        (doubt, around): (Option<&str>, Option<&Around<'_>>),
        out: &mut Vec<Instance<'t>>,
    ) {
        if let Err(fault) = self.evaluator.keep(INSTANCE) {
            self.evaluator.wrong(fault, body.span);
            return;
        }
        let Some(own_type) = member(body, "type").map(|own| self.evaluator.value(own, context)) else {
            return;
        };
        let Some(own_type) = own_type.as_text() else { return };
        let (resource_type, names) = self.identity(body, own_type, context, around);
        let is_deployment = resource_type.trim_matches('/').eq_ignore_ascii_case(DEPLOYMENT);
        let is_existing = member(body, "existing").is_some_and(|value| value.kind == Kind::Bool(true));
        // Only these two may be elsewhere.
        let target = if is_deployment || is_existing { &self.target(body, context, place) } else { place };
        let Some(id) = self.id(body, &resource_type, &names, context, target) else { return };
        let mut instance = Instance {
            body,
            id: id.clone(),
            loops: context.loops.to_vec(),
            resource_type: resource_type.clone(),
            doubt: doubt.map(str::to_owned),
            is_absent: is_existing,
        };
        if let Some(condition) = member(body, "condition") {
            let value = self.evaluator.value(condition, context);
            match &value.data {
                Data::Bool(true) => {}
                Data::Bool(false) => instance.is_absent = true,
                Data::Unknown(why) => instance.doubt = Some(format!("its condition, {}", why.reason)),
                _ => {
                    let fault = Fault::argument(format!("{} is no condition", value.describe()));
                    self.evaluator.wrong(fault.expecting("a boolean"), condition.span);
                    instance.doubt = Some("its condition".to_owned());
                }
            }
        }
        let frame = context.frame;
        if let Some(symbolic) = symbolic {
            frame.symbolic.borrow_mut().entry(symbolic.to_ascii_lowercase()).or_default().push(id.clone());
        }
        let mut by_name = frame.named.borrow_mut();
        let same = by_name.entry(names.to_ascii_lowercase()).or_insert_with(|| Some(id.clone()));
        if same.as_ref().is_some_and(|same| *same != id) {
            *same = None;
        }
        drop(by_name);
        let (doubt, is_absent) = (instance.doubt.clone(), instance.is_absent);
        out.push(instance);
        if let (Some(children), false) = (member(body, "resources"), is_absent && !is_existing) {
            let around = Around { resource_type: &resource_type, names: &names };
            self.listed(children, frame, place, (doubt.as_deref(), Some(&around)), context.loops, out);
        }
    }

    /// Full type and names; a name that is not known is `*` and a number.
    fn identity(
        &mut self,
        body: &'t Value,
        own_type: &str,
        context: Context<'_, 't>,
        around: Option<&Around<'_>>,
    ) -> (String, String) {
        let own = member(body, "name").and_then(|name| self.evaluator.value(name, context).symbol());
        let own = own.map_or_else(
            || {
                self.unnamed += 1;
                format!("*{}", self.unnamed)
            },
            |name| name.as_ref().to_owned(),
        );
        match around {
            Some(around) if !own_type.trim_matches('/').contains('/') => {
                (format!("{}/{own_type}", around.resource_type), format!("{}/{own}", around.names))
            }
            _ => (own_type.to_owned(), own),
        }
    }

    fn id(
        &self,
        body: &'t Value,
        resource_type: &str,
        names: &str,
        context: Context<'_, 't>,
        place: &Place,
    ) -> Option<ResourceId> {
        let scope = member(body, "scope").map(|scope| self.evaluator.value(scope, context));
        match scope.and_then(|scope| scope.symbol()) {
            Some(scope) if scope.as_ref() == "/" => id_within("", resource_type, names),
            Some(scope) if scope.starts_with('/') => id_within(&scope, resource_type, names),
            Some(scope) => {
                let parts: Vec<_> = scope.split('/').collect();
                let (types, own) = parts.split_at(1.min(parts.len()));
                // `Microsoft.Network/virtualNetworks/name`, in the place of the template.
                let kinds: Vec<_> = own.iter().step_by(2).copied().collect();
                let outer: Vec<_> = own.iter().skip(1).step_by(2).copied().collect();
                let scope =
                    place.resource(&format!("{}/{}", types.concat(), kinds.join("/")), &outer.join("/"))?;
                id_within(scope.as_str(), resource_type, names)
            }
            None => place.resource(resource_type, names),
        }
    }

    fn resource(&mut self, instance: &Instance<'t>, frame: &Frame<'t>, place: &Place) {
        let context = Context::new(frame, &instance.loops);
        if instance.resource_type.trim_matches('/').eq_ignore_ascii_case(DEPLOYMENT) {
            self.deployment(instance, context, place);
            return;
        }
        let Some(object) = instance.body.as_object() else { return };
        let own = object
            .iter()
            .filter(|member| !DIRECTIVES.iter().any(|directive| member.key.eq_ignore_ascii_case(directive)));
        let members = own.map(|member| Field {
            key: member.key.as_str().into(),
            key_span: member.key_span,
            value: self.evaluator.value(&member.value, context),
        });
        let value = Val::object(members.collect()).and_then(|value| match value.size() {
            0..=MAX_RESOURCE => Ok(value),
            size => Err(Fault::new("too-large", format!("the resource has {size} bytes"))
                .expecting(format!("at most {MAX_RESOURCE}, Azure's limit"))),
        });
        let span = instance.body.span;
        self.size += value.as_ref().map_or(0, Val::size);
        let value = match self.size {
            0..=MAX_SIZE => value,
            _ => Err(Fault::new("too-large", "the resources of the template are too large together")
                .expecting(format!("at most {MAX_SIZE} bytes, Azure's limit"))),
        };
        let value = value.unwrap_or_else(|fault| self.evaluator.wrong(fault, span)).placed(span);
        self.evaluator.world.borrow_mut().tell(self.document, &instance.id, &value);
        self.described.push(Described { id: instance.id.clone(), value, doubt: instance.doubt.clone() });
    }

    /// Where a deployment inside this one goes.
    fn target(&self, body: &'t Value, context: Context<'_, 't>, place: &Place) -> Place {
        let field = |name| {
            let value = self.evaluator.value(member(body, name)?, context);
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

    /// Evaluates a deployment inside this one.
    fn deployment(&mut self, instance: &Instance<'t>, context: Context<'_, 't>, place: &Place) {
        let Some(properties) = member(instance.body, "properties") else { return };
        let target = self.target(instance.body, context, place);
        let outputs = match member(properties, "template") {
            Some(template) => self.nested(template, properties, instance, context, &target),
            None => self.linked(properties),
        };
        let value = Val::fields([("properties", Val::fields([("outputs", sealed(outputs))]))]);
        self.evaluator.world.borrow_mut().tell(self.document, &instance.id, &value);
    }

    fn nested(
        &mut self,
        template: &'t Value,
        properties: &'t Value,
        instance: &Instance<'t>,
        context: Context<'_, 't>,
        target: &Place,
    ) -> Val {
        let doubt = instance.doubt.as_deref();
        let options = member(properties, "expressionEvaluationOptions");
        let scope = options.and_then(|options| text(options, "scope")).unwrap_or("outer");
        if !scope.eq_ignore_ascii_case("inner") {
            // By default a template inside uses the parameters and variables of the one around it.
            return self.template(template, context.frame, target, doubt, context.loops);
        }
        let given = match member(properties, "parameters") {
            Some(parameters) => self.given(parameters, context),
            None => HashMap::new(),
        };
        let deployment =
            named_deployment(text_or_symbol(instance.id.name().to_owned(), "a deployment's name"));
        let origin = format!("{} in {}", context.frame.origin, instance.id.name());
        let frame = Frame::new(self.evaluator, template, given, target.clone(), (deployment, origin));
        frame.check(self.evaluator);
        self.template(template, &frame, target, doubt, &[])
    }

    fn given(&self, parameters: &'t Value, context: Context<'_, 't>) -> HashMap<String, Given> {
        if let Some(object) = parameters.as_object() {
            return frame::given(object, |value| self.evaluator.value(value, context));
        }
        let value = self.evaluator.value(parameters, context);
        let members = value.as_object().map(|fields| fields.members.as_slice()).unwrap_or_default();
        let one = |field: &Field| {
            let given = Given { value: field.value.get("value")?, span: parameters.span };
            Some((field.key.to_ascii_lowercase(), given))
        };
        members.iter().filter_map(one).collect()
    }

    /// A template that is elsewhere.
    fn linked(&mut self, properties: &Value) -> Val {
        self.unread = true;
        let message = "the template of this deployment is elsewhere and is not read";
        let warning = Diagnostic::warning("linked-template", properties.span, message)
            .hinting("name its file as a source of its own, or give the deployed resources");
        self.evaluator.report(warning);
        Val::unknown("the outputs of a template that is elsewhere")
    }

    /// The outputs of a template: `{"name": {"type": ..., "value": ...}}`.
    fn outputs(&self, template: &'t Value, context: Context<'_, 't>) -> Val {
        let outputs = member(template, "outputs").and_then(Value::as_object);
        let members = outputs.into_iter().flatten().filter_map(|output| {
            let condition = member(&output.value, "condition");
            let condition = condition.map(|condition| self.evaluator.value(condition, context));
            let value = match (condition.map(|value| value.data), copy::own_loop(&output.value)) {
                (Some(Data::Bool(false)), _) => return None,
                (Some(Data::Unknown(unknown)), _) => Val::because(&unknown, None),
                (_, Some(one)) => self.evaluator.repeated(one, &output.key, member(one, "input")?, context),
                (_, None) => {
                    let own = output.value.as_object()?.find("value")?;
                    self.evaluator.value(&own.value, context)
                }
            };
            let kind = text(&output.value, "type").unwrap_or_default();
            let value = Val::fields([("type", Val::text(kind)), ("value", value)]);
            Some(Field { key: output.key.as_str().into(), key_span: output.key_span, value })
        });
        Val::object(members.collect()).unwrap_or_else(|fault| self.evaluator.wrong(fault, template.span))
    }
}

/// What `deployment()` tells of the deployment of a document.
pub fn unnamed_deployment() -> Val {
    named_deployment(Val::unknown_as("the deployment's name", Some("{deployment()}")))
}

fn named_deployment(name: Val) -> Val {
    Val::fields([("name", name)]).within(Some(&"the deployment, which Azure adds at run time".into()))
}
