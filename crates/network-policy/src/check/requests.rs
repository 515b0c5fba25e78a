//! Names as numbers: every place where a pattern or a box begins or ends is one.

use crate::certificate::{Certificate, Requests};
use crate::contract::Contract;
use crate::firewall::{FirewallRule, Target};
use crate::flow::{Application, Direction};
use crate::fqdn::FqdnPattern;
use crate::matching::Access;
use crate::policy::NetworkPolicy;

use super::sets::{Set, of};

pub(super) struct Names {
    /// Ascending; names are compared backwards.
    places: Vec<Vec<u8>>,
    /// Whether any rule looks at names at all.
    matter: bool,
}

pub(super) const SPOKEN: [Option<Application>; 4] =
    [None, Some(Application::Http), Some(Application::Https), Some(Application::Mssql)];

impl Names {
    pub fn of(policy: &NetworkPolicy, contract: &Contract, certificate: &Certificate) -> Self {
        let mut places = vec![Vec::new()];
        if let Some(pattern) = &contract.name {
            let (first, end) = ends(pattern);
            places.push(first);
            places.extend(end);
        }
        let mut matter = false;
        let rules = policy.firewall.iter().flat_map(|firewall| firewall.policy.rules());
        for (rule, _) in rules {
            let patterns: Vec<_> = match rule {
                FirewallRule::Nat(_) => continue,
                FirewallRule::Network(rule) => rule.destination_names.iter().collect(),
                FirewallRule::Application(rule) => {
                    matter = true;
                    rule.targets.iter().filter_map(pattern).collect()
                }
            };
            matter |= !patterns.is_empty();
            for pattern in patterns {
                let (first, end) = ends(pattern);
                places.push(first);
                places.extend(end);
            }
        }
        for range in
            certificate.boxes.iter().flat_map(|one| &one.requests).filter_map(|one| one.names.as_ref())
        {
            places.push(range.first.clone());
            places.extend(range.end.clone());
        }
        places.sort();
        places.dedup();
        Self { places, matter }
    }

    fn width(&self) -> u128 {
        self.places.len() as u128 + 1
    }

    fn place(&self, key: &[u8]) -> u128 {
        self.places.partition_point(|place| place.as_slice() < key) as u128
    }

    fn base(&self, application: Option<Application>) -> u128 {
        let index = SPOKEN.iter().position(|spoken| *spoken == application).unwrap_or(0);
        index as u128 * self.width()
    }

    /// Numbers of the names between two places, asked for by an application.
    fn span(
        &self,
        application: Option<Application>,
        first: &[u8],
        end: Option<&[u8]>,
    ) -> Option<(u128, u128)> {
        let first = self.place(first);
        let end = end.map_or(self.places.len() as u128, |end| self.place(end));
        let base = self.base(application) + 1;
        (first < end).then(|| (base + first, base + end - 1))
    }

    pub fn of_requests(&self, requests: &[Requests]) -> Set {
        let numbers = requests.iter().filter_map(|one| match &one.names {
            None => Some((self.base(one.application), self.base(one.application))),
            Some(range) => self.span(one.application, &range.first, range.end.as_deref()),
        });
        of(numbers.collect())
    }

    /// What the packets of a contract ask for, by port. Flows without a name are the hardest to let through, and the
    /// easiest to refuse; of a name, HTTP is asked for on port 80, SQL on 1433 and TLS on others, unless nothing is to
    /// pass.
    pub fn of_contract(&self, contract: &Contract, tcp: bool) -> Vec<(Set, Set)> {
        let everywhere = vec![(0, 0xffff)];
        let Some(name) = &contract.name else {
            let all =
                contract.access == Access::Deny && self.matter && contract.direction == Direction::Outbound;
            let requests = if all { vec![(0, 4 * self.width() - 1)] } else { vec![(0, 0)] };
            return vec![(everywhere, requests)];
        };
        let fitting = |applications: &[_]| self.fitting([name], applications);
        match (tcp, contract.access) {
            (false, _) => vec![(everywhere, fitting(&[None]))],
            (true, Access::Deny) => vec![(everywhere, fitting(&SPOKEN))],
            (true, Access::Allow) => vec![
                (vec![(80, 80)], fitting(&[Some(Application::Http)])),
                (vec![(1433, 1433)], fitting(&[Some(Application::Mssql)])),
                (vec![(0, 79), (81, 1432), (1434, 0xffff)], fitting(&[Some(Application::Https)])),
            ],
        }
    }

    /// The numbers of the names that fit, asked for by `applications`.
    pub fn fitting<'a>(
        &self,
        patterns: impl IntoIterator<Item = &'a FqdnPattern>,
        applications: &[Option<Application>],
    ) -> Set {
        let mut numbers = Vec::new();
        for pattern in patterns {
            let (first, end) = ends(pattern);
            numbers.extend(applications.iter().filter_map(|one| self.span(*one, &first, end.as_deref())));
        }
        of(numbers)
    }

    /// Whatever is asked for by an application, by name.
    pub fn any_name(&self, application: Option<Application>) -> Set {
        of(self.span(application, &[], None).into_iter().collect())
    }

    pub fn nameless(&self) -> Set {
        of(SPOKEN.iter().map(|one| (self.base(*one), self.base(*one))).collect())
    }
}

pub(super) fn pattern(target: &Target) -> Option<&FqdnPattern> {
    match target {
        Target::Fqdn(pattern) | Target::Url { host: pattern, .. } => Some(pattern),
        Target::FqdnTag(_) | Target::WebCategory(_) => None,
    }
}

/// Names that fit stand together when all names are sorted backwards: where they begin, and where they end.
fn ends(pattern: &FqdnPattern) -> (Vec<u8>, Option<Vec<u8>>) {
    let text = pattern.to_string();
    let suffix: Vec<u8> = text.trim_start_matches('*').bytes().rev().collect();
    let end = match suffix.split_last() {
        _ if !pattern.is_wildcard() => Some([suffix.as_slice(), &[0]].concat()),
        Some((last, before)) => Some([before, &[last + 1]].concat()),
        None => None,
    };
    (suffix, end)
}
