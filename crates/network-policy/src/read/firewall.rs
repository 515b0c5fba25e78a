//! Firewall policies, their rule collection groups, and the rules inside a classic firewall.

use document::{Diagnostic, Reader};

use super::item::{Item, literal, refuse};
use super::nsg::port_range;
use crate::address::{Address, RuleProtocol};
use crate::firewall::{
    ApplicationRule, FirewallRule, NetworkRule, RuleCollection, RuleCollectionGroup, Target,
};
use crate::flow::Application;
use crate::fqdn::FqdnPattern;
use crate::matching::Access;

/// What a classic firewall's collections behave like: one group.
pub(super) fn classic(reader: &mut Reader, item: &Item<'_>, name: &str) -> RuleCollectionGroup {
    let network = item.items(reader, "networkRuleCollections");
    let application = item.items(reader, "applicationRuleCollections");
    let mut collections = Vec::new();
    for collection in network {
        collections.extend(rule_collection(reader, &collection, network_rule));
    }
    for collection in application {
        collections.extend(rule_collection(reader, &collection, application_rule));
    }
    RuleCollectionGroup { name: name.to_owned(), priority: FIRST_PRIORITY, collections }
}

/// A rule collection group; collections of NAT rules are inbound and passed over.
pub(super) fn group(reader: &mut Reader, item: &Item<'_>) -> Option<RuleCollectionGroup> {
    let name = item.name(reader);
    let priority = priority(reader, item);
    let mut collections = Vec::new();
    for collection in item.items(reader, "ruleCollections") {
        let kinds =
            [("FirewallPolicyFilterRuleCollection", true), ("FirewallPolicyNatRuleCollection", false)];
        if collection.word(reader, "ruleCollectionType", &kinds) == Some(true) {
            collections.extend(rule_collection(reader, &collection, policy_rule));
        }
    }
    Some(RuleCollectionGroup { name: name?, priority: priority?, collections })
}

type ReadRule = fn(&mut Reader, &Item<'_>) -> Option<FirewallRule>;

fn rule_collection(reader: &mut Reader, item: &Item<'_>, read: ReadRule) -> Option<RuleCollection> {
    let name = item.name(reader);
    let priority = priority(reader, item);
    let action = item.required(reader, "action").and_then(|action| {
        Item::new(action).word(reader, "type", &[("Allow", Access::Allow), ("Deny", Access::Deny)])
    });
    let rules: Vec<_> = item.items(reader, "rules").iter().filter_map(|rule| read(reader, rule)).collect();
    Some(RuleCollection { name: name?, priority: priority?, action: action?, rules })
}

const FIRST_PRIORITY: u16 = 100;
const LAST_PRIORITY: u16 = 65_000;

fn priority(reader: &mut Reader, item: &Item<'_>) -> Option<u16> {
    let priority = item.priority(reader)?;
    if (FIRST_PRIORITY..=LAST_PRIORITY).contains(&priority) {
        return Some(priority);
    }
    let node = item.get("priority")?;
    refuse(reader, &node, &priority.to_string(), "a whole number from 100 to 65000", &[]);
    None
}

fn policy_rule(reader: &mut Reader, item: &Item<'_>) -> Option<FirewallRule> {
    let kinds: [(&str, ReadRule); 2] = [("NetworkRule", network_rule), ("ApplicationRule", application_rule)];
    let read = item.word(reader, "ruleType", &kinds)?;
    read(reader, item)
}

fn network_rule(reader: &mut Reader, item: &Item<'_>) -> Option<FirewallRule> {
    let name = item.name(reader);
    let protocols = item.union(reader, &["ipProtocols", "protocols"], |text| {
        RuleProtocol::parse(text).ok_or_else(|| format!("'{text}' is not one of TCP, UDP, ICMP, Any"))
    });
    let source = addresses(reader, item, "source");
    let destination = addresses(reader, item, "destination");
    let destination_names = item.union(reader, &["destinationFqdns"], FqdnPattern::parse);
    let destination_ports = item.union(reader, &["destinationPorts"], port_range);
    let rule = NetworkRule {
        name: name?,
        protocols: protocols?,
        source: source?,
        destination: destination?,
        destination_names: destination_names?,
        destination_ports: destination_ports?,
    };
    let silent = [
        (rule.protocols.is_empty(), "protocol", "ipProtocols"),
        (rule.source.is_empty(), "source address", "sourceAddresses"),
        (
            rule.destination.is_empty() && rule.destination_names.is_empty(),
            "destination address",
            "destinationAddresses",
        ),
        (rule.destination_ports.is_empty(), "destination port", "destinationPorts"),
    ];
    complete(reader, item, &silent).then_some(FirewallRule::Network(rule))
}

fn application_rule(reader: &mut Reader, item: &Item<'_>) -> Option<FirewallRule> {
    let name = item.name(reader);
    let source = addresses(reader, item, "source");
    let destination = addresses(reader, item, "destination");
    let fqdns = item.union(reader, &["targetFqdns"], |text| FqdnPattern::parse(text).map(Target::Fqdn));
    let tags = item.union(reader, &["fqdnTags"], |text| Ok::<_, String>(Target::FqdnTag(text.to_owned())));
    let categories =
        item.union(reader, &["webCategories"], |text| Ok::<_, String>(Target::WebCategory(text.to_owned())));
    let urls = item.union(reader, &["targetUrls"], url);
    let by_tag = tags.as_ref().is_some_and(|tags| !tags.is_empty());
    let protocols = application_protocols(reader, item, by_tag);
    let rule = ApplicationRule {
        name: name?,
        protocols: protocols?,
        source: source?,
        destination: destination?,
        targets: [fqdns?, tags?, categories?, urls?].concat(),
    };
    let silent = [
        (rule.source.is_empty(), "source address", "sourceAddresses"),
        (rule.targets.is_empty(), "target", "targetFqdns"),
    ];
    complete(reader, item, &silent).then_some(FirewallRule::Application(rule))
}

/// Rules by FQDN tag may leave the protocols out: the tag then brings HTTP and HTTPS on their own ports.
fn application_protocols(
    reader: &mut Reader,
    item: &Item<'_>,
    by_tag: bool,
) -> Option<Vec<(Application, u16)>> {
    let given = item.items(reader, "protocols");
    if given.is_empty() {
        if by_tag {
            return Some(vec![(Application::Http, 80), (Application::Https, 443)]);
        }
        item.nothing(reader, "protocol", "protocols");
        return None;
    }
    let kinds = [("Http", Some(Application::Http)), ("Https", Some(Application::Https)), ("Mssql", None)];
    let mut protocols = Some(Vec::new());
    for protocol in given {
        let kind = protocol.word(reader, "protocolType", &kinds);
        let port = protocol.required(reader, "port").and_then(|node| {
            let text = literal(reader, &node)?;
            let port = text.parse().ok().filter(|port| *port != 0);
            if port.is_none() {
                refuse(reader, &node, &text, "a port from 1 to 65535", &[]);
            }
            port
        });
        match (kind.zip(port), &mut protocols) {
            (Some((Some(application), port)), Some(list)) => list.push((application, port)),
            (Some((None, _)), _) => {}
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

fn addresses(reader: &mut Reader, item: &Item<'_>, side: &str) -> Option<Vec<Address>> {
    let literal = item.union(reader, &[&format!("{side}Addresses")], Address::parse);
    let groups = item
        .union(reader, &[&format!("{side}IpGroups")], |id| Ok::<_, String>(Address::IpGroup(id.to_owned())));
    Some([literal?, groups?].concat())
}

fn complete(reader: &mut Reader, item: &Item<'_>, silent: &[(bool, &str, &str)]) -> bool {
    let missing: Vec<_> = silent.iter().filter(|(missing, ..)| *missing).collect();
    for (_, what, field) in &missing {
        let span = document::Span::new(item.node.span().start, item.node.span().start + 1);
        reader.report(
            Diagnostic::error("missing-field", span, format!("the rule names no {what}"))
                .at(&item.node.path)
                .expecting(format!("a field `{field}` that is not empty")),
        );
    }
    missing.is_empty()
}
