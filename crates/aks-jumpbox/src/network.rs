//! Network rules as files: an environment file, or one document of Azure's JSON.

use std::path::Path;

use arm::Environment;
use document::{Diagnostic, Sources};
use network_policy::{Endpoint, NetworkPolicy, Reading};

use crate::errors::{Category, Failure, Problem};
use crate::input;

/// The rules that a build meets.
pub struct Network {
    /// The rules.
    pub policy: NetworkPolicy,
    /// What their author would want to know, for people.
    pub warnings: Vec<String>,
}

/// Reads the network that a file describes: TOML is an environment file, everything else one document.
///
/// # Errors
/// When a file cannot be read or is wrong: then all that is wrong with it.
pub fn open(file: &Path) -> Result<Network, Failure> {
    let mut environment = Environment::read(input::read(file)?);
    let folder = file.parent().unwrap_or(Path::new("."));
    let inventory = environment.open(|path| input::read(&folder.join(path)))?;
    let sources = inventory.sources();
    let read = network_policy::read(&environment, &inventory);
    let Reading { mut policy, warnings } = read.map_err(|found| failure(sources, &found))?;
    if let Some(tags) = &environment.service_tags {
        policy.context.tags = service_tags(&folder.join(&tags.text))?.into();
    }
    let shown = |found: &Diagnostic| match sources.localize(found) {
        Some((text, found)) => input::in_one_line(&found, text),
        None => input::without_a_place(found),
    };
    Ok(Network { policy, warnings: warnings.iter().map(shown).collect() })
}

/// Reads a file of service tags.
///
/// # Errors
/// When it cannot be read or is wrong.
pub fn service_tags(file: &Path) -> Result<network_policy::Tags, Failure> {
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
