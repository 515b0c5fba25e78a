//! Terraform, for the `azurerm` provider.

use std::fmt::Write as _;

use network_policy::{
    Application, ApplicationRule, FirewallPolicy, FirewallRule, NetworkRule, NetworkSecurityGroup,
    RuleCollection, Target, terraform_list as list, terraform_literal as literal,
};
use preflight::{CONTAINER_GROUPS, Egress, Place, Plan, SubnetPlan};

use super::{NAT_GATEWAY, NETWORK, PUBLIC_ADDRESS, Part, ROUTES, has_nat_gateway};

const HEADER: &str = "# For the azurerm provider, version 4. Written by aks-jumpbox, which has read its syntax and not asked the provider:\n\
                      # `terraform validate` it before you rely on it.\n";
/// The label of whatever there is one of.
const ONLY: &str = "imagebuilder";

/// A file of a part.
pub fn file(plan: &Plan, part: Part) -> String {
    let mut blocks = vec![variable("resource_group_name"), variable("location")];
    if part != Part::Firewall {
        blocks.extend(plan.subnets.iter().map(|subnet| group(label(subnet.place), &subnet.group)));
    }
    if part == Part::Network && !plan.subnets.is_empty() {
        blocks.extend(network(plan));
    }
    if let Some(policy) = plan.firewall.as_ref().filter(|_| part != Part::Groups) {
        blocks.extend(firewall(policy));
    }
    let mut file = HEADER.to_owned();
    for block in &blocks {
        file.push('\n');
        block.write(&mut file, 0);
    }
    file.truncate(file.trim_end().len());
    file
}

/// A block: its head, arguments, and blocks inside.
struct Block {
    head: String,
    arguments: Vec<(String, String)>,
    blocks: Vec<Block>,
}

impl Block {
    fn new(head: &str, arguments: &[(&str, String)]) -> Self {
        let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { head: head.to_owned(), arguments, blocks: Vec::new() }
    }

    fn resource(kind: &str, label: &str, arguments: &[(&str, String)]) -> Self {
        Self::new(&format!("resource \"azurerm_{kind}\" \"{label}\""), arguments)
    }

    /// A resource with name, group and region.
    fn named(kind: &str, label: &str, name: &str, arguments: &[(&str, String)]) -> Self {
        let mut all = vec![("name", literal(name)), group_name(), ("location", "var.location".to_owned())];
        all.extend_from_slice(arguments);
        Self::resource(kind, label, &all)
    }

    fn holding(mut self, blocks: impl IntoIterator<Item = Self>) -> Self {
        self.blocks.extend(blocks);
        self
    }

    fn write(&self, file: &mut String, depth: usize) {
        let margin = "  ".repeat(depth);
        let width = self.arguments.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let _ = writeln!(file, "{margin}{} {{", self.head);
        for (name, value) in &self.arguments {
            let _ = writeln!(file, "{margin}  {name:width$} = {value}");
        }
        for (index, block) in self.blocks.iter().enumerate() {
            if index > 0 || !self.arguments.is_empty() {
                file.push('\n');
            }
            block.write(file, depth + 1);
        }
        let _ = writeln!(file, "{margin}}}");
    }
}

fn variable(name: &str) -> Block {
    Block::new(&format!("variable \"{name}\""), &[("type", "string".to_owned())])
}

fn group_name() -> (&'static str, String) {
    ("resource_group_name", "var.resource_group_name".to_owned())
}

fn label(place: Place) -> &'static str {
    match place {
        Place::Build => ONLY,
        Place::Container => "containers",
    }
}

fn group(label: &str, group: &NetworkSecurityGroup) -> Block {
    let rules = group.custom_rules().map(|rule| {
        let mut block = Block::new("security_rule", &[("name", literal(&rule.name))]);
        block.arguments.extend(rule.terraform_arguments());
        block
    });
    Block::named("network_security_group", label, group.name(), &[]).holding(rules)
}

fn network(plan: &Plan) -> Vec<Block> {
    let space = list(&[plan.network.to_string()]);
    let mut blocks = vec![Block::named("virtual_network", ONLY, NETWORK, &[("address_space", space)])];
    if has_nat_gateway(plan) {
        blocks.extend(nat_gateway());
    }
    for one in &plan.subnets {
        if let Egress::Firewall(address) = one.egress {
            blocks.push(route_table(&address.to_string()));
        }
        blocks.push(subnet(one));
        blocks.push(associated(one, "network_security_group", label(one.place)));
        blocks.push(match one.egress {
            Egress::NatGateway => associated(one, "nat_gateway", ONLY),
            Egress::Firewall(_) => associated(one, "route_table", ONLY),
        });
    }
    blocks
}

fn nat_gateway() -> [Block; 3] {
    let sku = literal("Standard");
    let address = [("allocation_method", literal("Static")), ("sku", sku.clone())];
    let both = [
        ("nat_gateway_id", format!("azurerm_nat_gateway.{ONLY}.id")),
        ("public_ip_address_id", format!("azurerm_public_ip.{ONLY}.id")),
    ];
    [
        Block::named("public_ip", ONLY, PUBLIC_ADDRESS, &address),
        Block::named("nat_gateway", ONLY, NAT_GATEWAY, &[("sku_name", sku)]),
        Block::resource("nat_gateway_public_ip_association", ONLY, &both),
    ]
}

fn route_table(address: &str) -> Block {
    let route = [
        ("name", literal("all-to-firewall")),
        ("address_prefix", literal("0.0.0.0/0")),
        ("next_hop_type", literal("VirtualAppliance")),
        ("next_hop_in_ip_address", literal(address)),
    ];
    let own = [("bgp_route_propagation_enabled", "false".to_owned())];
    Block::named("route_table", ONLY, ROUTES, &own).holding([Block::new("route", &route)])
}

fn subnet(plan: &SubnetPlan) -> Block {
    let mut arguments = vec![
        ("name", literal(&plan.place.resource_name("snet"))),
        group_name(),
        ("virtual_network_name", format!("azurerm_virtual_network.{ONLY}.name")),
        ("address_prefixes", list(&[plan.prefix.to_string()])),
        ("default_outbound_access_enabled", "false".to_owned()),
    ];
    if plan.private_link {
        arguments.push(("private_link_service_network_policies_enabled", "false".to_owned()));
    }
    let block = Block::resource("subnet", label(plan.place), &arguments);
    if plan.place != Place::Container {
        return block;
    }
    let service = [
        ("name", literal(CONTAINER_GROUPS)),
        ("actions", list(&["Microsoft.Network/virtualNetworks/subnets/action".to_owned()])),
    ];
    let delegation = Block::new("delegation", &[("name", literal("container-groups"))]);
    block.holding([delegation.holding([Block::new("service_delegation", &service)])])
}

fn associated(plan: &SubnetPlan, kind: &str, of: &str) -> Block {
    let own = label(plan.place);
    let field = format!("{kind}_id");
    let arguments = [
        ("subnet_id", format!("azurerm_subnet.{own}.id")),
        (field.as_str(), format!("azurerm_{kind}.{of}.id")),
    ];
    Block::resource(&format!("subnet_{kind}_association"), own, &arguments)
}

/// The policy and its groups. A firewall that resolves names for network rules must be its clients' DNS proxy.
fn firewall(policy: &FirewallPolicy) -> Vec<Block> {
    let collections = || policy.groups().iter().flat_map(|group| &group.collections);
    let network = collections().any(is_network);
    let proxy = network.then(|| Block::new("dns", &[("proxy_enabled", "true".to_owned())]));
    let mut blocks = vec![Block::named("firewall_policy", ONLY, policy.name(), &[]).holding(proxy)];
    for group in policy.groups() {
        let arguments = [
            ("name", literal(&group.name)),
            ("firewall_policy_id", format!("azurerm_firewall_policy.{ONLY}.id")),
            ("priority", group.priority.to_string()),
        ];
        let block = Block::resource("firewall_policy_rule_collection_group", ONLY, &arguments);
        blocks.push(block.holding(group.collections.iter().map(collection)));
    }
    blocks
}

fn is_network(collection: &RuleCollection) -> bool {
    collection.rules.iter().any(|rule| matches!(rule, FirewallRule::Network(_)))
}

fn collection(of: &RuleCollection) -> Block {
    let kind = if is_network(of) { "network_rule_collection" } else { "application_rule_collection" };
    let arguments =
        [("name", literal(&of.name)), ("priority", of.priority.to_string()), ("action", literal("Allow"))];
    let rules = of.rules.iter().filter_map(|rule| match rule {
        FirewallRule::Network(rule) => Some(network_rule(rule)),
        FirewallRule::Application(rule) => Some(application_rule(rule)),
        // Nothing that a build needs comes in from outside.
        FirewallRule::Nat(_) => None,
    });
    Block::new(kind, &arguments).holding(rules)
}

fn network_rule(rule: &NetworkRule) -> Block {
    Block::new(
        "rule",
        &[
            ("name", literal(&rule.name)),
            ("protocols", list(&[String::from("TCP")])),
            ("source_addresses", texts(&rule.source)),
            ("destination_fqdns", texts(&rule.destination_names)),
            ("destination_ports", texts(&rule.destination_ports)),
        ],
    )
}

fn application_rule(rule: &ApplicationRule) -> Block {
    let names = rule.targets.iter().filter_map(|target| match target {
        Target::Fqdn(pattern) => Some(pattern),
        Target::FqdnTag(_) | Target::WebCategory(_) | Target::Url { .. } => None,
    });
    let protocols = rule.protocols.iter().map(|(application, port)| {
        let kind = match application {
            Application::Http => "Http",
            Application::Https => "Https",
            Application::Mssql => "Mssql",
        };
        Block::new("protocols", &[("type", literal(kind)), ("port", port.to_string())])
    });
    let arguments = [
        ("name", literal(&rule.name)),
        ("source_addresses", texts(&rule.source)),
        ("destination_fqdns", texts(&names.collect::<Vec<_>>())),
    ];
    Block::new("rule", &arguments).holding(protocols)
}

fn texts(values: &[impl ToString]) -> String {
    list(&values.iter().map(ToString::to_string).collect::<Vec<_>>())
}
