//! Repairs as people see them.

use network_policy::{
    Access, Address, AdminAction, AdminRule, Context, Contract, Direction, FirewallPolicy, FirewallRule,
    NetworkPolicy, NetworkRule, NetworkSecurityGroup, NextHop, Outbound, PortRange, ProofVerdict, Repair,
    Route, RouteDestination, RouteSource, RouteTable, RuleCollection, RuleCollectionGroup, RuleProtocol,
    SecurityRule,
};

/// `PRIORITY allow|deny outbound|inbound PROTOCOL FROM[:PORTS] -> TO[:PORTS]`.
pub fn rule(text: &str) -> SecurityRule {
    let (priority, line) = text.split_once(' ').unwrap();
    let contract = Contract::parse(line).unwrap();
    SecurityRule {
        name: format!("rule-{priority}"),
        priority: priority.parse().unwrap(),
        direction: contract.direction,
        access: contract.access,
        protocol: contract.protocol,
        source: vec![contract.from.address],
        source_ports: vec![contract.from.ports],
        destination: vec![contract.to.address],
        destination_ports: vec![contract.to.ports],
    }
}

const NSG: &str =
    "/subscriptions/s/resourceGroups/rg-images/providers/Microsoft.Network/networkSecurityGroups/nsg-build";

fn policy(rules: &[&str]) -> NetworkPolicy {
    let rules = rules.iter().map(|text| rule(text)).collect();
    NetworkPolicy {
        subnet_nsg: Some(NetworkSecurityGroup::new(NSG, rules).unwrap()),
        context: Context {
            virtual_network: vec!["10.241.0.0/24".parse().unwrap()],
            build_subnet: Some("10.241.0.0/28".parse().unwrap()),
            ..Context::default()
        },
        ..NetworkPolicy::default()
    }
}

fn repair(policy: &NetworkPolicy, lines: &[&str]) -> Repair {
    let contracts: Vec<_> = lines.iter().map(|line| Contract::parse(line).unwrap()).collect();
    policy.repair(&contracts)
}

const DENY_ALL: &str = "4000 deny outbound * * -> *";

#[test]
fn two_ports_of_the_guidance_become_one_rule_right_before_the_refusal() {
    let policy = policy(&["200 allow outbound tcp * -> VirtualNetwork:22", DENY_ALL]);
    let repair = repair(
        &policy,
        &[
            "allow outbound tcp 10.241.0.0/28 -> Internet:443",
            "allow outbound tcp 10.241.0.0/28 -> Internet:80",
            "allow outbound tcp 10.241.0.0/28 -> VirtualNetwork:22",
        ],
    );
    assert_eq!((repair.rules.len(), repair.repaired.len()), (1, 2), "{repair:#?}");
    let new = &repair.rules[0];
    assert_eq!((new.rule.priority, new.contracts.len()), (3999, 2));
    assert_eq!(
        new.to_az(),
        "az network nsg rule create --resource-group rg-images --nsg-name nsg-build --name Allow-Tcp-Internet-80-443 \
         --priority 3999 --direction Outbound --access Allow --protocol Tcp \
         --source-address-prefixes 10.241.0.0/28 --source-port-ranges '*' \
         --destination-address-prefixes Internet --destination-port-ranges 80 443"
    );
    let arm: serde_json::Value = serde_json::from_str(&new.to_arm_json()).unwrap();
    assert_eq!(arm["properties"]["destinationPortRanges"], serde_json::json!(["80", "443"]));
    assert_eq!(arm["properties"]["sourceAddressPrefix"], "10.241.0.0/28");
    assert_eq!(
        new.to_terraform(),
        r#"resource "azurerm_network_security_rule" "allow_tcp_internet_80_443" {
  name                        = "Allow-Tcp-Internet-80-443"
  resource_group_name         = "rg-images"
  network_security_group_name = "nsg-build"
  priority                    = 3999
  direction                   = "Outbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_address_prefix       = "10.241.0.0/28"
  source_port_range           = "*"
  destination_address_prefix  = "Internet"
  destination_port_ranges     = ["80", "443"]
}"#
    );
}

#[test]
fn where_no_number_is_free_the_fewest_rules_move() {
    let rules: Vec<_> = (100..104).map(|n| format!("{n} deny outbound tcp * -> 20.0.{n}.0/24:443")).collect();
    let mut rules: Vec<_> = rules.iter().map(String::as_str).collect();
    rules.push("105 deny outbound tcp * -> Internet:443");
    let policy = policy(&rules);
    let repair = repair(&policy, &["allow outbound tcp 10.241.0.0/28 -> 20.0.102.0/24:443"]);
    let moved: Vec<_> = repair.renumbered.iter().map(|one| (one.rule.as_str(), one.from, one.to)).collect();
    assert_eq!(moved, [("rule-102", 102, 103), ("rule-103", 103, 104)]);
    assert_eq!(repair.rules[0].rule.priority, 102);
    assert!(repair.renumbered[0].to_az().ends_with("--nsg-name nsg-build --name rule-102 --priority 103"));
    assert_eq!(repair.repaired.len(), 1);
}

#[test]
fn promises_to_deny_are_repaired_too() {
    let policy = policy(&["300 allow outbound udp * -> *:123"]);
    let repair = repair(&policy, &["deny outbound udp * -> Internet:123"]);
    let rule = &repair.rules[0].rule;
    assert_eq!(
        (rule.access, rule.priority, rule.name.as_str()),
        (Access::Deny, 299, "Deny-Udp-Internet-123")
    );
}

#[test]
fn both_groups_get_a_rule_when_both_refuse() {
    let mut policy = policy(&[DENY_ALL]);
    let nic = NetworkSecurityGroup::new("nic", vec![rule("150 deny outbound tcp * -> *:443")]).unwrap();
    policy.nic_nsg = Some(nic);
    let repair = repair(&policy, &["allow outbound tcp * -> 1.1.1.1:443"]);
    let places: Vec<_> =
        repair.rules.iter().map(|new| (new.nsg.rsplit('/').next().unwrap(), new.rule.priority)).collect();
    assert_eq!(places, [("nsg-build", 3999), ("nic", 149)]);
}

/// The setting that is named for a contract no security rule repairs.
fn obstacle(policy: &NetworkPolicy, line: &str) -> String {
    let repair = repair(policy, &[line]);
    assert!(repair.rules.is_empty() && repair.repaired.is_empty(), "{repair:#?}");
    assert_eq!(repair.policy, *policy);
    let settings = repair.beyond[0].obstacles.iter().map(|obstacle| obstacle.setting.clone());
    settings.collect::<Vec<_>>().join("\n")
}

const WEB: &str = "allow outbound tcp * -> 1.1.1.1:443";

#[test]
fn a_firewall_that_denies_is_named() {
    let deny = FirewallRule::Network(NetworkRule {
        name: "no-web".to_owned(),
        protocols: vec![RuleProtocol::Any],
        source: vec![Address::Any],
        destination: vec![Address::Any],
        destination_names: Vec::new(),
        destination_ports: vec![PortRange::single(443)],
    });
    let collection =
        RuleCollection { name: "c".to_owned(), priority: 100, action: Access::Deny, rules: vec![deny] };
    let group = RuleCollectionGroup { name: "g".to_owned(), priority: 100, collections: vec![collection] };
    let firewall = FirewallPolicy::new("fw", vec![group]);
    let policy = NetworkPolicy { firewall: Some(firewall.into()), ..policy(&[DENY_ALL]) };
    let told = obstacle(&policy, WEB);
    assert!(told.contains("network rule 'no-web' of firewall policy 'fw'"), "{told}");
    assert!(told.contains("no application rule is asked after it"), "{told}");
}

#[test]
fn a_blackhole_and_a_missing_way_out_are_named() {
    let table = |routes, outbound| {
        Some(RouteTable { name: "rt".to_owned(), routes, outbound, ..RouteTable::default() })
    };
    let blackhole = Route {
        name: "drop".to_owned(),
        source: RouteSource::User,
        destination: RouteDestination::Prefix("1.1.1.0/24".parse().unwrap()),
        next_hop: NextHop::None,
    };
    let routes = table(vec![blackhole], Outbound::NatGateway);
    let told = obstacle(&NetworkPolicy { routes, ..policy(&[DENY_ALL]) }, WEB);
    assert!(told.contains("route 'drop' of route table 'rt' drops it"), "{told}");
    let routes = table(Vec::new(), Outbound::Missing);
    let told = obstacle(&NetworkPolicy { routes, ..policy(&[]) }, WEB);
    assert!(told.contains("associate a NAT gateway"), "{told}");
}

#[test]
fn security_admin_rules_are_named() {
    let admin = |action| AdminRule {
        name: "central".to_owned(),
        resource: "collection".to_owned(),
        priority: 10,
        direction: Direction::Outbound,
        action,
        protocol: RuleProtocol::Any,
        source: vec![Address::Any],
        source_ports: vec![PortRange::ALL],
        destination: vec![Address::Any],
        destination_ports: vec![PortRange::ALL],
    };
    let denied = NetworkPolicy { admin: vec![admin(AdminAction::Deny)], ..policy(&[DENY_ALL]) };
    assert!(obstacle(&denied, WEB).contains("security admin rule 'central' of 'collection'"));
    let allowed = NetworkPolicy { admin: vec![admin(AdminAction::AlwaysAllow)], ..policy(&[DENY_ALL]) };
    let told = obstacle(&allowed, "deny outbound tcp * -> 1.1.1.1:443");
    assert!(told.contains("always allows it"), "{told}");
}

#[test]
fn an_unknown_appliance_leaves_the_contract_open_and_the_groups_are_repaired() {
    let tunnel = Route {
        name: "tunnel".to_owned(),
        source: RouteSource::User,
        destination: RouteDestination::Prefix("0.0.0.0/0".parse().unwrap()),
        next_hop: NextHop::Appliance(Some("10.0.9.9".parse().unwrap())),
    };
    let routes = RouteTable { name: "rt".to_owned(), routes: vec![tunnel], ..RouteTable::default() };
    let policy = NetworkPolicy { routes: Some(routes), ..policy(&[DENY_ALL]) };
    let repair = repair(&policy, &[WEB]);
    assert_eq!((repair.rules.len(), repair.repaired.len(), repair.beyond.len()), (1, 0, 0));
    assert_eq!(repair.policy.prove(&repair.open[0].0).verdict, ProofVerdict::Depends);
    assert!(repair.open[0].1.iter().any(|reason| reason.contains("10.0.9.9")), "{:?}", repair.open);
}

#[test]
fn contracts_that_contradict_each_other_are_not_both_repaired() {
    let policy = policy(&["300 deny outbound tcp * -> *:443"]);
    let kept = "deny outbound tcp * -> 1.1.0.0/16:443";
    let repair = repair(&policy, &[WEB, kept]);
    assert!(repair.rules.is_empty(), "{repair:#?}");
    assert_eq!(repair.beyond[0].contract.to_string(), WEB);
    assert_eq!(repair.beyond[0].obstacles[0].setting, format!("it contradicts the contract `{kept}`"));
}
