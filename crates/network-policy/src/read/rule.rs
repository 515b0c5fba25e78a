//! What security rules and security admin rules have in common.

use document::Node;

use super::item::{Field, Item, Scan, Union, open};
use crate::address::{Address, PortRange, RuleProtocol};
use crate::flow::{Direction, Protocol};

const PROTOCOLS: [(&str, RuleProtocol); 8] = [
    ("*", RuleProtocol::Any),
    ("Any", RuleProtocol::Any),
    ("All", RuleProtocol::Any),
    ("Tcp", RuleProtocol::Only(Protocol::Tcp)),
    ("Udp", RuleProtocol::Only(Protocol::Udp)),
    ("Icmp", RuleProtocol::Only(Protocol::Icmp)),
    ("Esp", RuleProtocol::Only(Protocol::Other(50))),
    ("Ah", RuleProtocol::Only(Protocol::Other(51))),
];

pub(super) const DIRECTIONS: [(&str, Direction); 2] =
    [("Inbound", Direction::Inbound), ("Outbound", Direction::Outbound)];

/// Where a rule that may or may not be there stands: before all others, so that it leaves every answer open that it
/// could change.
pub(super) const OPEN_PRIORITY: u16 = 0;

/// A rule as far as it is known.
pub(super) struct Terms<A> {
    pub name: String,
    pub priority: u16,
    directions: Vec<Direction>,
    actions: Vec<A>,
    pub protocol: RuleProtocol,
    pub source: Vec<Address>,
    pub source_ports: Vec<PortRange>,
    pub destination: Vec<Address>,
    pub destination_ports: Vec<PortRange>,
    /// Whether more than its addresses is open; it is then as wide as it can be, and may match or not.
    pub open: bool,
}

impl<A: Copy> Terms<A> {
    /// Every direction and action that it may have.
    pub fn sides(&self) -> impl Iterator<Item = (Direction, A)> {
        self.directions
            .iter()
            .flat_map(|&direction| self.actions.iter().map(move |&action| (direction, action)))
    }
}

/// Reads a rule; `None` after an error.
pub(super) fn read<A: Copy>(
    scan: &mut Scan<'_>,
    item: &Item<'_>,
    actions: &[(&'static str, A)],
) -> Option<Terms<A>> {
    if item.node.value.as_object().is_none() {
        let Node { value, .. } = &item.node;
        scan.reader.error(
            "wrong-type",
            &item.node,
            format!("this is {}", value.describe()),
            "a security rule",
        );
        return None;
    }
    let name = scan.name(item);
    let priority = scan.priority(item);
    let direction = scan.word(item, "direction", &DIRECTIONS);
    let action = scan.word(item, "access", actions);
    let protocol = scan.word(item, "protocol", &PROTOCOLS);
    let source = addresses(scan, item, "source");
    let source_ports = ports(scan, item, "source");
    let destination = addresses(scan, item, "destination");
    let destination_ports = ports(scan, item, "destination");
    let mut opened = Opened(None);
    let mut terms = Terms {
        name: name?,
        priority: opened.or(priority?, OPEN_PRIORITY),
        directions: opened.words(direction?, &DIRECTIONS),
        actions: opened.words(action?, actions),
        protocol: opened.or(protocol?, RuleProtocol::Any),
        source: source?.into_addresses(),
        source_ports: opened.ports(source_ports?),
        destination: destination?.into_addresses(),
        destination_ports: opened.ports(destination_ports?),
        open: false,
    };
    if let Opened(Some(reason)) = opened {
        terms.open = true;
        terms.source = vec![open(reason)];
    }
    Some(terms)
}

/// Why a rule may match less than its fields say, if it may.
struct Opened(Option<String>);

impl Opened {
    fn or<T>(&mut self, field: Field<T>, instead: T) -> T {
        match field {
            Field::Known(value) => value,
            Field::Open(reason) => {
                self.0 = Some(reason);
                instead
            }
        }
    }

    fn words<T: Copy>(&mut self, field: Field<T>, all: &[(&str, T)]) -> Vec<T> {
        match field {
            Field::Known(value) => vec![value],
            Field::Open(reason) => {
                self.0 = Some(reason);
                all.iter().map(|&(_, value)| value).collect()
            }
        }
    }

    fn ports(&mut self, union: Union<PortRange>) -> Vec<PortRange> {
        match union.open {
            None => union.known,
            Some(reason) => {
                self.0 = Some(reason);
                vec![PortRange::ALL]
            }
        }
    }
}

/// The addresses of one side of a rule. What Azure says a tag or group expands to is what it means.
fn addresses(scan: &mut Scan<'_>, item: &Item<'_>, side: &str) -> Option<Union<Address>> {
    let expanded = format!("expanded{}{}AddressPrefix", side[..1].to_ascii_uppercase(), &side[1..]);
    let given = format!("{side}AddressPrefixes");
    let field = if item.get(&expanded).is_some() { expanded } else { given };
    let mut union = scan.union(item, &[&field], address)?;
    let groups = scan.items(item, &format!("{side}ApplicationSecurityGroups"));
    let ids = groups.known.iter().map(|group| group.text("id").unwrap_or("unnamed").to_owned());
    union =
        union.and(Union { known: ids.map(Address::ApplicationSecurityGroup).collect(), open: groups.open });
    union = union.and(admin_addresses(scan, item, &format!("{side}s"))?);
    if union.is_empty() {
        scan.nothing(item, &format!("{side} address"), &format!("{side}AddressPrefix"));
        return None;
    }
    Some(union)
}

/// Addresses as admin rules write them: `[{"addressPrefix": ..., "addressPrefixType": ...}]`.
fn admin_addresses(scan: &mut Scan<'_>, item: &Item<'_>, field: &str) -> Option<Union<Address>> {
    let entries = scan.items(item, field);
    let mut union = Union { known: Vec::new(), open: entries.open };
    for entry in &entries.known {
        let kind = entry.text("addressPrefixType").unwrap_or_default();
        if kind.eq_ignore_ascii_case("NetworkGroup") {
            let place = scan.inventory.sources().place(entry.node.span());
            union.open = Some(format!("which addresses the network group of a rule has ({place})"));
        } else {
            union = union.and(scan.union(entry, &["addressPrefixes"], address)?);
        }
    }
    Some(union)
}

fn address(text: &str) -> Result<Address, String> {
    match Address::parse(text) {
        Ok(Address::Range(..)) => Err(format!("'{text}': a security rule takes CIDR prefixes, not ranges")),
        other => other.map_err(|error| error.to_string()),
    }
}

fn ports(scan: &mut Scan<'_>, item: &Item<'_>, side: &str) -> Option<Union<PortRange>> {
    let union = scan.union(item, &[&format!("{side}PortRanges")], port_range)?;
    if union.is_empty() {
        scan.nothing(item, &format!("{side} port"), &format!("{side}PortRange"));
        return None;
    }
    Some(union)
}

pub(super) fn port_range(text: &str) -> Result<PortRange, String> {
    PortRange::parse(text)
        .ok_or_else(|| format!("'{text}' is not '*', a port or a range from a lower to a higher port"))
}
