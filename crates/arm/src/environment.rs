//! Environment files: which documents describe a network, and what no document tells.

use document::{Diagnostic, Document, Node, Reader, SourceText, Sources, Span, Value};

use crate::inventory::{Collector, Inventory};
use crate::read::{self, Given, Scope};
use crate::template;
use crate::{ParseError, ResourceId};

/// A text of an environment file and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What is written.
    pub text: String,
    /// Where, in the inventory's sources.
    pub span: Span,
}

/// What an environment file says, or stands for when a single document is given in its place.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Id of the subscription of resources whose documents do not say theirs.
    pub subscription: Option<Named>,
    /// Region of the build.
    pub location: Option<Named>,
    /// The subnet that builds run in: an id, or `network/subnet`.
    pub build_subnet: Option<Named>,
    /// The subnet of the container instances of an isolated build.
    pub container_subnet: Option<Named>,
    /// Path of the service tags file, relative to the environment file's folder.
    pub service_tags: Option<Named>,
    /// The documents, in the order of the file.
    pub documents: Vec<Source>,
    texts: Sources,
    /// The single document that was given, already read.
    single: Option<Value>,
    unread: bool,
    findings: Vec<Diagnostic>,
}

/// A document that an environment file names.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it is said to be.
    pub kind: SourceKind,
    /// Its path as written, relative to the environment file's folder.
    pub file: Named,
    /// Path of a template's parameter file, relative likewise.
    pub parameters_file: Option<Named>,
    resource_group: Option<String>,
    parameters: Vec<(String, Value)>,
    runtime: Vec<(ResourceId, Span, Value)>,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// An ARM template, compiled Bicep included.
    ArmTemplate,
    /// Any JSON of ARM resources.
    Resources,
    /// `terraform show -json` of a plan.
    TerraformPlan,
    /// Resolved resources in one file.
    Snapshot,
}

impl SourceKind {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::ArmTemplate => "an ARM template",
            Self::Resources | Self::Snapshot => "a document of resources",
            Self::TerraformPlan => "a Terraform plan as JSON",
        }
    }
}

impl Environment {
    /// Reads an environment file (a name that ends in `.toml`), or takes any single document in its place. What is
    /// wrong is among the findings of the inventory.
    pub fn read(text: SourceText) -> Self {
        let mut environment = Self::default();
        let is_toml = text.name().rsplit('.').next().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
        let document =
            if is_toml { environment.texts.add_toml(text) } else { environment.texts.add_json(text) };
        environment.findings = document.diagnostics;
        environment.unread = document.value.is_none();
        match document.value {
            Some(value) if is_toml => environment.file(&value),
            value => environment.single = value,
        }
        environment
    }

    /// Adds a single document by its path, as if the environment file named it; what it is is found out.
    pub fn add(&mut self, path: &str) {
        self.documents.push(Source {
            kind: SourceKind::Resources,
            file: Named { text: path.to_owned(), span: Span::default() },
            parameters_file: None,
            resource_group: None,
            parameters: Vec::new(),
            runtime: Vec::new(),
        });
    }

    /// Reads the documents with `fetch`, which brings the text of a path as written, and puts them together. The
    /// texts move into the inventory: a second call finds nothing.
    ///
    /// # Errors
    /// The first error of `fetch`. What is wrong with a document is among the findings of the inventory.
    pub fn open<E>(&mut self, mut fetch: impl FnMut(&str) -> Result<SourceText, E>) -> Result<Inventory, E> {
        let mut collector = Collector::new(std::mem::take(&mut self.texts));
        for finding in self.findings.drain(..) {
            collector.reader.report(finding);
        }
        let scope = Scope {
            subscription: self.subscription.as_ref().map(|named| named.text.clone()),
            resource_group: None,
            location: self.location.as_ref().map(|named| named.text.clone()),
        };
        collector.unread = self.unread;
        let mut templates = Vec::new();
        let mut others = Vec::new();
        let mut take = |value: Value, given: Given, collector: &mut Collector| match read::kind(
            collector, &value, given.kind,
        ) {
            Some(SourceKind::ArmTemplate) => templates.push(given.template(value)),
            Some(kind) => others.push((value, kind, given.scope)),
            None => {}
        };
        if let Some(value) = self.single.take() {
            let given =
                Given { kind: None, scope: scope.clone(), parameter_file: None, parameters: Vec::new() };
            take(value, given, &mut collector);
        }
        for source in &self.documents {
            let document = collector.sources.add_json(fetch(&source.file.text)?);
            let parameter_file = match &source.parameters_file {
                Some(path) => {
                    let document = collector.sources.add_json(fetch(&path.text)?);
                    accepted(&mut collector, document)
                }
                None => None,
            };
            let scope = Scope { resource_group: source.resource_group.clone(), ..scope.clone() };
            collector.runtime.extend(source.runtime.iter().cloned());
            let parameters = source.parameters.clone();
            if let Some(value) = accepted(&mut collector, document) {
                let given = Given { kind: Some(source.kind), scope, parameter_file, parameters };
                take(value, given, &mut collector);
            }
        }
        // Templates refer to what the other documents describe.
        collector.keeps = !templates.is_empty();
        for (value, kind, scope) in others {
            read::document(&mut collector, value, kind, &scope);
        }
        collector.keeps = false;
        template::evaluate(&mut collector, templates);
        Ok(collector.finish())
    }

    fn file(&mut self, value: &Value) {
        let mut reader = Reader::new();
        let allowed =
            ["subscription", "location", "build_subnet", "container_subnet", "service_tags", "source"];
        if let Some(fields) = reader.fields(&Node::root(value), &allowed) {
            let mut named = |name| fields.get(name).and_then(|node| named(&mut reader, &node));
            self.subscription = named("subscription");
            self.location = named("location");
            self.build_subnet = named("build_subnet");
            self.container_subnet = named("container_subnet");
            self.service_tags = named("service_tags");
            if let Some(nodes) = reader.required(&fields, "source").and_then(|node| reader.array(&node)) {
                self.documents = nodes.iter().filter_map(|node| source(&mut reader, node)).collect();
            }
        }
        let found = reader.finish();
        self.unread |= found.iter().any(Diagnostic::is_error);
        self.findings.extend(found);
    }
}

/// The value of a document, after its complaints were taken over.
fn accepted(collector: &mut Collector, document: Document) -> Option<Value> {
    collector.unread |= document.value.is_none();
    for diagnostic in document.diagnostics {
        collector.reader.report(diagnostic);
    }
    document.value
}

fn named(reader: &mut Reader, node: &Node<'_>) -> Option<Named> {
    reader.string(node).map(|text| Named { text: text.to_owned(), span: node.span() })
}

fn source(reader: &mut Reader, node: &Node<'_>) -> Option<Source> {
    let allowed = ["kind", "file", "resource_group", "parameters", "parameters_file", "runtime"];
    let fields = reader.fields(node, &allowed)?;
    let kinds = [
        ("arm-template", SourceKind::ArmTemplate),
        ("resources", SourceKind::Resources),
        ("terraform-plan", SourceKind::TerraformPlan),
        ("snapshot", SourceKind::Snapshot),
    ];
    let kind = reader.required(&fields, "kind").and_then(|node| reader.one_of(&node, &kinds));
    let file = reader.required(&fields, "file").and_then(|node| named(reader, &node));
    let group = fields.get("resource_group").and_then(|node| named(reader, &node));
    let parameters_file = fields.get("parameters_file").and_then(|node| named(reader, &node));
    let parameters = fields.get("parameters").map_or(Vec::new(), |node| table(reader, &node));
    let mut runtime = Vec::new();
    if let Some(node) = fields.get("runtime")
        && let Some(object) = node.value.as_object()
    {
        for member in object {
            match ResourceId::parse(&member.key) {
                Ok(id) => runtime.push((id, member.key_span, member.value.clone())),
                Err(error) => reader.report(not_an_id(member.key_span, &error).at(&node.path)),
            }
        }
    } else if let Some(node) = fields.get("runtime") {
        table(reader, &node);
    }
    Some(Source {
        kind: kind?,
        file: file?,
        parameters_file,
        resource_group: group.map(|named| named.text),
        parameters,
        runtime,
    })
}

fn not_an_id(span: Span, error: &ParseError) -> Diagnostic {
    Diagnostic::error("resource-id", span, error.to_string())
        .expecting("the id of a resource, `/subscriptions/.../providers/...`")
}

/// The members of a table by name.
fn table(reader: &mut Reader, node: &Node<'_>) -> Vec<(String, Value)> {
    let Some(object) = node.value.as_object() else {
        reader.error("wrong-type", node, format!("this is {}", node.value.describe()), "a table");
        return Vec::new();
    };
    object.iter().map(|member| (member.key.clone(), member.value.clone())).collect()
}
