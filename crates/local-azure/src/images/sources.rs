//! Scripts and files that a template names: where they may be, and those that are blobs of this endpoint.

use std::fs::{self, File};
use std::net::IpAddr;

use build_engine::digest::sha256_of;
use image_template::{Customizer, ImageTemplate, Script, Text, Validator};
use tempfile::TempDir;

use super::needs::principal;
use super::provision::Refusal;
use crate::error::ArmError;
use crate::{LocalAzure, blobs};

/// A script or file.
struct Source<'a> {
    uri: &'a mut Text,
    sha256: Option<&'a str>,
    /// The service's code for one that cannot be had (azure-image-builder.md 2.4).
    missing: &'static str,
}

fn of_script<'a>(script: &'a mut Script, missing: &'static str) -> Option<Source<'a>> {
    match script {
        Script::Uri { uri, sha256 } => {
            Some(Source { uri, sha256: sha256.as_ref().and_then(Text::known), missing })
        }
        Script::Inline(_) => None,
    }
}

fn of_file<'a>(step: &'a mut image_template::FileStep, missing: &'static str) -> Option<Source<'a>> {
    let sha256 = step.sha256.as_ref().and_then(Text::known);
    Some(Source { uri: &mut step.source_uri, sha256, missing })
}

/// All of a template.
fn sources(template: &mut ImageTemplate) -> impl Iterator<Item = Source<'_>> {
    let missing = "NoCustomizerScript";
    let steps = template.customize.iter_mut().filter_map(move |step| match step {
        Customizer::Shell(step) => of_script(&mut step.script, missing),
        Customizer::PowerShell(step) => of_script(&mut step.script, missing),
        Customizer::File(step) => of_file(step, missing),
        _ => None,
    });
    let missing = "NoValidatorScript";
    let checks = template.validate.iter_mut().flat_map(|validate| &mut validate.in_vm_validations);
    let checks = checks.filter_map(move |step| match step {
        Validator::Shell(step) => of_script(&mut step.script, missing),
        Validator::PowerShell(step) => of_script(&mut step.script, missing),
        Validator::File(step) => of_file(step, missing),
    });
    steps.chain(checks)
}

/// Refuses addresses that would lead into this machine: files, and addresses of its own. Those of the endpoint's blobs
/// lead nowhere: they are read from its folder, wherever the client believes the endpoint to be.
pub(crate) fn check(template: &ImageTemplate, origin: &str) -> Result<(), ArmError> {
    for Source { uri, .. } in sources(&mut template.clone()) {
        let refused = |why: &str| {
            let uri = without_signature(uri.as_str());
            Err(ArmError::bad("ValidationFailed", format!("Validation failed: the source URI '{uri}' {why}")))
        };
        let Ok(parsed) = uri.as_str().parse::<http::Uri>() else { return refused("is no URI") };
        if !matches!(parsed.scheme_str(), Some("http" | "https")) {
            return refused("is not http or https");
        }
        let of_endpoint = uri.as_str().strip_prefix(origin).is_some_and(|path| path.starts_with('/'));
        if leads_home(parsed.host().unwrap_or_default())
            && !(of_endpoint && crate::path::is_of_blobs(parsed.path()))
        {
            return refused("leads into this machine");
        }
    }
    Ok(())
}

/// Checks that blobs of the endpoint can be read, and are what their checksums say.
pub(crate) fn require(azure: &LocalAzure, template: &ImageTemplate) -> Result<(), Refusal> {
    let mut template = template.clone();
    each_own(azure, &mut template, |source, _, file| {
        let Some(expected) = source.sha256 else { return Ok(()) };
        let found = sha256_of(file).map_err(ArmError::from)?;
        if found == expected {
            return Ok(());
        }
        let uri = without_signature(source.uri.as_str());
        Err(Refusal::new(
            source.missing,
            format!("{uri} has the SHA-256 {found}, and the template says {expected}"),
        ))
    })
}

/// Copies blobs of the endpoint into a folder, where the template then finds them; none without any.
pub(crate) fn collect(azure: &LocalAzure, template: &mut ImageTemplate) -> Result<Option<TempDir>, Refusal> {
    let folder = TempDir::new_in(azure.folder.join("spool")).map_err(ArmError::from)?;
    let mut any = false;
    each_own(azure, template, |source, target, mut file| {
        let name = format!("{}/{}/{}", target.account, target.container, target.blob);
        let path = folder.path().join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ArmError::from)?;
        }
        let copied = File::create(path).and_then(|mut copy| std::io::copy(&mut file, &mut copy));
        copied.map_err(ArmError::from)?;
        *source.uri = name.into();
        any = true;
        Ok(())
    })?;
    Ok(any.then_some(folder))
}

/// Opens each blob of the endpoint as the template's identity.
fn each_own(
    azure: &LocalAzure,
    template: &mut ImageTemplate,
    mut act: impl FnMut(Source<'_>, blobs::Target, File) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let identity =
        template.identity.as_ref().map_or("", |identity| identity.user_assigned.as_str()).to_owned();
    for source in sources(template) {
        if !is_local(source.uri.as_str()) {
            continue;
        }
        let opened = principal(azure, &identity)
            .and_then(|object| blobs::service::read(azure, source.uri.as_str(), &object));
        let (target, file) = opened.map_err(|error| {
            let uri = without_signature(source.uri.as_str());
            Refusal::new(source.missing, format!("{uri} cannot be read: {}: {}", error.code, error.message))
        })?;
        act(source, target, file)?;
    }
    Ok(())
}

/// Whether an address that was let in is one of this endpoint's blobs.
pub(crate) fn is_local(uri: &str) -> bool {
    uri.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some_and(leads_home))
}

/// An address as it may be told.
pub(crate) fn without_signature(uri: &str) -> &str {
    uri.split('?').next().unwrap_or_default()
}

/// Whether a host is this machine or its neighbourhood. What a name resolves to is looked at when it is fetched.
fn leads_home(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    if host.is_empty() || host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    // Old forms of addresses, such as 127.1 or 0x7f000001, are names of nobody else.
    let numeric =
        host.rsplit('.').next().is_some_and(|last| last.starts_with("0x") || last.parse::<u64>().is_ok());
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
        }
        Ok(IpAddr::V6(address)) => {
            let link_local = address.segments()[0] & 0xffc0 == 0xfe80;
            let mapped = address.to_ipv4_mapped().is_some();
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || link_local
                || mapped
        }
        Err(_) => numeric,
    }
}

#[cfg(test)]
mod tests {
    use super::leads_home;

    #[test]
    fn what_leads_into_this_machine_is_known() {
        for host in [
            "localhost",
            "a.localhost",
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "169.254.169.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[fe80::1]",
            "0.0.0.0",
            "",
        ] {
            assert!(leads_home(host), "{host}");
        }
        for host in ["example.com", "10.0.0.4", "account.blob.core.windows.net", "[2001:db8::1]", "1.example"]
        {
            assert!(!leads_home(host), "{host}");
        }
    }
}
