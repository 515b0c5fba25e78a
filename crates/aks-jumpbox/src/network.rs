//! Network rules as files: an environment file, or one document of Azure's JSON.

use std::path::{Path, PathBuf};

use arm::{Environment, Inventory};
use build_engine::network::Outbound;
use document::{Diagnostic, SourceText};
use egress_gateway::{Mirror, NoProxy, UpstreamProxy};
use network_policy::{Endpoint, NO_NETWORK, NetworkPolicy, Reading};
use recipe::Recipe;

use crate::errors::{Category, Failure, Problem};
use crate::output::Output;
use crate::{bicep, input};

/// The rules that a build meets.
pub struct Network {
    /// The rules.
    pub policy: NetworkPolicy,
    /// What their author would want to know, for people.
    pub warnings: Vec<String>,
    /// Whether they are effective rules, in which Azure has put the prefixes of its tags.
    pub is_effective: bool,
}

/// What a file describes, with the documents that it names.
pub struct Documents {
    /// The environment file, or what stands for it when a single document was given.
    pub environment: Environment,
    /// All resources.
    pub inventory: Inventory,
    /// Folder that paths in the environment file are relative to.
    folder: PathBuf,
}

impl Documents {
    /// Reads a file and what it names: TOML is an environment file, everything else one document.
    ///
    /// # Errors
    /// When a file cannot be read. What is wrong inside is among the inventory's findings.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        Self::open_all(file, &[], None)
    }

    /// Itself when nothing in the documents is wrong; what their author would want to know is told as warnings.
    ///
    /// # Errors
    /// All that is wrong with the documents.
    pub fn sound(self, output: Output) -> Result<Self, Failure> {
        let (errors, warnings): (Vec<_>, Vec<_>) =
            self.inventory.findings().iter().cloned().partition(Diagnostic::is_error);
        self.lines(&warnings).iter().for_each(|warning| output.warn(warning));
        if errors.is_empty() { Ok(self) } else { Err(self.failure(&errors)) }
    }

    /// Reads several files together: one environment file at most, and single documents.
    ///
    /// # Errors
    /// When a file cannot be read, or two are environment files.
    pub fn open_several(files: &[PathBuf]) -> Result<Option<Self>, Failure> {
        Self::open_with(files, None)
    }

    /// The same with a document that is in no file yet.
    ///
    /// # Errors
    /// As [`Self::open_several`].
    pub fn open_with(files: &[PathBuf], unwritten: Option<&SourceText>) -> Result<Option<Self>, Failure> {
        let is_environment =
            |file: &&PathBuf| file.extension().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
        let (environments, documents): (Vec<_>, Vec<_>) = files.iter().partition(is_environment);
        if let [_, second, ..] = environments.as_slice() {
            return Err(Problem::new(Category::Input, "one environment file is enough")
                .in_file(second)
                .hint("name its documents in the other one, or give them as single documents")
                .into());
        }
        let mut all = environments.into_iter().chain(documents);
        let Some(first) = all.next() else { return Ok(None) };
        Self::open_all(first, &all.collect::<Vec<_>>(), unwritten).map(Some)
    }

    /// Reads an environment file and the one document that it names, neither of which is in a file.
    ///
    /// # Errors
    /// None; what is wrong inside is among the inventory's findings.
    pub fn of_texts(environment: SourceText, document: &SourceText) -> Result<Self, Failure> {
        let mut environment = Environment::read(environment);
        let inventory = environment.open(|_| Ok::<_, Failure>(document.clone()))?;
        Ok(Self { environment, inventory, folder: PathBuf::new() })
    }

    fn open_all(file: &Path, more: &[&PathBuf], unwritten: Option<&SourceText>) -> Result<Self, Failure> {
        let mut environment = Environment::read(bicep::read(file)?);
        let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
        for file in more {
            let path = std::path::absolute(file).map_err(|error| Failure::io("find", file, &error))?;
            environment.add(&path.to_string_lossy());
        }
        // No path of a file is empty.
        if unwritten.is_some() {
            environment.add("");
        }
        let inventory = environment.open(|path| match unwritten {
            Some(text) if path.is_empty() => Ok(text.clone()),
            _ => bicep::read(&folder.join(path)),
        })?;
        Ok(Self { environment, inventory, folder })
    }

    /// The network around the build subnet of `environment`, which is this one or one with another build subnet; none
    /// when the documents tell nothing of networks.
    ///
    /// # Errors
    /// All that is wrong with the documents.
    pub fn network(&self, environment: &Environment) -> Result<Option<Reading>, Failure> {
        let mut reading = match network_policy::read(environment, &self.inventory) {
            Ok(reading) => reading,
            Err(found) if found.iter().all(|found| found.code == NO_NETWORK || !found.is_error()) => {
                return Ok(None);
            }
            Err(found) => return Err(self.failure(&found)),
        };
        if let Some(tags) = &environment.service_tags {
            reading.policy.context.tags = service_tags(&self.folder.join(&tags.text))?.into();
        }
        Ok(Some(reading))
    }

    /// The errors among findings.
    pub fn failure(&self, found: &[Diagnostic]) -> Failure {
        let errors = found.iter().filter(|found| found.is_error());
        let problems = errors.filter_map(|found| {
            let (text, found) = self.inventory.sources().localize(found)?;
            Some(Problem::in_document(Category::Input, &found, text))
        });
        Failure::several(problems.collect())
    }

    /// Findings in one line each.
    pub fn lines(&self, findings: &[Diagnostic]) -> Vec<String> {
        let sources = self.inventory.sources();
        let shown = |found: &Diagnostic| match sources.localize(found) {
            Some((text, found)) => input::in_one_line(&found, text),
            None => input::without_a_place(found),
        };
        findings.iter().map(shown).collect()
    }
}

/// Reads the network that a file describes: TOML is an environment file, everything else one document.
///
/// # Errors
/// When a file cannot be read or is wrong: then all that is wrong with it.
pub fn open(file: &Path) -> Result<Network, Failure> {
    let documents = Documents::open(file)?;
    let Some(Reading { policy, warnings, .. }) = documents.network(&documents.environment)? else {
        let message = format!("{} tells nothing of a network", file.display());
        let hint =
            "a network security group, a subnet, a firewall or its policy, or effective rules are read";
        return Err(Problem::new(Category::Input, message).hint(hint).into());
    };
    let is_effective = !documents.inventory.effective_groups().is_empty();
    Ok(Network { policy, warnings: documents.lines(&warnings), is_effective })
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

/// The `[local]` table: what this machine needs to reach the outside.
///
/// # Errors
/// When the proxy's address cannot be used.
pub fn outbound(recipe: &Recipe, folder: &Path) -> Result<Outbound, Failure> {
    let local = &recipe.local;
    let wrong = |error: egress_gateway::Error| Problem::new(Category::Input, error.to_string());
    let upstream_proxy: Option<UpstreamProxy> =
        local.upstream_proxy.as_deref().map(str::parse).transpose().map_err(wrong)?;
    // As in curl, the variable in lower case is the first.
    let no_proxy = std::env::var("no_proxy").or_else(|_| std::env::var("NO_PROXY")).unwrap_or_default();
    let upstream_proxy = upstream_proxy.map(|proxy| proxy.except(NoProxy::new(&no_proxy)));
    let mirrors = local.mirrors.iter().map(|(name, recipe::Endpoint { name: host, port })| {
        (name.clone(), Mirror { host: host.clone(), port: *port })
    });
    let authorities = local.certificate_authorities.iter().map(|file| folder.join(file));
    Ok(Outbound {
        upstream_proxy,
        proxy_address: local.upstream_proxy.clone(),
        mirrors: mirrors.collect(),
        authorities: authorities.collect(),
        ..Outbound::default()
    })
}
