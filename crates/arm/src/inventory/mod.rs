//! The resources that documents describe together.

mod merge;
mod normal;
mod places;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use document::{Diagnostic, Kind, Member, Node, Object, Reader, Sources, Span, Value};

use crate::ResourceId;
use crate::template::LINKED;
use merge::{Merge, Mode};
pub use normal::{field, is_absent};
pub(crate) use normal::{is_expression, normal, reason};
pub(crate) use places::Places;

/// Lists of a resource whose items are resources of their own: type, field.
const CHILDREN: [(&str, &str); 8] = [
    ("Microsoft.Network/networkSecurityGroups", "securityRules"),
    ("Microsoft.Network/virtualNetworks", "subnets"),
    ("Microsoft.Network/virtualNetworks", "virtualNetworkPeerings"),
    ("Microsoft.Network/routeTables", "routes"),
    ("Microsoft.Network/firewallPolicies", "ruleCollectionGroups"),
    ("Microsoft.Network/azureFirewalls", "applicationRuleCollections"),
    ("Microsoft.Network/azureFirewalls", "networkRuleCollections"),
    ("Microsoft.Network/azureFirewalls", "natRuleCollections"),
];

/// The member of a resource in a snapshot that says why it may not exist.
pub(crate) const DOUBT: &str = "doubt";

/// The most resources of one name, in different scopes, among which the one is looked for that an id without scope
/// means. Among more it would not be a single one.
const MAX_ALIKE: usize = 1000;

/// Types that a document tells whole or not at all.
const WHOLE: [&str; 4] = [
    "Microsoft.Network/networkSecurityGroups/securityRules",
    "Microsoft.Network/routeTables/routes",
    "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
    "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections/rules",
];

/// A [`ResourceId::key`].
type Key = Arc<str>;

/// A resource, however many documents describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its id. A part that no document tells is `*`; a name that a template leaves open stands in braces.
    pub id: ResourceId,
    /// Its fields in the flattened form of `az`, without those that are resources of their own, each with its
    /// place in [`Inventory::sources`]; what is not known is [`Kind::Unknown`].
    pub value: Value,
    /// Why it is not known whether, or how often, the resource exists.
    pub doubt: Option<String>,
}

impl Resource {
    /// What messages call the resource: its id where that is complete, else its names.
    pub fn label(&self) -> String {
        label(&self.id)
    }

    /// The resource as a value to read, its path starting with its name.
    pub fn node(&self) -> Node<'_> {
        Node { value: &self.value, path: path(&self.id) }
    }
}

/// What messages call the resource of an id: the id where it is complete, else its names.
pub fn label(id: &ResourceId) -> String {
    if is_complete(id) { id.to_string() } else { id.names().collect::<Vec<_>>().join("/") }
}

/// What messages call a resource whose fields no document tells.
pub(crate) fn run_time(id: &ResourceId) -> String {
    format!("`{}`, which Azure adds at run time", label(id))
}

/// Why a field is not known that Azure adds to a resource when it makes it, such as an identity's `principalId`. Two
/// values that are unknown because of this text are one value.
pub fn added_at_run_time(id: &ResourceId, field: &str) -> String {
    format!("`{field}` of {}", run_time(id))
}

/// The names of a resource that are known, as a path starts.
fn path(id: &ResourceId) -> String {
    id.names().filter(|name| !name.starts_with('*')).collect::<Vec<_>>().join("/")
}

/// Resources by id, and what was noticed while the documents were read.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    sources: Sources,
    resources: BTreeMap<Key, Resource>,
    /// Keys of the resources by [`ResourceId::tail`].
    tails: HashMap<String, Vec<Key>>,
    /// Keys of the resources by type in lower case.
    types: HashMap<String, Vec<Key>>,
    /// Keys of the resources inside one that is in no document, by type in lower case.
    orphans: HashMap<String, Vec<Key>>,
    effective_groups: Vec<Value>,
    effective_routes: Vec<Value>,
    providers: Vec<Value>,
    findings: Vec<Diagnostic>,
    unread: bool,
}

impl Inventory {
    /// The texts that everything was read from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Everything that was noticed, errors and warnings, in the order of the sources; places are in
    /// [`Self::sources`].
    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// Whether a document could not be read at all, so that what is missing here may be there.
    pub fn has_unread(&self) -> bool {
        self.unread
    }

    /// Why something may be there that is missing here, when that is no error: a template that is elsewhere.
    pub fn linked(&self) -> Option<&Diagnostic> {
        self.findings.iter().find(|found| found.code == LINKED)
    }

    /// All resources, by id.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values()
    }

    /// The resources of a type, by id.
    pub fn of_type(&self, resource_type: &str) -> impl Iterator<Item = &Resource> {
        self.listed(&self.types, resource_type)
    }

    /// The resources of a type that may be inside `parent`, though no document says so: their parent is in none of
    /// the documents, and its name or that of `parent` is not known.
    pub fn orphans(&self, resource_type: &str, parent: &ResourceId) -> impl Iterator<Item = &Resource> {
        let is_open = |id: &ResourceId| id.name().contains(['*', '{']);
        let (own, open) = (parent.clone(), is_open(parent));
        self.listed(&self.orphans, resource_type).filter(move |orphan| {
            orphan.id.parent().is_some_and(|parent| parent != own && (open || is_open(&parent)))
        })
    }

    fn listed(
        &self,
        lists: &HashMap<String, Vec<Key>>,
        resource_type: &str,
    ) -> impl Iterator<Item = &Resource> {
        let keys = lists.get(&resource_type.to_ascii_lowercase()).cloned().unwrap_or_default();
        keys.into_iter().filter_map(|key| self.resources.get(&key))
    }

    /// The resource that an id means. Parts that either side does not know match anything, as long as only one
    /// resource is meant.
    pub fn find(&self, id: &ResourceId) -> Option<&Resource> {
        if let Some(found) = self.resources.get(id.key()) {
            return Some(found);
        }
        let alike =
            self.tails.get(id.tail())?.iter().take(MAX_ALIKE).filter_map(|key| self.resources.get(key));
        let mut alike = alike.filter(|resource| may_be_same(&resource.id, id));
        let found = alike.next()?;
        alike.next().is_none().then_some(found)
    }

    /// The resources of a kind, such as `subnets`, inside the resource of an id, by name.
    pub fn children<'a>(
        &'a self,
        parent: &ResourceId,
        kind: &str,
    ) -> impl Iterator<Item = &'a Resource> + use<'a> {
        let prefix = format!("{}/{}/", parent.key(), kind.to_ascii_lowercase());
        let range = self.resources.range(Key::from(prefix.as_str())..);
        range
            .take_while({
                let prefix = prefix.clone();
                move |(key, _)| key.starts_with(&prefix)
            })
            .filter(move |(key, _)| !key[prefix.len()..].contains('/'))
            .map(|(_, resource)| resource)
    }

    /// Everything as one document of resources, which reads back as this inventory. What is not known is an
    /// expression that says why.
    pub fn snapshot(&self) -> Value {
        let resources = self.resources.values().map(|resource| {
            let text = |text: &str| Value::from(text);
            let mut members = vec![("id".to_owned(), text(resource.id.as_str()))];
            members.extend(resource.doubt.as_deref().map(|doubt| (DOUBT.to_owned(), text(doubt))));
            let own = resource.value.as_object().into_iter().flatten();
            let own = own.filter(|member| !member.key.eq_ignore_ascii_case("id"));
            Value::object(
                members.into_iter().chain(own.map(|member| (member.key.clone(), member.value.clone()))),
            )
        });
        let effective = self.effective_groups.iter().chain(&self.effective_routes).cloned();
        Value::object([("value", Value::array(resources.chain(effective)))])
    }

    /// What `az network nic list-effective-nsg` printed: one value for each group as it applies to the interface or
    /// its subnet, in the flattened form.
    pub fn effective_groups(&self) -> &[Value] {
        &self.effective_groups
    }

    /// What `az network nic show-effective-route-table` printed: one value for each route.
    pub fn effective_routes(&self) -> &[Value] {
        &self.effective_routes
    }

    /// What `az provider list` or `show` printed: one value for each resource provider, with `namespace` and
    /// `registrationState`.
    pub fn providers(&self) -> impl Iterator<Item = &Value> {
        self.providers.iter()
    }
}

/// Whether subscription and resource group are known where the id has them.
fn is_complete(id: &ResourceId) -> bool {
    let known = |part: Option<&str>| part.is_none_or(|part| !part.starts_with(['*', '{']));
    known(id.subscription()) && known(id.resource_group())
}

/// Whether two ids with the same tail may mean one resource.
pub(crate) fn may_be_same(one: &ResourceId, other: &ResourceId) -> bool {
    let open = |part: &str| part.starts_with(['*', '{']);
    let agree = |one: Option<&str>, other: Option<&str>| match (one, other) {
        (Some(one), Some(other)) => open(one) || open(other) || one.eq_ignore_ascii_case(other),
        (one, other) => one == other,
    };
    agree(one.subscription(), other.subscription()) && agree(one.resource_group(), other.resource_group())
}

/// A description of a resource as a reader found it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub id: ResourceId,
    /// In any spelling.
    pub value: Value,
    pub doubt: Option<String>,
}

/// Collects descriptions until all documents are read.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub sources: Sources,
    pub reader: Reader,
    pub effective_groups: Vec<Value>,
    pub effective_routes: Vec<Value>,
    pub providers: Vec<Value>,
    /// What Azure knows only at run time, and where its id is written.
    pub runtime: Vec<(ResourceId, Span, Value)>,
    /// Whether a document could not be read at all.
    pub unread: bool,
    /// What documents that are no templates say, as they say it, for templates to refer to.
    pub described: Vec<(ResourceId, Value)>,
    /// Whether a template will ask for that.
    pub keeps: bool,
    /// Keys of the resources that templates refer to.
    pub used: HashSet<Key>,
    /// Descriptions that take the place of those that other documents give.
    pub over: Vec<Draft>,
    resources: BTreeMap<Key, Resource>,
}

impl Collector {
    /// A collector whose places are in `sources`.
    pub fn new(sources: Sources) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Adds a description, and those of the resources inside it.
    pub fn add(&mut self, draft: Draft) {
        let Draft { id, value, doubt } = draft;
        if self.keeps {
            self.described.push((id.clone(), value.clone()));
        }
        self.added(id, value, doubt);
    }

    fn added(&mut self, id: ResourceId, value: Value, doubt: Option<String>) {
        let mut value = normal(value);
        self.take_children(&id, &mut value, doubt.as_ref());
        self.insert(Resource { id, value, doubt });
    }

    fn take_children(&mut self, id: &ResourceId, value: &mut Value, doubt: Option<&String>) {
        let Kind::Object(object) = &mut value.kind else { return };
        let own_type = id.resource_type().unwrap_or_default();
        let lists: Vec<_> =
            CHILDREN.iter().filter(|(parent, _)| parent.eq_ignore_ascii_case(&own_type)).collect();
        if lists.is_empty() {
            return;
        }
        let field_of = |member: &Member| {
            let mut fields = lists.iter().map(|&&(_, field)| field);
            fields.find(|field| field.eq_ignore_ascii_case(&member.key))
        };
        let (mut kept, mut taken) = (Vec::new(), Vec::new());
        for member in std::mem::take(object) {
            match (field_of(&member), member.value.kind) {
                // An empty list stays, so that having none differs from not being told.
                (Some(field), Kind::Array(items)) if !items.is_empty() => taken.push((field, items)),
                (_, kind) => kept.push(Member { value: Value { span: member.value.span, kind }, ..member }),
            }
        }
        *object = Object::of(kept);
        for (field, items) in taken {
            let mut seen = HashSet::new();
            for (index, item) in items.into_iter().enumerate() {
                let mut child = child_id(id, field, index, &item);
                if !seen.insert(Arc::clone(child.key())) {
                    self.twice(&child, field, &item);
                    child = id.child(field, &format!("{} (item {index})", child.name()));
                }
                self.added(child, item, doubt.cloned());
            }
        }
    }

    fn twice(&mut self, child: &ResourceId, field: &str, item: &Value) {
        let at =
            item.as_object().and_then(|object| object.find("name")).map_or(item.span, |name| name.value.span);
        let message = format!("`{}` is given twice in `{field}`", child.name());
        let error =
            Diagnostic::error("duplicate-name", at, message).hinting("names are compared ignoring case");
        self.reader.report(error.at(path(child)));
    }

    fn insert(&mut self, resource: Resource) {
        let Some(own) = self.resources.get_mut(resource.id.key()) else {
            self.resources.insert(Arc::clone(resource.id.key()), resource);
            return;
        };
        let whole = WHOLE.iter().any(|whole| own.id.is_type(whole))
            && !merge::is_reference(&own.value)
            && !merge::is_reference(&resource.value);
        let label = label(&own.id);
        let mode = if whole { Mode::Whole } else { Mode::Pieces };
        let mut merge = Merge { reader: &mut self.reader, sources: &self.sources, label: &label, mode };
        merge.values(&mut own.value, resource.value, "");
        // One document that is sure is enough.
        own.doubt = own.doubt.take().filter(|_| resource.doubt.is_some());
    }

    /// Merges descriptions that do not know their scope into the only resource they can be of.
    fn settle(&mut self) {
        let open: Vec<_> = self
            .resources
            .iter()
            .filter(|(_, own)| !is_complete(&own.id))
            .map(|(key, _)| key.clone())
            .collect();
        if open.is_empty() {
            return;
        }
        let mut complete: HashMap<String, BTreeMap<Key, ResourceId>> = HashMap::new();
        for id in self.resources.values().map(|resource| &resource.id).filter(|id| is_complete(id)) {
            // A child tells the whole id of its parent, too.
            for id in std::iter::once(id.clone()).chain(id.parent()) {
                complete.entry(id.tail().to_owned()).or_default().insert(Arc::clone(id.key()), id);
            }
        }
        for key in open {
            let Some(resource) = self.resources.get(&key) else { continue };
            let Some(alike) = complete.get(resource.id.tail()) else { continue };
            let mut alike = alike.values().take(MAX_ALIKE).filter(|id| may_be_same(id, &resource.id));
            if let (Some(id), None) = (alike.next().cloned(), alike.next())
                && let Some(resource) = self.resources.remove(&key)
            {
                self.insert(Resource { id, ..resource });
            }
        }
    }

    /// Puts a resource in the place of the one that is there, as a deployment does; one that may not be deployed is a
    /// description like others.
    fn put(&mut self, draft: Draft) {
        if draft.doubt.is_some() {
            self.add(draft);
            return;
        }
        let tail = draft.id.tail();
        let mut alike = self.resources.iter().filter(|(_, own)| {
            own.id == draft.id || own.id.tail() == tail && may_be_same(&own.id, &draft.id)
        });
        let key = match (alike.next(), alike.next()) {
            (Some((key, _)), None) => key.clone(),
            _ => draft.id.key().clone(),
        };
        let mut value = normal(draft.value);
        self.take_children(&draft.id, &mut value, None);
        let id = match self.resources.remove(&key) {
            Some(old) => {
                merge::keep_what_azure_adds(&mut value, old.value);
                old.id
            }
            None => draft.id,
        };
        self.insert(Resource { id, value, doubt: None });
    }

    /// The inventory of everything that was added.
    pub fn finish(mut self) -> Inventory {
        self.settle();
        for draft in std::mem::take(&mut self.over) {
            self.put(draft);
        }
        let mut inventory = Inventory {
            effective_groups: self.effective_groups,
            effective_routes: self.effective_routes,
            providers: self.providers,
            unread: self.unread,
            ..Inventory::default()
        };
        for (key, resource) in &self.resources {
            let own_type = resource.id.resource_type().unwrap_or_default().to_ascii_lowercase();
            let parent = resource.id.parent().filter(ResourceId::is_resource);
            if parent.is_some_and(|parent| !self.resources.contains_key(parent.key())) {
                inventory.orphans.entry(own_type.clone()).or_default().push(key.clone());
            }
            inventory.types.entry(own_type).or_default().push(key.clone());
            inventory.tails.entry(resource.id.tail().to_owned()).or_default().push(key.clone());
        }
        inventory.resources = self.resources;
        for (id, span, value) in self.runtime {
            let Some(key) = inventory.find(&id).map(|resource| Arc::clone(resource.id.key())) else {
                if self.used.contains(id.key()) {
                    continue;
                }
                let message =
                    format!("no document describes `{}`, so its run-time values are not used", label(&id));
                self.reader.report(Diagnostic::warning("no-resource", span, message));
                continue;
            };
            let label = label(&id);
            let mut merge = Merge {
                reader: &mut self.reader,
                sources: &self.sources,
                label: &label,
                mode: Mode::Runtime,
            };
            if let Some(resource) = inventory.resources.get_mut(&key) {
                merge.values(&mut resource.value, normal(value), "");
            }
        }
        Inventory { sources: self.sources, findings: self.reader.finish(), ..inventory }
    }

    /// Notes an error at a span.
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, expected: &str) {
        self.reader.report(Diagnostic::error(code, span, message).expecting(expected));
    }
}

/// The id of an item of a list: its own, else by its name, else by its place.
fn child_id(parent: &ResourceId, kind: &str, index: usize, item: &Value) -> ResourceId {
    let text = |field: &str| item.as_object()?.find(field)?.value.as_str().filter(|text| !text.is_empty());
    let wanted = format!("{}/{kind}", parent.resource_type().unwrap_or_default());
    let own = text("id").and_then(|id| ResourceId::parse(id).ok()).filter(|id| id.is_type(&wanted));
    if let Some(id) = own {
        return id;
    }
    let name = text("name").and_then(|name| name.rsplit('/').next()).filter(|name| !name.is_empty());
    name.map_or_else(|| parent.child(kind, &format!("*{index}")), |name| parent.child(kind, name))
}
