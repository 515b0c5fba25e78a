//! One address of 198.18.0.0/15 per name, so that the address a client connects to tells the name it meant.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// First address of the benchmarking range (RFC 2544), which no public host uses.
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 0]);
/// 198.18.0.0 to 198.19.255.255.
const SIZE: u32 = 1 << 17;
/// Names that one gateway remembers; bounds its memory to some 10 MB when every name is as long as can be.
const MOST: usize = 32_768;

/// Names and the addresses that stand for them. An address keeps its name for the gateway's whole life.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_name: HashMap<Arc<str>, Ipv4Addr>,
    by_offset: Vec<Arc<str>>,
}

impl Names {
    /// The address that stands for `name`; `None` when too many names were asked for.
    pub(crate) fn address_of(&mut self, name: &str) -> Option<Ipv4Addr> {
        if let Some(address) = self.by_name.get(name) {
            return Some(*address);
        }
        if self.by_offset.len() >= MOST {
            return None;
        }
        // The range's first address is never handed out: it looks like a network's own address.
        let offset = u32::try_from(self.by_offset.len()).ok()? + 1;
        let address = Ipv4Addr::from(FIRST + offset);
        let name: Arc<str> = name.into();
        self.by_offset.push(Arc::clone(&name));
        self.by_name.insert(name, address);
        Some(address)
    }

    /// The name that `address` stands for.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        let IpAddr::V4(address) = address else { return None };
        let offset = u32::from(address).checked_sub(FIRST + 1)?;
        self.by_offset.get(usize::try_from(offset).ok()?).cloned()
    }
}

/// Whether `address` lies in the range that stands for names.
pub(crate) fn stands_for_a_name(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if u32::from(address).wrapping_sub(FIRST) < SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_own_lasting_address() {
        let mut names = Names::default();
        let first = names.address_of("a.example.com").unwrap();
        let second = names.address_of("b.example.com").unwrap();
        assert_eq!(first, Ipv4Addr::new(198, 18, 0, 1));
        assert_ne!(first, second);
        assert_eq!(names.address_of("a.example.com"), Some(first));
        assert_eq!(names.name_of(second.into()).as_deref(), Some("b.example.com"));
        for unknown in ["198.18.0.0", "198.18.0.3", "198.17.255.255", "10.0.0.1", "255.255.255.255", "::1"] {
            assert_eq!(names.name_of(unknown.parse().unwrap()), None, "{unknown}");
        }
    }

    #[test]
    fn the_number_of_names_is_bounded_and_known_ones_stay_known() {
        let mut names = Names::default();
        for index in 0..MOST {
            let address = names.address_of(&format!("n{index}.example.com")).unwrap();
            assert!(stands_for_a_name(address.into()));
        }
        assert_eq!(names.address_of("one-more.example.com"), None);
        assert!(names.address_of("n7.example.com").is_some());
    }

    #[test]
    fn the_range_is_a_slash_15() {
        for (text, inside) in [
            ("198.17.255.255", false),
            ("198.18.0.0", true),
            ("198.19.255.255", true),
            ("198.20.0.0", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(stands_for_a_name(text.parse().unwrap()), inside, "{text}");
        }
    }
}
