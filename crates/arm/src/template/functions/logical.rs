//! Functions of booleans. What decides the answer alone does so, whatever the other arguments are.

use super::{Function, MANY, Made, Run, boolean, expected};
use crate::template::eval::Call;
use crate::template::fault::Fault;
use crate::template::value::{Data, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "and", arity: (1, MANY), does: "whether all arguments are true", run: Run::Call(|call| decided(call, false)) },
    Function { name: "bool", arity: (1, 1), does: "a string or an integer as a boolean", run: Run::Whole(bool) },
    Function { name: "false", arity: (0, 0), does: "false", run: Run::Any(|_| boolean(false)) },
    Function { name: "if", arity: (3, 3), does: "the second argument when the first is true, else the third; the other one is not evaluated", run: Run::Call(choose) },
    Function { name: "not", arity: (1, 1), does: "the opposite", run: Run::Whole(not) },
    Function { name: "or", arity: (1, MANY), does: "whether any argument is true", run: Run::Call(|call| decided(call, true)) },
    Function { name: "true", arity: (0, 0), does: "true", run: Run::Any(|_| boolean(true)) },
];

fn truth(value: &Val) -> Result<bool, Fault> {
    match value.data {
        Data::Bool(value) => Ok(value),
        _ => Err(expected(value, "a boolean")),
    }
}

/// `and` and `or`: an argument that is `deciding` decides.
fn decided(call: &Call<'_, '_, '_>, deciding: bool) -> Made {
    let mut unknown = None;
    for index in 0..call.arguments.len() {
        let value = call.argument(index)?;
        match value.as_unknown() {
            Some(why) => {
                unknown.get_or_insert_with(|| why.clone());
            }
            None if truth(&value).map_err(|fault| call.wrong(index, fault))? == deciding => {
                return boolean(deciding);
            }
            None => {}
        }
    }
    unknown.map_or_else(|| boolean(!deciding), |why| Ok(Val::because(&why, None)))
}

fn choose(call: &Call<'_, '_, '_>) -> Made {
    let condition = call.argument(0)?;
    if let Some(unknown) = condition.as_unknown() {
        return Ok(Val::because(unknown, None));
    }
    let chosen = truth(&condition).map_err(|fault| call.wrong(0, fault))?;
    call.argument(if chosen { 1 } else { 2 })
}

fn not(values: &[Val]) -> Made {
    boolean(!truth(&values[0])?)
}

fn bool(values: &[Val]) -> Made {
    match &values[0].data {
        Data::Bool(value) => boolean(*value),
        Data::Integer(number) => boolean(*number != 0),
        Data::Text(text) if text.eq_ignore_ascii_case("true") || text.as_ref() == "1" => boolean(true),
        Data::Text(text) if text.eq_ignore_ascii_case("false") || text.as_ref() == "0" => boolean(false),
        _ => Err(expected(&values[0], "`true`, `false`, 1 or 0")),
    }
}
