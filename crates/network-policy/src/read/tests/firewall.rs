//! Firewalls, their policies and IP groups.

use super::*;

pub(super) const FIREWALL: &str = r#"[
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
     {"ruleCollectionType": "FirewallPolicyNatRuleCollection", "name": "dnat", "priority": 100, "action": {"type": "DNAT"},
      "rules": [{"ruleType": "NatRule", "name": "ssh", "ipProtocols": ["TCP"], "sourceAddresses": ["*"],
        "destinationAddresses": ["20.1.2.3"], "destinationPorts": ["2222"], "translatedAddress": "10.241.0.9",
        "translatedPort": "22"}]},
     {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "yes", "priority": 100,
      "action": {"type": "Allow"}, "rules": [
        {"ruleType": "ApplicationRule", "name": "hosts", "sourceIpGroups": ["/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/ipGroups/builders"],
         "protocols": [{"protocolType": "Https", "port": 443}, {"protocolType": "Mssql", "port": 1433}],
         "targetFqdns": ["*.example.org"]},
        {"ruleType": "NetworkRule", "name": "time", "ipProtocols": ["UDP"], "sourceAddresses": ["10.241.0.0/28"],
         "destinationAddresses": ["*"], "destinationPorts": ["123"]}]}]}},
  {"type": "Microsoft.Network/ipGroups", "name": "builders", "properties": {"ipAddresses": ["10.241.0.0/28"]}},
  {"type": "Microsoft.Network/virtualNetworks", "name": "spoke", "properties": {
     "addressSpace": {"addressPrefixes": ["10.241.0.0/16"]},
     "subnets": [{"name": "build", "properties": {"addressPrefix": "10.241.0.0/28", "routeTable":
       {"id": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/routeTables/out"}}}]}},
  {"type": "Microsoft.Network/azureFirewalls", "name": "fw", "properties": {
     "firewallPolicy": {"id": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/firewallPolicies/hub"},
     "ipConfigurations": [{"name": "ip", "properties": {"privateIPAddress": "10.241.9.4"}}]}},
  {"type": "Microsoft.Network/routeTables", "name": "out", "properties": {"routes": [{"name": "all", "properties":
     {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.241.9.4"}}]}}
]"#;

#[test]
fn a_firewall_policy_reads_with_its_parent_groups_and_ip_groups() {
    let policy = described(FIREWALL);
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
    let ssh =
        policy.firewall.as_ref().unwrap().policy.groups()[1].collections.iter().find(|c| c.name == "dnat");
    let [crate::FirewallRule::Nat(ssh)] = &ssh.unwrap().rules[..] else { panic!("{ssh:?}") };
    assert_eq!((ssh.name.as_str(), ssh.translated.as_str()), ("ssh", "10.241.0.9:22"));
    let time = Flow { protocol: Protocol::Udp, port: 123, application: None, ..tls("time.example.net") };
    assert_eq!(decided(&policy, &time), (Verdict::Allowed, Layer::FirewallNetwork, "time".to_owned()));
}

#[test]
fn what_a_firewall_policy_points_at_and_no_document_tells_leaves_answers_open() {
    let two = r#"[{"type": "Microsoft.Network/firewallPolicies", "name": "a"},
        {"type": "Microsoft.Network/firewallPolicies", "name": "b"}]"#;
    // Two policies without a tie: neither is known to be the one in force.
    assert!(complaints(two)[0].contains("several firewalls (a, b)"), "{:?}", complaints(two));
    let missing = r#"{"type": "Microsoft.Network/firewallPolicies", "name": "hub",
        "properties": {"basePolicy": {"id": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/firewallPolicies/base"}}}"#;
    let listed = r#"{"type": "Microsoft.Network/firewallPolicies", "name": "hub",
        "ruleCollectionGroups": [{"id": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/firewallPolicies/hub/ruleCollectionGroups/g"}]}"#;
    for (text, name) in
        [(missing, "firewallPolicies/base is in none"), (listed, "ruleCollectionGroups/g is in none")]
    {
        let world = World::of(("network.json", text), &[]);
        assert!(world.warnings()[0].contains(name), "{:?}", world.warnings());
        assert_eq!(world.policy().decide(&tls("www.example.org")).verdict, Verdict::Undecided);
    }
}

#[test]
fn policies_that_are_parents_of_each_other_are_an_error_at_one_of_them() {
    let policy = |name: &str, base: &str| {
        format!(
            r#"{{"type": "Microsoft.Network/firewallPolicies", "name": "{name}", "basePolicy":
            {{"id": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/firewallPolicies/{base}"}}}}"#
        )
    };
    for text in [format!("[{},\n{}]", policy("a", "b"), policy("b", "a")), policy("a", "A")] {
        let told = complaints(&text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(".basePolicy ") || told[0].contains("parents of each other"), "{told:?}");
    }
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
    let policy = described(text);
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
        "1:27 g.priority `7` is not allowed",
        "`Drop` is not allowed",
        "an asterisk is only taken as the first character",
        "`Ftp` is not allowed",
        "`0` is not a port",
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

/// One application rule with one target; whether documents may hold it, and the names that are said to fit.
const WILDCARDS: [(&str, &str, Option<&[&str]>); 16] = [
    ("targetUrls", "www.contoso.com", Some(&["www.contoso.com"])),
    ("targetUrls", "*.contoso.com", Some(&["any.contoso.com", "sub1.any.contoso.com"])),
    (
        "targetUrls",
        "*contoso.com",
        Some(&["example.anycontoso.com", "sub1.example.contoso.com", "contoso.com", "th3re4lcontoso.com"]),
    ),
    ("targetUrls", "www.contoso.com/test", Some(&["www.contoso.com"])),
    ("targetUrls", "www.contoso.com/test/*", Some(&["www.contoso.com"])),
    ("targetUrls", "www.contoso.*/test/*", None),
    ("targetUrls", "www.contoso.com/test?example=1", None),
    ("targetUrls", "www.contoso.*", None),
    ("targetUrls", "www.*contoso.com", None),
    ("targetUrls", "www.contoso.com:8080", None),
    ("targetUrls", "*.contoso.*", None),
    ("targetFqdns", "www.contoso.com", Some(&["www.contoso.com"])),
    ("targetFqdns", "*.contoso.com", Some(&["any.contoso.com"])),
    ("targetFqdns", "*contoso.com", Some(&["example.anycontoso.com", "contoso.com"])),
    ("targetFqdns", "www.contoso.*", None),
    ("targetFqdns", "*.contoso.*", None),
];

/// Azure Firewall FAQ, "How do wildcards work in target URLs and target FQDNs in application rules?", every row. A flow
/// names a host and no path, so that a URL may match it or not: only a host that does not fit is decided.
#[test]
fn documented_wildcards_of_urls_and_names() {
    const HOSTS: [&str; 8] = [
        "www.contoso.com",
        "any.contoso.com",
        "sub1.any.contoso.com",
        "sub1.example.contoso.com",
        "example.anycontoso.com",
        "contoso.com",
        "th3re4lcontoso.com",
        "contoso.com.example.org",
    ];
    for (field, target, fits) in WILDCARDS {
        let text = format!(
            r#"{{"name": "g", "priority": 200, "ruleCollections": [{{"name": "c", "priority": 100,
            "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "action": {{"type": "Allow"}},
            "rules": [{{"ruleType": "ApplicationRule", "name": "r", "sourceAddresses": ["*"], "{field}": ["{target}"],
                "terminateTLS": true, "protocols": [{{"protocolType": "Https", "port": 443}}]}}]}}]}}"#
        );
        let Some(fits) = fits else {
            assert_eq!(complaints(&text).len(), 1, "{field} {target}");
            continue;
        };
        let policy = described(&text).compile();
        let found = if field == "targetUrls" { Verdict::Undecided } else { Verdict::Allowed };
        for host in fits {
            assert_eq!(policy.decide(&tls(host)).verdict, found, "{field} {target} {host}");
        }
        // The names that are not among the row's examples follow from its words.
        let pattern = target.split('/').next().unwrap();
        for host in HOSTS {
            let expected = match pattern.strip_prefix('*') {
                Some(end) => host.ends_with(end),
                None => host == pattern,
            };
            let expected = if expected { found } else { Verdict::Denied };
            assert_eq!(policy.decide(&tls(host)).verdict, expected, "{field} {target} {host}");
        }
    }
}

#[test]
fn a_url_leaves_a_proof_open_and_says_that_the_path_would_decide() {
    let text = r#"{"name": "g", "priority": 200, "ruleCollections": [{"name": "c", "priority": 100,
        "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "action": {"type": "Allow"},
        "rules": [{"ruleType": "ApplicationRule", "name": "r", "sourceAddresses": ["*"], "targetUrls": ["www.contoso.com/test/*"],
            "protocols": [{"protocolType": "Https", "port": 443}]}]}]}"#;
    let contract = crate::Contract::parse("deny outbound tcp * -> Internet:443").unwrap();
    let proof = described(text).prove(&contract);
    assert_eq!(proof.verdict, crate::ProofVerdict::Depends);
    assert_eq!(proof.open, ["the path that is asked for, beside www.contoso.com/test/* (rule 'r')"]);
}

/// Azure Firewall rule processing: application rules look at HTTP, HTTPS and MSSQL, each on its ports.
#[test]
fn sql_is_decided_by_its_name_and_port() {
    let policy = described(FIREWALL);
    let sql = |name: &str| Flow { port: 1433, application: Some(Application::Mssql), ..tls(name) };
    let hosts = (Verdict::Allowed, Layer::FirewallApplication, "hosts".to_owned());
    assert_eq!(decided(&policy, &sql("db.example.org")), hosts);
    assert_eq!(decided(&policy, &sql("db.example.net")).0, Verdict::Denied);
    assert_eq!(decided(&policy, &Flow { port: 443, ..sql("db.example.org") }).0, Verdict::Denied);
    assert_eq!(decided(&policy, &Flow { port: 1433, ..tls("db.example.org") }).0, Verdict::Denied);
    for (line, verdict) in [
        ("allow outbound tcp * -> *.example.org:1433", crate::ProofVerdict::Proved),
        ("deny outbound tcp * -> Internet:1433", crate::ProofVerdict::Refuted),
        ("deny outbound tcp * -> *.example.net:1433", crate::ProofVerdict::Proved),
    ] {
        let proof = policy.prove(&crate::Contract::parse(line).unwrap());
        assert_eq!(proof.verdict, verdict, "{line} {proof:#?}");
    }
}
