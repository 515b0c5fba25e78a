//! What is in the image, as a `CycloneDX` 1.5 bill of materials: the distribution's packages and Python's.
//!
//! The document is a function of the image alone: no date, no serial number, sorted, so two builds of the same
//! content have the same bill.

mod packages;

use cyclonedx_bom::models::bom::Bom;
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::prelude::{Purl, SpecVersion};

use crate::rooted::{Kind, Rooted, RootedError};
use packages::{DebianPackage, PythonPackage};

const STATUS: &str = "/var/lib/dpkg/status";
const LARGEST_STATUS: u64 = 256 << 20;
const LARGEST_METADATA: u64 = 4 << 20;

/// Why there is no bill of materials.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// The image could not be read.
    #[error(transparent)]
    Image(#[from] RootedError),
    /// The library could not write the document.
    #[error("could not write the bill of materials")]
    Write(#[from] cyclonedx_bom::errors::JsonWriteError),
}

/// The bill of materials of the image in `root`, as JSON.
///
/// # Errors
/// [`SbomError`] when the image cannot be read.
pub fn cyclonedx(root: &Rooted) -> Result<String, SbomError> {
    let os_release = text(root, "/etc/os-release", LARGEST_METADATA)?;
    let system = System::parse(&os_release);
    let status = text(root, STATUS, LARGEST_STATUS)?;
    let mut components: Vec<Component> =
        packages::debian(&status).iter().map(|package| debian_component(package, &system)).collect();
    components.extend(python_packages(root)?.iter().map(|(package, place)| python_component(package, place)));
    components.sort_by(|a, b| a.bom_ref.cmp(&b.bom_ref));
    components.dedup_by(|a, b| a.bom_ref == b.bom_ref);
    let bom = Bom {
        serial_number: None,
        metadata: Some(Metadata { component: Some(system.component()), ..Metadata::default() }),
        components: Some(Components(components)),
        ..Bom::default()
    };
    let mut out = Vec::new();
    bom.output_as_json(&mut out, SpecVersion::V1_5)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn text(root: &Rooted, path: &str, limit: u64) -> Result<String, RootedError> {
    Ok(String::from_utf8_lossy(&root.read(path, limit)?.unwrap_or_default()).into_owned())
}

/// The operating system, as `/etc/os-release` names it.
struct System {
    id: String,
    version: String,
}

impl System {
    fn parse(os_release: &str) -> Self {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
        };
        Self {
            id: value("ID").unwrap_or_else(|| "linux".into()),
            version: value("VERSION_ID").unwrap_or_default(),
        }
    }

    fn component(&self) -> Component {
        Component::new(Classification::OperatingSystem, &self.id, &self.version, Some("image".into()))
    }
}

fn debian_component(package: &DebianPackage<'_>, system: &System) -> Component {
    let DebianPackage { name, version, architecture, source } = package;
    let encode = packages::encode;
    let id = encode(&system.id.to_lowercase());
    let distro = match system.version.as_str() {
        "" => String::new(),
        release => format!("&distro={id}-{}", encode(release)),
    };
    let purl =
        format!("pkg:deb/{id}/{}@{}?arch={}{distro}", encode(name), encode(version), encode(architecture));
    component(name, version, &purl, source.map(|source| ("dpkg:source", source)))
}

fn python_component(package: &PythonPackage, place: &str) -> Component {
    let PythonPackage { name, version } = package;
    let purl =
        format!("pkg:pypi/{}@{}", packages::encode(&package.normalized_name()), packages::encode(version));
    component(name, version, &purl, Some(("python:metadata", place)))
}

fn component(name: &str, version: &str, purl: &str, property: Option<(&str, &str)>) -> Component {
    let mut component = Component::new(Classification::Library, name, version, Some(purl.to_owned()));
    // The library's own constructor knows neither namespaces nor qualifiers; parsing one cannot fail.
    component.purl = purl.parse::<Purl>().ok();
    component.properties = property.map(|(key, value)| Properties(vec![Property::new(key, value)]));
    component
}

/// Python packages with the metadata file that names each, wherever Debian, pip and virtual environments put them.
fn python_packages(root: &Rooted) -> Result<Vec<(PythonPackage, String)>, RootedError> {
    let mut out = Vec::new();
    for folder in python_folders(root)? {
        for (name, kind) in root.list(&folder)? {
            let Some(name) = name.to_str().filter(|name| is_metadata(name)) else { continue };
            let file = match kind {
                Kind::Folder if name.ends_with(".dist-info") => format!("{folder}/{name}/METADATA"),
                Kind::Folder => format!("{folder}/{name}/PKG-INFO"),
                _ => format!("{folder}/{name}"),
            };
            if let Some(package) = packages::python(&text(root, &file, LARGEST_METADATA)?) {
                out.push((package, file));
            }
        }
    }
    Ok(out)
}

fn is_metadata(name: &str) -> bool {
    [".dist-info", ".egg-info"].iter().any(|end| name.ends_with(end))
}

fn python_folders(root: &Rooted) -> Result<Vec<String>, RootedError> {
    let names = |folder: &str| -> Result<Vec<String>, RootedError> {
        Ok(root.list(folder)?.into_iter().filter_map(|(name, _)| name.into_string().ok()).collect())
    };
    let mut libraries = vec!["/usr/lib".to_owned(), "/usr/local/lib".to_owned()];
    libraries.extend(names("/opt")?.into_iter().map(|name| format!("/opt/{name}/lib")));
    let mut out = Vec::new();
    for library in libraries {
        let pythons = names(&library)?.into_iter().filter(|name| name.starts_with("python3"));
        out.extend(pythons.flat_map(|name| {
            ["dist-packages", "site-packages"].map(|kind| format!("{library}/{name}/{kind}"))
        }));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
