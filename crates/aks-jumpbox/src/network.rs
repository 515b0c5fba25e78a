//! Network rules as files: an environment file, or one document of Azure's JSON.

use std::path::Path;

use arm::Environment;
use document::{Diagnostic, Sources};
use network_policy::{Endpoint, NetworkPolicy, Reading};

use crate::errors::{Category, Failure, Problem};
use crate::input;

/// What a file describes.
pub struct Network {
    /// The rules that a build meets.
    pub policy: NetworkPolicy,
    /// What the documents leave open, for people.
    pub warnings: Vec<String>,
}

/// Reads the network that a file describes: TOML is an environment file, everything else one document.
///
/// # Errors
/// When a file cannot be read or is wrong: then all that is wrong with it.
pub fn load(file: &Path) -> Result<Network, Failure> {
    let mut environment = Environment::read(input::read(file)?);
    let folder = file.parent().unwrap_or(Path::new("."));
    let inventory = environment.open(|path| input::read(&folder.join(path)))?;
    let read = network_policy::read(&environment, &inventory);
    let Reading { mut policy, warnings } = read.map_err(|found| failure(inventory.sources(), &found))?;
    if let Some(tags) = &environment.service_tags {
        policy.context.tags = service_tags(&folder.join(&tags.text))?.into();
    }
    let sources = inventory.sources();
    let rendered = |found: &Diagnostic| sources.localize(found).map(|(text, found)| found.render(text));
    let warnings = warnings.iter().filter_map(rendered).collect();
    Ok(Network { policy, warnings })
}

/// Reads a file of service tags.
///
/// # Errors
/// When it cannot be read or is wrong.
fn service_tags(file: &Path) -> Result<network_policy::Tags, Failure> {
    let source = input::read(file)?;
    let sha256 = build_engine::digest::sha256(source.text().as_bytes());
    network_policy::read_service_tags(&source, &sha256).map_err(|found| {
        let problems = found.iter().map(|found| Problem::in_document(Category::Input, found, &source));
        Failure::several(problems.collect())
    })
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

fn failure(sources: &Sources, found: &[Diagnostic]) -> Failure {
    let errors = found.iter().filter(|found| found.is_error());
    let problems = errors.filter_map(|found| {
        let (text, found) = sources.localize(found)?;
        Some(Problem::in_document(Category::Input, &found, text))
    });
    Failure::several(problems.collect())
}
