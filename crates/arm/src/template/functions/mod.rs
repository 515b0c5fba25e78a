//! The functions of the template language: each a registered value, found by name ignoring case.

mod array;
mod cidr;
mod comparison;
mod date;
mod deployment;
mod format;
mod hash;
mod json;
mod lambda;
mod logical;
mod numeric;
mod object;
mod resource;
mod scope;
mod string;
mod uri;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::LazyLock;

use super::eval::Call;
use super::fault::Fault;
use super::value::{Data, Unknown, Val};

/// A function of the language.
pub struct Function {
    /// Its name, spelt as documented.
    pub name: &'static str,
    /// The least and the most number of arguments.
    pub arity: (usize, usize),
    /// What it gives, for the reference.
    pub does: &'static str,
    run: Run,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// How a function runs, and how far what is not known spreads.
#[derive(Clone, Copy)]
enum Run {
    /// It needs all of its arguments, to their innermost parts.
    Whole(fn(&[Val]) -> Made),
    /// It needs its arguments, but not the parts of them.
    Outer(fn(&[Val]) -> Made),
    /// It decides itself what an argument that is not known means.
    Any(fn(&[Val]) -> Made),
    /// It evaluates its arguments itself, or needs more than these.
    Call(fn(&Call<'_, '_, '_>) -> Made),
    /// Nothing but Azure knows what it gives, and why.
    Runtime(&'static str),
}

/// What a function makes.
type Made = Result<Val, Fault>;

/// A group of functions, as Microsoft's pages group them.
struct Group {
    title: &'static str,
    functions: &'static [Function],
}

const GROUPS: [Group; 13] = [
    Group { title: "Array", functions: array::FUNCTIONS },
    Group { title: "CIDR", functions: cidr::FUNCTIONS },
    Group { title: "Comparison", functions: comparison::FUNCTIONS },
    Group { title: "Date", functions: date::FUNCTIONS },
    Group { title: "Deployment", functions: deployment::FUNCTIONS },
    Group { title: "Lambda", functions: lambda::FUNCTIONS },
    Group { title: "Logical", functions: logical::FUNCTIONS },
    Group { title: "Numeric", functions: numeric::FUNCTIONS },
    Group { title: "Object", functions: object::FUNCTIONS },
    Group { title: "Resource", functions: resource::FUNCTIONS },
    Group { title: "Scope", functions: scope::FUNCTIONS },
    Group { title: "String", functions: string::FUNCTIONS },
    Group { title: "URI", functions: uri::FUNCTIONS },
];

/// Any number of arguments.
const MANY: usize = usize::MAX;

static BY_NAME: LazyLock<HashMap<String, &'static Function>> =
    LazyLock::new(|| all().map(|function| (function.name.to_ascii_lowercase(), function)).collect());

/// All functions.
pub fn all() -> impl Iterator<Item = &'static Function> {
    GROUPS.iter().flat_map(|group| group.functions)
}

/// The function of a name, ignoring case. Every name that starts with `list` is one, for resource providers have
/// functions of their own.
pub fn find(name: &str) -> Option<&'static Function> {
    let name = name.to_ascii_lowercase();
    let listed = || name.starts_with("list").then(|| BY_NAME.get("list*").copied()).flatten();
    BY_NAME.get(&name).copied().or_else(listed)
}

/// Calls a function.
pub fn run(function: &Function, call: &Call<'_, '_, '_>) -> Made {
    let run = match function.run {
        Run::Call(run) => return run(call),
        Run::Runtime(what) => return Ok(runtime(function.name, what, call)),
        Run::Whole(run) | Run::Outer(run) | Run::Any(run) => run,
    };
    let values = call.values()?;
    let read = values.iter().map(Val::size).sum();
    call.evaluator.spend(read)?;
    let unknown = match function.run {
        Run::Whole(_) => values.iter().find_map(whole),
        Run::Outer(_) => values.iter().find_map(|value| value.as_unknown().cloned()),
        _ => None,
    };
    let made = match unknown {
        Some(unknown) => Val::because(&unknown, symbol(function.name, &values)),
        None => run(&values)?,
    };
    call.evaluator.spend(made.weight())?;
    call.evaluator.keep(made.weight())?;
    Ok(made)
}

/// What is not known in a value that has to be known to its innermost parts.
fn whole(value: &Val) -> Option<Rc<Unknown>> {
    if let Some(unknown) = value.unknown_inside() {
        return Some(unknown.clone());
    }
    match (&value.open, &value.data) {
        (Some(open), Data::Object(_)) => Val::unknown(format!("the fields of {open}")).as_unknown().cloned(),
        _ => None,
    }
}

/// What stands for the value of a call whose arguments have symbols.
fn symbol(name: &str, values: &[Val]) -> Option<String> {
    let parts: Option<Vec<_>> = values.iter().map(Val::symbol).collect();
    // A name may not hold what would split an id.
    Some(format!("{{{}({})}}", name.to_ascii_lowercase(), parts?.join(",").replace('/', "|")))
}

fn runtime(name: &str, what: &str, call: &Call<'_, '_, '_>) -> Val {
    let values: Vec<_> = call.values().unwrap_or_default();
    Val::unknown_as(format!("`{name}()`, {what}"), symbol(name, &values))
}

/// The functions as a page of the reference, in Markdown.
pub fn reference() -> String {
    let mut out = String::new();
    for group in &GROUPS {
        let _ = write!(out, "### {}\n\n| function | arguments | gives |\n|---|---|---|\n", group.title);
        for function in group.functions {
            let arguments = match function.arity {
                (least, MANY) => format!("{least} or more"),
                (least, most) if least == most => least.to_string(),
                (least, most) => format!("{least} to {most}"),
            };
            let note = match function.run {
                Run::Runtime(what) => format!("; {what}"),
                _ => String::new(),
            };
            let _ = writeln!(out, "| `{}` | {arguments} | {}{note} |", function.name, function.does);
        }
        out.push('\n');
    }
    out
}

/// The text of an argument.
fn text(value: &Val) -> Result<&str, Fault> {
    value.as_text().ok_or_else(|| expected(value, "a string"))
}

/// The integer of an argument.
fn integer(value: &Val) -> Result<i64, Fault> {
    match &value.data {
        Data::Integer(number) => Ok(*number),
        _ => Err(expected(value, "an integer")),
    }
}

/// The items of an argument.
fn items(value: &Val) -> Result<&[Val], Fault> {
    value.as_array().ok_or_else(|| expected(value, "an array"))
}

/// The error of an argument of the wrong type.
fn expected(value: &Val, what: &str) -> Fault {
    Fault::argument(format!("{} is given", value.describe())).expecting(what)
}

#[expect(clippy::unnecessary_wraps, reason = "the functions of the table may fail")]
fn boolean(value: bool) -> Made {
    Ok(Val::new(Data::Bool(value)))
}

#[expect(clippy::unnecessary_wraps, reason = "the functions of the table may fail")]
fn number(value: i64) -> Made {
    Ok(Val::new(Data::Integer(value)))
}

/// A length or a place as a number.
fn counted(count: usize) -> Made {
    number(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A number of items that may not be negative.
fn count(value: &Val) -> Result<usize, Fault> {
    Ok(usize::try_from(integer(value)?).unwrap_or(0))
}
