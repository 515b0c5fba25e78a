//! `copy` loops.

use document::{Kind, Member, Value};

use super::eval::{Context, Evaluator, Loop};
use super::fault::Fault;
use super::value::{Data, Field, Val};
use crate::read::member;

/// The most turns of a loop ("ARM template limits").
pub const MAX_TURNS: i64 = 800;

/// The loops of properties or variables that a member of an object stands for; `None` for an ordinary member.
pub fn loops(of: &Member) -> Option<&[Value]> {
    if !of.key.eq_ignore_ascii_case("copy") {
        return None;
    }
    let loops = of.value.as_array()?;
    let is_loop = |one: &Value| member(one, "name").is_some() && member(one, "input").is_some();
    (!loops.is_empty() && loops.iter().all(is_loop)).then_some(loops)
}

/// How often a loop turns.
pub enum Turns {
    Known(i64),
    /// Not known, for this reason.
    Open(Val),
}

impl<'t> Evaluator<'t> {
    /// The members that loops make.
    pub fn copied(&self, loops: &'t [Value], context: Context<'_, 't>) -> Vec<Field> {
        let made = loops.iter().filter_map(|one| {
            let name = self.value(member(one, "name")?, context).as_text()?.to_owned();
            let value = self.repeated(one, &name, member(one, "input")?, context);
            Some(Field { key: name.into(), key_span: one.span, value })
        });
        made.collect()
    }

    /// The array that a loop makes of its input.
    pub fn repeated(&self, one: &'t Value, name: &str, input: &'t Value, context: Context<'_, 't>) -> Val {
        let mut inner = context.loops.to_vec();
        inner.push(Loop { name: name.into(), index: None });
        let turns = match self.turns(one, context) {
            Turns::Known(turns) => turns,
            Turns::Open(unknown) => return unknown.placed(one.span),
        };
        let mut items = Vec::new();
        for turn in 0..turns {
            if let (Some(last), false) = (inner.last_mut(), self.is_exhausted()) {
                last.index = Some(turn);
            } else {
                break;
            }
            items.push(self.value(input, Context { loops: &inner, ..context }));
        }
        match Val::array(items) {
            Ok(array) => array.placed(one.span),
            Err(fault) => self.wrong(fault, one.span),
        }
    }

    /// The number of turns of a loop.
    pub fn turns(&self, one: &'t Value, context: Context<'_, 't>) -> Turns {
        let Some(count) = member(one, "count") else {
            let fault = Fault::new("missing-field", "the loop has no `count`").expecting("a whole number");
            return Turns::Open(self.wrong(fault, one.span));
        };
        let value = self.value(count, context);
        match value.data {
            Data::Integer(turns @ 0..=MAX_TURNS) => Turns::Known(turns),
            Data::Unknown(_) => Turns::Open(value),
            Data::Integer(turns) => {
                let fault = Fault::new("copy-count", format!("the loop is to turn {turns} times"));
                Turns::Open(
                    self.wrong(fault.expecting(format!("0 to {MAX_TURNS}, Azure's limit")), count.span),
                )
            }
            _ => {
                let fault = Fault::argument(format!("{} is no number of turns", value.describe()));
                Turns::Open(self.wrong(fault.expecting("a whole number"), count.span))
            }
        }
    }
}

/// What a resource's or an output's own `copy` is: an object.
pub fn own_loop(of: &Value) -> Option<&Value> {
    member(of, "copy").filter(|copy| matches!(copy.kind, Kind::Object(_)))
}
