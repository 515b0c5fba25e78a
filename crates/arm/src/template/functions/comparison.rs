//! Functions that compare.

use std::cmp::Ordering;

use super::{Function, MANY, Made, Run, boolean, expected};
use crate::template::eval::Call;
use crate::template::fault::Fault;
use crate::template::value::{Data, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "coalesce", arity: (1, MANY), does: "the first argument that is not null", run: Run::Call(coalesce) },
    Function { name: "equals", arity: (2, 2), does: "whether two values are equal; strings with regard to case", run: Run::Any(equals) },
    Function { name: "greater", arity: (2, 2), does: "whether the first integer or string is greater", run: Run::Whole(|values| ordered(values, Ordering::is_gt)) },
    Function { name: "greaterOrEquals", arity: (2, 2), does: "whether the first is greater or equal", run: Run::Whole(|values| ordered(values, Ordering::is_ge)) },
    Function { name: "less", arity: (2, 2), does: "whether the first integer or string is less", run: Run::Whole(|values| ordered(values, Ordering::is_lt)) },
    Function { name: "lessOrEquals", arity: (2, 2), does: "whether the first is less or equal", run: Run::Whole(|values| ordered(values, Ordering::is_le)) },
];

fn coalesce(call: &Call<'_, '_, '_>) -> Made {
    for index in 0..call.arguments.len() {
        let value = call.argument(index)?;
        if !matches!(value.data, Data::Null) {
            return Ok(value);
        }
    }
    Ok(Val::new(Data::Null))
}

fn equals(values: &[Val]) -> Made {
    if let Some(answer) = values[0].equals(&values[1]) {
        boolean(answer)
    } else {
        let unknown = values.iter().find_map(Val::unknown_inside);
        let open = || values.iter().find_map(|value| value.open.clone());
        Ok(match unknown {
            Some(unknown) => Val::because(unknown, None),
            None => Val::unknown(format!("the fields of {}", open().unwrap_or_default())),
        })
    }
}

fn ordered(values: &[Val], is: fn(Ordering) -> bool) -> Made {
    let order = match (&values[0].data, &values[1].data) {
        (Data::Integer(one), Data::Integer(other)) => one.cmp(other),
        (Data::Text(one), Data::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Data::Integer(_) | Data::Float(_), Data::Integer(_) | Data::Float(_)) => {
            let (one, other) = (float(&values[0]), float(&values[1]));
            one.partial_cmp(&other).ok_or_else(|| Fault::argument("the numbers cannot be compared"))?
        }
        (Data::Integer(_), _) => return Err(expected(&values[1], "an integer, as the first argument is")),
        (Data::Text(_), _) => return Err(expected(&values[1], "a string, as the first argument is")),
        _ => return Err(expected(&values[0], "an integer or a string")),
    };
    boolean(is(order))
}

fn float(value: &Val) -> Option<f64> {
    match &value.data {
        #[expect(clippy::cast_precision_loss, reason = "as Azure compares them")]
        Data::Integer(number) => Some(*number as f64),
        Data::Float(number) => number.as_f64(),
        _ => None,
    }
}
