//! Evaluates expressions, and JSON with expressions in it.
//!
//! An expression that is wrong is reported once, at its place in the file, and counts as unknown.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use document::{Diagnostic, Kind, Member, Sources, Span, Value, nearest, quote};

use super::code::{Code, Text};
use super::fault::Fault;
use super::frame::Frame;
use super::functions::{self, Function};
use super::parse::{Expression, Node, parse};
use super::value::{Data, Val};
use super::world::{Path, World};
use crate::inventory::is_expression;

/// The deepest nesting of values, calls and variables of variables that is followed.
const MAX_DEPTH: usize = 160;

/// The most steps that all templates of an environment may take together. A step reads about 256 bytes.
const MAX_STEPS: usize = 20_000_000;

/// The most memory that the values of all templates may take, in bytes.
const MAX_MEMORY: usize = 384 * 1024 * 1024;

/// What evaluates, and what was noticed on the way.
pub struct Evaluator<'t> {
    pub sources: &'t Sources,
    pub world: RefCell<World>,
    found: RefCell<Vec<Diagnostic>>,
    /// Places of complaints, so that a loop does not repeat them.
    told: RefCell<HashSet<(Span, &'static str)>>,
    /// Expressions by the place of their string.
    parsed: RefCell<BTreeMap<(usize, usize), Parsed>>,
    /// What was evaluated, made ready for the next time.
    codes: RefCell<BTreeMap<*const Value, Rc<Code<'t>>>>,
    steps: Cell<usize>,
    memory: Cell<usize>,
    depth: Cell<usize>,
}

/// An expression, or what is wrong with it.
pub type Parsed = Result<Rc<Expression>, Rc<Diagnostic>>;

/// What an expression may refer to.
#[derive(Clone, Copy)]
pub struct Context<'c, 't> {
    pub frame: &'c Frame<'t>,
    /// Loops around the expression, innermost last.
    pub loops: &'c [Loop],
    /// Variables of lambda functions around it, innermost last.
    pub lambdas: &'c [(Rc<str>, Val)],
    /// Whether this is a parameter's default, where alone the clock may be read.
    pub is_default: bool,
}

impl<'c, 't> Context<'c, 't> {
    pub fn new(frame: &'c Frame<'t>, loops: &'c [Loop]) -> Self {
        Self { frame, loops, lambdas: &[], is_default: false }
    }
}

/// A `copy` loop at one of its turns.
#[derive(Debug, Clone)]
pub struct Loop {
    pub name: Rc<str>,
    /// The turn, from 0; `None` when not even the number of turns is known.
    pub index: Option<i64>,
}

/// A function as it is called.
pub struct Call<'a, 'c, 't> {
    pub evaluator: &'a Evaluator<'t>,
    pub context: Context<'c, 't>,
    pub name: &'a str,
    pub arguments: &'a [Expression],
}

impl Call<'_, '_, '_> {
    /// The value of an argument that is there.
    pub fn argument(&self, index: usize) -> Result<Val, Fault> {
        self.evaluator.node(&self.arguments[index], self.context)
    }

    /// The values of all arguments.
    pub fn values(&self) -> Result<Vec<Val>, Fault> {
        (0..self.arguments.len()).map(|index| self.argument(index)).collect()
    }

    /// An error about an argument.
    pub fn wrong(&self, index: usize, fault: Fault) -> Fault {
        fault.at(self.arguments[index].at.clone())
    }
}

impl<'t> Evaluator<'t> {
    pub fn new(sources: &'t Sources, world: World) -> Self {
        Self {
            sources,
            world: RefCell::new(world),
            found: RefCell::default(),
            told: RefCell::default(),
            parsed: RefCell::default(),
            codes: RefCell::default(),
            steps: Cell::new(0),
            memory: Cell::new(0),
            depth: Cell::new(0),
        }
    }

    /// Starts a task; what was made when it was done before takes no memory any more.
    pub fn start(&self, task: &Path, before: usize) {
        self.world.borrow_mut().start(task);
        self.memory.set(self.memory.get().saturating_sub(before));
    }

    /// What was noticed since this was asked last.
    pub fn take_found(&self) -> Vec<Diagnostic> {
        self.told.take();
        self.found.take()
    }

    /// The memory that is taken, in bytes.
    pub fn memory(&self) -> usize {
        self.memory.get()
    }

    /// Notes a complaint, once for a place.
    pub fn report(&self, diagnostic: Diagnostic) {
        if self.told.borrow_mut().insert((diagnostic.span, diagnostic.code)) {
            self.found.borrow_mut().push(diagnostic);
        }
    }

    /// A value with every expression in it evaluated.
    pub fn value(&self, json: &'t Value, context: Context<'_, 't>) -> Val {
        let place = std::ptr::from_ref(json);
        let known = self.codes.borrow().get(&place).cloned();
        let code = known.unwrap_or_else(|| {
            let code = Rc::new(self.code(json));
            self.codes.borrow_mut().insert(place, Rc::clone(&code));
            code
        });
        self.run(&code, context)
    }

    /// Whether no step or no memory is left.
    pub fn is_exhausted(&self) -> bool {
        self.steps.get() > MAX_STEPS || self.memory.get() > MAX_MEMORY
    }

    /// The value of an expression: unknown, after a complaint, where it is wrong.
    pub fn expression(&self, of: &Text<'_>, context: Context<'_, 't>) -> Val {
        let tree = match &of.tree {
            Ok(tree) => tree,
            Err(found) => {
                self.report(found.as_ref().clone());
                return mistaken(of.written);
            }
        };
        self.node(tree, context).unwrap_or_else(|fault| {
            self.report(self.inside(fault, of.span));
            mistaken(of.written)
        })
    }

    /// The tree of an expression, or what is wrong with it whatever its values are.
    pub fn parsed(&self, text: &str, span: Span) -> Parsed {
        if let Some(known) = self.parsed.borrow().get(&(span.start, span.end)) {
            return known.clone();
        }
        let tree = parse(text).and_then(|mut tree| resolve(&mut tree).map(|()| Rc::new(tree)));
        let parsed = tree.map_err(|fault| Rc::new(self.inside(fault, span)));
        self.parsed.borrow_mut().insert((span.start, span.end), parsed.clone());
        parsed
    }

    /// An error inside the string at `span`.
    fn inside(&self, fault: Fault, span: Span) -> Diagnostic {
        let place = fault.place().map_or(span, |at| self.sources.inside(span, at));
        fault.diagnostic(place)
    }

    /// Reports what is wrong with expressions whatever their values are, those included that nothing evaluates.
    pub fn check(&self, json: &Value) {
        match &json.kind {
            Kind::String(text) if is_expression(text) => {
                if let Err(found) = self.parsed(text, json.span) {
                    self.report(found.as_ref().clone());
                }
            }
            Kind::Array(items) => items.iter().for_each(|item| self.check(item)),
            Kind::Object(object) => {
                let evaluated = |member: &&Member| !member.key.eq_ignore_ascii_case("metadata");
                object.iter().filter(evaluated).for_each(|member| self.check(&member.value));
            }
            _ => {}
        }
    }

    /// Reports an error of the value at `span`.
    pub fn wrong(&self, fault: Fault, span: Span) -> Val {
        self.report(fault.diagnostic(span));
        Val::unknown("a value that is wrong").placed(span)
    }

    /// Does something one level deeper.
    pub fn deeper<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let depth = self.depth.get();
        if depth == MAX_DEPTH {
            return Err(Fault::new("too-deep", "values, calls and variables are nested too deeply")
                .expecting(format!("at most {MAX_DEPTH} levels")));
        }
        self.depth.set(depth + 1);
        let done = work();
        self.depth.set(depth);
        done
    }

    /// Counts what was done.
    pub fn spend(&self, bytes: usize) -> Result<(), Fault> {
        let steps = self.steps.get().saturating_add(1 + bytes / 256);
        self.steps.set(steps);
        if steps > MAX_STEPS {
            return Err(Fault::new("too-large", "the templates take too many steps to be evaluated")
                .expecting(format!("at most {MAX_STEPS}"))
                .hinting("take out of the loops what does not change in them"));
        }
        Ok(())
    }

    /// Counts memory that is taken.
    pub fn keep(&self, bytes: usize) -> Result<(), Fault> {
        self.memory.set(self.memory.get().saturating_add(bytes));
        if self.memory.get() > MAX_MEMORY {
            return Err(Fault::new("too-large", "the values of the templates are too large together")
                .expecting(format!("at most {MAX_MEMORY} bytes")));
        }
        Ok(())
    }

    /// The value of a part of an expression.
    pub fn node(&self, expression: &Expression, context: Context<'_, 't>) -> Result<Val, Fault> {
        let value = self.deeper(|| {
            self.spend(0)?;
            match &expression.node {
                Node::Text(text) => Ok(Val::text(Rc::clone(text))),
                Node::Integer(number) => Ok(Val::new(Data::Integer(*number))),
                Node::Property { of, name } => {
                    let of = self.node(of, context)?;
                    self.searched(&of)?;
                    property(&of, name)
                }
                Node::Index { of, index } => {
                    let (of, index) = (self.node(of, context)?, self.node(index, context)?);
                    self.searched(&of)?;
                    item(&of, &index)
                }
                Node::Call { name, function, arguments } => {
                    let call = Call { evaluator: self, context, name, arguments };
                    let made = match function {
                        Some(function) => functions::run(function, &call),
                        None => context.frame.call_own(&call),
                    };
                    made.map_err(|fault| fault.at(expression.at.start..expression.at.start + name.len()))
                }
            }
        });
        value.map_err(|fault| fault.at(end_of(expression)))
    }

    /// Counts the search for a member of an object.
    fn searched(&self, of: &Val) -> Result<(), Fault> {
        self.spend(of.as_object().map_or(0, |fields| 16 * fields.members.len()))
    }
}

/// Finds the functions that a tree calls; an error is about one that there is not, or about the number of arguments.
fn resolve(expression: &mut Expression) -> Result<(), Fault> {
    match &mut expression.node {
        Node::Text(_) | Node::Integer(_) => Ok(()),
        Node::Property { of, .. } => resolve(of),
        Node::Index { of, index } => resolve(of).and_then(|()| resolve(index)),
        Node::Call { name, function, arguments } => {
            let named = expression.at.start..expression.at.start + name.len();
            // A template's own functions are looked up when they are called.
            if !name.contains('.') {
                *function = Some(self::function(name, arguments.len()).map_err(|fault| fault.at(named))?);
            }
            arguments.iter_mut().try_for_each(resolve)
        }
    }
}

/// The function of a name that takes so many arguments.
fn function(name: &str, given: usize) -> Result<&'static Function, Fault> {
    let function = functions::find(name).ok_or_else(|| unknown_function(name))?;
    let (least, most) = function.arity;
    if (least..=most).contains(&given) {
        return Ok(function);
    }
    let message = format!("`{}` is called with {}", function.name, counted(given));
    Err(Fault::new("wrong-arity", message).expecting(expected_arity(function)))
}

/// What an expression that is wrong is worth.
fn mistaken(text: &str) -> Val {
    Val::unknown(format!("the expression {}", quote(text)))
}

/// Where a property or an item is asked for, rather than what of.
fn end_of(expression: &Expression) -> Range<usize> {
    match &expression.node {
        Node::Property { name, .. } => expression.at.end - name.len()..expression.at.end,
        Node::Index { index, .. } => index.at.clone(),
        _ => expression.at.clone(),
    }
}

fn unknown_function(name: &str) -> Fault {
    let fault = Fault::new("unknown-function", format!("there is no function {}", quote(name)));
    match nearest(name, functions::all().map(|function| function.name)) {
        Some(right) => fault.hinting(format!("did you mean `{right}`?")),
        None => fault,
    }
}

fn counted(count: usize) -> String {
    match count {
        0 => "no argument".to_owned(),
        1 => "1 argument".to_owned(),
        count => format!("{count} arguments"),
    }
}

fn expected_arity(function: &Function) -> String {
    match function.arity {
        (least, usize::MAX) => format!("at least {}", counted(least)),
        (least, most) if least == most => counted(least),
        (least, most) => format!("{least} to {}", counted(most)),
    }
}

/// The property of a value, ignoring the case of its name.
pub fn property(of: &Val, name: &str) -> Result<Val, Fault> {
    match &of.data {
        Data::Unknown(unknown) => Ok(Val::because(unknown, None)),
        Data::Object(fields) => {
            if let Some(value) = of.get(name) {
                return Ok(value);
            }
            match &of.open {
                // Descriptions of resources are flattened.
                Some(_) if name.eq_ignore_ascii_case("properties") => Ok(of.clone()),
                Some(open) => Ok(Val::unknown(format!("`{name}` of {open}"))),
                None => Err(no_property(fields.members.iter().map(|member| member.key.as_ref()), name)),
            }
        }
        _ => Err(Fault::argument(format!("{} has no property {}", of.describe(), quote(name)))),
    }
}

fn no_property<'a>(names: impl Iterator<Item = &'a str> + Clone, name: &str) -> Fault {
    let fault = Fault::new("no-property", format!("the object has no property {}", quote(name)));
    let fault = match nearest(name, names.clone()) {
        Some(right) => fault.hinting(format!("did you mean `{right}`?")),
        None => fault,
    };
    let listed: Vec<_> = names.take(8).map(quote).collect();
    if listed.is_empty() { fault } else { fault.expecting(listed.join(", ")) }
}

/// An item of an array, or a property of an object, by a value.
pub fn item(of: &Val, index: &Val) -> Result<Val, Fault> {
    match (&of.data, &index.data) {
        (Data::Unknown(unknown), _) | (_, Data::Unknown(unknown)) => Ok(Val::because(unknown, None)),
        (Data::Object(_), Data::Text(name)) => property(of, name),
        (Data::Array(list), Data::Integer(index)) => {
            let found = usize::try_from(*index).ok().and_then(|index| list.items.get(index));
            match (found, &of.open) {
                (Some(item), open) => Ok(item.clone().within(open.as_ref())),
                (None, Some(open)) => Ok(Val::unknown(format!("item {index} of a list of {open}"))),
                (None, None) => Err(Fault::new("no-item", format!("the array has no item {index}"))
                    .expecting(match list.items.len() {
                        0 => "nothing: the array is empty".to_owned(),
                        length => format!("0 to {}", length - 1),
                    })),
            }
        }
        (Data::Array(_), _) => {
            Err(Fault::argument(format!("{} is no index of an array", index.describe()))
                .expecting("an integer"))
        }
        (Data::Object(_), _) => {
            Err(Fault::argument(format!("{} is no name of a property", index.describe()))
                .expecting("a string"))
        }
        _ => {
            Err(Fault::argument(format!("{} has no items", of.describe())).expecting("an array or an object"))
        }
    }
}
