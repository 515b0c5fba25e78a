//! The list of hosts that no proxy leads to, as curl reads the variable `no_proxy`.

use ipnet::IpNet;

use crate::name::{Host, split_port};

/// Hosts that are reached without the proxy: entries between commas or spaces.
///
/// `example.com` and `.example.com` are that name and all below it, an address is itself, a prefix (`10.0.0.0/8`) the
/// addresses in it, `*` everything (curl(1), `--noproxy`). As in Go and Python, an entry may end in a port and is then for
/// that port alone. What is none of these, such as `*.example.com`, matches nothing, as in curl. A name is never compared
/// with addresses, nor looked up for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Under(String),
    In(IpNet),
}

impl NoProxy {
    /// Reads a list. No text is wrong: entries that mean nothing are left out.
    pub fn new(list: &str) -> Self {
        let entries = list.split(|c: char| c == ',' || c.is_whitespace());
        Self(entries.filter_map(Entry::read).collect())
    }

    /// Whether the proxy is left out for a port of a host (brackets of an IPv6 address stay on); without a port, whether
    /// it is for every port.
    pub(crate) fn covers(&self, host: &str, port: Option<u16>) -> bool {
        let Some(host) = Host::parse(host) else { return false };
        self.0.iter().any(|entry| entry.covers(&host, port))
    }
}

impl Entry {
    fn read(text: &str) -> Option<Self> {
        if let Some(hosts) = Hosts::read(text) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = split_port(text)?;
        Some(Self { hosts: Hosts::read(host)?, port: Some(port?) })
    }

    fn covers(&self, host: &Host, port: Option<u16>) -> bool {
        let same_host = match (&self.hosts, host) {
            (Hosts::All, _) => true,
            (Hosts::Under(top), Host::Name(name)) => {
                name.strip_suffix(top.as_str()).is_some_and(|below| below.is_empty() || below.ends_with('.'))
            }
            (Hosts::In(prefix), Host::Address(address)) => prefix.contains(&address.to_canonical()),
            _ => false,
        };
        same_host && (self.port.is_none() || self.port == port)
    }
}

impl Hosts {
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Ok(prefix) = text.parse::<IpNet>() {
            return Some(Self::In(prefix));
        }
        match Host::parse(text.strip_prefix('.').unwrap_or(text))? {
            Host::Name(name) => Some(Self::Under(name)),
            Host::Address(address) => Some(Self::In(address.to_canonical().into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_curl_reads_it() {
        for (list, host, expected) in [
            ("example.com", "example.com", true),
            ("example.com", "www.Example.com.", true),
            (".example.com", "example.com", true),
            (".example.com", "www.example.com", true),
            ("example.com.", "www.example.com", true),
            ("example.com", "notexample.com", false),
            ("www.example.com", "example.com", false),
            ("a.example, b.example\tc.example", "c.example", true),
            ("*", "anything.example", true),
            ("a.example,*", "192.0.2.1", true),
            ("*.example.com", "www.example.com", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.10", false),
            ("2.1", "192.0.2.1", false),
            ("192.0.2.0/24", "192.0.2.77", true),
            ("192.0.2.0/24", "192.0.3.77", false),
            ("192.0.2.77/24", "192.0.2.1", true),
            ("192.0.2.0/33", "192.0.2.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "name.example", false),
            ("2001:db8::/32", "[2001:db8::1]", true),
            ("[2001:db8::1]", "[2001:db8::1]", true),
            ("2001:db8::1", "[2001:db8::2]", false),
            ("", "example.com", false),
            (" , ,", "example.com", false),
            (".", "example.com", false),
        ] {
            assert_eq!(NoProxy::new(list).covers(host, Some(443)), expected, "{list:?} {host}");
        }
    }

    #[test]
    fn an_entry_with_a_port_is_for_that_port_alone() {
        for (list, host) in [
            ("example.com:8443", "www.example.com"),
            ("192.0.2.1:8443", "192.0.2.1"),
            ("[2001:db8::1]:8443", "[2001:db8::1]"),
            ("*:8443", "example.com"),
        ] {
            let list = NoProxy::new(list);
            let covered = [Some(8443), Some(443), None].map(|port| list.covers(host, port));
            assert_eq!(covered, [true, false, false], "{list:?}");
        }
        assert!(NoProxy::new("example.com").covers("example.com", None));
    }
}
