//! `try --target azure`: two machines of an image, one after the other, tested through the platform's agent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use build_engine::boot::{
    ADMIN_ACCOUNT, Examined, Identity, SmokeTest, TryReport, examine, identity_of, judge_second,
};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use workflow::{Kind, Shell, TrialPlace, TrialSpec, Workflow};

use super::arguments::{Endpoint, Target};
use super::{Teller, open};
use crate::context::{Context, stop_on_signals};
use crate::errors::{Category, Failure, Problem};

/// What is tried, and where.
#[derive(Debug)]
pub struct Trial<'a> {
    /// Resource id of the image, of a version or of an image definition; none asks for the last that was built.
    pub image: Option<&'a str>,
    /// Resource id of the subnet.
    pub subnet: &'a str,
    /// Name or resource id of the resource group; none asks for that of the template.
    pub group: Option<&'a str>,
    /// Size of the machines.
    pub size: &'a str,
    /// What is run in them.
    pub tests: Vec<SmokeTest>,
}

/// Makes the machines, tests them and removes them.
pub fn try_image(trial: &Trial<'_>, endpoint: &Endpoint, context: &Context) -> Result<TryReport, Failure> {
    let teller = Teller::new(context.output, stop_on_signals()?);
    let session = open(Target::Azure, endpoint, context)?;
    let own = trial.image.and_then(subscription_of).or_else(|| subscription_of(trial.subnet));
    let mut workflow = match (session.is_begun()?, own) {
        (false, Some(subscription)) => session.workflow(&subscription, &teller)?,
        _ => session.earlier(&teller)?,
    };
    let image = image(trial, &workflow)?;
    let spec = TrialSpec {
        place: TrialPlace {
            group: group(trial, &image, &workflow)?,
            subnet: trial.subnet.to_owned(),
            size: trial.size.to_owned(),
        },
        image,
        admin: ADMIN_ACCOUNT.to_owned(),
        public_key: key_of_nobody()?,
    };
    let note = |text: &str| context.output.note(text);
    let (examined, boot_seconds) = workflow.with_machine(&spec, |machine: &mut Shell<'_, '_>| {
        note("running the tests");
        let examined = examine(&trial.tests, machine.image_size, &mut |script| run(machine, script))?;
        Ok::<_, Failure>((examined, machine.took.as_secs_f64()))
    })?;
    note("another machine of the image, which must not be the same");
    let (second, seconds) = workflow.with_machine(&spec, |machine: &mut Shell<'_, '_>| {
        let identity = identity_of(&mut |script| run(machine, script))?;
        Ok::<_, Failure>((identity, machine.took.as_secs_f64()))
    })?;
    Ok(report(spec.image, examined, second.as_ref(), (boot_seconds, seconds)))
}

fn run(machine: &mut Shell<'_, '_>, script: &str) -> Result<String, Failure> {
    machine.run(script).map_err(Failure::from)
}

fn report(image: String, first: Examined, second: Option<&Identity>, took: (f64, f64)) -> TryReport {
    let rounded = |seconds: f64| (seconds * 100.0).round() / 100.0;
    let Examined { mut tests, identity } = first;
    tests.push(judge_second(identity.as_ref(), second, rounded(took.1)));
    TryReport { image, boot_seconds: rounded(took.0), accelerator: None, tests }
}

fn image(trial: &Trial<'_>, workflow: &Workflow<'_>) -> Result<String, Failure> {
    if let Some(image) = trial.image {
        return if image.starts_with("/subscriptions/") {
            Ok(image.to_owned())
        } else {
            Err(Problem::new(Category::Input, format!("{image} is no image in Azure"))
                .expecting(
                    "the resource id of an image, of a version in a gallery, or of an image definition",
                )
                .into())
        };
    }
    let made = workflow.record().made.iter().rev().find(|made| made.kind == Kind::Image && made.confirmed);
    made.map(|made| made.id.clone()).ok_or_else(|| {
        Problem::new(Category::Input, "no image was built from here that a machine could be made of")
            .hint("name one by its resource id; a VHD has to be made an image first")
            .into()
    })
}

/// Resource id of the group in which the machines are made.
fn group(trial: &Trial<'_>, image: &str, workflow: &Workflow<'_>) -> Result<String, Failure> {
    let of = |id: &str| id.split_once("/providers/").map(|(group, _)| group.to_owned());
    let named = match trial.group {
        Some(group) if group.starts_with('/') => Some(group.to_owned()),
        Some(group) => Some(format!("{}/resourceGroups/{group}", workflow.record().subscription)),
        None => workflow.record().template.as_deref().and_then(of).or_else(|| of(image)),
    };
    named.ok_or_else(|| {
        Problem::new(Category::Input, "the resource group of the machine is not said")
            .hint("say it with --resource-group")
            .into()
    })
}

fn subscription_of(id: &str) -> Option<String> {
    let guid = id.strip_prefix("/subscriptions/")?.split('/').next()?;
    Some(format!("/subscriptions/{guid}"))
}

/// Azure wants a key for machines without a password. Nobody logs in, so nobody keeps the private half.
fn key_of_nobody() -> Result<String, Failure> {
    let failed = || Failure::from(Problem::new(Category::Host, "this machine gives no random numbers"));
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| failed())?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| failed())?;
    let mut wire = Vec::new();
    for field in [b"ssh-ed25519".as_slice(), pair.public_key().as_ref()] {
        // RFC 4253, section 6.6: each field after its length.
        wire.extend(u32::try_from(field.len()).unwrap_or_default().to_be_bytes());
        wire.extend(field);
    }
    Ok(format!("ssh-ed25519 {} aks-jumpbox-try", STANDARD.encode(wire)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_one_that_ssh_reads() {
        let key = key_of_nobody().expect("a key");
        let wire = STANDARD.decode(key.split(' ').nth(1).expect("its text")).expect("base64");
        assert_eq!(wire.len(), 4 + 11 + 4 + 32);
        assert!(key.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA"), "{key}");
        assert_ne!(key, key_of_nobody().expect("a key"));
    }
}
