//! The subnets of a build.

use arm::{Inventory, Resource, ResourceId, field};
use document::{Kind, Value};
use ipnet::Ipv4Net;
use serde_json::json;

use super::{
    BASE, BROUGHT, CONTAINERS, GUIDANCE, ISOLATED, ISOLATION, NETWORKING, PRIVATE_LINK, PRIVATE_LINK_POLICY,
    SUBNETS,
};
use crate::finding::Asked;
use crate::subject::{known, text};
use crate::{Change, Check, Hop, Outcome, Place, Repair, Requirement, Severity, Subject, Topology};

/// Addresses of every subnet that Azure keeps for itself.
const RESERVED: u64 = 5;
/// Property of a subnet.
const DELEGATIONS: &str = "delegations";
/// Delegation of a subnet for container instances.
pub const CONTAINER_GROUPS: &str = "Microsoft.ContainerInstance/containerGroups";

const PLAIN: Requirement = Requirement { topologies: BROUGHT, source: NETWORKING, ..BASE };

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "subnet.size",
        title: "the build subnet is large enough",
        source: SUBNETS,
        check: Check::Ask(size),
        ..PLAIN
    },
    Requirement {
        id: "subnet.free-addresses",
        title: "the build subnet has the addresses that a build takes",
        source: GUIDANCE,
        assumption: Some(
            "a build with two subnets takes one address of the build subnet, or two where validators run",
        ),
        check: Check::Ask(free_addresses),
        ..PLAIN
    },
    Requirement {
        id: "subnet.private-link-policies",
        title: "private link service network policies are disabled on the build subnet",
        topologies: PRIVATE_LINK,
        source: PRIVATE_LINK_POLICY,
        hop: Some(Hop::TO_PRIVATE_LINK),
        check: Check::Ask(private_link_policies),
        ..PLAIN
    },
    Requirement {
        id: "subnet.delegation",
        title: "the build subnet is not delegated",
        assumption: Some("a delegated subnet takes no virtual machines"),
        check: Check::Ask(not_delegated),
        ..PLAIN
    },
    Requirement {
        id: "subnet.container-delegation",
        title: "the container instance subnet is delegated to container instances",
        topologies: ISOLATED,
        source: ISOLATION,
        check: Check::Ask(container_delegation),
        ..PLAIN
    },
    Requirement {
        id: "subnet.container-only",
        title: "the container instance subnet holds nothing else",
        topologies: ISOLATED,
        source: CONTAINERS,
        check: Check::Ask(container_only),
        ..PLAIN
    },
    Requirement {
        id: "subnet.same-virtual-network",
        title: "both subnets are in one virtual network, and are two",
        topologies: ISOLATED,
        check: Check::Ask(same_network),
        ..PLAIN
    },
    Requirement {
        id: "subnet.subscription",
        title: "the subnet is in the subscription of the build",
        severity: Severity::Advised,
        source: GUIDANCE,
        check: Check::Ask(subscription),
        ..PLAIN
    },
];

/// Addresses of the build subnet that a build takes: with private link the load balancer's front end, the private link
/// service, the proxy VM and the build VM; else the build VM, and another one where validators run.
pub(crate) fn addresses_taken(topology: Topology, validates: bool) -> u64 {
    match (topology, validates) {
        (Topology::PrivateLink, _) => 4,
        (Topology::Managed | Topology::Isolated, true) => 2,
        (Topology::Managed | Topology::Isolated, false) => 1,
    }
}

/// The same for a subject.
fn needed(subject: &Subject<'_>) -> u64 {
    let validates = subject.template.is_some_and(|template| template.validate.is_some());
    addresses_taken(subject.topology, validates)
}

/// Addresses of an IPv4 prefix that Azure does not keep for itself.
pub(crate) fn usable_of(prefix: Ipv4Net) -> u64 {
    (1_u64 << (32 - prefix.prefix_len())).saturating_sub(RESERVED)
}

/// Usable addresses of the IPv4 prefixes of a subnet.
fn usable(subnet: &Resource) -> Result<u64, Outcome> {
    let prefixes = known(subnet, "addressPrefixes")?.and_then(Value::as_array).unwrap_or_default();
    let mut total = 0;
    for prefix in prefixes {
        let Some(prefix) = prefix.as_str().and_then(|text| text.parse::<ipnet::IpNet>().ok()) else {
            return Err(
                Outcome::undecided(format!("a prefix of {} is not known", subnet.label())).at(prefix.span)
            );
        };
        if let ipnet::IpNet::V4(prefix) = prefix {
            total += usable_of(prefix);
        }
    }
    if prefixes.is_empty() {
        return Err(Outcome::undecided(format!("no document tells the prefix of {}", subnet.label())));
    }
    Ok(total)
}

fn size(subject: &Subject<'_>) -> Asked {
    let subnet = subject.subnet(Place::Build)?;
    let (usable, needed) = (usable(subnet)?, needed(subject));
    let detail = format!("{usable} addresses can be used, and a build takes {needed}");
    Ok(if usable < needed {
        let repair =
            "use a prefix of /28 or larger: a subnet in use cannot shrink or grow past its neighbours";
        Outcome::fail(detail).at(subnet.value.span).repaired(Repair::in_words(repair))
    } else {
        Outcome::pass(detail)
    })
}

/// Addresses of a subnet.
struct Space {
    /// That nobody has.
    free: u64,
    /// That can be had at all.
    usable: u64,
    /// Who may have some that are not counted.
    hidden: Option<&'static str>,
}

/// The addresses of a subnet as its network's usages count them, else as its interfaces tell; none where no document does.
fn space(subnet: &Resource) -> Result<Option<Space>, Outcome> {
    if let Some(told) = known(subnet, "subnetSpace")? {
        let count = |name| match field(told, name).map(|found| &found.kind) {
            Some(Kind::Number(number)) => number.as_i64().and_then(|number| u64::try_from(number).ok()),
            _ => None,
        };
        // Azure does not count what gateways have: its limit is negative then.
        let (Some(taken), Some(usable)) = (count("currentValue"), count("limit")) else {
            let detail =
                format!("the usages of the network do not count the addresses of {}", subnet.label());
            return Err(Outcome::undecided(detail).at(told.span));
        };
        return Ok(Some(Space { free: usable.saturating_sub(taken), usable, hidden: None }));
    }
    let taken = known(subnet, "ipConfigurations")?;
    // Azure leaves an empty list out; only what Azure itself told has a state.
    if taken.is_none() && known(subnet, "provisioningState")?.is_none() {
        return Ok(None);
    }
    let mut ids = std::collections::BTreeSet::new();
    for list in [taken, known(subnet, "ipConfigurationProfiles")?] {
        for (index, item) in list.and_then(Value::as_array).unwrap_or_default().iter().enumerate() {
            let id = field(item, "id").and_then(Value::as_str);
            ids.insert(id.map_or_else(|| index.to_string(), str::to_ascii_lowercase));
        }
    }
    let usable = usable(subnet)?;
    let taken = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    let hiding = ["serviceAssociationLinks", "resourceNavigationLinks"];
    let hidden = hiding.into_iter().find(|name| field(&subnet.value, name).is_some());
    Ok(Some(Space { free: usable.saturating_sub(taken), usable, hidden }))
}

fn free_addresses(subject: &Subject<'_>) -> Asked {
    let subnet = subject.subnet(Place::Build)?;
    let needed = needed(subject);
    let Some(Space { free, usable, hidden }) = space(subnet)? else {
        let detail = "no document tells which addresses are taken (`az network vnet list-usage`, or the subnet as Azure \
                      shows it)";
        return Ok(Outcome::skipped(detail));
    };
    let detail = format!("{free} of {usable} addresses are free, and a build takes {needed}");
    Ok(match hidden {
        _ if free < needed => Outcome::fail(detail)
            .at(subnet.value.span)
            .repaired(Repair::in_words("free addresses, or build in a larger subnet")),
        Some(hidden) => {
            let more = "services may have more that no interface shows: the usages of the network count them";
            Outcome::undecided(format!("{detail}; it has `{hidden}`, and {more}")).at(subnet.value.span)
        }
        None => Outcome::pass(detail),
    })
}

fn private_link_policies(subject: &Subject<'_>) -> Asked {
    const FIELD: &str = "privateLinkServiceNetworkPolicies";
    let subnet = subject.subnet(Place::Build)?;
    let told = text(subnet, FIELD)?;
    if told.is_some_and(|told| told.eq_ignore_ascii_case("disabled")) {
        return Ok(Outcome::pass(format!("`{FIELD}` is Disabled")));
    }
    let is = told.map_or("absent, which means Enabled".to_owned(), str::to_owned);
    let endpoint = field(&subnet.value, "privateEndpointNetworkPolicies").and_then(Value::as_str);
    let confused = if endpoint.is_some_and(|told| told.eq_ignore_ascii_case("disabled")) {
        "; `privateEndpointNetworkPolicies` is another property"
    } else {
        ""
    };
    let az = format!(
        "az network vnet subnet update --ids {} --private-link-service-network-policies Disabled",
        subnet.id
    );
    let span = field(&subnet.value, FIELD).map_or(subnet.value.span, |found| found.span);
    let change = Change::Subnet(subnet.id.clone(), FIELD, json!("Disabled"));
    let repair = Repair::in_words(format!("set `{FIELD}` to Disabled")).by(az).changing(change);
    Ok(Outcome::fail(format!("`{FIELD}` is {is}{confused}")).at(span).repaired(repair))
}

/// The services that a subnet is delegated to.
fn delegations(subnet: &Resource) -> Result<Vec<String>, Outcome> {
    let list = known(subnet, DELEGATIONS)?.and_then(Value::as_array).unwrap_or_default();
    let service = |item: &Value| match field(item, "serviceName").map(|found| &found.kind) {
        Some(Kind::String(name)) => Ok(name.clone()),
        _ => {
            Err(Outcome::undecided(format!("a delegation of {} is not known", subnet.label())).at(item.span))
        }
    };
    list.iter().map(service).collect()
}

fn not_delegated(subject: &Subject<'_>) -> Asked {
    let subnet = subject.subnet(Place::Build)?;
    let delegated = delegations(subnet)?;
    Ok(if delegated.is_empty() {
        Outcome::pass("it is delegated to nobody")
    } else {
        let az = format!("az network vnet subnet update --ids {} --remove delegations", subnet.id);
        let change = Change::Subnet(subnet.id.clone(), DELEGATIONS, json!(null));
        let repair = Repair::in_words("remove the delegation, or build in another subnet");
        Outcome::fail(format!("it is delegated to {}", delegated.join(", ")))
            .at(subnet.value.span)
            .repaired(repair.by(az).changing(change))
    })
}

fn container_delegation(subject: &Subject<'_>) -> Asked {
    let subnet = subject.subnet(Place::Container)?;
    let delegated = delegations(subnet)?;
    Ok(match delegated.as_slice() {
        [only] if only.eq_ignore_ascii_case(CONTAINER_GROUPS) => {
            Outcome::pass(format!("it is delegated to {only}"))
        }
        other => {
            let is = if other.is_empty() { "nobody".to_owned() } else { other.join(", ") };
            let az =
                format!("az network vnet subnet update --ids {} --delegations {CONTAINER_GROUPS}", subnet.id);
            let delegation =
                json!([{ "name": "container-groups", "properties": { "serviceName": CONTAINER_GROUPS } }]);
            let change = Change::Subnet(subnet.id.clone(), DELEGATIONS, delegation);
            let repair = Repair::in_words(format!("delegate it to {CONTAINER_GROUPS}"));
            Outcome::fail(format!("it is delegated to {is}"))
                .at(subnet.value.span)
                .repaired(repair.by(az).changing(change))
        }
    })
}

fn container_only(subject: &Subject<'_>) -> Asked {
    let subnet = subject.subnet(Place::Container)?;
    let taken = known(subnet, "ipConfigurations")?;
    if taken.is_none() && known(subnet, "provisioningState")?.is_none() {
        return Ok(Outcome::skipped("no document tells what is in it (`ipConfigurations`)"));
    }
    let foreign = taken.and_then(Value::as_array).unwrap_or_default().iter().filter_map(|item| {
        let id = field(item, "id").and_then(Value::as_str)?;
        (!id.to_ascii_lowercase().contains("/containergroups/")).then_some(id)
    });
    Ok(match foreign.clone().next() {
        None => Outcome::pass("nothing else is in it"),
        Some(first) => {
            Outcome::fail(format!("{} other resources are in it, such as {first}", foreign.count()))
                .at(subnet.value.span)
        }
    })
}

fn same_network(subject: &Subject<'_>) -> Asked {
    let (build, container) = (subject.subnet(Place::Build)?, subject.subnet(Place::Container)?);
    if build.id == container.id {
        return Ok(Outcome::fail(format!("both are {}", build.label())).at(build.value.span));
    }
    let (one, other) = (build.id.parent(), container.id.parent());
    Ok(if one == other {
        Outcome::pass("they are")
    } else {
        let name = |id: Option<ResourceId>| id.map_or_else(String::new, |id| arm::label(&id));
        Outcome::fail(format!("they are in {} and {}", name(one), name(other))).at(container.value.span)
    })
}

fn subscription(subject: &Subject<'_>) -> Asked {
    let subnet = subject.subnet(Place::Build)?;
    let _: &Inventory = subject.inventory()?;
    let named = subject.network.as_ref().and_then(|network| network.environment.subscription.as_ref());
    let own = subnet.id.subscription().filter(|own| !own.starts_with(['*', '{']));
    let (Some(named), Some(own)) = (named, own) else {
        return Ok(Outcome::skipped("the environment does not say the subscription of the build"));
    };
    Ok(if named.text.eq_ignore_ascii_case(own) {
        Outcome::pass("it is")
    } else {
        Outcome::fail(format!("the build is in {}, the subnet in {own}", named.text)).at(subnet.value.span)
    })
}
