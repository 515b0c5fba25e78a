//! Addresses of rules as sets.

use std::sync::Arc;

use crate::address::Address;
use crate::matching::Match;
use crate::policy::Context;
use crate::ranges::Ranges;
use crate::route::{NextHop, RouteDestination, RouteSource, RouteTable};
use crate::space::{self, Bounds};
use crate::tag::{self, ServiceTag, Tags};

use super::{End, within};

/// The addresses of one side of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub bounds: Bounds<u128>,
    /// The service tags among them: what is known to be in one of them is in the place, whatever its bounds.
    pub tags: Vec<ServiceTag>,
    /// Whether a place somewhere in the Internet is in it.
    public: Match,
    /// Whether a place somewhere in the virtual network is in it.
    local: Match,
}

impl Place {
    pub fn holds(&self, end: End<'_>) -> Match {
        match end {
            End::Home(_) if self.tags.contains(&ServiceTag::VirtualNetwork) => Match::Yes,
            End::At(point) | End::Home(point) => within(&self.bounds, point),
            End::Public(Some(own)) if self.tags.iter().any(|tag| tag.is(own)) => Match::Yes,
            End::Public(_) => self.public,
            End::Local => self.local,
        }
    }
}

/// Whose side of a flow an address list describes: groups that only the virtual network has mean different things.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    /// The build machine.
    Local,
    /// Whom it talks to.
    Peer,
}

/// What the names of address space stand for in one policy.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    tags: Arc<Tags>,
    /// Whether the address space of the virtual network is known.
    located: bool,
    pub virtual_network: Bounds<u128>,
    pub internet: Bounds<u128>,
    /// Where a name can be.
    pub public: Ranges<u128>,
    /// Where the build machine can be.
    home: Ranges<u128>,
    all: Place,
}

impl Space {
    pub fn new(context: &Context, routes: Option<&RouteTable>) -> Self {
        let own = space::prefixes(&context.virtual_network);
        let private = tag::not_internet();
        let platform = Ranges::single(space::point(tag::WIRE_SERVER));
        let mut least =
            own.union(&space::prefixes(&context.peered)).union(&space::prefixes(&context.gateway));
        let mut most = if own.is_empty() { private.union(&least) } else { least.clone() };
        let (mut default_route, mut joined) = (Ranges::empty(), Bounds::empty());
        for route in routes.iter().flat_map(|table| &table.routes) {
            let joins = route.source != RouteSource::System || route.next_hop == NextHop::Peering;
            let prefixes = match &route.destination {
                _ if !joins => continue,
                RouteDestination::Prefix(prefix) if prefix.prefix_len() == 0 => {
                    default_route = default_route.union(&space::prefixes(&[*prefix]));
                    continue;
                }
                RouteDestination::Prefix(prefix) => Bounds::exact(space::prefixes(&[*prefix])),
                RouteDestination::Tag(ServiceTag::Other(name)) => {
                    context.tags.get(name).cloned().unwrap_or_else(|| Bounds::at_most(Ranges::all()))
                }
                RouteDestination::Tag(_) | RouteDestination::Unknown(_) => Bounds::at_most(Ranges::all()),
            };
            joined = joined.union(&prefixes);
        }
        least = least.union(&joined.lo);
        most = most.union(&joined.hi);
        if !context.unknown_connections.is_empty() {
            most = Ranges::all();
        }
        // A default route makes the tag universal, but does not empty the Internet.
        let universe = space::version_4().union(&tag::public_version_6());
        let internet = universe.difference(&private).difference(&own);
        let internet = Bounds { lo: internet.difference(&most), hi: internet };
        let network = Bounds {
            lo: least.union(&default_route).union(&platform),
            hi: most.union(&default_route).union(&platform),
        };
        Self {
            tags: Arc::clone(&context.tags),
            located: !context.virtual_network.is_empty(),
            public: internet.hi.intersection(&space::version_4()),
            home: private.difference(&platform).union(&own.intersection(&space::version_4())),
            virtual_network: exact_if_equal(network),
            internet: exact_if_equal(internet),
            all: Place { bounds: Bounds::all(), tags: Vec::new(), public: Match::Yes, local: Match::Yes },
        }
    }

    /// Every address.
    pub fn anywhere(&self) -> Place {
        self.all.clone()
    }

    /// The union of addresses, as a rule has them at one side.
    pub fn place(&self, addresses: &[Address], side: Side) -> Place {
        if addresses.contains(&Address::Any) {
            return self.anywhere();
        }
        let (mut literal, mut tags) = (Vec::new(), Vec::new());
        let mut bounds = Bounds::empty();
        for address in addresses {
            match address {
                Address::Any => {}
                Address::Prefix(prefix) => literal.push(*prefix),
                Address::Range(first, last) => {
                    bounds = bounds.union(&Bounds::exact(space::addresses(*first, *last)));
                }
                Address::Tag(tag) => {
                    bounds = bounds.union(&self.tag(tag, side));
                    tags.push(tag.clone());
                }
                Address::ApplicationSecurityGroup(_) if side == Side::Local => {}
                // Members are interfaces of the virtual network; which ones is not known.
                Address::ApplicationSecurityGroup(_) => {
                    bounds = bounds.union(&Bounds::at_most(self.virtual_network.hi.clone()));
                }
                Address::IpGroup(_) => bounds = bounds.union(&Bounds::at_most(Ranges::all())),
            }
        }
        let literal = Bounds::exact(space::prefixes(&literal));
        self.described(bounds.union(&literal), tags)
    }

    /// A set as a place.
    pub fn described(&self, bounds: Bounds<u128>, tags: Vec<ServiceTag>) -> Place {
        let somewhere = |space: &Ranges<u128>, home: &ServiceTag| {
            if tags.contains(home) || space.is_subset(&bounds.lo) {
                Match::Yes
            } else {
                Match::from_bool(space.intersects(&bounds.hi)).min(Match::Maybe)
            }
        };
        let public = somewhere(&self.public, &ServiceTag::Internet);
        let local = somewhere(&self.home, &ServiceTag::VirtualNetwork);
        Place { bounds, tags, public, local }
    }

    /// What a tag stands for.
    pub fn tag(&self, tag: &ServiceTag, side: Side) -> Bounds<u128> {
        match tag {
            // Wherever it is, the build machine is in its own network.
            ServiceTag::VirtualNetwork if side == Side::Local && !self.located => Bounds::all(),
            ServiceTag::VirtualNetwork => self.virtual_network.clone(),
            ServiceTag::Internet => self.internet.clone(),
            ServiceTag::AzureLoadBalancer => Bounds::exact(Ranges::single(space::point(tag::WIRE_SERVER))),
            ServiceTag::Other(name) => {
                if let Some(address) = tag::platform_address(name) {
                    return Bounds::exact(Ranges::single(space::point(address)));
                }
                let known = self.tags.get(name).cloned();
                known.unwrap_or_else(|| Bounds::at_most(Ranges::all()))
            }
        }
    }
}

fn exact_if_equal(bounds: Bounds<u128>) -> Bounds<u128> {
    if bounds.lo == bounds.hi { Bounds::exact(bounds.hi) } else { bounds }
}
