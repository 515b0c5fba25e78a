//! Shapes that Azure writes, and what is wrong with those it would not take.

use std::convert::Infallible;

use arm::Environment;
use document::{Position, SourceText};

use super::*;
use crate::defaults::Endpoint;
use crate::flow::{Application, Destination, Direction, Flow, Layer, Protocol, Verdict};

/// What one document describes.
fn open(name: &str, text: &str) -> Result<Reading, (Inventory, Vec<Diagnostic>)> {
    let mut environment = Environment::read(SourceText::new(name, text));
    let Ok(inventory) = environment.open(|_| Err(())) else { panic!("a document needs no other") };
    super::read(&environment, &inventory).map_err(|found| (inventory, found))
}

#[track_caller]
fn policy(text: &str) -> NetworkPolicy {
    match open("network.json", text) {
        Ok(reading) => reading.policy,
        Err((inventory, found)) => panic!("{}", render(&inventory, &found)),
    }
}

fn render(inventory: &Inventory, found: &[Diagnostic]) -> String {
    let localized = found.iter().filter_map(|found| inventory.sources().localize(found));
    localized.map(|(text, found)| found.render(text)).collect()
}

fn tls(name: &str) -> Flow {
    Flow {
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        source: "10.241.0.4".parse().unwrap(),
        source_port: 50_000,
        destination: Destination::Name(name.to_owned()),
        port: 443,
        application: Some(Application::Https),
    }
}

#[track_caller]
fn decided(policy: &NetworkPolicy, flow: &Flow) -> (Verdict, Layer, String) {
    let decision = policy.decide(flow);
    (decision.verdict, decision.layer, decision.rule)
}

/// `line:column path message` of every error.
fn complaints(text: &str) -> Vec<String> {
    let Err((inventory, found)) = open("network.json", text) else { panic!("it reads: {text}") };
    let told = found.iter().filter(|found| found.is_error()).map(|found| {
        let (text, found) = inventory.sources().localize(found).unwrap();
        let Position { line, column } = text.position(found.span.start);
        format!("{line}:{column} {} {}", found.path, found.message)
    });
    told.collect()
}

const RULE: &str = r#""protocol": "TCP", "sourceAddressPrefix": "VirtualNetwork", "sourcePortRange": "*",
    "destinationAddressPrefix": "", "destinationAddressPrefixes": ["INTERNET"],
    "destinationPortRange": null, "destinationPortRanges": ["443", "80"],
    "access": "allow", "priority": "100", "direction": "outbound""#;

/// One group in every wrapping; all mean the same.
#[test]
fn every_shape_of_a_group_reads_the_same() {
    let nested = format!(
        r#"{{"name": "nsg", "type": "Microsoft.Network/networkSecurityGroups",
        "properties": {{"securityRules": [{{"name": "web", "properties": {{{RULE}}}}}]}}}}"#
    );
    let flat = format!(
        r#"{{"name": "nsg", "securityRules": [{{"name": "web", {RULE}}}], "defaultSecurityRules": []}}"#
    );
    let pascal = format!(r#"{{"Name": "nsg", "SecurityRules": [{{"Name": "web", {RULE}}}]}}"#);
    let schema =
        r#""$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#""#;
    let child = format!(
        r#"{{"name": "nsg", "type": "Microsoft.Network/networkSecurityGroups", "properties": {{}}}},
        {{"name": "nsg/web", "type": "Microsoft.Network/networkSecurityGroups/securityRules", "properties": {{{RULE}}}}}"#
    );
    let inner = format!(
        r#"{{"name": "nsg", "type": "Microsoft.Network/networkSecurityGroups", "properties": {{}},
        "resources": [{{"name": "web", "type": "securityRules", "properties": {{{RULE}}}}}]}}"#
    );
    let expected = policy(&nested);
    assert_eq!(expected.subnet_nsg.as_ref().unwrap().rules().len(), 7);
    for text in [
        format!("[{nested}]"),
        format!(r#"{{"value": [{nested}]}}"#),
        flat,
        pascal,
        format!(r#"{{{schema}, "resources": [{nested}]}}"#),
        format!(r#"{{{schema}, "languageVersion": "2.0", "resources": {{"group": {nested}}}}}"#),
        format!("[{child}]"),
        format!(r#"{{{schema}, "resources": [{inner}]}}"#),
    ] {
        assert_eq!(Some(&policy(&text)), Some(&expected), "{text}");
    }
    assert_eq!(
        decided(&expected, &tls("www.example.org")),
        (Verdict::Allowed, Layer::SubnetNsg, "web".to_owned())
    );
}

#[test]
fn every_error_of_a_group_stands_at_its_place() {
    let text = r#"{"name": "nsg", "securityRules": [
 {"name": "a", "protocol": "Tpc", "sourceAddressPrefix": "10.0.0.5/24", "sourcePortRange": "*",
  "destinationAddressPrefix": "*", "destinationPortRange": "90-80", "access": "Permit", "priority": 100,
  "direction": "Outbound"},
 {"name": "b", "protocol": "*", "sourceAddressPrefixes": [], "sourcePortRange": "*",
  "destinationAddressPrefix": "[parameters('x')]", "destinationPortRange": "*", "access": "Deny", "priority": 110,
  "direction": "Outbound"},
 {"name": "c", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
  "destinationAddressPrefix": "*", "destinationPortRange": "*", "access": "Deny", "priority": 5,
  "direction": "Outbound"},
 {"name": "d", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
  "destinationAddressPrefix": "*", "destinationPortRange": "*", "access": "Deny", "priority": 200,
  "direction": "Outbound"},
 {"name": "D", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
  "destinationAddressPrefix": "*", "destinationPortRange": "*", "access": "Deny", "priority": 200,
  "direction": "Outbound"}
]}"#;
    assert_eq!(
        complaints(text),
        [
            "2:28 securityRules[0].protocol `Tpc` is not allowed",
            "2:58 securityRules[0].sourceAddressPrefix '10.0.0.5/24' has host bits set; the network is 10.0.0.0/24",
            "3:60 securityRules[0].destinationPortRange '90-80' is not '*', a port or a range from a lower to a higher port",
            "3:79 securityRules[0].access `Permit` is not allowed",
            "5:2 securityRules[1] the rule names no source address",
            "6:31 securityRules[1].destinationAddressPrefix this value is an expression, so it is not known",
            "9:95 securityRules[2].priority security rule 'c': priority 5 is outside 100 to 4096",
            "14:11 securityRules[4].name security rule 'D': the name is used twice",
            "15:95 securityRules[4].priority security rule 'D': rule 'd' of the same direction already has priority 200",
        ]
    );
}

#[test]
fn a_priority_may_serve_both_directions() {
    let outbound = format!(r#"{{"name": "a", {RULE}}}"#);
    let inbound = outbound.replace("outbound", "Inbound").replace("\"a\"", "\"b\"");
    let group = format!(r#"{{"name": "nsg", "securityRules": [{outbound}, {inbound}]}}"#);
    assert!(open("network.json", &group).is_ok());
}

const FIREWALL: &str = r#"[
  {"type": "Microsoft.Network/firewallPolicies", "name": "base", "properties": {}},
  {"type": "Microsoft.Network/firewallPolicies", "name": "hub",
   "properties": {"basePolicy": {"id": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/firewallPolicies/base"}}},
  {"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "name": "base/late",
   "properties": {"priority": 60000, "ruleCollections": [
     {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "no", "priority": 100,
      "action": {"type": "Deny"}, "rules": [
        {"ruleType": "ApplicationRule", "name": "no-pastes", "sourceAddresses": ["*"],
         "protocols": [{"protocolType": "Https", "port": 443}], "targetFqdns": ["*.paste.example.org"]}]}]}},
  {"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "name": "hub/image",
   "properties": {"priority": 200, "ruleCollections": [
     {"ruleCollectionType": "FirewallPolicyNatRuleCollection", "name": "dnat", "priority": 100, "rules": []},
     {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "yes", "priority": 100,
      "action": {"type": "Allow"}, "rules": [
        {"ruleType": "ApplicationRule", "name": "hosts", "sourceIpGroups": ["/x/ipGroups/builders"],
         "protocols": [{"protocolType": "Https", "port": 443}, {"protocolType": "Mssql", "port": 1433}],
         "targetFqdns": ["*.example.org"]},
        {"ruleType": "NetworkRule", "name": "time", "ipProtocols": ["UDP"], "sourceAddresses": ["10.241.0.0/28"],
         "destinationAddresses": ["*"], "destinationPorts": ["123"]}]}]}},
  {"type": "Microsoft.Network/ipGroups", "name": "builders", "properties": {"ipAddresses": ["10.241.0.0/28"]}},
  {"type": "Microsoft.Network/virtualNetworks", "name": "spoke", "properties": {
     "addressSpace": {"addressPrefixes": ["10.241.0.0/16"]},
     "subnets": [{"name": "build", "properties": {"addressPrefix": "10.241.0.0/28"}}]}}
]"#;

#[test]
fn a_firewall_policy_reads_with_its_parent_groups_and_ip_groups() {
    let policy = policy(FIREWALL);
    assert_eq!(policy.build_machine().to_string(), "10.241.0.4");
    let application = Layer::FirewallApplication;
    assert_eq!(
        decided(&policy, &tls("get.example.org")),
        (Verdict::Allowed, application, "hosts".to_owned())
    );
    assert_eq!(
        decided(&policy, &tls("a.paste.example.org")),
        (Verdict::Denied, application, "no-pastes".to_owned())
    );
    let time = Flow { protocol: Protocol::Udp, port: 123, application: None, ..tls("time.example.net") };
    assert_eq!(decided(&policy, &time), (Verdict::Allowed, Layer::FirewallNetwork, "time".to_owned()));
}

#[test]
fn what_a_firewall_policy_points_at_must_be_there() {
    let orphan = FIREWALL.replace("firewallPolicies/base\"", "firewallPolicies/other\"");
    // Two policies without a tie: neither is known to be the one in force.
    assert!(complaints(&orphan)[0].contains("several firewalls (base, hub)"));
    let missing = r#"{"type": "Microsoft.Network/firewallPolicies", "name": "hub",
        "properties": {"basePolicy": {"id": "/x/firewallPolicies/base"}}}"#;
    assert!(
        complaints(missing)[0].contains("the parent /x/firewallPolicies/base of the firewall policy 'hub'")
    );
    let listed = r#"{"type": "Microsoft.Network/firewallPolicies", "name": "hub",
        "ruleCollectionGroups": [{"id": "/x/ruleCollectionGroups/g"}]}"#;
    assert!(complaints(listed)[0].contains("the rule collection group /x/ruleCollectionGroups/g"));
    let circle = r#"[{"type": "Microsoft.Network/firewallPolicies", "name": "a", "basePolicy": {"id": "/x/b"}},
        {"type": "Microsoft.Network/firewallPolicies", "name": "b", "basePolicy": {"id": "/x/a"}}]"#;
    assert!(complaints(circle)[0].contains("parents of each other"));
}

#[test]
fn a_classic_firewall_reads() {
    let text = r#"{"type": "Microsoft.Network/azureFirewalls", "name": "fw", "properties": {
      "applicationRuleCollections": [{"name": "app", "properties": {"priority": 200, "action": {"type": "Allow"},
        "rules": [{"name": "hosts", "sourceAddresses": ["*"], "targetFqdns": ["get.example.org"],
                   "protocols": [{"protocolType": "Https", "port": 443}]}]}}],
      "networkRuleCollections": [{"name": "net", "properties": {"priority": 200, "action": {"type": "Deny"},
        "rules": [{"name": "no-dns", "protocols": ["UDP", "TCP"], "sourceAddresses": ["*"],
                   "destinationAddresses": ["*"], "destinationPorts": ["53"]}]}}]}}"#;
    let policy = policy(&text);
    assert_eq!(decided(&policy, &tls("get.example.org")).0, Verdict::Allowed);
    let dns = Flow { port: 53, application: None, ..tls("get.example.org") };
    assert_eq!(decided(&policy, &dns), (Verdict::Denied, Layer::FirewallNetwork, "no-dns".to_owned()));
}

#[test]
fn every_error_of_a_firewall_rule_is_found() {
    let text = r#"{"name": "g", "priority": 7, "ruleCollections": [
 {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "c", "priority": 100, "action": {"type": "Drop"},
  "rules": [
   {"ruleType": "ApplicationRule", "name": "a", "sourceAddresses": ["*"], "targetFqdns": ["www.contoso.*"],
    "protocols": [{"protocolType": "Ftp", "port": 21}, {"protocolType": "Http", "port": 0}]},
   {"ruleType": "ApplicationRule", "name": "u", "sourceAddresses": ["*"],
    "targetUrls": ["www.contoso.com:8080", "www.contoso.*/test/*", "www.contoso.com/test?example=1", "www.contoso.com/test/*"],
    "protocols": [{"protocolType": "Http", "port": 80}]},
   {"ruleType": "NetworkRule", "name": "n", "ipProtocols": ["TCP"], "destinationPorts": ["80"]}]}]}"#;
    let complaints = complaints(text);
    let expected = [
        "1:27 priority `7` is not allowed",
        "`Drop` is not allowed",
        "an asterisk is only taken as the first character",
        "`Ftp` is not allowed",
        "`0` is not allowed",
        "'www.contoso.com:8080': ':' cannot",
        "'www.contoso.*': an asterisk",
        "'www.contoso.com/test?example=1': an asterisk",
        "the rule names no source address",
        "the rule names no destination address",
    ];
    assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
    for (complaint, expected) in complaints.iter().zip(expected) {
        assert!(complaint.contains(expected), "{complaint} / {expected}");
    }
}

const ENVIRONMENT: &str = r#"
location = "eastus2"
build_subnet = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/spoke/subnets/build"
[[source]]
kind = "arm-template"
file = "spoke.json"
parameters = { location = "eastus2" }
[[source]]
kind = "resources"
file = "nsg.json"
resource_group = "rg"
[source.runtime]
"/subscriptions/0" = { ipConfigurations = [] }
"#;

const SPOKE: &str = r#"{"type": "Microsoft.Network/virtualNetworks", "name": "spoke", "properties": {
  "addressSpace": {"addressPrefixes": ["10.240.0.0/15"]},
  "subnets": [{"name": "other", "properties": {"addressPrefix": "10.240.0.0/24"}},
    {"name": "build", "properties": {"addressPrefixes": ["10.241.0.0/28"],
     "networkSecurityGroup": {"id": "/subscriptions/0/.../networkSecurityGroups/NSG"}}}]}}"#;

#[test]
fn an_environment_puts_documents_together_in_any_order() {
    let environment = Environment::read(&toml(ENVIRONMENT)).unwrap();
    let files: Vec<_> =
        environment.sources.iter().map(|source| (source.kind, source.file.as_str())).collect();
    assert_eq!(files, [(SourceKind::ArmTemplate, "spoke.json"), (SourceKind::Resources, "nsg.json")]);

    let group = format!(r#"{{"name": "nsg", "securityRules": [{{"name": "web", {RULE}}}]}}"#);
    let spoke = Resources::policy(SPOKE);
    let group = Resources::policy(&group);
    let policy = environment.policy(&[spoke.clone(), group.clone()]).unwrap();
    assert_eq!(environment.policy(&[group.clone(), spoke.clone()]).unwrap(), policy);
    assert_eq!(policy.build_machine().to_string(), "10.241.0.4");
    assert_eq!(policy.context.virtual_network, ["10.240.0.0/15".parse().unwrap()]);
    assert_eq!(decided(&policy, &tls("www.example.org")).2, "web");

    let faults = |documents: &[Resources]| environment.policy(documents).unwrap_err()[0].message.clone();
    assert!(faults(&[group]).contains("the build subnet /subscriptions/0/"));
    assert!(faults(std::slice::from_ref(&spoke)).contains("networkSecurityGroups/NSG of the build subnet"));
    let nowhere = Environment::read(&toml("source = []")).unwrap();
    assert!(
        nowhere.policy(&[spoke]).unwrap_err()[0]
            .message
            .contains("several subnets (spoke/other, spoke/build)")
    );
}

#[test]
fn errors_of_an_environment_file_are_all_found() {
    let text = "buildsubnet = 3\nlocation = 4\n[[source]]\nkind = \"resource\"\nfile = 5\n[[source]]\nkind = \"snapshot\"\nparameters = 1\n";
    let source = SourceText::new("environment.toml", text);
    let errors = Environment::read(&toml(text)).unwrap_err();
    let lines: Vec<_> =
        errors.iter().map(|error| (source.position(error.span.start).line, error.code)).collect();
    assert_eq!(
        lines,
        [
            (1, "unknown-field"),
            (2, "wrong-type"),
            (4, "bad-value"),
            (5, "wrong-type"),
            (6, "missing-field"),
            (7, "unsupported"),
            (8, "wrong-type")
        ]
    );
}

#[test]
fn what_is_written_reads_back() {
    let allow = ["deb.example.org:80", "*.example.org:443", "git.example.org:22"]
        .map(|text| Endpoint::parse(text).unwrap());
    let policy = NetworkPolicy::default_for(&allow);
    let nsg = policy.subnet_nsg.as_ref().unwrap();
    let firewall = policy.firewall.as_ref().unwrap();
    assert_eq!(policy(&nsg.to_arm_json()).subnet_nsg.as_ref(), Some(nsg));
    assert_eq!(policy(&firewall.policy.to_arm_json()).firewall.as_ref(), Some(firewall));
    let full = policy(FIREWALL);
    assert_eq!(full.canonical(), policy(FIREWALL).canonical());
}

#[test]
fn the_canonical_text_tells_policies_apart_and_nothing_else() {
    let of = |texts: &[&str]| {
        let allow: Vec<_> = texts.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
        NetworkPolicy::default_for(&allow).canonical()
    };
    assert_eq!(
        of(&["a.example.org:443", "b.example.org:443"]),
        of(&["b.example.org:443", "a.example.org:443", "A.example.org:443"])
    );
    assert_ne!(of(&["a.example.org:443"]), of(&["a.example.org:80"]));
    assert_ne!(of(&["a.example.org:443"]), of(&["*a.example.org:443"]));
    assert!(!of(&[]).contains('\n'));
}

#[test]
fn hostile_documents_end_in_errors() {
    for text in [
        "null",
        "3",
        "\"x\"",
        "[]",
        "{}",
        "[[[[]]]]",
        r#"{"value": {"value": []}}"#,
        r#"{"securityRules": 3}"#,
        r#"{"securityRules": [3, null, "x", [], {}]}"#,
        r#"{"properties": 1, "type": 2, "securityRules": [{"properties": []}]}"#,
        r#"{"ruleCollections": [{"rules": [{}]}]}"#,
        r#"{"addressSpace": "x", "subnets": {}}"#,
        r#"{"name": "g", "securityRules": "[parameters('rules')]"}"#,
        r#"{"name": "g", "securityRules": [], "copy": {"count": 2}}"#,
        r#"{"type": "Microsoft.Network/networkSecurityGroups/securityRules", "name": "g/r"}"#,
        r#"{"effectiveSecurityRules": [{}]}"#,
    ] {
        assert!(open("network.json", &text).is_err(), "{text}");
    }
    // Cut anywhere, a document is an error or a policy, never a panic.
    for end in (0..FIREWALL.len()).filter(|end| FIREWALL.is_char_boundary(*end)) {
        let broken = parse_json(&SourceText::new("cut.json", &FIREWALL[..end]));
        let _ = broken.value.as_ref().map(read);
    }
    let rules = format!(
        r#"{{"name": "g", "securityRules": [{}]}}"#,
        vec![format!(r#"{{"name": "a", {RULE}}}"#); 1001].join(",")
    );
    assert!(complaints(&rules)[0].contains("1001 rules"));
}
