//! What is known of every resource while templates are evaluated: what `reference` finds.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use document::Value;

use super::value::{Data, Field, Fields, Val, sealed};
use crate::ResourceId;
use crate::inventory::{Places, is_expression, label, may_be_same, reason, run_time};

/// The most resources of one name among which the one is looked for that an id with unknown parts means.
const MAX_ALIKE: usize = 1000;

/// Where a task of a deployment stands: the number of its document, then its place in each deployment around it.
pub type Path = Rc<[usize]>;

/// Resources by id, as all documents tell them, and who asked for which.
#[derive(Debug, Default)]
pub struct World {
    entries: HashMap<Arc<str>, Entry>,
    /// Keys of the entries by types and names alone.
    tails: HashMap<String, Vec<Arc<str>>>,
    /// The round of tasks, from 0.
    round: usize,
    /// Which task asks and tells now.
    task: Option<Path>,
    /// Tasks by the types and names of what they asked for.
    asked: HashMap<String, Vec<Path>>,
    /// Tasks that would find something else now.
    outdated: BTreeSet<Path>,
    /// Keys of what templates refer to.
    used: HashSet<Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    id: ResourceId,
    /// Descriptions by tasks.
    told: Vec<(Path, Val)>,
    /// Descriptions that do not change, until someone asks for them.
    raw: Vec<Value>,
    merged: Option<Val>,
}

impl World {
    /// Adds what a document that is no template says, or what is known of run time.
    pub fn add(&mut self, id: &ResourceId, value: Value) {
        self.entry(id).raw.push(value);
    }

    fn entry(&mut self, id: &ResourceId) -> &mut Entry {
        let tails = &mut self.tails;
        self.entries.entry(Arc::clone(id.key())).or_insert_with_key(|key| {
            tails.entry(id.tail().to_owned()).or_default().push(Arc::clone(key));
            Entry { id: id.clone(), told: Vec::new(), raw: Vec::new(), merged: None }
        })
    }

    /// Starts the next round of tasks.
    pub fn next_round(&mut self) {
        self.round += 1;
    }

    /// Starts a task: it asks and tells until the next one starts.
    pub fn start(&mut self, task: &Path) {
        self.task = Some(Rc::clone(task));
    }

    /// Takes the tasks that would find something else than they did.
    pub fn take_outdated(&mut self) -> BTreeSet<Path> {
        std::mem::take(&mut self.outdated)
    }

    /// Takes what the task says of a resource, in place of what it said before.
    pub fn tell(&mut self, id: &ResourceId, value: Val) {
        let Some(task) = self.task.clone() else { return };
        let entry = self.entry(id);
        match entry.told.iter_mut().find(|(teller, _)| *teller == task) {
            Some((_, told)) if told.same(&value) => {
                *told = value;
                return;
            }
            Some((_, told)) => *told = value,
            None => entry.told.push((task, value)),
        }
        self.changed(id);
    }

    /// Forgets what a task said of a resource.
    pub fn withdraw(&mut self, task: &Path, id: &ResourceId) {
        self.entry(id).told.retain(|(teller, _)| teller != task);
        self.changed(id);
    }

    fn changed(&mut self, id: &ResourceId) {
        self.entry(id).merged = None;
        self.outdated.extend(self.asked.get(id.tail()).into_iter().flatten().cloned());
    }

    fn asks(&mut self, id: &ResourceId) {
        if let Some(task) = self.task.clone() {
            let tasks = self.asked.entry(id.tail().to_owned()).or_default();
            if tasks.last() != Some(&task) {
                tasks.push(task);
            }
        }
    }

    /// The resource of an id, as open as it is: Azure may add fields. Unknown, where no document tells it.
    pub fn resource(&mut self, id: &ResourceId) -> Val {
        if let Some(found) = self.known(id) {
            return found;
        }
        if self.round > 0 {
            return Val::unknown(format!("`{}`, which no document describes", label(id)));
        }
        // Whoever describes it may come later.
        self.outdated.extend(self.task.clone());
        circular(id)
    }

    /// The resource of an id, if a document tells it.
    pub fn known(&mut self, id: &ResourceId) -> Option<Val> {
        self.asks(id);
        let key = self.key(id);
        self.used.extend(key.clone());
        let found = key.and_then(|key| self.merged(&key)).or_else(|| self.child(id))?;
        Some(found.within(Some(&run_time(id).into())))
    }

    /// Keys of what templates refer to.
    pub fn into_used(self) -> HashSet<Arc<str>> {
        self.used
    }

    fn key(&self, id: &ResourceId) -> Option<Arc<str>> {
        if self.entries.contains_key(id.key()) {
            return Some(Arc::clone(id.key()));
        }
        let alike = self.tails.get(id.tail())?.iter().take(MAX_ALIKE);
        let mut alike = alike.filter(|key| {
            self.entries.get(*key).is_some_and(|entry| entry.is_told() && may_be_same(&entry.id, id))
        });
        let found = alike.next()?;
        alike.next().is_none().then(|| Arc::clone(found))
    }

    fn merged(&mut self, key: &str) -> Option<Val> {
        let entry = self.entries.get_mut(key)?;
        if entry.merged.is_none() {
            let raw = entry.raw.iter().filter_map(|value| Val::literal(value).ok());
            let told = entry.told.iter().map(|(_, value)| value.clone());
            let what = label(&entry.id);
            let all = told.chain(raw).map(|value| flattened(&value).unwrap_or(value));
            entry.merged = all.reduce(|one, other| overlaid(one, other, &what));
        }
        entry.merged.clone()
    }

    /// A resource that stands in a list of its parent.
    fn child(&mut self, id: &ResourceId) -> Option<Val> {
        let kind = id.resource_type()?.rsplit('/').next()?.to_owned();
        let parent = id.parent().filter(ResourceId::is_resource)?;
        self.asks(&parent);
        let parent = self.key(&parent).and_then(|key| self.merged(&key))?;
        let items = parent.get(&kind)?;
        let named = |item: &&Val| {
            let name = item.get("name");
            name.and_then(|name| name.as_text().map(|name| name.eq_ignore_ascii_case(id.name())))
                == Some(true)
        };
        items.as_array()?.iter().find(named).cloned()
    }
}

impl Entry {
    fn is_told(&self) -> bool {
        !self.told.is_empty() || !self.raw.is_empty()
    }
}

/// What is not known yet in the first round; what still is in the last one depends on itself.
fn circular(id: &ResourceId) -> Val {
    let value = Val::unknown(format!("a value of `{}`, which depends on itself", label(id)));
    let Data::Unknown(unknown) = &value.data else { return value };
    let unknown = super::value::Unknown { circular: true, ..unknown.as_ref().clone() };
    Val::new(Data::Unknown(Rc::new(unknown)))
}

/// A description with what `properties` holds beside `name` and `id`, at every level; `None` where it is so already.
fn flattened(value: &Val) -> Option<Val> {
    let data = match &value.data {
        Data::Array(list) => {
            let items: Vec<_> = list.items.iter().map(flattened).collect();
            items.iter().any(Option::is_some).then_some(())?;
            let items = items.into_iter().zip(&list.items);
            Val::array(items.map(|(new, old)| new.unwrap_or_else(|| old.clone())).collect())
        }
        Data::Object(fields) if !fields.sealed => Val::object(hoisted(fields)?),
        Data::Text(text) if is_expression(text) => Ok(Val::unknown(reason(text))),
        _ => return None,
    };
    let data = data.unwrap_or_else(|_| Val::unknown("a value that is too large")).data;
    Some(Val { data, ..value.clone() })
}

/// The flattened members of an object; `None` where they are so already.
fn hoisted(fields: &Fields) -> Option<Vec<Field>> {
    let is_inner =
        |field: &&Field| field.key.eq_ignore_ascii_case("properties") && field.value.as_object().is_some();
    let inner = fields.members.iter().rfind(is_inner);
    let new: Vec<_> = fields
        .members
        .iter()
        .map(|field| if is_inner(&field) { None } else { flattened(&field.value) })
        .collect();
    (inner.is_some() || new.iter().any(Option::is_some)).then_some(())?;
    let own = fields.members.iter().zip(new).filter(|(field, _)| !is_inner(field));
    let mut own: Vec<_> = own.map(|(field, new)| replaced(field, new)).collect();
    let (known, names) = (own.len(), Places::of(own.iter().map(|field| field.key.as_ref())));
    for field in inner.and_then(|inner| inner.value.as_object()).into_iter().flat_map(|inner| &inner.members)
    {
        if names.find(&own[..known], |own| &own.key, &field.key).is_none() {
            own.push(replaced(field, flattened(&field.value)));
        }
    }
    Some(own)
}

fn replaced(field: &Field, value: Option<Val>) -> Field {
    match value {
        Some(value) => Field { value, ..field.clone() },
        None => field.clone(),
    }
}

/// Two descriptions of one value: what is known stands for what is not.
fn overlaid(one: Val, other: Val, what: &str) -> Val {
    let made = match (&one.data, &other.data) {
        (_, Data::Unknown(_)) => return one,
        (Data::Unknown(_), _) => return other,
        (Data::Object(own), Data::Object(more)) => {
            let mut members = own.members.clone();
            let places = Places::of(members.iter().map(|own| own.key.as_ref()));
            for field in &more.members {
                let at = places.find(&members, |own| &own.key, &field.key);
                match at.map(|at| &mut members[at]) {
                    Some(member) => {
                        let own = std::mem::replace(&mut member.value, Val::new(Data::Null));
                        member.value = overlaid(own, field.value.clone(), what);
                    }
                    None => members.push(field.clone()),
                }
            }
            let made = Val::object(members).unwrap_or_else(|_| one.clone());
            if own.sealed { sealed(made) } else { made }
        }
        (Data::Array(own), Data::Array(more)) if own.items.len() == more.items.len() => {
            let pairs = own.items.iter().zip(&more.items);
            let items = pairs.map(|(one, other)| overlaid(one.clone(), other.clone(), what));
            Val::array(items.collect()).unwrap_or_else(|_| one.clone())
        }
        _ if one.equals(&other) == Some(true) => return one,
        (Data::Text(own), Data::Text(more)) if own.eq_ignore_ascii_case(more) => return one,
        _ => Val::unknown(format!("a value of `{what}`, which is told in two ways")),
    };
    made.placed(one.span)
}
