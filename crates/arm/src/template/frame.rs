//! A template with its values: what `parameters`, `variables` and functions of its own mean in it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use document::{Diagnostic, Kind, Object, Span, Value, nearest, quote};

use super::copy;
use super::eval::{Call, Context, Evaluator};
use super::fault::Fault;
use super::parameters;
use super::place::Place;
use super::value::Val;
use crate::ResourceId;
use crate::read::member;

/// What the expressions of one template refer to. Names are in lower case.
pub struct Frame<'t> {
    /// Where the functions are that tell the scope.
    pub place: Place,
    /// Where the resources go.
    pub target: Place,
    /// The name of the deployment, and what else is known about it.
    pub deployment: Val,
    /// What tells parameters without a value from those of other templates.
    pub origin: String,
    parameters: Rc<HashMap<String, Slot<'t>>>,
    variables: Rc<HashMap<String, Slot<'t>>>,
    functions: Rc<HashMap<String, &'t Value>>,
    names: RefCell<Names>,
    /// The frame of the template around this one, whose values this one uses.
    outer: Option<Rc<Frame<'t>>>,
}

/// The resources of a template by what its expressions call them, in lower case.
#[derive(Default)]
struct Names {
    /// Ids by symbolic name, each of its loop's turns.
    symbolic: HashMap<String, Vec<ResourceId>>,
    named: HashMap<String, Named>,
}

/// What a name means.
#[derive(Clone)]
pub enum Named {
    One(ResourceId),
    Several,
}

/// A parameter or a variable, evaluated when it is first asked for.
struct Slot<'t> {
    /// Its name as it is declared.
    name: &'t str,
    from: From<'t>,
    memo: RefCell<Memo>,
}

/// Where a value comes from.
enum From<'t> {
    /// It is given.
    Given { value: Val, declared: Option<&'t Value> },
    /// The parameter's default, or the value of a variable.
    Text { json: &'t Value, declared: Option<&'t Value> },
    /// The loop that makes a variable.
    Loop { one: &'t Value },
}

enum Memo {
    Idle,
    Busy,
    Done(Val),
}

/// The value that a parameter is given.
#[derive(Debug, Clone)]
pub struct Given {
    pub value: Val,
    /// Where it is named.
    pub span: Span,
}

fn members<'t>(template: &'t Value, field: &str) -> impl Iterator<Item = &'t document::Member> + use<'t> {
    member(template, field).and_then(Value::as_object).map(Object::iter).into_iter().flatten()
}

impl<'t> Frame<'t> {
    /// A template with the values that its parameters are given, by name in lower case.
    pub fn new(
        evaluator: &Evaluator<'t>,
        template: &'t Value,
        mut given: HashMap<String, Given>,
        place: Place,
        (deployment, origin): (Val, String),
    ) -> Self {
        let mut parameters = HashMap::new();
        for parameter in members(template, "parameters") {
            let name = parameter.key.to_ascii_lowercase();
            let declared = parameters::resolved(template, &parameter.value);
            let from = match (given.remove(&name), member(&parameter.value, "defaultValue")) {
                (Some(given), _) => From::Given { value: given.value, declared: Some(declared) },
                (None, Some(json)) => From::Text { json, declared: Some(declared) },
                (None, None) => {
                    let value = parameters::missing(&parameter.key, &origin, declared);
                    From::Given { value: value.placed(parameter.key_span), declared: None }
                }
            };
            parameters.insert(name, Slot::new(&parameter.key, from));
        }
        let mut surplus: Vec<_> = given.into_iter().collect();
        surplus.sort_by_key(|(_, given)| given.span.start);
        for (name, given) in surplus {
            let message = format!("the template has no parameter {}", quote(&name));
            let mut error = Diagnostic::error("unknown-parameter", given.span, message);
            error.hint = nearest(&name, members(template, "parameters").map(|member| member.key.as_str()))
                .map(|right| format!("did you mean `{right}`?"));
            evaluator.report(error);
        }
        let mut functions = HashMap::new();
        for namespace in member(template, "functions").and_then(Value::as_array).unwrap_or_default() {
            let name = crate::read::text(namespace, "namespace").unwrap_or_default();
            for function in members(namespace, "members") {
                functions.insert(format!("{name}.{}", function.key).to_ascii_lowercase(), &function.value);
            }
        }
        Self {
            target: place.clone(),
            place,
            deployment,
            origin,
            parameters: Rc::new(parameters),
            variables: Rc::new(variables(template)),
            functions: Rc::new(functions),
            names: RefCell::default(),
            outer: None,
        }
    }

    /// A template inside another one whose values it uses, which goes to `target`.
    pub fn inside(outer: &Rc<Self>, target: Place) -> Self {
        Self {
            target,
            place: outer.place.clone(),
            deployment: outer.deployment.clone(),
            origin: outer.origin.clone(),
            parameters: Rc::clone(&outer.parameters),
            variables: Rc::clone(&outer.variables),
            functions: Rc::clone(&outer.functions),
            names: RefCell::default(),
            outer: Some(Rc::clone(outer)),
        }
    }

    /// Gives a resource its names.
    pub fn name(&self, symbolic: Option<&str>, names: &str, id: &ResourceId) {
        let mut own = self.names.borrow_mut();
        if let Some(symbolic) = symbolic {
            own.symbolic.entry(symbolic.to_ascii_lowercase()).or_default().push(id.clone());
        }
        let one = || Named::One(id.clone());
        let meant = own.named.entry(names.to_ascii_lowercase()).or_insert_with(one);
        if matches!(meant, Named::One(other) if other != id) {
            *meant = Named::Several;
        }
    }

    /// What there is of the resources of a symbolic name, each turn of its loop.
    pub fn symbolic<T>(&self, name: &str, of: impl FnOnce(&[ResourceId]) -> Option<T>) -> Option<T> {
        match (self.names.borrow().symbolic.get(name), &self.outer) {
            (Some(ids), _) => of(ids),
            (None, Some(outer)) => outer.symbolic(name, of),
            (None, None) => None,
        }
    }

    /// What resource a name means.
    pub fn named(&self, name: &str) -> Option<Named> {
        let own = self.names.borrow().named.get(name).cloned();
        own.or_else(|| self.outer.as_ref()?.named(name))
    }

    /// The value of a parameter.
    pub fn parameter(&self, evaluator: &Evaluator<'t>, name: &str) -> Result<Val, Fault> {
        let Some(slot) = self.parameters.get(&name.to_ascii_lowercase()) else {
            return Err(no_such("parameter", name, &self.parameters));
        };
        slot.value(self, evaluator)
    }

    /// The value of a variable.
    pub fn variable(&self, evaluator: &Evaluator<'t>, name: &str) -> Result<Val, Fault> {
        let Some(slot) = self.variables.get(&name.to_ascii_lowercase()) else {
            return Err(no_such("variable", name, &self.variables));
        };
        slot.value(self, evaluator)
    }

    /// Evaluates all parameters, so that what is wrong with one is told even when nothing uses it.
    pub fn check(&self, evaluator: &Evaluator<'t>) {
        let mut slots: Vec<_> = self.parameters.iter().chain(self.variables.iter()).collect();
        slots.sort_by_key(|(_, slot)| slot.span().start);
        for (_, slot) in slots {
            if let Err(fault) = slot.value(self, evaluator) {
                evaluator.report(fault.diagnostic(slot.span()));
            }
        }
    }

    /// Calls a function that the template defines.
    pub fn call_own(&self, call: &Call<'_, '_, 't>) -> Result<Val, Fault> {
        let Some(function) = self.functions.get(&call.name.to_ascii_lowercase()) else {
            let fault = Fault::new("unknown-function", format!("there is no function {}", quote(call.name)));
            return Err(match nearest(call.name, self.functions.keys().map(String::as_str)) {
                Some(right) => fault.hinting(format!("did you mean `{right}`?")),
                None => fault.hinting("a template's own functions stand under `functions`"),
            });
        };
        let declared = member(function, "parameters").and_then(Value::as_array).unwrap_or_default();
        if declared.len() != call.arguments.len() {
            let message =
                format!("`{}` takes {} arguments, not {}", call.name, declared.len(), call.arguments.len());
            return Err(Fault::new("wrong-arity", message));
        }
        let parameters = declared.iter().zip(call.values()?).map(|(parameter, value)| {
            let name = crate::read::text(parameter, "name").unwrap_or_default();
            (name.to_ascii_lowercase(), Slot::new(name, From::Given { value, declared: Some(parameter) }))
        });
        let frame = Frame {
            place: self.place.clone(),
            target: self.target.clone(),
            deployment: self.deployment.clone(),
            origin: self.origin.clone(),
            parameters: Rc::new(parameters.collect()),
            variables: Rc::default(),
            functions: Rc::clone(&self.functions),
            names: RefCell::default(),
            outer: None,
        };
        let output = member(function, "output").and_then(|output| member(output, "value"));
        let Some(output) = output else {
            return Err(Fault::new("missing-field", format!("`{}` has no `output`", call.name)));
        };
        Ok(call.evaluator.value(output, Context::new(&frame, &[])))
    }
}

/// The variables of a template, those that loops make included.
fn variables(template: &Value) -> HashMap<String, Slot<'_>> {
    let mut variables = HashMap::new();
    for variable in members(template, "variables") {
        if let Some(loops) = copy::loops(variable) {
            for one in loops {
                let name = crate::read::text(one, "name").unwrap_or_default();
                variables.insert(name.to_ascii_lowercase(), Slot::new(name, From::Loop { one }));
            }
        } else {
            let from = From::Text { json: &variable.value, declared: None };
            variables.insert(variable.key.to_ascii_lowercase(), Slot::new(&variable.key, from));
        }
    }
    variables
}

fn no_such(what: &str, name: &str, slots: &HashMap<String, Slot<'_>>) -> Fault {
    let fault = Fault::new("unknown-name", format!("the template has no {what} {}", quote(name)));
    match nearest(name, slots.keys().map(String::as_str)) {
        Some(right) => fault.hinting(format!("did you mean `{right}`?")),
        None => fault,
    }
}

impl<'t> Slot<'t> {
    fn new(name: &'t str, from: From<'t>) -> Self {
        Self { name, from, memo: RefCell::new(Memo::Idle) }
    }

    fn span(&self) -> Span {
        match &self.from {
            From::Given { value, .. } => value.span,
            From::Text { json, .. } => json.span,
            From::Loop { one } => one.span,
        }
    }

    fn value(&self, frame: &Frame<'t>, evaluator: &Evaluator<'t>) -> Result<Val, Fault> {
        match &*self.memo.borrow() {
            Memo::Done(value) => return Ok(value.clone()),
            Memo::Busy => {
                return Err(Fault::new(
                    "cycle",
                    format!("the value of {} depends on itself", quote(self.name)),
                ));
            }
            Memo::Idle => {}
        }
        self.memo.replace(Memo::Busy);
        let value = self.evaluated(frame, evaluator);
        self.memo.replace(Memo::Done(value.clone()));
        Ok(value)
    }

    fn evaluated(&self, frame: &Frame<'t>, evaluator: &Evaluator<'t>) -> Val {
        let (name, context) = (self.name, Context::new(frame, &[]));
        match &self.from {
            From::Given { value, declared } => match declared {
                Some(declared) => parameters::checked(evaluator, name, value.clone(), declared, context),
                None => value.clone(),
            },
            From::Text { json, declared: Some(declared) } => {
                let value = evaluator.value(json, Context { is_default: true, ..context });
                parameters::checked(evaluator, name, value, declared, context)
            }
            From::Text { json, declared: None } => evaluator.value(json, context),
            From::Loop { one } => match member(one, "input") {
                Some(input) => evaluator.repeated(one, name, input, context),
                None => Val::new(super::value::Data::Null),
            },
        }
    }
}

/// The values of a nested deployment's parameters or of a parameter file: `{"name": {"value": ...}}`.
pub fn given<'t>(object: &'t Object, evaluated: impl Fn(&'t Value) -> Val) -> HashMap<String, Given> {
    let one = |parameter: &'t document::Member| {
        let value = match member(&parameter.value, "reference") {
            Some(reference) => secret(&parameter.key, reference),
            // `null` is a value here.
            None => match parameter.value.as_object().and_then(|own| own.find("value")) {
                Some(own) => evaluated(&own.value),
                None => return None,
            },
        };
        Some((parameter.key.to_ascii_lowercase(), Given { value, span: parameter.key_span }))
    };
    object.iter().filter_map(one).collect()
}

/// A parameter that Azure takes from a key vault.
fn secret(name: &str, reference: &Value) -> Val {
    let vault = member(reference, "keyVault").and_then(|vault| crate::read::text(vault, "id"));
    let vault = vault.and_then(|id| id.rsplit('/').next()).filter(|name| !name.ends_with(']'));
    let secret = crate::read::text(reference, "secretName").unwrap_or_default();
    let place = vault.map(|vault| format!(" of the key vault `{vault}`")).unwrap_or_default();
    let value = Val::unknown(format!("the parameter `{name}`, the secret `{secret}`{place}"));
    let is_object = matches!(reference.kind, Kind::Object(_));
    if is_object { value.placed(reference.span) } else { Val::unknown(format!("the parameter `{name}`")) }
}
