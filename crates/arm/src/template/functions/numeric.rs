//! Functions of integers, which have 64 bits.

use document::{Number, quote};

use super::{Function, Made, Run, expected, integer, number, text};
use crate::template::eval::Call;
use crate::template::fault::Fault;
use crate::template::value::{Data, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "add", arity: (2, 2), does: "the sum of two integers", run: Run::Whole(|values| both(values, i64::checked_add)) },
    Function { name: "copyIndex", arity: (0, 2), does: "the turn of a loop, the innermost one or one by name, plus an offset", run: Run::Call(copy_index) },
    Function { name: "div", arity: (2, 2), does: "the quotient of two integers, without its fraction", run: Run::Whole(|values| both(values, i64::checked_div)) },
    Function { name: "float", arity: (1, 1), does: "a string or an integer as a number", run: Run::Whole(float) },
    Function { name: "int", arity: (1, 1), does: "a string or a number as an integer", run: Run::Whole(int) },
    Function { name: "mod", arity: (2, 2), does: "the remainder of a division", run: Run::Whole(|values| both(values, i64::checked_rem)) },
    Function { name: "mul", arity: (2, 2), does: "the product of two integers", run: Run::Whole(|values| both(values, i64::checked_mul)) },
    Function { name: "sub", arity: (2, 2), does: "the difference of two integers", run: Run::Whole(|values| both(values, i64::checked_sub)) },
];

fn both(values: &[Val], work: fn(i64, i64) -> Option<i64>) -> Made {
    let (one, other) = (integer(&values[0])?, integer(&values[1])?);
    match work(one, other) {
        Some(result) => number(result),
        None if other == 0 => Err(Fault::argument("a division by zero")),
        None => Err(Fault::argument("the result is too large").expecting("64 bits")),
    }
}

fn copy_index(call: &Call<'_, '_, '_>) -> Made {
    let values = call.values()?;
    let loops = call.context.loops;
    let (own, offset) = match values.as_slice() {
        [] => (loops.last(), 0),
        [offset] if matches!(offset.data, Data::Integer(_)) => (loops.last(), integer(offset)?),
        [name, rest @ ..] => {
            let name = text(name).map_err(|fault| call.wrong(0, fault))?;
            let found = loops.iter().rev().find(|own| own.name.eq_ignore_ascii_case(name));
            if found.is_none() {
                let fault = Fault::new("no-loop", format!("no loop {} is around this", quote(name)));
                return Err(call.wrong(0, fault));
            }
            (found, rest.first().map_or(Ok(0), integer)?)
        }
    };
    let Some(own) = own else {
        let fault = Fault::new("no-loop", "`copyIndex` stands outside of a loop");
        return Err(fault.hinting("give the resource or the property a `copy`"));
    };
    match own.index {
        Some(index) => {
            index.checked_add(offset).map_or_else(|| Err(Fault::argument("the offset is too large")), number)
        }
        None => Ok(Val::unknown("the number of turns of a loop")),
    }
}

fn int(values: &[Val]) -> Made {
    match &values[0].data {
        Data::Integer(_) => Ok(values[0].clone()),
        Data::Text(text) => match text.trim().parse() {
            Ok(value) => number(value),
            Err(_) => Err(Fault::argument(format!("{} is no integer", quote(text)))),
        },
        Data::Float(value) => match value.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "checked")]
            Some(float) if float.abs() < 9e15 => number(float as i64),
            _ => Err(Fault::argument("the number is too large").expecting("64 bits")),
        },
        _ => Err(expected(&values[0], "a string or a number")),
    }
}

fn float(values: &[Val]) -> Made {
    match &values[0].data {
        Data::Integer(_) | Data::Float(_) => Ok(values[0].clone()),
        Data::Text(text) => match Number::parse(text.trim()) {
            Some(value) => Ok(Val::new(value.as_i64().map_or(Data::Float(value), Data::Integer))),
            None => Err(Fault::argument(format!("{} is no number", quote(text)))),
        },
        _ => Err(expected(&values[0], "a string or a number")),
    }
}
