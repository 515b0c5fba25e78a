//! Rule collection groups of firewall policies, and rule collections of classic firewalls.

use document::Diagnostic;

use super::item::{Field, Item, Scan, Union, open};
use super::rule::port_range;
use crate::address::{Address, PortRange, RuleProtocol};
use crate::firewall::{
    ApplicationRule, FirewallRule, NatRule, NetworkRule, RuleCollection, RuleCollectionGroup, Target,
};
use crate::flow::Application;
use crate::fqdn::FqdnPattern;
use crate::matching::Access;

/// What an entry may turn out to be: itself, nothing after an error, or anything, because of a reason.
pub(super) type Entry<T> = Option<Result<T, String>>;

/// A group of rules that may allow and may deny everything, because of `reason`. It stands first, so that it leaves
/// every answer open that it could change.
pub(super) fn unknown(reason: &str) -> RuleCollectionGroup {
    let collection = |action| RuleCollection {
        name: "a rule collection that is not known".to_owned(),
        priority: 0,
        action,
        rules: vec![anything(reason)],
    };
    RuleCollectionGroup {
        name: "a rule collection group that is not known".to_owned(),
        priority: 0,
        collections: vec![collection(Access::Allow), collection(Access::Deny)],
    }
}

/// A rule that may match everything, because of `reason`. As a network rule it also comes before application rules.
fn anything(reason: &str) -> FirewallRule {
    FirewallRule::Network(NetworkRule {
        name: "a rule that is not known".to_owned(),
        protocols: vec![RuleProtocol::Any],
        source: vec![open(reason.to_owned())],
        destination: vec![Address::Any],
        destination_names: Vec::new(),
        destination_ports: vec![PortRange::ALL],
    })
}

const ACTIONS: [(&str, Access); 2] = [("Allow", Access::Allow), ("Deny", Access::Deny)];

/// The only action of a collection of NAT rules; what it translates it lets pass.
const NAT_ACTION: [(&str, Access); 1] = [("DNAT", Access::Allow)];

/// A rule collection group.
pub(super) fn group(scan: &mut Scan<'_>, item: &Item<'_>) -> Entry<RuleCollectionGroup> {
    let name = scan.name(item);
    let priority = priority(scan, item);
    let items = scan.items(item, "ruleCollections");
    let mut collections = Some(Vec::new());
    let mut open = items.open;
    let kinds: [(&str, (ReadRule, &[_])); 2] = [
        ("FirewallPolicyFilterRuleCollection", (policy_rule, &ACTIONS)),
        ("FirewallPolicyNatRuleCollection", (nat_rule, &NAT_ACTION)),
    ];
    for item in &items.known {
        let read = match scan.word(item, "ruleCollectionType", &kinds) {
            Some(Field::Known((read, actions))) => collection(scan, item, read, actions),
            Some(Field::Open(reason)) => Some(Err(reason)),
            None => None,
        };
        match (read, &mut collections) {
            (Some(Ok(read)), Some(collections)) => collections.push(read),
            (Some(Err(reason)), _) => open = Some(reason),
            _ => collections = None,
        }
    }
    let priority = match priority? {
        Field::Known(priority) => priority,
        Field::Open(reason) => return Some(Err(reason)),
    };
    let group = RuleCollectionGroup { name: name?, priority, collections: collections? };
    Some(open.map_or(Ok(group), Err))
}

type ReadRule = fn(&mut Scan<'_>, &Item<'_>) -> Entry<FirewallRule>;

/// The rules of a collection of network rules of a classic firewall.
pub(super) fn classic_network(scan: &mut Scan<'_>, item: &Item<'_>) -> Entry<RuleCollection> {
    collection(scan, item, network_rule, &ACTIONS)
}

/// The rules of a collection of application rules of a classic firewall.
pub(super) fn classic_application(scan: &mut Scan<'_>, item: &Item<'_>) -> Entry<RuleCollection> {
    collection(scan, item, application_rule, &ACTIONS)
}

/// The rules of a collection of NAT rules of a classic firewall.
pub(super) fn classic_nat(scan: &mut Scan<'_>, item: &Item<'_>) -> Entry<RuleCollection> {
    collection(scan, item, nat_rule, &NAT_ACTION)
}

fn collection(
    scan: &mut Scan<'_>,
    item: &Item<'_>,
    read: ReadRule,
    actions: &[(&'static str, Access)],
) -> Entry<RuleCollection> {
    let name = scan.name(item);
    let priority = priority(scan, item);
    let action = scan.required(item, "action").and_then(|node| match scan.reason(&node) {
        Some(reason) => Some(Field::Open(reason)),
        None => scan.word(&Item::new(node), "type", actions),
    });
    let items = scan.items(item, "rules");
    let mut rules = Some(Vec::new());
    for item in &items.known {
        match (read(scan, item), &mut rules) {
            (Some(rule), Some(rules)) => rules.push(rule.unwrap_or_else(|reason| anything(&reason))),
            _ => rules = None,
        }
    }
    let (priority, action) = match (priority?, action?) {
        (Field::Known(priority), Field::Known(action)) => (priority, action),
        (Field::Open(reason), _) | (_, Field::Open(reason)) => return Some(Err(reason)),
    };
    let mut collection = RuleCollection { name: name?, priority, action, rules: rules? };
    collection.rules.extend(items.open.map(|reason| anything(&reason)));
    Some(Ok(collection))
}

const FIRST_PRIORITY: u16 = 100;
const LAST_PRIORITY: u16 = 65_000;

fn priority(scan: &mut Scan<'_>, item: &Item<'_>) -> Option<Field<u16>> {
    let priority = match scan.priority(item)? {
        Field::Known(priority) => priority,
        open @ Field::Open(_) => return Some(open),
    };
    if (FIRST_PRIORITY..=LAST_PRIORITY).contains(&priority) {
        return Some(Field::Known(priority));
    }
    let node = item.get("priority")?;
    scan.refuse(&node, &priority.to_string(), "a whole number from 100 to 65000", &[]);
    None
}

fn policy_rule(scan: &mut Scan<'_>, item: &Item<'_>) -> Entry<FirewallRule> {
    let kinds: [(&str, ReadRule); 2] = [("NetworkRule", network_rule), ("ApplicationRule", application_rule)];
    match scan.word(item, "ruleType", &kinds)? {
        Field::Known(read) => read(scan, item),
        Field::Open(reason) => Some(Err(reason)),
    }
}

fn network_rule(scan: &mut Scan<'_>, item: &Item<'_>) -> Entry<FirewallRule> {
    let name = scan.name(item);
    let protocols = scan.union(item, &["ipProtocols", "protocols"], protocol);
    let source = addresses(scan, item, "source");
    let destination = addresses(scan, item, "destination");
    let names = scan.union(item, &["destinationFqdns"], FqdnPattern::parse);
    let ports = scan.union(item, &["destinationPorts"], port_range);
    let (protocols, source, destination, names, ports) = (protocols?, source?, destination?, names?, ports?);
    let silent = [
        (protocols.is_empty(), "protocol", "ipProtocols"),
        (source.is_empty(), "source address", "sourceAddresses"),
        (destination.is_empty() && names.is_empty(), "destination address", "destinationAddresses"),
        (ports.is_empty(), "destination port", "destinationPorts"),
    ];
    if !complete(scan, item, &silent) {
        return None;
    }
    if let Some(reason) = protocols.open.or(ports.open).or(names.open) {
        return Some(Err(reason));
    }
    Some(Ok(FirewallRule::Network(NetworkRule {
        name: name?,
        protocols: protocols.known,
        source: source.into_addresses(),
        destination: destination.into_addresses(),
        destination_names: names.known,
        destination_ports: ports.known,
    })))
}

fn nat_rule(scan: &mut Scan<'_>, item: &Item<'_>) -> Entry<FirewallRule> {
    let name = scan.name(item);
    let protocols = scan.union(item, &["ipProtocols", "protocols"], protocol);
    let source = addresses(scan, item, "source");
    let destination = addresses(scan, item, "destination");
    let ports = scan.union(item, &["destinationPorts"], port_range);
    let to =
        scan.union(item, &["translatedAddress", "translatedFqdn"], |text| Ok::<_, String>(text.to_owned()));
    let port = scan.union(item, &["translatedPort"], |text| Ok::<_, String>(text.to_owned()));
    let (protocols, source, destination, ports) = (protocols?, source?, destination?, ports?);
    let silent = [
        (protocols.is_empty(), "protocol", "ipProtocols"),
        (source.is_empty(), "source address", "sourceAddresses"),
        (destination.is_empty(), "destination address", "destinationAddresses"),
        (ports.is_empty(), "destination port", "destinationPorts"),
    ];
    if !complete(scan, item, &silent) {
        return None;
    }
    if let Some(reason) = protocols.open.or(ports.open) {
        return Some(Err(reason));
    }
    let translated = to?.known.into_iter().chain(port?.known).collect::<Vec<_>>().join(":");
    Some(Ok(FirewallRule::Nat(NatRule {
        name: name?,
        protocols: protocols.known,
        source: source.into_addresses(),
        destination: destination.into_addresses(),
        destination_ports: ports.known,
        translated,
    })))
}

fn protocol(text: &str) -> Result<RuleProtocol, String> {
    RuleProtocol::parse(text).ok_or_else(|| format!("'{text}' is not one of TCP, UDP, ICMP, Any"))
}

fn application_rule(scan: &mut Scan<'_>, item: &Item<'_>) -> Entry<FirewallRule> {
    let name = scan.name(item);
    let source = addresses(scan, item, "source");
    let destination = addresses(scan, item, "destination");
    let fqdns = scan.union(item, &["targetFqdns"], |text| FqdnPattern::parse(text).map(Target::Fqdn));
    let tags = scan.union(item, &["fqdnTags"], |text| Ok::<_, String>(Target::FqdnTag(text.to_owned())));
    let categories =
        scan.union(item, &["webCategories"], |text| Ok::<_, String>(Target::WebCategory(text.to_owned())));
    let urls = scan.union(item, &["targetUrls"], url);
    let by_tag = tags.as_ref().is_some_and(|tags| !tags.is_empty());
    let protocols = application_protocols(scan, item, by_tag);
    let (source, destination, protocols) = (source?, destination?, protocols?);
    let targets = fqdns?.and(tags?).and(categories?).and(urls?);
    let silent = [
        (source.is_empty(), "source address", "sourceAddresses"),
        (targets.is_empty(), "target", "targetFqdns"),
    ];
    if !complete(scan, item, &silent) {
        return None;
    }
    if let Some(reason) = protocols.open {
        return Some(Err(reason));
    }
    let open = targets.open.map(Target::FqdnTag);
    Some(Ok(FirewallRule::Application(ApplicationRule {
        name: name?,
        protocols: protocols.known,
        source: source.into_addresses(),
        destination: destination.into_addresses(),
        targets: targets.known.into_iter().chain(open).collect(),
    })))
}

/// Rules by FQDN tag may leave the protocols out: the tag then brings HTTP and HTTPS on their own ports.
fn application_protocols(
    scan: &mut Scan<'_>,
    item: &Item<'_>,
    by_tag: bool,
) -> Option<Union<(Application, u16)>> {
    let given = scan.items(item, "protocols");
    if given.is_empty() {
        if by_tag {
            return Some(Union {
                known: vec![(Application::Http, 80), (Application::Https, 443)],
                open: None,
            });
        }
        scan.nothing(item, "protocol", "protocols");
        return None;
    }
    let kinds = [("Http", Application::Http), ("Https", Application::Https), ("Mssql", Application::Mssql)];
    let mut protocols = Some(Union { known: Vec::new(), open: given.open });
    for protocol in &given.known {
        let kind = scan.word(protocol, "protocolType", &kinds);
        let port = scan.union(protocol, &["port"], |text| {
            let port = text.parse().ok().filter(|port| *port != 0);
            port.ok_or_else(|| format!("{} is not a port from 1 to 65535", document::quote(text)))
        });
        match (kind.zip(port), &mut protocols) {
            (Some((Field::Known(kind), port)), Some(protocols)) => {
                if port.is_empty() {
                    scan.nothing(protocol, "port", "port");
                }
                protocols.known.extend(port.known.into_iter().map(|port| (kind, port)));
                protocols.open = protocols.open.take().or(port.open);
            }
            (Some((Field::Open(reason), _)), Some(protocols)) => protocols.open = Some(reason),
            _ => protocols = None,
        }
    }
    protocols
}

/// A target URL: host and path, an asterisk only first (before the host) or last (in the path).
fn url(text: &str) -> Result<Target, String> {
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let path = path.strip_suffix('*').unwrap_or(path);
    if path.contains(['*', '?']) {
        return Err(format!("'{text}': an asterisk is only taken as the first or last character, '?' never"));
    }
    let host = FqdnPattern::parse(host).map_err(|error| error.to_string())?;
    Ok(Target::Url { host, text: text.to_owned() })
}

fn addresses(scan: &mut Scan<'_>, item: &Item<'_>, side: &str) -> Option<Union<Address>> {
    let literal = scan.union(item, &[&format!("{side}Addresses")], Address::parse)?;
    let ids = scan.union(item, &[&format!("{side}IpGroups")], |id| Ok::<_, String>(id.to_owned()))?;
    let mut union = literal.and(Union { known: Vec::new(), open: ids.open });
    for id in ids.known {
        union = union.and(ip_group(scan, &id)?);
    }
    Some(union)
}

/// The addresses of an IP group. One that no document describes, or that is empty, stays a group: an empty list would
/// mean "any" to an application rule.
fn ip_group(scan: &mut Scan<'_>, id: &str) -> Option<Union<Address>> {
    let inventory = scan.inventory;
    let resource = arm::ResourceId::parse(id).ok().and_then(|id| inventory.find(&id));
    let Some(resource) = resource.filter(|resource| resource.doubt.is_none()) else {
        return Some(Union { known: vec![Address::IpGroup(id.to_owned())], open: None });
    };
    let addresses = scan.union(&Item::of(resource), &["ipAddresses"], |text| match Address::parse(text) {
        Ok(address @ (Address::Prefix(_) | Address::Range(..))) => Ok(address),
        Ok(_) => Err(format!("'{text}' is not an address, prefix or range")),
        Err(error) => Err(error.to_string()),
    })?;
    if addresses.is_empty() {
        return Some(Union { known: vec![Address::IpGroup(id.to_owned())], open: None });
    }
    Some(addresses)
}

fn complete(scan: &mut Scan<'_>, item: &Item<'_>, silent: &[(bool, &str, &str)]) -> bool {
    let missing: Vec<_> = silent.iter().filter(|(missing, ..)| *missing).collect();
    for (_, what, field) in &missing {
        let error = Diagnostic::error("missing-field", item.start(), format!("the rule names no {what}"));
        scan.reader
            .report(error.at(&item.node.path).expecting(format!("a field `{field}` that is not empty")));
    }
    missing.is_empty()
}
