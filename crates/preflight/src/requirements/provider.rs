//! Resource providers and features of the subscription.

use arm::{Inventory, field};
use document::Value;

use super::{BASE, OVERVIEW, TEMPLATE};
use crate::finding::Asked;
use crate::{Check, Cloud, Outcome, Repair, Requirement, Severity, Subject};

/// The service itself.
pub(super) const NAMESPACE: &str = "Microsoft.VirtualMachineImages";

/// What the subscription has to have registered before anything else.
pub const NEEDED: [&str; 7] = [
    "Microsoft.VirtualMachineImages",
    "Microsoft.Compute",
    "Microsoft.KeyVault",
    "Microsoft.Storage",
    "Microsoft.Network",
    "Microsoft.ContainerInstance",
    "Microsoft.ManagedIdentity",
];

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "provider.registered",
        title: "the subscription has registered the resource providers of a build",
        source: OVERVIEW,
        assumption: Some(
            "Microsoft.ManagedIdentity must be registered, too, which the service's page leaves out",
        ),
        check: Check::Ask(registered),
        ..BASE
    },
    Requirement {
        id: "provider.triggers-feature",
        title: "triggers of image templates are registered as a feature",
        severity: Severity::Advised,
        source: TEMPLATE,
        check: Check::Ask(triggers),
        ..BASE
    },
];

/// State of a provider, as `az provider list` prints it.
fn state<'a>(inventory: &'a Inventory, namespace: &str) -> Option<&'a str> {
    let own = inventory.providers().find(|provider| {
        field(provider, "namespace")
            .and_then(Value::as_str)
            .is_some_and(|own| own.eq_ignore_ascii_case(namespace))
    })?;
    field(own, "registrationState").and_then(Value::as_str)
}

fn registered(subject: &Subject<'_>) -> Asked {
    let inventory = subject.inventory()?;
    let told: Vec<_> = NEEDED.iter().map(|name| (name, state(inventory, name))).collect();
    if told.iter().all(|(_, state)| state.is_none()) {
        return Ok(Outcome::skipped("no document tells of providers (`az provider list`)"));
    }
    let is_registered = |state: &str| state.eq_ignore_ascii_case("registered");
    let missing: Vec<_> = told
        .iter()
        .filter(|(_, state)| state.is_some_and(|state| !is_registered(state)))
        .map(|(name, _)| **name)
        .collect();
    let open: Vec<_> = told.iter().filter(|(_, state)| state.is_none()).map(|(name, _)| **name).collect();
    if !missing.is_empty() {
        let az: Vec<_> =
            missing.iter().map(|name| format!("az provider register --namespace {name} --wait")).collect();
        let az = format!("{}{}", subject.cloud().az(), az.join("\n"));
        let repair = Repair::in_words(format!("register {}", missing.join(", "))).by(az);
        return Ok(Outcome::fail(format!("not registered: {}", missing.join(", "))).repaired(repair));
    }
    Ok(if open.is_empty() {
        Outcome::pass(format!("{} are", NEEDED.join(", ")))
    } else {
        Outcome::undecided(format!("the documents do not tell of {}", open.join(", ")))
    })
}

/// State of a feature of the service, as `az feature list` prints it.
pub(super) fn feature_state<'a>(inventory: &'a Inventory, feature: &str) -> Option<&'a str> {
    let mut all = inventory.of_type("Microsoft.VirtualMachineImages/features");
    let own = all.find(|own| own.id.name().eq_ignore_ascii_case(feature))?;
    field(&own.value, "state").and_then(Value::as_str)
}

/// How a feature is registered, and the provider told.
pub(super) fn register(feature: &str, cloud: Cloud) -> Repair {
    let az = format!(
        "{}az feature register --namespace {NAMESPACE} --name {feature}\naz provider register --namespace {NAMESPACE}",
        cloud.az()
    );
    Repair::in_words(format!("register the feature {feature}, and the provider again")).by(az)
}

fn triggers(subject: &Subject<'_>) -> Asked {
    const FEATURE: &str = "Triggers";
    let inventory = subject.inventory()?;
    let trigger = inventory.of_type("Microsoft.VirtualMachineImages/imageTemplates/triggers").next();
    let Some(trigger) = trigger else { return Ok(Outcome::pass("no trigger is used")) };
    let is = match feature_state(inventory, FEATURE) {
        Some(state) if state.eq_ignore_ascii_case("registered") => {
            return Ok(Outcome::pass(format!("{FEATURE} is registered")));
        }
        Some(state) => format!("which is {state}"),
        None => "and no document tells of it".to_owned(),
    };
    let detail = format!("the trigger's how-to still asks for the feature {FEATURE}, {is}");
    Ok(Outcome::warn(detail).at(trigger.value.span).repaired(register(FEATURE, subject.cloud())))
}
