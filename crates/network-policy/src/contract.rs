//! Contracts: flows that must pass, and flows that must not, one line each.

use std::fmt;

use crate::address::{Address, AddressError, PortRange, RuleProtocol};
use crate::flow::{Direction, Protocol};
use crate::fqdn::FqdnPattern;
use crate::matching::Access;
use crate::tag;

/// A promise about every packet of a kind: `allow outbound tcp 10.241.0.0/28 -> Internet:443`.
///
/// `allow` holds when every packet described is allowed, `deny` when every one is denied. Protocol `*` stands for TCP,
/// UDP, ICMP, ESP and AH, as it does in security rules; with ports it stands for TCP and UDP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contract {
    /// What is promised.
    pub access: Access,
    /// Direction, seen from the build subnet.
    pub direction: Direction,
    /// Protocol.
    pub protocol: RuleProtocol,
    /// Where the packets come from.
    pub from: ContractEnd,
    /// Where they go.
    pub to: ContractEnd,
    /// The host names that outbound packets ask for, where the contract is about names: `*.blob.core.windows.net:443`.
    /// Which public addresses a name has is not known, so that `to` then has `*` and the ports. Packets to be allowed
    /// speak what [`crate::Application::usual`] tells; packets to be denied may speak anything.
    pub name: Option<FqdnPattern>,
}

/// One end of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContractEnd {
    /// `*`, an address, a prefix or a service tag.
    pub address: Address,
    /// Its ports.
    pub ports: PortRange,
}

/// Why a text is not a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ContractError {
    /// Character of the line where the fault begins, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What is allowed there.
    pub expected: String,
    /// What is probably meant.
    pub hint: Option<String>,
}

const SHAPE: &str = "`allow|deny inbound|outbound PROTOCOL FROM[:PORTS] -> TO[:PORTS]`, \
                     such as `allow outbound tcp 10.241.0.0/28 -> Internet:443`";

impl Contract {
    /// Reads one line. Words are compared ignoring case.
    ///
    /// # Errors
    /// The first fault, with its column, what is allowed there, and what is probably meant.
    pub fn parse(line: &str) -> Result<Self, ContractError> {
        let mut words = Words { line, at: 0 };
        let access = words
            .choice("whether the flow must pass", &[("allow", Access::Allow), ("deny", Access::Deny)])?;
        let direction = words
            .choice("a direction", &[("inbound", Direction::Inbound), ("outbound", Direction::Outbound)])?;
        let protocol = words.choice("a protocol", &PROTOCOLS)?;
        let from = words.end("where the flow comes from")?.addressed()?;
        let (column, arrow) = words.next().ok_or_else(|| words.missing("`->`"))?;
        if arrow != "->" {
            return Err(fault(column, format!("'{arrow}' stands where `->` belongs"), SHAPE.to_owned()));
        }
        let to = words.end("where the flow goes")?;
        let to = if direction == Direction::Outbound { to } else { to.addressed().map(Written::from)? };
        if let Some((column, word)) = words.next() {
            return Err(fault(
                column,
                format!("'{word}' stands behind the end of the contract"),
                SHAPE.to_owned(),
            ));
        }
        let contract = Self { access, direction, protocol, from, to: to.end, name: to.name };
        contract.check_ports(line)?;
        Ok(contract)
    }

    /// Ports exist for TCP and UDP only.
    fn check_ports(&self, line: &str) -> Result<(), ContractError> {
        let portless =
            !matches!(self.protocol, RuleProtocol::Any | RuleProtocol::Only(Protocol::Tcp | Protocol::Udp));
        let given = [&self.from, &self.to].into_iter().any(|end| end.ports != PortRange::ALL);
        if portless && given {
            let column = line.rfind(':').map_or(1, |byte| column(line, byte));
            let message = format!("{} has no ports", self.protocol);
            return Err(fault(column, message, "ports with `tcp`, `udp` or `*`".to_owned()));
        }
        Ok(())
    }

    /// Whether the contract speaks of ports.
    pub(crate) fn has_ports(&self) -> bool {
        self.from.ports != PortRange::ALL || self.to.ports != PortRange::ALL
    }
}

const PROTOCOLS: [(&str, RuleProtocol); 7] = [
    ("tcp", RuleProtocol::Only(Protocol::Tcp)),
    ("udp", RuleProtocol::Only(Protocol::Udp)),
    ("icmp", RuleProtocol::Only(Protocol::Icmp)),
    ("esp", RuleProtocol::Only(Protocol::Other(50))),
    ("ah", RuleProtocol::Only(Protocol::Other(51))),
    ("*", RuleProtocol::Any),
    ("any", RuleProtocol::Any),
];

/// Words of a line and where they begin.
struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = &self.line[self.at..];
        let start = self.at + rest.find(|c: char| !c.is_whitespace())?;
        let word = self.line[start..].split(char::is_whitespace).next().unwrap_or_default();
        self.at = start + word.len();
        Some((column(self.line, start), word))
    }

    fn missing(&self, what: &str) -> ContractError {
        let end = self.line.trim_end().len();
        fault(column(self.line, end), format!("the contract ends before {what}"), SHAPE.to_owned())
    }

    fn choice<T: Copy>(&mut self, what: &str, words: &[(&str, T)]) -> Result<T, ContractError> {
        let (column, word) = self.next().ok_or_else(|| self.missing(what))?;
        if let Some((_, value)) = words.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
            return Ok(*value);
        }
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of `{}`", names.join("`, `"));
        let mut error = fault(column, format!("'{word}' is not {what}"), expected);
        let near = document::nearest(&word.to_ascii_lowercase(), names);
        error.hint = near.map(|name| format!("did you mean `{name}`?"));
        Err(error)
    }

    fn end(&mut self, what: &str) -> Result<Written, ContractError> {
        let (column, word) = self.next().ok_or_else(|| self.missing(what))?;
        end(word, column)
    }
}

/// An end as it is written.
struct Written {
    end: ContractEnd,
    name: Option<FqdnPattern>,
    column: usize,
}

impl From<ContractEnd> for Written {
    fn from(end: ContractEnd) -> Self {
        Self { end, name: None, column: 0 }
    }
}

impl Written {
    /// The end, where no name can stand.
    fn addressed(self) -> Result<ContractEnd, ContractError> {
        let Some(name) = self.name else { return Ok(self.end) };
        let message = format!("'{name}' is a host name");
        let expected = "a host name only as where an outbound flow goes".to_owned();
        Err(fault(self.column, message, expected))
    }
}

/// `ADDRESS[:PORTS]`; version 6 addresses with ports stand in brackets, unless they are prefixes.
fn end(word: &str, column: usize) -> Result<Written, ContractError> {
    let (address, ports) = split(word);
    let ports = match ports {
        None => PortRange::ALL,
        Some(text) => PortRange::parse(text).ok_or_else(|| {
            let at = column + address.chars().count() + 1;
            let message = format!("'{text}' is not a port or a range of ports");
            fault(at, message, "a port such as `443`, a range such as `1024-65535`, or `*`".to_owned())
        })?,
    };
    let bare = address.strip_prefix('[').map_or(address, |rest| rest.strip_suffix(']').unwrap_or(rest));
    let bad = |message: String, hint: Option<String>| ContractError {
        hint,
        ..fault(column, message, "`*`, an address, a CIDR prefix, a service tag or a host name".to_owned())
    };
    if let Some(name) = host_name(bare) {
        let end = ContractEnd { address: Address::Any, ports };
        return name
            .map(|name| Written { end, name: Some(name), column })
            .map_err(|error| bad(error.to_string(), None));
    }
    match Address::parse(bare) {
        Ok(Address::Range(..)) => Err(bad(
            format!("'{bare}' is a range of addresses"),
            Some("write it as CIDR prefixes, one contract each".to_owned()),
        )),
        Ok(address) => Ok(ContractEnd { address, ports }.into()),
        Err(AddressError::HostBits { given, network }) => Err(bad(
            format!("'{given}' has host bits set"),
            Some(format!(
                "the network is {network}; a single address is {}",
                given.split('/').next().unwrap_or("")
            )),
        )),
        Err(error) => Err(bad(error.to_string(), None)),
    }
}

/// The host name that is meant: what has an asterisk, and what has a dot and is neither an address nor a service tag.
/// Tags begin with a capital; those that have a tag for each region are known by any spelling.
fn host_name(text: &str) -> Option<Result<FqdnPattern, crate::fqdn::PatternError>> {
    let first = text.split('.').next().unwrap_or_default();
    let is_tag = text.starts_with(|c: char| c.is_ascii_uppercase()) || tag::has_regions(first);
    let is_address = text.contains(['/', ':']) || text.chars().all(|c| matches!(c, '0'..='9' | '.' | '-'));
    let wildcard = text.contains('*') && text.trim_end_matches('.') != "*";
    (wildcard || (text.contains('.') && !is_tag && !is_address)).then(|| FqdnPattern::parse(text))
}

/// Address and ports of an end.
fn split(word: &str) -> (&str, Option<&str>) {
    let version_6 = word.matches(':').count() > 1;
    let slash = word.find('/');
    let separator = match (version_6, word.find("]:"), slash) {
        (false, ..) => word.rfind(':'),
        (true, Some(bracket), _) => Some(bracket + 1),
        (true, None, Some(slash)) => word[slash..].find(':').map(|colon| slash + colon),
        (true, None, None) => None,
    };
    separator.map_or((word, None), |at| (&word[..at], Some(&word[at + 1..])))
}

fn column(line: &str, byte: usize) -> usize {
    line[..byte].chars().count() + 1
}

fn fault(column: usize, message: String, expected: String) -> ContractError {
    ContractError { column, message, expected, hint: None }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::Allow => "allow",
            Access::Deny => "deny",
        };
        let direction = match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        let protocol = self.protocol.to_string().to_ascii_lowercase();
        write!(f, "{access} {direction} {protocol} {} -> ", self.from)?;
        match &self.name {
            Some(name) if self.to.ports == PortRange::ALL => write!(f, "{name}"),
            Some(name) => write!(f, "{name}:{}", self.to.ports),
            None => write!(f, "{}", self.to),
        }
    }
}

impl fmt::Display for ContractEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        if self.ports == PortRange::ALL {
            return f.write_str(&address);
        }
        let brackets = address.contains(':') && !address.contains('/');
        if brackets { write!(f, "[{address}]:{}", self.ports) } else { write!(f, "{address}:{}", self.ports) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contracts_display_as_their_line() {
        for line in [
            "allow outbound tcp 10.241.0.0/28 -> Internet:443",
            "deny outbound udp * -> Internet:123",
            "allow inbound tcp AzureLoadBalancer -> 10.241.0.0/28:60001",
            "deny inbound * * -> *:1024-65535",
            "allow outbound icmp 10.0.0.4 -> *",
            "allow outbound tcp 10.0.0.0/8:1024-65535 -> [2001:db8::1]:443",
            "allow outbound tcp 2001:db8::/32:80 -> Storage.EastUS2:443",
            "allow outbound tcp * -> storage.eastus2:443",
            "allow outbound tcp 10.241.0.0/28 -> *.blob.core.windows.net:443",
            "deny outbound * * -> *paste.example.org",
            "allow outbound udp * -> 0.pool.example.org:123",
        ] {
            assert_eq!(Contract::parse(line).unwrap().to_string(), line);
        }
        let named = Contract::parse("allow outbound tcp * -> Get.Example.org.:443");
        assert_eq!(named.unwrap().name, None, "a capital makes it a tag");
        let spaced = Contract::parse("  ALLOW  Outbound TCP\t* -> internet:0-65535 ").unwrap();
        assert_eq!(spaced.to_string(), "allow outbound tcp * -> Internet");
    }

    #[test]
    fn a_fault_is_told_with_its_column_and_what_is_allowed() {
        for (line, column, message, hint) in [
            ("", 1, "the contract ends before whether the flow must pass", None),
            (
                "alow outbound tcp * -> *",
                1,
                "'alow' is not whether the flow must pass",
                Some("did you mean `allow`?"),
            ),
            ("allow outbond tcp * -> *", 7, "'outbond' is not a direction", Some("did you mean `outbound`?")),
            ("allow outbound tpc * -> *", 16, "'tpc' is not a protocol", Some("did you mean `tcp`?")),
            ("allow outbound tcp 10.0.0.0/8", 30, "the contract ends before `->`", None),
            ("allow outbound tcp * => *", 22, "'=>' stands where `->` belongs", None),
            ("allow outbound tcp * -> Internet:", 34, "'' is not a port or a range of ports", None),
            ("allow outbound tcp * -> Internet:90-80", 34, "'90-80' is not a port or a range of ports", None),
            (
                "allow outbound tcp * -> Internet:443 now",
                38,
                "'now' stands behind the end of the contract",
                None,
            ),
            (
                "allow outbound tcp 10.241.0.5/28 -> *",
                20,
                "'10.241.0.5/28' has host bits set",
                Some("the network is 10.241.0.0/28; a single address is 10.241.0.5"),
            ),
            ("allow outbound icmp * -> *:80", 27, "Icmp has no ports", None),
            ("allow outbound tcp get.example.org -> *", 20, "'get.example.org' is a host name", None),
            ("allow inbound tcp * -> get.example.org:22", 24, "'get.example.org' is a host name", None),
            (
                "allow outbound tcp * -> www.example.*:443",
                25,
                "'www.example.*': an asterisk is only taken as the first character",
                None,
            ),
            (
                "allow outbound tcp * -> 10.0.0.1-10.0.0.9",
                25,
                "'10.0.0.1-10.0.0.9' is a range of addresses",
                Some("write it as CIDR prefixes, one contract each"),
            ),
        ] {
            let error = Contract::parse(line).unwrap_err();
            assert_eq!(
                (error.column, error.message.as_str(), error.hint.as_deref()),
                (column, message, hint),
                "{line}"
            );
            assert!(!error.expected.is_empty());
        }
    }
}
