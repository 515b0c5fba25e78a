//! The path that a build's packets take, hop by hop, and what a report says of each.
//!
//! Which hop a requirement is about stands in the requirement ([`Requirement::hop`](crate::Requirement)).

use crate::{Check, Finding, Place, Report, Status, Subject, Topology};

/// An end of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The container instance that runs Packer.
    Container,
    /// The private link service, which takes an address of the build subnet.
    PrivateLink,
    /// The internal load balancer before the proxy VM.
    LoadBalancer,
    /// The proxy VM.
    Proxy,
    /// The virtual machine that becomes the image.
    BuildVm,
    /// What stands between a subnet and the Internet: routes, and the firewall that they lead to.
    WayOut(Place),
    /// Azure's control plane and storage, and whatever else steps fetch.
    Internet,
}

/// A stretch of the path: who sends, and who is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who opens connections.
    pub from: Node,
    /// Who accepts them, or passes them on.
    pub to: Node,
}

/// What is known of a hop; the later, the graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HopState {
    /// No requirement is about it.
    NotAsked,
    /// All that is required passes.
    Allowed,
    /// All that is required passes, and something that is advised does not.
    Warned,
    /// Something about it was not checked, for no document tells of it.
    NotChecked,
    /// Documents lack a value that decides.
    Open,
    /// Something that is required does not pass.
    Refused,
}

/// A hop, and what was found about it.
#[derive(Clone, Debug)]
pub struct Stretch<'r> {
    /// The hop.
    pub hop: Hop,
    /// What follows from all findings together.
    pub state: HopState,
    /// Findings about it, in the order of the catalogue.
    pub findings: Vec<&'r Finding>,
    /// Ports that requirements ask for, as far as each is known to be in one state; TCP, in ascending order.
    pub ports: Vec<(u16, HopState)>,
}

impl Hop {
    /// The service's platform, or its container instance, to the private link service in the build subnet.
    pub const TO_PRIVATE_LINK: Self = Self::new(Node::Container, Node::PrivateLink);
    /// The private link service to the load balancer that it stands before.
    pub const TO_LOAD_BALANCER: Self = Self::new(Node::PrivateLink, Node::LoadBalancer);
    /// The load balancer to the proxy VM: its probe, and what came by private link.
    pub const TO_PROXY: Self = Self::new(Node::LoadBalancer, Node::Proxy);
    /// The proxy VM to the build VM.
    pub const PROXY_TO_BUILD: Self = Self::new(Node::Proxy, Node::BuildVm);
    /// The container instance to the build VM.
    pub const CONTAINER_TO_BUILD: Self = Self::new(Node::Container, Node::BuildVm);
    /// The build VM out of its subnet.
    pub const OUT_OF_BUILD: Self = Self::new(Node::BuildVm, Node::WayOut(Place::Build));
    /// What left the build subnet to the Internet.
    pub const BUILD_TO_INTERNET: Self = Self::new(Node::WayOut(Place::Build), Node::Internet);
    /// The container instance out of its subnet.
    pub const OUT_OF_CONTAINER: Self = Self::new(Node::Container, Node::WayOut(Place::Container));
    /// What left the container instance subnet to the Internet.
    pub const CONTAINER_TO_INTERNET: Self = Self::new(Node::WayOut(Place::Container), Node::Internet);
    /// The build VM to the Internet, in a network of the service.
    pub const MANAGED_TO_INTERNET: Self = Self::new(Node::BuildVm, Node::Internet);

    const fn new(from: Node, to: Node) -> Self {
        Self { from, to }
    }
}

impl From<Status> for HopState {
    fn from(status: Status) -> Self {
        match status {
            Status::Pass => Self::Allowed,
            Status::Warn => Self::Warned,
            Status::Skipped => Self::NotChecked,
            Status::Undecided => Self::Open,
            Status::Fail => Self::Refused,
        }
    }
}

impl Topology {
    /// The hops of its path, from whoever starts a build to the Internet.
    pub const fn hops(self) -> &'static [Hop] {
        match self {
            Self::Managed => &[Hop::CONTAINER_TO_BUILD, Hop::MANAGED_TO_INTERNET],
            Self::PrivateLink => &[
                Hop::TO_PRIVATE_LINK,
                Hop::TO_LOAD_BALANCER,
                Hop::TO_PROXY,
                Hop::PROXY_TO_BUILD,
                Hop::OUT_OF_BUILD,
                Hop::BUILD_TO_INTERNET,
            ],
            Self::Isolated => &[
                Hop::OUT_OF_CONTAINER,
                Hop::CONTAINER_TO_INTERNET,
                Hop::CONTAINER_TO_BUILD,
                Hop::OUT_OF_BUILD,
                Hop::BUILD_TO_INTERNET,
            ],
        }
    }
}

impl Report {
    /// The path of the shape that was checked for a subject.
    pub fn path(&self, subject: &Subject<'_>) -> Vec<Stretch<'_>> {
        self.topology.hops().iter().map(|hop| self.stretch(*hop, subject)).collect()
    }

    fn stretch(&self, hop: Hop, subject: &Subject<'_>) -> Stretch<'_> {
        let findings: Vec<_> =
            self.findings.iter().filter(|finding| finding.requirement.hop == Some(hop)).collect();
        let state = |finding: &&Finding| HopState::from(finding.status());
        let mut ports: Vec<(u16, HopState)> = Vec::new();
        for finding in &findings {
            for port in finding.ports(subject) {
                match ports.iter_mut().find(|(known, _)| *known == port) {
                    Some((_, worst)) => *worst = state(finding).max(*worst),
                    None => ports.push((port, state(finding))),
                }
            }
        }
        ports.sort_unstable_by_key(|(port, _)| *port);
        Stretch {
            hop,
            state: findings.iter().map(state).max().unwrap_or(HopState::NotAsked),
            findings,
            ports,
        }
    }
}

impl Finding {
    /// The ports that it is true of. Where one of several is refused or open, that of the packet which shows it.
    fn ports(&self, subject: &Subject<'_>) -> Vec<u16> {
        let asked = self.requirement.check.ports(subject);
        let alike = asked.iter().all(|port| *port == asked[0]);
        if alike || matches!(self.outcome.status, Status::Pass | Status::Skipped) {
            return asked;
        }
        self.outcome.evidence.packet.iter().map(|packet| packet.to_port).collect()
    }
}

impl Check {
    /// Ports of the destinations.
    fn ports(&self, subject: &Subject<'_>) -> Vec<u16> {
        match self {
            Self::Flow(flow) => vec![flow.port],
            Self::Reach(_, endpoints) => {
                endpoints.iter().filter_map(|endpoint| endpoint.rsplit_once(':')?.1.parse().ok()).collect()
            }
            Self::Steps(_) => subject.endpoints.iter().map(|endpoint| endpoint.port).collect(),
            Self::Ask(_) => Vec::new(),
        }
    }
}
