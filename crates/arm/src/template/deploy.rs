//! Deploys templates on paper: one task for each resource, for each deployment inside another and for its outputs.
//!
//! A task that asked for a resource is done again when something else is told of that. So the work grows with what
//! refers to what, not with the length of chains; and since a value can only become known, it ends.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use document::{Diagnostic, Severity, Value, quote};

use super::Template;
use super::copy;
use super::depends;
use super::eval::{Context, Evaluator, Loop};
use super::fault::Fault;
use super::frame::{self, Frame, Given};
use super::instances::{self, Around, Instance, place_of};
use super::limits;
use super::place::text_or_symbol;
use super::plan::Planned;
use super::value::{Data, Field, MAX_SIZE, Val, sealed};
use super::world::Path;
use crate::ResourceId;
use crate::inventory::Draft;
use crate::read::{member, text};

/// The largest resource, in bytes ("ARM template limits").
const MAX_RESOURCE: usize = 1024 * 1024;

/// How often a task is done again before what it waits for is taken to be itself.
const MAX_TIMES: usize = 1000;

/// Code of the warning about a template that is elsewhere.
pub const LINKED: &str = "linked-template";

/// The place of a deployment's outputs, behind all of its resources.
const OUTPUTS: usize = usize::MAX - 1;

/// Members of a resource that say how it is deployed rather than what it is.
const DIRECTIVES: [&str; 7] =
    ["resources", "copy", "condition", "existing", "dependsOn", "metadata", "comments"];

/// Does the tasks of all templates of an environment.
pub struct Deployer<'e, 't> {
    evaluator: &'e Evaluator<'t>,
    templates: &'t [Template],
    tasks: BTreeMap<Path, Task<'t>>,
    /// What is to be done in this round.
    due: BTreeSet<Path>,
}

/// What all templates make.
#[derive(Default)]
pub struct Deployed {
    pub described: Vec<Described>,
    pub found: Vec<Diagnostic>,
    /// Whether a template is elsewhere, so that resources are missing here.
    pub unread: bool,
    /// Deployments inside others: what each waits for, and its outputs.
    pub deployments: Vec<Described>,
    /// Outputs of the documents' own templates.
    pub outputs: Vec<Val>,
}

/// A resource as a template describes it.
pub struct Described {
    /// The position of its document among the templates.
    pub document: usize,
    id: ResourceId,
    value: Val,
    doubt: Option<String>,
    /// What it waits for.
    after: Vec<ResourceId>,
    /// The deployments that it is inside of, outermost first.
    within: Vec<ResourceId>,
}

impl Described {
    /// The description as documents give it.
    pub fn draft(self) -> Draft {
        Draft { id: self.id, value: self.value.into_value(), doubt: self.doubt }
    }

    /// The description as whoever deploys it needs it.
    pub fn planned(self) -> Planned {
        let Self { id, value, doubt, after, within, .. } = self;
        Planned { id, value: value.into_value(), doubt, after, within }
    }
}

struct Task<'t> {
    work: Work<'t>,
    times: usize,
    done: Done,
}

enum Work<'t> {
    /// The template of a document.
    Document(&'t Template),
    /// A resource or a deployment of the template of a frame.
    Instance(Instance<'t>, Rc<Frame<'t>>),
    /// The outputs of a template, which tell of the deployment `of`.
    Outputs { template: &'t Value, frame: Rc<Frame<'t>>, loops: Vec<Loop>, of: Option<ResourceId> },
}

/// What a task came to when it was done last.
#[derive(Default)]
struct Done {
    /// What it told of.
    told: Option<ResourceId>,
    /// What it made.
    value: Option<Val>,
    found: Vec<Diagnostic>,
    unread: bool,
    /// Memory that it took, in bytes.
    memory: usize,
}

fn inside(path: &Path, place: usize) -> Path {
    path.iter().copied().chain([place]).collect()
}

impl<'e, 't> Deployer<'e, 't> {
    pub fn new(evaluator: &'e Evaluator<'t>, templates: &'t [Template]) -> Self {
        let mut deployer = Self { evaluator, templates, tasks: BTreeMap::new(), due: BTreeSet::new() };
        for (index, template) in templates.iter().enumerate() {
            deployer.add(Rc::new([index]), Work::Document(template));
        }
        deployer
    }

    /// Does every task until none would come to something else.
    pub fn deploy(mut self) -> Deployed {
        while !self.due.is_empty() {
            let mut next = BTreeSet::new();
            while let Some(path) = self.due.pop_first() {
                self.perform(&path);
                // What is still to be done in this round will find it.
                let outdated = self.evaluator.world.borrow_mut().take_outdated();
                next.extend(outdated.into_iter().filter(|path| !self.due.contains(path)));
                if self.evaluator.is_exhausted() {
                    return self.deployed();
                }
            }
            self.evaluator.world.borrow_mut().next_round();
            self.due = next;
        }
        self.deployed()
    }

    fn add(&mut self, path: Path, work: Work<'t>) {
        self.due.insert(Rc::clone(&path));
        let task = self.tasks.remove(&path);
        let task = task.unwrap_or_else(|| Task {
            work: Work::Document(&self.templates[0]),
            times: 0,
            done: Done::default(),
        });
        self.tasks.insert(path, Task { work, ..task });
    }

    fn perform(&mut self, path: &Path) {
        let Some(mut task) = self.tasks.remove(path) else { return };
        task.times += 1;
        if task.times > MAX_TIMES {
            let error = Diagnostic::error(
                "cycle",
                task.span(),
                "what this says keeps changing: it depends on itself",
            );
            task.done.found.push(error);
            self.tasks.insert(Rc::clone(path), task);
            return;
        }
        self.evaluator.start(path, task.done.memory);
        let before = self.evaluator.memory();
        let mut done = match &task.work {
            Work::Document(template) => self.document(path, template),
            Work::Instance(instance, frame) if instance.is_deployment => {
                self.deployment(path, instance, frame)
            }
            Work::Instance(instance, frame) => {
                if task.times > 1 {
                    self.forget(path, 0, usize::MAX);
                }
                self.resource(instance, frame)
            }
            Work::Outputs { template, frame, loops, of } => self.outputs(template, frame, loops, of.as_ref()),
        };
        done.found = self.evaluator.take_found();
        done.memory = self.evaluator.memory().saturating_sub(before);
        if let Some(old) = task.done.told.filter(|old| done.told.as_ref() != Some(old)) {
            self.evaluator.world.borrow_mut().withdraw(path, &old);
        }
        self.tasks.insert(Rc::clone(path), Task { done, ..task });
    }

    /// Takes out the tasks inside one from a place to another, and what they told.
    fn forget(&mut self, path: &Path, from: usize, to: usize) {
        let gone: Vec<Path> =
            self.tasks.range(inside(path, from)..inside(path, to)).map(|(path, _)| Rc::clone(path)).collect();
        for path in gone {
            if let Some(told) = self.tasks.remove(&path).and_then(|task| task.done.told) {
                self.evaluator.world.borrow_mut().withdraw(&path, &told);
            }
        }
    }

    /// Makes a task of every resource of a template, and of its outputs.
    fn template(
        &mut self,
        path: &Path,
        template: &'t Value,
        frame: &Rc<Frame<'t>>,
        around: Around<'_>,
        of: Option<ResourceId>,
    ) {
        let mut instances = instances::of(self.evaluator, template, frame, around, path);
        let is_deployable = self.templates.get(path[0]).is_some_and(|template| template.is_deployable);
        let circles = if is_deployable { Severity::Error } else { Severity::Warning };
        let edges = depends::of(self.evaluator, frame, &instances, circles);
        let ids: Vec<ResourceId> = instances.iter().map(|instance| instance.id.clone()).collect();
        for (instance, edges) in instances.iter_mut().zip(edges) {
            instance.after = edges.into_iter().map(|edge| ids[edge].clone()).collect();
        }
        limits::check(self.evaluator, template, ids.len(), circles);
        self.forget(path, instances.len(), OUTPUTS);
        for (place, instance) in instances.into_iter().enumerate() {
            self.add(inside(path, place), Work::Instance(instance, Rc::clone(frame)));
        }
        let (frame, loops) = (Rc::clone(frame), around.loops.to_vec());
        self.add(inside(path, OUTPUTS), Work::Outputs { template, frame, loops, of });
    }

    fn document(&mut self, path: &Path, template: &'t Template) -> Done {
        match super::frame_of(self.evaluator, template, path[0]) {
            Some(frame) => {
                let around = Around { parent: None, doubt: None, loops: &[] };
                self.template(path, &template.value, &Rc::new(frame), around, None);
                Done::default()
            }
            None => Done { unread: true, ..Done::default() },
        }
    }

    /// The members of a resource.
    fn resource(&self, instance: &Instance<'t>, frame: &Frame<'t>) -> Done {
        let context = Context::new(frame, &instance.loops);
        let Some(object) = instance.body.as_object() else { return Done::default() };
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
        let value = value.unwrap_or_else(|fault| self.evaluator.wrong(fault, span)).placed(span);
        self.told(&instance.id, value)
    }

    fn told(&self, id: &ResourceId, value: Val) -> Done {
        self.evaluator.world.borrow_mut().tell(id, value.clone());
        Done { told: Some(id.clone()), value: Some(value), ..Done::default() }
    }

    /// A deployment inside another one.
    fn deployment(&mut self, path: &Path, instance: &Instance<'t>, frame: &Rc<Frame<'t>>) -> Done {
        let Some(properties) = member(instance.body, "properties") else { return Done::default() };
        let Some(template) = member(properties, "template") else { return self.linked(instance, properties) };
        let context = Context::new(frame, &instance.loops);
        let target = place_of(self.evaluator, instance.body, context, &frame.target);
        let options = member(properties, "expressionEvaluationOptions");
        let scope = options.and_then(|options| text(options, "scope")).unwrap_or("outer");
        let doubt = instance.doubt.as_deref();
        let (frame, loops) = if scope.eq_ignore_ascii_case("inner") {
            let given = member(properties, "parameters").map(|parameters| self.given(parameters, context));
            let name = text_or_symbol(instance.id.name().to_owned(), "a deployment's name");
            let origin = format!("{} in {}", frame.origin, instance.id.name());
            let (given, about) = (given.unwrap_or_default(), (named_deployment(name), origin));
            let frame = Frame::new(self.evaluator, template, given, target, about);
            frame.check(self.evaluator);
            (frame, &[][..])
        } else {
            // By default a template inside uses the parameters and variables of the one around it.
            (Frame::inside(frame, target), instance.loops.as_slice())
        };
        let around = Around { parent: None, doubt, loops };
        self.template(path, template, &Rc::new(frame), around, Some(instance.id.clone()));
        Done::default()
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
    fn linked(&self, instance: &Instance<'t>, properties: &Value) -> Done {
        let Some(link) = member(properties, "templateLink") else {
            let fault = Fault::new("missing-field", "the deployment has no template");
            self.evaluator.wrong(fault.expecting("`template` or `templateLink`"), properties.span);
            return Done::default();
        };
        let place =
            ["relativePath", "uri", "id"].iter().find_map(|field| text(link, field)).unwrap_or_default();
        let message =
            format!("the template {} of this deployment is elsewhere and is not read", quote(place));
        let warning = Diagnostic::warning(LINKED, link.span, message).hinting(
            "put it into the deployment as `template` (`az bicep build` does so for modules), or give the resources that it \
             makes instead of the template",
        );
        self.evaluator.report(warning);
        let outputs =
            Val::unknown(format!("the outputs of the template {}, which is elsewhere", quote(place)));
        Done { unread: true, ..self.told_outputs(&instance.id, outputs) }
    }

    fn told_outputs(&self, id: &ResourceId, outputs: Val) -> Done {
        let value = Val::fields([("properties", Val::fields([("outputs", sealed(outputs))]))]);
        self.told(id, value)
    }

    /// The outputs of a template: `{"name": {"type": ..., "value": ...}}`.
    fn outputs(
        &self,
        template: &'t Value,
        frame: &Frame<'t>,
        loops: &[Loop],
        of: Option<&ResourceId>,
    ) -> Done {
        let context = Context::new(frame, loops);
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
        let outputs = Val::object(members.collect());
        let outputs = outputs.unwrap_or_else(|fault| self.evaluator.wrong(fault, template.span));
        match of {
            Some(id) => self.told_outputs(id, outputs),
            None => Done { value: Some(outputs), ..Done::default() },
        }
    }

    /// What all tasks came to.
    fn deployed(self) -> Deployed {
        let mut deployed = Deployed::default();
        let (mut document, mut size) = (0, 0);
        let mut seen = HashSet::new();
        let mut around: Vec<(Path, ResourceId)> = Vec::new();
        for (path, task) in self.tasks {
            let Task { work, done, .. } = task;
            deployed.unread |= done.unread;
            // A loop does not repeat its complaints.
            deployed
                .found
                .extend(done.found.into_iter().filter(|found| seen.insert((found.span, found.code))));
            around.retain(|(outer, _)| path.starts_with(outer));
            let within: Vec<_> = around.iter().map(|(_, id)| id.clone()).collect();
            let (Instance { id, doubt, is_deployment, body, after, .. }, mut value) = match (work, done.value)
            {
                (Work::Instance(instance, _), value) if instance.is_deployment => {
                    (instance, value.unwrap_or_else(|| Val::fields([])))
                }
                (Work::Instance(instance, _), Some(value)) => (instance, value),
                (Work::Outputs { of: None, .. }, Some(value)) => {
                    deployed.outputs.push(value);
                    continue;
                }
                (Work::Outputs { of: Some(id), .. }, Some(value)) => {
                    if let Some(own) = deployed.deployments.iter_mut().find(|own| own.id == id) {
                        own.value = value;
                    }
                    continue;
                }
                _ => continue,
            };
            if is_deployment {
                around.push((Rc::clone(&path), id.clone()));
                deployed.deployments.push(Described { document: path[0], id, value, doubt, after, within });
                continue;
            }
            if path[0] != document {
                (document, size) = (path[0], 0);
            }
            size += value.size();
            if size > MAX_SIZE {
                let fault = Fault::new("too-large", "the resources of the template are too large together");
                value = self
                    .evaluator
                    .wrong(fault.expecting(format!("at most {MAX_SIZE} bytes, Azure's limit")), body.span);
            }
            deployed.described.push(Described { document: path[0], id, value, doubt, after, within });
        }
        deployed.found.extend(self.evaluator.take_found());
        deployed
    }
}

impl Task<'_> {
    fn span(&self) -> document::Span {
        match &self.work {
            Work::Document(template) => template.value.span,
            Work::Instance(instance, _) => instance.body.span,
            Work::Outputs { template, .. } => template.span,
        }
    }
}

/// What `deployment()` tells of the deployment of a document. One of a subscription has a location.
pub fn own_deployment(name: Option<&str>, location: Option<&str>) -> Val {
    let name =
        name.map_or_else(|| Val::unknown_as("the deployment's name", Some("{deployment()}")), Val::text);
    match location {
        Some(location) => deployment_of([("name", name), ("location", Val::text(location))]),
        None => named_deployment(name),
    }
}

fn named_deployment(name: Val) -> Val {
    deployment_of([("name", name)])
}

fn deployment_of<const N: usize>(fields: [(&str, Val); N]) -> Val {
    Val::fields(fields).within(Some(&"the deployment, which Azure adds at run time".into()))
}
