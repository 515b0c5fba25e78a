//! Two descriptions of one resource.

use document::{Diagnostic, Kind, Member, Object, Reader, Sources, Value};

use super::places::Places;

/// Fields that differ between documents without changing what a resource does.
const VOLATILE: [&str; 3] = ["etag", "provisioningState", "resourceGuid"];

/// Such fields of the resource itself; deeper down an `id` means something.
const ENVELOPE: [&str; 11] = [
    "id",
    "name",
    "type",
    "resourceGroup",
    "apiVersion",
    "dependsOn",
    "comments",
    "tags",
    "description",
    "location",
    "systemData",
];

/// Fields of resources that Azure adds itself: no deployment takes them away.
const READ_ONLY: [&str; 8] = [
    "ipConfigurations",
    "ipConfigurationProfiles",
    "privateEndpoints",
    "provisioningState",
    "purpose",
    "resourceNavigationLinks",
    "serviceAssociationLinks",
    "subnetSpace",
];

/// Adds to a description that a deployment brings what Azure had added to the resource before.
pub(super) fn keep_what_azure_adds(new: &mut Value, old: Value) {
    let (Kind::Object(new), Kind::Object(old)) = (&mut new.kind, old.kind) else { return };
    let is_kept = |member: &Member| READ_ONLY.iter().any(|field| field.eq_ignore_ascii_case(&member.key));
    let kept: Vec<_> =
        old.into_iter().filter(|member| is_kept(member) && new.find(&member.key).is_none()).collect();
    *new = Object::of(std::mem::take(new).into_iter().chain(kept).collect());
}

fn is_volatile(key: &str, path: &str) -> bool {
    let listed = |fields: &[&str]| fields.iter().any(|field| field.eq_ignore_ascii_case(key));
    listed(&VOLATILE) || (path.is_empty() && listed(&ENVELOPE))
}

/// Whether a value says nothing about a resource but which one it is.
pub(super) fn is_reference(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.iter().all(|member| is_volatile(&member.key, "")))
}

/// How two descriptions are put together.
pub(super) struct Merge<'a> {
    pub reader: &'a mut Reader,
    pub sources: &'a Sources,
    /// What complaints call the resource.
    pub label: &'a str,
    pub mode: Mode,
}

/// How much a description tells.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// Everything, so that a field in only one of two is a contradiction: rules and routes.
    Whole,
    /// Some of it: a virtual network may be told piece by piece.
    Pieces,
    /// What Azure adds at run time: also its lists are told piece by piece.
    Runtime,
}

impl Merge<'_> {
    /// Merges `from` into `into`, which stands at `path` of the resource; its own path is empty. What is known stands for what is not; where both are known and differ, nothing
    /// is known, and a warning says so.
    pub fn values(&mut self, into: &mut Value, from: Value, path: &str) {
        match (&mut into.kind, from.kind) {
            (_, Kind::Unknown(_)) => {}
            (Kind::Unknown(_), kind) => *into = Value { span: from.span, kind },
            (Kind::Object(object), Kind::Object(more)) => self.objects(object, more, path),
            (Kind::Array(items), Kind::Array(more)) if pairs(self.mode, items, &more) => {
                for (item, other) in items.iter_mut().zip(more) {
                    self.values(item, other, &format!("{path}[]"));
                }
            }
            (_, kind) => {
                let from = Value { span: from.span, kind };
                if !same(into, &from) {
                    self.conflict(into, &from, path);
                }
            }
        }
    }

    fn objects(&mut self, into: &mut Object, from: Object, path: &str) {
        let mut members: Vec<Member> = std::mem::take(into).into_iter().collect();
        let known = members.len();
        let mut met = vec![false; known];
        let places = Places::of(members.iter().map(|own| own.key.as_str()));
        for member in from {
            let place = places.find(&members, |own| &own.key, &member.key);
            let volatile = is_volatile(&member.key, path);
            let inner = format!("{path}.{}", member.key);
            match place {
                Some(at) => {
                    met[at] = true;
                    if !volatile {
                        self.values(&mut members[at].value, member.value, &inner);
                    }
                }
                None if self.mode == Mode::Whole && !volatile => {
                    members.push(self.only_in_one(member, &inner));
                }
                None => members.push(member),
            }
        }
        if self.mode == Mode::Whole {
            for (at, own) in members[..known].iter_mut().enumerate() {
                if !met[at] && !is_volatile(&own.key, path) {
                    let member =
                        Member { value: own.value.clone(), key: own.key.clone(), key_span: own.key_span };
                    *own = self.only_in_one(member, &format!("{path}.{}", own.key));
                }
            }
        }
        *into = Object::of(members);
    }

    fn only_in_one(&mut self, member: Member, path: &str) -> Member {
        if member.value.unknown_because().is_some() {
            return member;
        }
        let reason = format!("{}{path} stands in only one of two descriptions", self.label);
        self.warn(&member.value, &reason);
        Member { value: Value::unknown(member.value.span, reason), ..member }
    }

    fn conflict(&mut self, into: &mut Value, from: &Value, path: &str) {
        let other = self.sources.place(from.span);
        let reason = format!("{}{path} is one thing here and another at {other}", self.label);
        self.warn(into, &reason);
        *into = Value::unknown(into.span, reason);
    }

    fn warn(&mut self, at: &Value, reason: &str) {
        let warning = Diagnostic::warning("conflict", at.span, reason)
            .hinting("keep the document that is right; until then this value counts as unknown");
        self.reader.report(warning);
    }
}

/// Whether the items of two lists are the same objects, told twice.
fn pairs(mode: Mode, one: &[Value], other: &[Value]) -> bool {
    let as_many = if mode == Mode::Runtime { other.len() <= one.len() } else { one.len() == other.len() };
    as_many && one.iter().chain(other).all(|item| item.as_object().is_some())
}

/// Whether two values mean the same: texts without regard to case, numbers as text, lists in any order.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Array(one), Kind::Array(other)) => {
            let key = |item: &Value| item.to_json_pretty().to_ascii_lowercase();
            let sorted = |items: &[Value]| {
                let mut keys: Vec<_> = items.iter().map(key).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            };
            sorted(one) == sorted(other)
        }
        (Kind::Object(_), Kind::Object(_)) => {
            one.to_json_pretty().eq_ignore_ascii_case(&other.to_json_pretty())
        }
        (Kind::Object(_) | Kind::Array(_), _) | (_, Kind::Object(_) | Kind::Array(_)) => false,
        _ => match (scalar(one), scalar(other)) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => false,
        },
    }
}

fn scalar(value: &Value) -> Option<&str> {
    match &value.kind {
        Kind::String(text) => Some(text),
        Kind::Number(number) => Some(number.as_str()),
        Kind::Bool(true) => Some("true"),
        Kind::Bool(false) => Some("false"),
        _ => None,
    }
}
