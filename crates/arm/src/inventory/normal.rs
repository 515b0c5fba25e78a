//! One spelling of a resource, whichever document it comes from.
//!
//! The normal form is the flattened one of `az`: what `properties` holds stands beside `name` and `id`. A field
//! that has a singular and a plural form is a list under its plural name, so that two documents that use
//! different forms can be compared.

use document::{Kind, Member, Object, Value};

use super::places::Places;

/// Fields with two forms; each holds one value or a list, and what they mean is the union.
const FORMS: [(&str, &str); 5] = [
    ("sourceAddressPrefix", "sourceAddressPrefixes"),
    ("destinationAddressPrefix", "destinationAddressPrefixes"),
    ("sourcePortRange", "sourcePortRanges"),
    ("destinationPortRange", "destinationPortRanges"),
    ("addressPrefix", "addressPrefixes"),
];

/// What policies are written in: their expressions are no template's, and stay as they are.
const POLICY_LANGUAGE: [&str; 2] = ["policyRule", "policyDefinitions"];

/// The normal form of a value and of all that is in it. Expressions that reach this point are unknown.
pub(crate) fn normal(value: Value) -> Value {
    let Value { span, kind } = value;
    let kind = match kind {
        Kind::Array(items) => Kind::Array(items.into_iter().map(normal).collect()),
        Kind::Object(object) => {
            let is_policy = |key: &str| POLICY_LANGUAGE.iter().any(|own| own.eq_ignore_ascii_case(key));
            let members = flattened(object).into_iter().map(|member| {
                if is_policy(&member.key) { member } else { Member { value: normal(member.value), ..member } }
            });
            Kind::Object(Object::of(folded(members.collect())))
        }
        Kind::String(text) if is_expression(&text) => Kind::Unknown(reason(&text)),
        other => other,
    };
    Value { span, kind }
}

/// Why an expression is not known; a snapshot says so itself.
pub(crate) fn reason(text: &str) -> String {
    let told = text.strip_prefix("[unknown: ").and_then(|text| text.strip_suffix(']'));
    told.map_or_else(|| format!("the expression {}", document::quote(text)), str::to_owned)
}

/// Whether a text is an expression of the template language, `[...]`; `[[` is an escaped bracket.
pub(crate) fn is_expression(text: &str) -> bool {
    text.starts_with('[') && !text.starts_with("[[") && text.ends_with(']')
}

/// Whether a value is one of the ways in which Azure writes an absent one.
pub fn is_absent(value: &Value) -> bool {
    match &value.kind {
        Kind::Null => true,
        Kind::String(text) => text.is_empty(),
        Kind::Array(items) => items.is_empty(),
        Kind::Bool(_) | Kind::Number(_) | Kind::Object(_) | Kind::Unknown(_) => false,
    }
}

/// A field of a value, ignoring the case of its name; an absent one is none.
pub fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let found = &value.as_object()?.find(name)?.value;
    (!is_absent(found)).then_some(found)
}

/// The members with those of `properties` among them. A member that is there already stays in `properties`.
fn flattened(object: Object) -> Vec<Member> {
    let is_inner =
        |member: &Member| member.key.eq_ignore_ascii_case("properties") && member.value.as_object().is_some();
    if !object.iter().any(is_inner) {
        return object.into_iter().collect();
    }
    let (mut members, mut inner) = (Vec::with_capacity(object.len()), None);
    for member in object {
        if inner.is_none() && is_inner(&member) {
            inner = Some(member);
        } else {
            members.push(member);
        }
    }
    let Some(Member { key, key_span, value: Value { span, kind: Kind::Object(inner) } }) = inner else {
        return members;
    };
    let places = Places::of(members.iter().map(|member| member.key.as_str()));
    let mut kept = Vec::new();
    for member in inner {
        match places.find(&members, |own| &own.key, &member.key) {
            Some(at) if is_absent(&members[at].value) => members[at] = member,
            Some(_) => kept.push(member),
            None => members.push(member),
        }
    }
    if !kept.is_empty() {
        members.push(Member { key, key_span, value: Value { span, kind: Kind::Object(Object::of(kept)) } });
    }
    members
}

/// The members with singular forms folded into plural ones, and absent values left out.
fn folded(members: Vec<Member>) -> Vec<Member> {
    if !members.iter().any(|member| is_absent(&member.value) || form(member).is_some()) {
        return members;
    }
    let mut out: Vec<Member> = Vec::with_capacity(members.len());
    let mut places = [None; FORMS.len()];
    for mut member in members {
        if is_absent(&member.value) {
            continue;
        }
        let Some(form) = form(&member) else {
            out.push(member);
            continue;
        };
        FORMS[form].1.clone_into(&mut member.key);
        if !matches!(member.value.kind, Kind::Array(_) | Kind::Unknown(_)) {
            member.value = Value { span: member.value.span, kind: Kind::Array(vec![member.value]) };
        }
        if let Some(at) = places[form] {
            let other: &mut Member = &mut out[at];
            union(&mut other.value, member.value);
        } else {
            places[form] = Some(out.len());
            out.push(member);
        }
    }
    out
}

/// Which of [`FORMS`] a member is.
fn form(member: &Member) -> Option<usize> {
    let is = |name: &str| member.key.eq_ignore_ascii_case(name);
    FORMS.iter().position(|(singular, plural)| is(singular) || is(plural))
}

/// Adds a list to a list; what is not known makes the union unknown.
fn union(into: &mut Value, from: Value) {
    match (&mut into.kind, from.kind) {
        (Kind::Unknown(_), _) => {}
        (Kind::Array(items), Kind::Array(more)) => items.extend(more),
        (_, kind) => *into = Value { span: from.span, kind },
    }
}
