//! What Azure says now, as the documents that `check` reads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use arm::ResourceId;
use azure::resources::version;
use azure::{Client, Outcome};
use document::SourceText;
use image_template::{ImageTemplate, Text};
use serde_json::Value;
use workflow::Design;

use super::arguments::{Endpoint, Place, Target};
use super::connect::open;
use super::quota;
use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::input::Input;
use crate::network::Documents;

/// How often the answer of an action is asked for.
const LOOKS: u32 = 60;

/// Policies and the features of a provider.
const POLICY: &str = "2023-04-01";

/// What Azure says of the place that a build is meant for.
pub struct Said {
    /// As `check` reads it; none when nothing could be read.
    pub documents: Option<Documents>,
    /// What could not be read: requirements about it are skipped or undecided.
    pub missing: Vec<String>,
    /// What would have told more, and could not be read.
    pub notes: Vec<String>,
    /// Object id of whoever asked.
    pub who: Option<String>,
    /// What would be deployed there, where nothing of it is open.
    pub template: Option<ImageTemplate>,
}

/// Asks Azure about the place that a template (whether it stands in a file of its own is told) or `[azure]` of `jumpbox.toml`
/// names.
///
/// # Errors
/// When the subscription is not said, or Azure cannot be asked.
pub fn documents(
    target: Target,
    endpoint: &Endpoint,
    (input, written): (&Input, bool),
    context: &Context,
) -> Result<Said, Failure> {
    let session = open(target, endpoint, context)?;
    let (own, template) = (&input.recipe.azure, &input.template);
    if !written {
        let mut settings = Place::default().settings(input);
        settings.subscription = settings.subscription.or_else(|| session.subscription.clone());
        if let Ok(design) = Design::new(&settings, template, false) {
            let said = of_design(session.client(), &design)?;
            return Ok(Said { template: Some(design.template), ..said });
        }
    }
    let network = template.vm_profile.vnet_config.as_ref().filter(|_| written);
    let known = |text: &Text| text.known().map(str::to_owned);
    let Some(subscription) = own.subscription.clone().or_else(|| session.subscription.clone()) else {
        return Err(Problem::new(Category::Input, "the subscription is not said")
            .hint("say it as `subscription` in `[azure]` of jumpbox.toml")
            .into());
    };
    let asked = Asked {
        subscription,
        location: own.location.clone().or_else(|| known(&template.location)),
        build_subnet: network.map_or_else(|| own.build_subnet.clone(), |network| known(&network.subnet_id)),
        container_subnet: network.map_or_else(
            || own.container_subnet.clone(),
            |network| network.container_instance_subnet_id.as_ref().and_then(known),
        ),
        identity: template.identity.as_ref().and_then(|identity| known(&identity.user_assigned)),
        sizes: preflight::build_sizes(template),
    };
    said(session.client(), &asked)
}

/// The same about the place of a design.
///
/// # Errors
/// When Azure cannot be asked.
pub fn of_design(client: &Client, design: &Design) -> Result<Said, Failure> {
    let network = design.template.vm_profile.vnet_config.as_ref();
    let subnet = |text: &Text| text.as_str().to_owned();
    let asked = Asked {
        subscription: design.subscription.trim_start_matches("/subscriptions/").to_owned(),
        location: Some(design.location.clone()),
        build_subnet: network.map(|network| subnet(&network.subnet_id)),
        container_subnet: network
            .and_then(|network| network.container_instance_subnet_id.as_ref().map(subnet)),
        identity: Some(design.identity.clone()),
        sizes: preflight::build_sizes(&design.template),
    };
    said(client, &asked)
}

fn said(client: &Client, asked: &Asked) -> Result<Said, Failure> {
    let read = read(client, asked)?;
    let documents = read.found.then(|| Documents::of_texts(read.environment, &read.resources)).transpose()?;
    Ok(Said {
        documents,
        missing: read.missing,
        notes: read.notes,
        who: client.who()?.object_id,
        template: None,
    })
}

/// Which part of a subscription is meant.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// The subscription's id, a GUID.
    subscription: String,
    location: Option<String>,
    build_subnet: Option<String>,
    container_subnet: Option<String>,
    /// Resource id of the template's identity.
    identity: Option<String>,
    /// Sizes of the machines that a build starts.
    sizes: Vec<String>,
}

/// What was read.
struct Read {
    /// An environment file that names the other text.
    environment: SourceText,
    resources: SourceText,
    /// Whether there are any.
    found: bool,
    missing: Vec<String>,
    notes: Vec<String>,
}

/// Reads what requirements ask about. What may not be read is left out and told, and no requirement about it passes.
///
/// # Errors
/// When Azure cannot be asked at all.
fn read(client: &Client, asked: &Asked) -> Result<Read, Failure> {
    let mut live =
        Live { client, found: Vec::new(), ids: BTreeSet::new(), missing: Vec::new(), notes: Vec::new() };
    let subscription = format!("/subscriptions/{}", asked.subscription);
    let mut asked = asked.clone();
    for subnet in [&mut asked.build_subnet, &mut asked.container_subnet] {
        if let Some(id) = subnet.as_deref()
            && !live.network_of(id)?
        {
            // What may not be read is skipped, as if nobody had named it.
            *subnet = None;
        }
    }
    if let Some(subnet) = &asked.build_subnet {
        live.effective(subnet)?;
    }
    if live.leads_to_a_firewall() {
        live.firewalls(&subscription)?;
    }
    if let Some(identity) = &asked.identity {
        live.get(identity, version::IDENTITIES)?;
    }
    let authorization = format!("{subscription}/providers/Microsoft.Authorization");
    for (path, version) in [
        (format!("{authorization}/roleAssignments"), version::AUTHORIZATION),
        (format!("{authorization}/roleDefinitions"), version::AUTHORIZATION),
        (format!("{authorization}/policyAssignments"), POLICY),
        (format!("{authorization}/policyDefinitions?$filter=policyType%20eq%20'Custom'"), POLICY),
        (format!("{subscription}/providers"), version::RESOURCES),
        (
            format!(
                "{subscription}/providers/Microsoft.Features/providers/Microsoft.VirtualMachineImages/features"
            ),
            version::FEATURES,
        ),
    ] {
        live.list(&path, version)?;
    }
    if let Some(location) = &asked.location {
        quota::read(&mut live, &subscription, &image_template::region_slug(location), &asked.sizes)?;
    }
    Ok(live.told(&asked))
}

pub(super) struct Live<'a> {
    client: &'a Client,
    pub found: Vec<Value>,
    /// Ids that were asked for, in lower case.
    ids: BTreeSet<String>,
    missing: Vec<String>,
    notes: Vec<String>,
}

impl Live<'_> {
    /// Keeps an answer. A refusal leaves it out; that Azure cannot be reached is an error.
    fn keep<T>(&mut self, path: &str, asked: Result<T, azure::Error>) -> Result<Option<T>, Failure> {
        match asked {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.status().is_some_and(|status| status < 500 && status != 429) => {
                let path = path.split('?').next().unwrap_or(path);
                self.missing.push(format!("{path} could not be read: {}", error.code().unwrap_or("refused")));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn get(&mut self, id: &str, version: &str) -> Result<Option<Value>, Failure> {
        if !self.ids.insert(id.to_ascii_lowercase()) {
            return Ok(None);
        }
        let asked = self.client.get::<Value>(id, version);
        let value = self.keep(id, asked)?.flatten();
        self.found.extend(value.clone());
        Ok(value)
    }

    fn list(&mut self, path: &str, version: &str) -> Result<Vec<Value>, Failure> {
        let values = self.look(path, version)?.unwrap_or_default();
        self.found.extend(values.iter().cloned());
        Ok(values)
    }

    /// A list that is not kept as it is; none when it may not be read.
    pub fn look(&mut self, path: &str, version: &str) -> Result<Option<Vec<Value>>, Failure> {
        let asked = self.client.list::<Value>(path, version);
        self.keep(path, asked)
    }

    /// A subnet's network with the addresses that are taken, and what is joined to the subnet; false when it may not be
    /// read.
    fn network_of(&mut self, subnet: &str) -> Result<bool, Failure> {
        let absent = || {
            Problem::new(Category::Input, format!("there is no subnet {subnet}"))
                .hint("make it (`render network` writes one), or name another as `build_subnet` and `container_subnet`")
        };
        let id = ResourceId::parse(subnet).map_err(|_| absent())?;
        let network = id.parent().ok_or_else(absent)?.to_string();
        if self.get(&network, version::NETWORK)?.is_some() {
            self.list(&format!("{network}/usages"), version::NETWORK)?;
        } else if self.missing.iter().any(|missing| missing.starts_with(&network)) {
            return Ok(false);
        }
        let subnets =
            self.found.iter().filter_map(|value| value["properties"]["subnets"].as_array()).flatten();
        let mut own =
            subnets.filter(|own| own["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(subnet)));
        let own = own.next().ok_or_else(absent)?;
        let joined =
            ["networkSecurityGroup", "routeTable", "natGateway"].map(|name| &own["properties"][name]["id"]);
        let ids: Vec<_> = joined.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect();
        for id in ids {
            self.get(&id, version::NETWORK)?;
        }
        Ok(true)
    }

    /// The rules that apply to an interface of a running machine in a subnet, where there is one: it tells of those that no
    /// group holds, such as a network manager's. Its routes would be taken for those of the other subnet, too.
    fn effective(&mut self, subnet: &str) -> Result<(), Failure> {
        let Some(interface) = interface_of(&self.found, subnet) else { return Ok(()) };
        let path = format!("{interface}/effectiveNetworkSecurityGroups");
        let told = self.answer_of(&path);
        match told {
            Ok(told) => self.found.extend(told["value"].as_array().into_iter().flatten().cloned()),
            Err(error) if error.status().is_some_and(|status| status < 500 && status != 429) => {
                let why = error.code().unwrap_or("refused");
                self.notes.push(format!("{path} could not be read: {why}"));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The answer of an action, which Azure takes some seconds for.
    fn answer_of(&self, path: &str) -> Result<Value, azure::Error> {
        let started = self.client.post::<(), Value>(path, version::NETWORK, None)?;
        let Some(operation) = started.result else { return Ok(started.value.unwrap_or_default()) };
        let mut after = Duration::from_millis(operation.after_ms);
        for _ in 0..LOOKS {
            std::thread::sleep(after);
            match self.client.outcome(&operation)? {
                Outcome::Running { after: hint } => after = hint,
                Outcome::Ended(told) => return Ok(told.unwrap_or_default()),
            }
        }
        Ok(Value::Null)
    }

    fn leads_to_a_firewall(&self) -> bool {
        let routes = self.found.iter().filter_map(|value| value["properties"]["routes"].as_array());
        routes.flatten().any(|route| route["properties"]["nextHopType"] == "VirtualAppliance")
    }

    /// Every firewall of the subscription, since a route names one by its address alone, and its policies with their parents.
    fn firewalls(&mut self, subscription: &str) -> Result<(), Failure> {
        let path = format!("{subscription}/providers/Microsoft.Network/azureFirewalls");
        let firewalls = self.list(&path, version::NETWORK)?;
        let id = |value: &Value| value["id"].as_str().map(str::to_owned);
        let mut next: Vec<_> =
            firewalls.iter().filter_map(|one| id(&one["properties"]["firewallPolicy"])).collect();
        while let Some(policy) = next.pop() {
            let Some(read) = self.get(&policy, version::NETWORK)? else { continue };
            next.extend(id(&read["properties"]["basePolicy"]));
            self.list(&format!("{policy}/ruleCollectionGroups"), version::NETWORK)?;
        }
        self.list(&format!("{subscription}/providers/Microsoft.Network/ipGroups"), version::NETWORK)?;
        Ok(())
    }

    fn told(self, asked: &Asked) -> Read {
        let mut environment = format!("subscription = {:?}\n", asked.subscription);
        let values = [
            ("location", &asked.location),
            ("build_subnet", &asked.build_subnet),
            ("container_subnet", &asked.container_subnet),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                let _ = writeln!(environment, "{name} = {value:?}");
            }
        }
        environment.push_str("\n[[source]]\nkind = \"resources\"\nfile = \"what Azure says\"\n");
        // A tree of texts always has a text.
        let resources = serde_json::to_string_pretty(&self.found).unwrap_or_default();
        Read {
            found: !self.found.is_empty(),
            environment: SourceText::new("live.toml", environment),
            resources: SourceText::new("what Azure says", resources),
            missing: self.missing,
            notes: self.notes,
        }
    }
}

/// The first interface in a subnet, as the network tells of it.
fn interface_of(found: &[Value], subnet: &str) -> Option<String> {
    let subnets = found.iter().filter_map(|value| value["properties"]["subnets"].as_array()).flatten();
    let is_own = |own: &&Value| own["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(subnet));
    let own = subnets.into_iter().find(is_own)?["properties"]["ipConfigurations"].as_array()?;
    let ids = own.iter().filter_map(|one| one["id"].as_str());
    ids.filter(|id| id.contains("/networkInterfaces/"))
        .find_map(|id| Some(id.split_once("/ipConfigurations/")?.0.to_owned()))
}
