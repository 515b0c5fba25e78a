//! A policy made ready to be asked many times.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::address::{self, Address, PortRange, RuleProtocol};
use crate::certificate::Certificate;
use crate::contract::{Contract, ContractEnd};
use crate::firewall::{self, FirewallRule};
use crate::flow::{self, Application, Decision, Destination, Direction, Flow, Protocol, Verdict};
use crate::matching::{Access, Ruling};
use crate::normal::{
    self, Answer, Effect, End, Found, Layer, NO_RULE as LAST, Normal, Query, RuleId, Stage, State, Step,
};
use crate::policy::{NO_RULE, NetworkPolicy, platform_refusal};
use crate::proof::{Decider, LayerDecision, Proof, ProofVerdict};
use crate::{near_miss, space, tag};

/// A [`NetworkPolicy`] made ready to be asked many times: its sets are sorted once, and a decision then allocates
/// nothing before it is handed out.
#[derive(Clone, Debug)]
pub struct CompiledPolicy {
    pub(crate) policy: NetworkPolicy,
    pub(crate) normal: Normal,
    /// First port of every run of ports that no rule tells apart.
    ports: Vec<u16>,
    /// The layers that are asked, where not all are.
    layers: Option<Vec<flow::Layer>>,
}

/// Where a flow is: in a build on this machine, where the platform is not there and the build machine's address may be
/// made up, or in Azure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    LocalBuild,
    Azure,
}

impl CompiledPolicy {
    /// Makes a policy ready.
    pub fn new(policy: &NetworkPolicy) -> Self {
        let mut policy = policy.clone();
        policy.admin.sort_by_key(|rule| rule.priority);
        let normal = Normal::new(&policy, &[]);
        let ports = policy.port_boundaries();
        Self { policy, normal, ports, layers: None }
    }

    /// The same, so that the names that contracts are about are told apart from others.
    pub(crate) fn knowing(&self, contracts: &[&Contract]) -> Cow<'_, Self> {
        let patterns: Vec<_> = contracts.iter().filter_map(|contract| contract.name.as_ref()).collect();
        if patterns.iter().all(|pattern| self.normal.names.know(pattern)) {
            return Cow::Borrowed(self);
        }
        let mut normal = Normal::new(&self.policy, &patterns);
        if let Some(layers) = &self.layers {
            normal.keep(layers);
        }
        Cow::Owned(Self { normal, ..self.clone() })
    }

    /// The description it was made from, with security admin rules in the order they are asked.
    pub fn policy(&self) -> &NetworkPolicy {
        &self.policy
    }

    /// The same policy asked in these layers alone, as if all others let everything through. What a rule means stays:
    /// routes still widen `VirtualNetwork`, and the group of the subnet at the other end of a flow is a
    /// [`flow::Layer::SubnetNsg`].
    #[must_use]
    pub fn only(mut self, layers: &[flow::Layer]) -> Self {
        self.normal.keep(layers);
        self.layers = Some(layers.to_vec());
        self
    }

    /// Decides one flow of a local build, in Azure's order: security admin rules, outbound NSG of the interface, NSG of
    /// the subnet, routes, firewall, NSG of the subnet it arrives in; inbound the NSG of the subnet it comes from, admin
    /// rules, subnet, interface.
    ///
    /// The layer named is the one that refuses or leaves the flow undecided, else the last group or firewall that
    /// allowed it. A later refusal settles an earlier undecided layer: the flow does not pass either way.
    pub fn decide(&self, flow: &Flow) -> Decision {
        self.rule_on(flow, Setting::LocalBuild).to_decision()
    }

    /// Decides one flow as Azure would: the platform is there, and the build machine has the address that is given.
    pub fn decide_in_azure(&self, flow: &Flow) -> Decision {
        self.rule_on(flow, Setting::Azure).to_decision()
    }

    /// Whether a name is worth resolving: the best verdict of any TCP flow to it, on any port, plain, HTTP or
    /// TLS, from an ephemeral source port. [`Verdict::Denied`] means that no such flow could pass, so that a
    /// resolver answers that the name does not exist; the decision is then the one for TLS on port 443.
    pub fn may_resolve(&self, name: &str) -> Decision {
        let mut flow = Flow {
            direction: Direction::Outbound,
            protocol: Protocol::Tcp,
            source: self.policy.build_machine(),
            source_port: 50_000,
            destination: Destination::Name(name.to_owned()),
            port: 443,
            application: Some(Application::Https),
        };
        let mut best = self.decide(&flow);
        for &port in &self.ports {
            for application in Application::EVERY {
                if best.verdict == Verdict::Allowed {
                    return best;
                }
                (flow.port, flow.application) = (port, application);
                let ruling = self.rule_on(&flow, Setting::LocalBuild);
                if ruling.verdict == Verdict::Allowed
                    || (ruling.verdict == Verdict::Undecided && best.verdict == Verdict::Denied)
                {
                    best = ruling.to_decision();
                }
            }
        }
        best
    }

    /// Every layer that a flow meets in Azure, in order, with its decision. Layers behind a refusal are asked, too, so
    /// that all that stands in the way is told at once.
    pub fn path(&self, flow: &Flow) -> Vec<LayerDecision> {
        let query = self.query(flow, Setting::Azure);
        let decisions = self.rulings(flow, Setting::Azure).into_iter();
        decisions.map(|(layer, answer)| self.layer_decision(&query, flow, layer, answer)).collect()
    }

    fn layer_decision(&self, query: &Query<'_>, flow: &Flow, layer: usize, answer: Answer) -> LayerDecision {
        let found = Found { layer, rule: answer.rule };
        let decided_by = self.decider(flow.direction, found, firewall::speaks(flow).is_some());
        let verdict = verdict(answer);
        let refused = verdict != Verdict::Allowed;
        let name = flow.destination.name();
        let near_miss = refused
            .then(|| near_miss::of(self, flow.direction, layer, query, Some(answer.rule), name))
            .flatten();
        LayerDecision { verdict, decided_by, near_miss }
    }

    /// The DNS servers of the virtual network that its rules, unlike Azure's own server, do not let the subnet reach:
    /// what they leave open is not reached.
    pub fn unreachable_dns_servers(&self) -> Vec<IpAddr> {
        let reaches = |server: IpAddr| {
            [Protocol::Udp, Protocol::Tcp].into_iter().all(|protocol| {
                let contract = Contract {
                    access: Access::Allow,
                    direction: Direction::Outbound,
                    protocol: RuleProtocol::Only(protocol),
                    from: ContractEnd { address: Address::Any, ports: PortRange::ALL },
                    to: ContractEnd { address: Address::Prefix(server.into()), ports: PortRange::single(53) },
                    name: None,
                };
                self.prove(&contract).verdict == ProofVerdict::Proved
            })
        };
        self.policy.context.dns_servers.iter().copied().filter(|server| !reaches(*server)).collect()
    }

    /// Whether a contract holds for every packet it describes.
    pub fn prove(&self, contract: &Contract) -> Proof {
        crate::prove::prove(&self.knowing(&[contract]), contract)
    }

    /// The same as [`Self::prove`], by another algorithm: decision diagrams instead of boxes. It has no certificate.
    pub fn second_opinion(&self, contract: &Contract) -> Proof {
        crate::prove::second_opinion(&self.knowing(&[contract]), contract)
    }

    /// The decision of every packet that a contract describes, however many boxes that takes.
    pub fn certify(&self, contract: &Contract) -> Certificate {
        crate::prove::certify(&self.knowing(&[contract]), contract)
    }

    /// The answers of all layers on the way, by the position of the layer; a refusal does not end it.
    pub(crate) fn rulings(&self, flow: &Flow, setting: Setting) -> Vec<(usize, Answer)> {
        let query = self.query(flow, setting);
        let mut state = State::START;
        let mut answers = Vec::new();
        for (index, layer) in self.layers(flow.direction, setting) {
            if !state.meets(&layer.stage) {
                continue;
            }
            let answer = layer.ask(&query);
            if !layer.is_beside(answer.rule) {
                answers.push((index, answer));
            }
            if state.take(&layer.stage, index, answer) == Step::Passed {
                break;
            }
        }
        answers
    }

    /// What every layer says to a flow of a local build.
    pub(crate) fn rulings_of(&self, flow: &Flow) -> Vec<Ruling<'_>> {
        let names_host = firewall::speaks(flow).is_some();
        let rulings = self.rulings(flow, Setting::LocalBuild).into_iter().map(|(layer, answer)| {
            let found = Found { layer, rule: answer.rule };
            self.ruling(flow.direction, verdict(answer), found, names_host)
        });
        rulings.collect()
    }

    /// The layers that count in a setting, with their positions.
    fn layers(&self, direction: Direction, setting: Setting) -> impl Iterator<Item = (usize, &Layer)> {
        let layers = self.normal.layers(direction).iter().enumerate();
        layers.filter(move |(_, layer)| setting == Setting::Azure || layer.stage != Stage::Platform)
    }

    pub(crate) fn rule_on(&self, flow: &Flow, setting: Setting) -> Ruling<'_> {
        let refusal = platform_refusal(flow);
        if let (Some(refusal), Setting::LocalBuild) = (refusal, setting) {
            return refusal;
        }
        let query = self.query(flow, setting);
        let names_host = firewall::speaks(flow).is_some();
        let ruling = |verdict, found| self.ruling(flow.direction, verdict, found, names_host);
        let mut state = State::START;
        for (index, layer) in self.layers(flow.direction, setting) {
            if !state.meets(&layer.stage) {
                continue;
            }
            match state.take(&layer.stage, index, layer.ask(&query)) {
                Step::On => {}
                Step::Passed => break,
                Step::Denied(found) => return ruling(Verdict::Denied, found),
            }
        }
        match (state.open, state.last) {
            (Some(open), _) => ruling(Verdict::Undecided, open),
            (None, Some(last)) => ruling(Verdict::Allowed, last),
            (None, None) => Ruling {
                verdict: Verdict::Allowed,
                layer: flow::Layer::Platform,
                resource: "",
                rule: "no network security group or firewall stands in the way",
            },
        }
    }

    fn ruling(&self, direction: Direction, verdict: Verdict, found: Found, names_host: bool) -> Ruling<'_> {
        let (layer, resource, rule, _) = self.name_of(direction, found, names_host);
        Ruling { verdict, layer, resource, rule }
    }

    pub(crate) fn decider(&self, direction: Direction, found: Found, names_host: bool) -> Decider {
        let (layer, resource, rule, priority) = self.name_of(direction, found, names_host);
        Decider { layer, resource: resource.to_owned(), rule: rule.to_owned(), priority }
    }

    /// Layer, resource, name and priority of a rule.
    fn name_of(
        &self,
        direction: Direction,
        found: Found,
        names_host: bool,
    ) -> (flow::Layer, &str, &str, Option<u16>) {
        let policy = &self.policy;
        let index = found.rule as usize;
        let last = found.rule == LAST;
        match &self.normal.layers(direction)[found.layer].stage {
            Stage::Platform => {
                let what = normal::EXEMPT.get(index).copied().unwrap_or(NO_RULE);
                (flow::Layer::Platform, "", what, None)
            }
            Stage::Admin => match policy.admin.get(index) {
                Some(rule) => (flow::Layer::Admin, &rule.resource, &rule.name, Some(rule.priority)),
                None => (flow::Layer::Admin, "", "no security admin rule matches", None),
            },
            Stage::NicNsg => security_rule(flow::Layer::NicNsg, policy.nic_nsg.as_ref(), index),
            Stage::SubnetNsg => security_rule(flow::Layer::SubnetNsg, policy.subnet_nsg.as_ref(), index),
            Stage::FarSubnet(far) if last => (
                flow::Layer::SubnetNsg,
                &policy.far_subnets[*far].name,
                "the subnet is not an end of it",
                None,
            ),
            Stage::FarSubnet(far) => {
                security_rule(flow::Layer::SubnetNsg, Some(&policy.far_subnets[*far].nsg), index)
            }
            Stage::Route => {
                let table = policy.routes.as_ref().map_or("", |table| &table.name);
                let name = self.normal.routes.get(index).map_or("no route leads there", |route| &route.name);
                (flow::Layer::Route, table, name, None)
            }
            Stage::Firewall => {
                let name = policy.firewall.as_ref().map_or("", |firewall| firewall.policy.name());
                match self.firewall_rule(found) {
                    Some((layer, rule, priority)) => (layer, name, rule, Some(priority)),
                    None if names_host => (flow::Layer::FirewallApplication, name, NO_RULE, None),
                    None => (flow::Layer::FirewallNetwork, name, NO_RULE, None),
                }
            }
        }
    }

    fn firewall_rule(&self, found: Found) -> Option<(flow::Layer, &str, u16)> {
        let rule = self.firewall_rule_at(found.rule)?;
        let &(group, collection, _) = self.normal.firewall.get(found.rule as usize)?;
        let collection = &self.policy.firewall.as_ref()?.policy.groups()[group].collections[collection];
        let layer = match rule {
            FirewallRule::Application(_) => flow::Layer::FirewallApplication,
            FirewallRule::Network(_) | FirewallRule::Nat(_) => flow::Layer::FirewallNetwork,
        };
        Some((layer, rule.name(), collection.priority))
    }

    /// The rule of the firewall itself.
    pub(crate) fn firewall_rule_at(&self, rule: RuleId) -> Option<&FirewallRule> {
        let &(group, collection, rule) = self.normal.firewall.get(rule as usize)?;
        self.policy
            .firewall
            .as_ref()?
            .policy
            .groups()
            .get(group)?
            .collections
            .get(collection)?
            .rules
            .get(rule)
    }

    /// A flow as the layers see it.
    pub(crate) fn query<'a>(&self, flow: &'a Flow, setting: Setting) -> Query<'a> {
        let ends = address::End::of(flow);
        let located = setting == Setting::Azure || self.policy.context.build_subnet.is_some();
        let end = |end: address::End<'a>| match end {
            address::End::Local(_) if !located => End::Local,
            address::End::Local(address) if setting == Setting::LocalBuild => {
                End::Home(space::point(address))
            }
            address::End::Local(address) | address::End::Peer(address) => End::At(space::point(address)),
            address::End::Name(name) => End::Public(tag::of_name(name)),
        };
        let name = flow.destination.name().filter(|name| !address::is_literal(name));
        Query {
            protocol: normal::protocol_number(flow.protocol),
            source_port: flow.source_port,
            port: flow.port,
            source: end(ends.0),
            destination: end(ends.1),
            speech: self.normal.names.point(firewall::speaks(flow), name),
        }
    }
}

fn security_rule(
    layer: flow::Layer,
    nsg: Option<&crate::NetworkSecurityGroup>,
    index: usize,
) -> (flow::Layer, &str, &str, Option<u16>) {
    let Some(nsg) = nsg else { return (layer, "", NO_RULE, None) };
    match nsg.rules().get(index) {
        Some(rule) => (layer, nsg.name(), &rule.name, Some(rule.priority)),
        None => (layer, nsg.name(), NO_RULE, None),
    }
}

/// The answer of one layer by itself.
pub(crate) fn verdict(answer: Answer) -> Verdict {
    let open = answer.possible.has(Effect::Unknown);
    match (answer.possible.has(Effect::Deny), answer.possible.is_only(Effect::Deny)) {
        (_, true) => Verdict::Denied,
        (true, _) => Verdict::Undecided,
        _ if open => Verdict::Undecided,
        _ => Verdict::Allowed,
    }
}

impl NetworkPolicy {
    /// Makes the policy ready to be asked many times.
    pub fn compile(&self) -> CompiledPolicy {
        CompiledPolicy::new(self)
    }

    /// Decides one flow; see [`CompiledPolicy::decide`], which to ask for more than one.
    pub fn decide(&self, flow: &Flow) -> Decision {
        self.compile().decide(flow)
    }

    /// Whether a name is worth resolving; see [`CompiledPolicy::may_resolve`].
    pub fn may_resolve(&self, name: &str) -> Decision {
        self.compile().may_resolve(name)
    }

    /// Every layer that a flow meets, in order; see [`CompiledPolicy::path`].
    pub fn path(&self, flow: &Flow) -> Vec<LayerDecision> {
        self.compile().path(flow)
    }

    /// Whether a contract holds; see [`CompiledPolicy::prove`].
    pub fn prove(&self, contract: &Contract) -> Proof {
        self.compile().prove(contract)
    }

    /// The address a build machine has under this policy: the first that Azure hands out in the build subnet
    /// (its first four are reserved), else 10.0.0.4.
    pub fn build_machine(&self) -> IpAddr {
        let address = match self.context.build_subnet {
            Some(IpNet::V4(subnet)) => subnet.hosts().nth(3),
            Some(IpNet::V6(_)) | None => None,
        };
        address.unwrap_or(Ipv4Addr::new(10, 0, 0, 4)).into()
    }
}
