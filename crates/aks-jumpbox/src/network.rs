//! Network rules as files: an environment file, or one document of Azure's JSON.

use std::path::Path;

use document::{Diagnostic, SourceText, Value};
use network_policy::{Endpoint, Environment, NetworkPolicy, Resources};

use crate::errors::{Category, Failure, Problem};
use crate::input;

/// Reads the policy that a file describes: TOML is an environment file, everything else one document of ARM
/// resources.
///
/// # Errors
/// When a file cannot be read or is wrong: then all that is wrong with it.
pub fn load(file: &Path) -> Result<NetworkPolicy, Failure> {
    let source = input::read(file)?;
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        return environment(file, &source);
    }
    let document = value(&source, document::parse_json(&source))?;
    network_policy::read(&document).map_err(|found| failure(&source, &found))
}

/// An allow list as the policy takes it.
///
/// # Errors
/// When an entry is none that a policy can allow.
pub fn allow_list(endpoints: &[recipe::Endpoint]) -> Result<Vec<Endpoint>, Failure> {
    let parsed = endpoints.iter().map(|endpoint| {
        Endpoint::parse(&endpoint.to_string()).map_err(|error| {
            Problem::new(Category::Input, format!("cannot allow {endpoint}")).caused_by(&error).into()
        })
    });
    parsed.collect()
}

fn environment(file: &Path, source: &SourceText) -> Result<NetworkPolicy, Failure> {
    let document = value(source, document::parse_toml(source))?;
    let environment = Environment::read(&document).map_err(|found| failure(source, &found))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut documents = Vec::new();
    for named in &environment.sources {
        let text = input::read(&folder.join(&named.file))?;
        let document = value(&text, document::parse_json(&text))?;
        documents.push(Resources::read(&document).map_err(|found| failure(&text, &found))?);
    }
    environment.policy(&documents).map_err(|found| failure(source, &found))
}

fn value(source: &SourceText, document: document::Document) -> Result<Value, Failure> {
    input::sort_out(Category::Input, source, &document.diagnostics)?;
    document.value.ok_or_else(|| {
        Problem::new(Category::Input, format!("{} holds nothing that can be read", source.name())).into()
    })
}

fn failure(source: &SourceText, found: &[Diagnostic]) -> Failure {
    let problems = found.iter().map(|found| Problem::in_document(Category::Input, found, source));
    Failure::several(problems.collect())
}
