//! What to add so that a flow passes, every layer at once.

use serde_json::Value;

use crate::address::{Address, End, PortRange, RuleProtocol};
use crate::defaults::Endpoint;
use crate::emit;
use crate::firewall::{self, ApplicationRule, FirewallRule, NetworkRule, Target};
use crate::flow::{Flow, Layer, Protocol, Verdict};
use crate::fqdn::FqdnPattern;
use crate::matching::{Access, Ruling};
use crate::nsg::{NetworkSecurityGroup, SecurityRule};
use crate::policy::{NO_RULE, NetworkPolicy, Origin, platform_refusal};
use crate::tag::{self, ServiceTag};

impl NetworkPolicy {
    /// What to add to let a flow through: an entry of `jumpbox.toml`'s allow list when that made the policy, else
    /// one ARM rule for every layer that does not allow the flow, one line each. Empty when the flow passes.
    pub fn suggestion(&self, flow: &Flow) -> String {
        if let Some(refusal) = platform_refusal(flow) {
            return format!("nothing can allow it: {}", refusal.rule);
        }
        let compiled = self.compile();
        let blocking: Vec<_> = compiled.rulings_of(flow);
        let blocking: Vec<_> =
            blocking.into_iter().filter(|ruling| ruling.verdict != Verdict::Allowed).collect();
        if self.origin == Origin::AllowList && !blocking.is_empty() {
            return allow_list_entry(flow);
        }
        blocking.iter().map(|ruling| self.addition(ruling, flow)).collect::<Vec<_>>().join("\n")
    }

    fn addition(&self, ruling: &Ruling<'_>, flow: &Flow) -> String {
        let nsg = match ruling.layer {
            Layer::NicNsg => self.nic_nsg.as_ref(),
            Layer::SubnetNsg => self.subnet_nsg.as_ref(),
            Layer::Admin => {
                return format!(
                    "security admin rule '{}' of '{}' stands before every group",
                    ruling.rule, ruling.resource
                );
            }
            Layer::Route => {
                return format!("the route '{}' of '{}' has to lead elsewhere", ruling.rule, ruling.resource);
            }
            Layer::FirewallNetwork | Layer::FirewallApplication | Layer::Platform => None,
        };
        match nsg {
            Some(nsg) => security_rule(nsg, ruling, flow),
            None => firewall_rule(ruling, flow),
        }
    }
}

fn allow_list_entry(flow: &Flow) -> String {
    match End::of(flow).1 {
        _ if flow.protocol != Protocol::Tcp => {
            "the allow list of jumpbox.toml opens TCP only; describe the network with --network instead"
                .to_owned()
        }
        End::Name(name) => match FqdnPattern::parse(name) {
            Ok(name) => {
                // On ports of their own, plain entries permit HTTP and TLS too: the shortest spelling will do.
                let application = flow.application.filter(|_| matches!(flow.port, 443 | 80));
                let endpoint = Endpoint { name, port: flow.port, application };
                format!("allow = [\"{endpoint}\"] in jumpbox.toml")
            }
            Err(error) => format!("nothing can allow it: {error}"),
        },
        End::Peer(address) | End::Local(address) => {
            format!("connect to a name instead of {address}: the allow list of jumpbox.toml holds names")
        }
    }
}

fn security_rule(nsg: &NetworkSecurityGroup, ruling: &Ruling<'_>, flow: &Flow) -> String {
    let Some(priority) = nsg.free_priority(ruling.rule, flow.direction) else {
        return format!(
            "in NSG '{}', make room for a rule before '{}': no lower priority is free",
            nsg.name(),
            ruling.rule
        );
    };
    let destination = match End::of(flow).1 {
        End::Peer(address) | End::Local(address) => Address::Prefix(address.into()),
        End::Name(name) => Address::Tag(match tag::of_name(name) {
            Some(tag) => ServiceTag::Other(tag.to_owned()),
            None => ServiceTag::Internet,
        }),
    };
    let rule = SecurityRule {
        name: rule_name(flow),
        priority,
        direction: flow.direction,
        access: Access::Allow,
        protocol: RuleProtocol::Only(flow.protocol),
        source: vec![Address::Prefix(flow.source.into())],
        source_ports: vec![PortRange::ALL],
        destination: vec![destination],
        destination_ports: vec![port(flow)],
    };
    format!("in NSG '{}', add {}", nsg.name(), emit::security_rule(&rule))
}

fn firewall_rule(ruling: &Ruling<'_>, flow: &Flow) -> String {
    let rule: Value = emit::firewall_rule(&permitting(ruling, flow));
    let place = match ruling.rule {
        NO_RULE => "in an Allow collection".to_owned(),
        blocking => format!("in an Allow collection before '{blocking}'"),
    };
    format!("in firewall policy '{}', {place}, add {rule}", ruling.resource)
}

/// An application rule where one can help; a network rule that refuses is only outrun by another network rule.
fn permitting(ruling: &Ruling<'_>, flow: &Flow) -> FirewallRule {
    let source = vec![Address::Prefix(flow.source.into())];
    let name = rule_name(flow);
    let (destination, pattern) = match End::of(flow).1 {
        End::Peer(address) | End::Local(address) => (vec![Address::Prefix(address.into())], None),
        End::Name(name) => (Vec::new(), FqdnPattern::parse(name).ok()),
    };
    if let (Some(application), Some(pattern), Layer::FirewallApplication) =
        (firewall::speaks(flow), &pattern, ruling.layer)
    {
        return FirewallRule::Application(ApplicationRule {
            name,
            protocols: vec![(application, flow.port)],
            source,
            destination: Vec::new(),
            targets: vec![Target::Fqdn(pattern.clone())],
        });
    }
    FirewallRule::Network(NetworkRule {
        name,
        protocols: vec![RuleProtocol::Only(flow.protocol)],
        source,
        destination,
        destination_names: pattern.into_iter().collect(),
        destination_ports: vec![port(flow)],
    })
}

fn port(flow: &Flow) -> PortRange {
    match flow.protocol {
        Protocol::Tcp | Protocol::Udp => PortRange::single(flow.port),
        Protocol::Icmp | Protocol::Other(_) => PortRange::ALL,
    }
}

fn rule_name(flow: &Flow) -> String {
    let end = match End::of(flow).1 {
        End::Name(name) => name.to_owned(),
        End::Peer(address) | End::Local(address) => address.to_string(),
    };
    emit::rule_name(&format!("Allow-{}-{}", end.chars().take(60).collect::<String>(), flow.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Application, Destination, Direction};

    fn tls(name: &str, port: u16) -> Flow {
        Flow {
            direction: Direction::Outbound,
            protocol: Protocol::Tcp,
            source: "10.241.0.4".parse().unwrap(),
            source_port: 50_000,
            destination: Destination::Name(name.to_owned()),
            port,
            application: Some(Application::Https),
        }
    }

    #[test]
    fn an_allow_list_is_extended() {
        let policy = NetworkPolicy::default_for(&[]);
        let shown = policy.suggestion(&tls("get.example.org", 443));
        assert_eq!(shown, "allow = [\"get.example.org:443\"] in jumpbox.toml");
        let entry = |text: &str| text.split('"').nth(1).unwrap().to_owned();
        for flow in [tls("get.example.org", 8443), Flow { application: None, ..tls("git.example.org", 22) }] {
            let endpoint = Endpoint::parse(&entry(&policy.suggestion(&flow))).unwrap();
            let repaired = NetworkPolicy::default_for(&[endpoint]);
            assert_eq!(repaired.decide(&flow).verdict, Verdict::Allowed, "{flow:?}");
            assert_eq!(repaired.suggestion(&flow), "");
        }
        assert!(policy.suggestion(&tls("get.example.org", 8443)).contains("\"get.example.org:8443\""));
        let raw = Flow { destination: Destination::Address("1.1.1.1".parse().unwrap()), ..tls("", 443) };
        assert!(policy.suggestion(&raw).contains("name instead of 1.1.1.1"));
        let time = Flow { protocol: Protocol::Udp, ..tls("time.example.org", 123) };
        assert!(policy.suggestion(&time).contains("TCP only"));
        let wire = Flow { destination: Destination::Address(tag::WIRE_SERVER), ..tls("", 80) };
        assert!(policy.suggestion(&wire).starts_with("nothing can allow it"));
    }

    #[test]
    fn documents_get_a_rule_for_every_layer_that_refuses() {
        let policy = NetworkPolicy { origin: Origin::Documents, ..NetworkPolicy::default_for(&[]) };
        let shown = policy.suggestion(&tls("a.blob.core.windows.net", 8443));
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 2, "{shown}");
        assert!(lines[0].starts_with("in NSG 'nsg-imagebuilder', add {"), "{shown}");
        assert!(lines[0].contains(r#""priority":3999"#) && lines[0].contains(r#""Storage""#), "{shown}");
        assert!(lines[1].contains(r#""targetFqdns":["a.blob.core.windows.net"]"#), "{shown}");
    }
}
