//! Conditions of policy rules (Azure Policy definition structure), asked about a resource of which not all is known.

use arm::is_absent;
use document::{Kind, Value};

use super::expression::{Parameters, term, text};
use super::made::{Made, Way};

/// Whether a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// It is not known, because of this.
    Open(String),
}

/// A value as conditions compare it: booleans and numbers are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// There is none.
    Absent,
    Text(String),
    List(Vec<Term>),
    /// It is not known, because of this.
    Open(String),
}

impl Truth {
    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            open @ Self::Open(_) => open,
        }
    }

    /// Whether all are so; one that is not decides, whatever is open.
    fn all(each: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::Yes;
        for one in each {
            match one {
                Self::No => return Self::No,
                Self::Open(_) if all == Self::Yes => all = one,
                _ => {}
            }
        }
        all
    }

    fn any(each: impl Iterator<Item = Self>) -> Self {
        Self::all(each.map(Self::not)).not()
    }
}

/// Whether the condition of a rule is met by a resource, in whichever of the possible ways it is made.
pub(super) fn holds(condition: &Value, made: &Made, parameters: &Parameters<'_>) -> Truth {
    let mut answers = made.ways().into_iter().map(|way| holds_for(condition, &way, parameters));
    let first = answers.next().unwrap_or(Truth::No);
    match answers.find(|other| *other != first) {
        Some(open @ Truth::Open(_)) => open,
        Some(_) if !matches!(first, Truth::Open(_)) => {
            Truth::Open(format!("properties of {} that no page tells", made.what))
        }
        _ => first,
    }
}

fn holds_for(condition: &Value, way: &Way<'_>, parameters: &Parameters<'_>) -> Truth {
    let Some(object) = condition.as_object() else {
        return Truth::Open("a condition that is not known".to_owned());
    };
    let member = |name: &str| object.find(name).map(|member| &member.value);
    let inner = |list: &Value| -> Vec<Truth> {
        let items = list.as_array().unwrap_or_default();
        items.iter().map(|item| holds_for(item, way, parameters)).collect()
    };
    if let Some(list) = member("allOf") {
        return Truth::all(inner(list).into_iter());
    }
    if let Some(list) = member("anyOf") {
        return Truth::any(inner(list).into_iter());
    }
    if let Some(one) = member("not") {
        return holds_for(one, way, parameters).not();
    }
    let (left, what) = match (member("field"), member("value")) {
        (Some(field), _) => match text(field, way, parameters) {
            Ok(name) => (way.field(&name), name),
            Err(because) => return Truth::Open(because),
        },
        (None, Some(value)) => (term(value, way, parameters), "a value".to_owned()),
        (None, None) => return Truth::Open("a condition that counts, which is not evaluated".to_owned()),
    };
    let operator = object.iter().find(|member| !["field", "value"].contains(&member.key.as_str()));
    let Some(operator) = operator else {
        return Truth::Open(format!("a condition about {what} without an operator"));
    };
    let right = term(&operator.value, way, parameters);
    compare(&operator.key, &left, &right, what.eq_ignore_ascii_case("location"))
}

/// Compares by an operator, ignoring case; regions by their short names.
fn compare(operator: &str, left: &Term, right: &Term, is_place: bool) -> Truth {
    let operator = operator.to_ascii_lowercase();
    if let Some(opposite) = operator.strip_prefix("not") {
        return compare(opposite, left, right, is_place).not();
    }
    if let Term::Open(because) = if operator == "exists" { right } else { left } {
        return Truth::Open(because.clone());
    }
    if let Term::Open(because) = right {
        return Truth::Open(because.clone());
    }
    let same = |one: &str, other: &str| {
        if is_place {
            image_template::region_slug(one) == image_template::region_slug(other)
        } else {
            one.eq_ignore_ascii_case(other)
        }
    };
    match (operator.as_str(), left, right) {
        ("exists", left, Term::Text(wanted)) => match left {
            Term::Open(because) => Truth::Open(because.clone()),
            left => Truth::of((*left != Term::Absent) == wanted.eq_ignore_ascii_case("true")),
        },
        ("equals", Term::Absent, Term::Text(text)) if text.is_empty() => {
            Truth::Open("whether an absent value equals an empty one".to_owned())
        }
        (
            "equals" | "like" | "in" | "contains" | "containskey" | "match" | "matchinsensitively",
            Term::Absent,
            _,
        ) => Truth::No,
        ("equals", Term::Text(left), Term::Text(right)) => Truth::of(same(left, right)),
        ("like", Term::Text(left), Term::Text(right)) => Truth::of(access::Pattern::new(right).matches(left)),
        ("in", Term::Text(left), Term::List(list)) => Truth::any(list.iter().map(|item| match item {
            Term::Text(item) => Truth::of(same(left, item)),
            Term::Open(because) => Truth::Open(because.clone()),
            _ => Truth::No,
        })),
        ("contains", Term::Text(left), Term::Text(right)) => {
            Truth::of(left.to_ascii_lowercase().contains(&right.to_ascii_lowercase()))
        }
        _ => Truth::Open(format!("the operator `{operator}`, which is not evaluated here")),
    }
}

/// A value without expressions.
pub(super) fn literal(value: &Value) -> Term {
    match &value.kind {
        Kind::String(text) => Term::Text(text.clone()),
        Kind::Bool(flag) => Term::Text(flag.to_string()),
        Kind::Number(number) => Term::Text(number.as_str().to_owned()),
        Kind::Array(items) => Term::List(items.iter().map(literal).collect()),
        Kind::Unknown(because) => Term::Open(because.clone()),
        _ if is_absent(value) => Term::Absent,
        _ => Term::Open("an object, which is not compared here".to_owned()),
    }
}
