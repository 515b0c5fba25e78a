//! Environment files: which documents describe the network of a build.

use document::{Diagnostic, Node, Reader, Span, Value};

use super::combine;
use super::resources::Resources;
use crate::policy::NetworkPolicy;

/// An environment file (TOML) as far as a network policy needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Id of the build subnet.
    pub build_subnet: Option<String>,
    /// The documents it names, in the order of the file.
    pub sources: Vec<Source>,
    /// Where the build subnet is, or would be, named.
    place: Span,
}

/// A document that an environment file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// Its path as written; relative to the folder of the environment file.
    pub file: String,
    /// Where the path is written.
    pub span: Span,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// An ARM template.
    ArmTemplate,
    /// Any JSON of ARM resources.
    Resources,
}

impl Environment {
    /// Reads an environment file.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its text.
    pub fn read(document: &Value) -> Result<Self, Vec<Diagnostic>> {
        let mut reader = Reader::new();
        let environment = environment(&mut reader, document);
        let diagnostics = reader.finish();
        match environment {
            Some(environment) if !diagnostics.iter().any(Diagnostic::is_error) => Ok(environment),
            _ => Err(diagnostics),
        }
    }

    /// The policy that the documents of this environment make together, in any order.
    ///
    /// # Errors
    /// What they leave open, such as which subnet the build is in; places are in the environment file.
    pub fn policy(&self, documents: &[Resources]) -> Result<NetworkPolicy, Vec<Diagnostic>> {
        combine::policy(self.build_subnet.as_deref(), documents)
            .map_err(|fault| vec![fault.diagnostic(self.place, "build_subnet")])
    }
}

fn environment(reader: &mut Reader, document: &Value) -> Option<Environment> {
    let root = Node::root(document);
    let allowed = ["subscription", "location", "build_subnet", "container_subnet", "service_tags", "source"];
    let fields = reader.fields(&root, &allowed)?;
    for name in ["subscription", "location", "container_subnet", "service_tags"] {
        if let Some(node) = fields.get(name) {
            reader.string(&node);
        }
    }
    let subnet = fields.get("build_subnet");
    let build_subnet = subnet.as_ref().and_then(|node| reader.string(node)).map(str::to_owned);
    let start = document.span.start;
    let place = subnet.map_or(Span::new(start, start + 1), |node| node.span());
    let mut sources = Vec::new();
    if let Some(nodes) = reader.required(&fields, "source").and_then(|node| reader.array(&node)) {
        for node in &nodes {
            sources.extend(source(reader, node));
        }
    }
    Some(Environment { build_subnet, sources, place })
}

fn source(reader: &mut Reader, node: &Node<'_>) -> Option<Source> {
    let allowed = ["kind", "file", "resource_group", "parameters", "parameters_file", "runtime"];
    let fields = reader.fields(node, &allowed)?;
    for name in ["resource_group", "parameters_file"] {
        if let Some(node) = fields.get(name) {
            reader.string(&node);
        }
    }
    for name in ["parameters", "runtime"] {
        if let Some(node) = fields.get(name).filter(|node| node.value.as_object().is_none()) {
            reader.error("wrong-type", &node, format!("this is {}", node.value.describe()), "a table");
        }
    }
    let kind = reader.required(&fields, "kind").and_then(|node| source_kind(reader, &node));
    let file = reader.required(&fields, "file");
    let span = file.as_ref().map(Node::span);
    let file = file.and_then(|node| reader.string(&node)).map(str::to_owned);
    Some(Source { kind: kind?, file: file?, span: span? })
}

fn source_kind(reader: &mut Reader, node: &Node<'_>) -> Option<SourceKind> {
    let kinds = [
        ("arm-template", Some(SourceKind::ArmTemplate)),
        ("resources", Some(SourceKind::Resources)),
        ("terraform-plan", None),
        ("snapshot", None),
    ];
    let kind = reader.one_of(node, &kinds)?;
    if kind.is_none() {
        reader.error(
            "unsupported",
            node,
            "documents of this kind are not read for a local build",
            "`arm-template` or `resources`",
        );
    }
    kind
}
