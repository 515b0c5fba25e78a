//! The path of one flow.

use crate::program::Place;

const NSG: &str = include_str!("../../../../docs/examples/network/nsg.json");
const GROUP: &str = "explain --nsg nsg.json --virtual-network 10.241.0.0/24 --subnet 10.241.0.0/28";

/// The group on a subnet that a route leads from to a firewall, as an environment.
fn environment() -> Place {
    let place = Place::new();
    place.write("nsg.json", NSG);
    place.write(
        "environment.toml",
        "build_subnet = \"vnet/snet\"\n[[source]]\nkind = \"resources\"\nfile = \"network.json\"\n",
    );
    let id = |kind: &str, name: &str| {
        format!(
            "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network/{kind}/{name}"
        )
    };
    let group = NSG.replacen(
        "\"name\": \"nsg-imagebuilder\"",
        &format!(
            "\"name\": \"nsg-imagebuilder\", \"id\": \"{}\"",
            id("networkSecurityGroups", "nsg-imagebuilder")
        ),
        1,
    );
    let network = format!(
        r#"[{group},
 {{"type": "Microsoft.Network/virtualNetworks", "name": "vnet", "id": "{vnet}", "properties": {{
    "addressSpace": {{"addressPrefixes": ["10.241.0.0/24"]}},
    "subnets": [{{"name": "snet", "id": "{vnet}/subnets/snet", "properties": {{"addressPrefix": "10.241.0.0/28",
      "networkSecurityGroup": {{"id": "{nsg}"}}, "routeTable": {{"id": "{routes}"}}}}}}]}}}},
 {{"type": "Microsoft.Network/routeTables", "name": "rt", "id": "{routes}", "properties": {{"routes": [
    {{"name": "all", "properties": {{"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.200.0.4"}}}}]}}}},
 {{"type": "Microsoft.Network/azureFirewalls", "name": "fw-hub", "id": "{firewall}", "properties": {{
    "ipConfigurations": [{{"name": "one", "properties": {{"privateIPAddress": "10.200.0.4"}}}}],
    "applicationRuleCollections": [{{"name": "allowed", "properties": {{"priority": 200, "action": {{"type": "Allow"}}, "rules": [
      {{"name": "storage", "sourceAddresses": ["*"], "protocols": [{{"protocolType": "Https", "port": 443}}], "targetFqdns": ["*.blob.core.windows.net"]}}]}}}}]}}}}]"#,
        vnet = id("virtualNetworks", "vnet"),
        nsg = id("networkSecurityGroups", "nsg-imagebuilder"),
        routes = id("routeTables", "rt"),
        firewall = id("azureFirewalls", "fw-hub"),
    );
    place.write("network.json", &network);
    place
}

#[test]
fn the_path_is_drawn_with_the_rule_that_nearly_allowed() {
    let place = environment();
    insta::assert_snapshot!(place.run(&format!(
        "{GROUP} --direction outbound --protocol tcp --from 10.241.0.5:50000 --to 20.60.0.1:8443"
    )));
}

#[test]
fn every_layer_of_an_environment_is_met_in_order() {
    let place = environment();
    let flow = "explain --environment environment.toml --direction outbound --protocol tcp --from 10.241.0.5";
    insta::assert_snapshot!(place.run(&format!("{flow} --to abc.blob.core.windows.net:443")));
    let refused = place.run(&format!("{flow} --to get.example.org:443"));
    assert_eq!(refused.code, Some(1), "{refused}");
    insta::assert_snapshot!(refused);
}

#[test]
fn programs_get_the_contract() {
    let place = environment();
    let answer = place.run(&format!("{GROUP} --direction inbound --protocol tcp --from 168.63.129.16:50000 --to 10.241.0.5:60001 --format json"));
    assert_eq!(answer.code, Some(0), "{answer}");
    let json = answer.json();
    assert_eq!(json["decision"], "allowed", "{json}");
    let layer = &json["path"][0];
    assert_eq!(
        (&layer["layer"], &layer["resource"], &layer["rule"], &layer["decision"]),
        (&"subnet-nsg".into(), &"nsg-imagebuilder".into(), &"AllowProbeInbound".into(), &"allowed".into()),
        "{json}"
    );
    let denied = place.run(&format!(
        "{GROUP} --direction outbound --protocol udp --from 10.241.0.5 --to 91.189.91.157:123 --format json"
    ));
    assert_eq!(denied.code, Some(1), "{denied}");
    assert_eq!(denied.json()["decision"], "denied", "{denied}");
    let open = place.run("explain --nsg nsg.json --direction outbound --protocol tcp --from 10.241.0.5 --to 10.250.0.4:22 --format json");
    assert_eq!((open.code, &open.json()["decision"]), (Some(3), &"undecided".into()), "{open}");
}

#[test]
fn flows_that_cannot_be_are_wrong_questions() {
    let place = environment();
    for (rest, said) in [
        ("--direction outbound --protocol tcp --from 10.241.0.5 --to 20.60.0.1", "needs a port"),
        ("--direction outbound --protocol icmp --from 10.241.0.5 --to 20.60.0.1:1", "no ports"),
        (
            "--direction inbound --protocol tcp --from 10.241.0.5 --to get.example.org:443",
            "goes to an address",
        ),
        ("--direction outbound --protocol tcp --from get.example.org --to 20.60.0.1:1", "not an IP address"),
        ("--direction outbound --protocol xtp --from 10.241.0.5 --to 20.60.0.1:1", "tcp, udp, icmp"),
        ("--direction outbound --protocol tcp --from 10.241.0.5", "--to"),
        ("--direction outbound --protocol tcp --from 10.241.0.5 --to *.example.org:443", "not a pattern"),
    ] {
        let answer = place.run(&format!("{GROUP} {rest}"));
        assert_eq!(answer.code, Some(2), "{rest}: {answer}");
        assert!(answer.stderr.contains(said), "{rest}: {answer}");
    }
}

/// Application rules look at the name, network rules and routes at the address; a contract may be about a name.
#[test]
fn an_address_that_is_asked_for_by_name_is_explained_by_both() {
    let place = environment();
    let ask = |to: &str, name: &str| {
        place.run(&format!(
            "explain --environment environment.toml --direction outbound --protocol tcp --from 10.241.0.5 --to {to} \
             --fqdn {name} --format json"
        ))
    };
    let allowed = ask("20.60.0.1:443", "a.blob.core.windows.net");
    assert_eq!(allowed.code, Some(0), "{allowed}");
    let json = allowed.json();
    assert_eq!(json["flow"]["to"], "20.60.0.1:443");
    assert_eq!(json["flow"]["name"], "a.blob.core.windows.net");
    assert_eq!(ask("20.60.0.1:443", "www.example.org").code, Some(1));
    // The group lets port 443 out to the Internet only.
    assert_eq!(ask("10.9.0.9:443", "a.blob.core.windows.net").code, Some(1));
    assert_eq!(ask("a.example.org:443", "b.example.org").code, Some(2));
    place.write(
        "contracts.txt",
        "allow outbound tcp * -> *.blob.core.windows.net:443\nallow outbound tcp * -> *.example.org:443\n",
    );
    let json = place
        .run("prove --environment environment.toml --contracts contracts.txt --certificate --format json")
        .json();
    let (proved, refuted) = (&json["contracts"][0], &json["contracts"][1]);
    assert_eq!(proved["verdict"], "proved", "{proved}");
    assert_eq!(refuted["verdict"], "refuted", "{refuted}");
    assert_eq!(refuted["packet"]["name"], "www.example.org");
}

#[test]
fn what_would_decide_is_told_of_a_name_that_effective_rules_leave_open() {
    let place = Place::new();
    let rule = |name: &str, access: &str, priority: u16, to: &str| {
        format!(
            r#"{{"name": "securityRules/{name}", "protocol": "Tcp", "sourcePortRange": "0-65535", "sourceAddressPrefix": "0.0.0.0/0",
                "destinationPortRange": "443-443", {to}, "access": "{access}", "priority": {priority}, "direction": "Outbound"}}"#
        )
    };
    let storage =
        r#""destinationAddressPrefix": "Storage", "expandedDestinationAddressPrefix": ["20.60.0.0/16"]"#;
    let allow = rule("AllowStorage", "Allow", 100, storage);
    let deny = rule("DenyAll", "Deny", 4000, r#""destinationAddressPrefix": "0.0.0.0/0""#);
    place.write(
        "effective.json",
        &format!(
            r#"{{"value": [{{"association": {{"subnet": {{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet/subnets/snet"}}}},
                "networkSecurityGroup": {{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg"}},
                "effectiveSecurityRules": [{allow}, {deny}]}}]}}"#
        ),
    );
    let flow =
        "explain --environment effective.json --direction outbound --protocol tcp --from 10.241.0.5:50000";
    let name = "x.blob.core.windows.net";
    let answer = place.run(&format!("{flow} --to {name}:443"));
    assert_eq!(answer.code, Some(3), "{answer}");
    for told in [
        "decided by: the addresses of x.blob.core.windows.net",
        "decided by: in effective rules Azure has put the prefixes of its service tags in their place",
        "✓ matches    destination       0.0.0.0/0  x.blob.core.windows.net",
    ] {
        assert!(answer.stdout.contains(told), "{told}: {answer}");
    }
    let json = place.run(&format!("{flow} --to {name}:443 --format json")).json();
    assert_eq!(json["open"][0], "the addresses of x.blob.core.windows.net");
    let decided = place.run(&format!("{flow} --to 20.60.0.1:443 --format json")).json();
    assert_eq!((&decided["decision"], decided["open"].is_null()), (&"allowed".into(), true));
}
