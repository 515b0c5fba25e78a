//! Contracts against network rules.

use crate::program::Place;

const NSG: &str = include_str!("../../../../docs/examples/network/nsg.json");
const CONTRACTS: &str = include_str!("../../../../docs/examples/network/contracts.txt");
const EXAMPLE: &str = "prove --nsg nsg.json --virtual-network 10.241.0.0/24 --subnet 10.241.0.0/28";

fn place() -> Place {
    let place = Place::new();
    place.write("nsg.json", NSG);
    place.write("contracts.txt", CONTRACTS);
    place
}

#[test]
fn every_wrong_contract_is_shown_with_its_place() {
    let place = place();
    let wrong = "# comment\nalow outbound tcp * -> Internet:443\n\ndeny outbound tcp * -> Internet:123  # fine\n  deny inbound tcp 10.0.0.1/8 -> *\n";
    place.write("contracts.txt", wrong);
    insta::assert_snapshot!(place.run(&format!("{EXAMPLE} --contracts contracts.txt")));
    let json = place.run(&format!("{EXAMPLE} --contracts contracts.txt --format json"));
    assert_eq!(json.code, Some(2), "{json}");
    let json = json.json();
    let places: Vec<_> =
        json["errors"].as_array().expect("several").iter().map(|e| (&e["line"], &e["column"])).collect();
    assert_eq!(places, [(&2.into(), &1.into()), (&5.into(), &20.into())], "{json}");
}

#[test]
fn a_proof_of_nothing_is_no_proof() {
    let place = place();
    place.write("empty.txt", "# nothing\n\n");
    for line in [format!("{EXAMPLE} --contracts empty.txt"), EXAMPLE.to_owned()] {
        let answer = place.run(&line);
        assert_eq!(answer.code, Some(2), "{line}: {answer}");
        assert!(answer.stderr.contains("no contract"), "{answer}");
    }
}

#[test]
fn rules_that_do_not_fit_are_wrong_questions() {
    let place = place();
    place.write(
        "vnet.json",
        r#"{"name": "vnet", "properties": {"addressSpace": {"addressPrefixes": ["10.241.0.0/24"]}}}"#,
    );
    for (line, said) in [
        ("prove --contracts contracts.txt", "none were named"),
        ("prove --nsg nowhere.json --contracts contracts.txt", "nowhere.json"),
        ("prove --nsg nsg.json --contracts nowhere.txt", "nowhere.txt"),
        ("prove --nsg vnet.json --contracts contracts.txt", "vnet.json"),
        ("prove --nsg nsg.json --environment nsg.json --contracts contracts.txt", "cannot be used with"),
        ("prove --nsg nsg.json --subnet 10.241.0.1/28 --contracts contracts.txt", "10.241.0.0/28"),
        (
            "prove --nsg nsg.json --virtual-network 10.0.0.0/24 --subnet 10.241.0.0/28 --contracts contracts.txt",
            "not in the virtual network",
        ),
    ] {
        let answer = place.run(line);
        assert_eq!(answer.code, Some(2), "{line}: {answer}");
        assert!(answer.stderr.contains(said), "{line}: {answer}");
    }
}

#[test]
fn prefixes_that_overlap_in_a_rule_are_told() {
    let place = place();
    let overlapping = r#""destinationAddressPrefixes": ["20.60.0.0/16", "20.0.0.0/8", "20.60.1.0/24"]"#;
    place.write("nsg.json", &NSG.replacen(r#""destinationAddressPrefix": "Internet""#, overlapping, 1));
    let answer = place.run(&format!("{EXAMPLE} --contracts contracts.txt"));
    assert!(answer.stderr.contains("destination 20.60.0.0/16 lies within 20.0.0.0/8"), "{answer}");
    assert!(answer.stderr.contains("destination 20.60.1.0/24 lies within 20.0.0.0/8"), "{answer}");
    let json = place.run(&format!("{EXAMPLE} --contracts contracts.txt --format json")).json();
    assert_eq!(json["warnings"].as_array().map(Vec::len), Some(2), "{json}");
}

#[test]
fn the_example_keeps_its_contracts_and_the_checker_agrees() {
    let place = place();
    insta::assert_snapshot!(place.run(&format!("{EXAMPLE} --contracts contracts.txt --certificate")));
    let json = place.run(&format!("{EXAMPLE} --contracts contracts.txt --format json"));
    assert_eq!(json.code, Some(0), "{json}");
    let json = json.json();
    assert_eq!(json["verdict"], "pass", "{json}");
    for contract in json["contracts"].as_array().expect("a list") {
        assert_eq!(contract["verdict"], "proved", "{contract}");
        assert!(contract["packet"].is_null() && contract["certificate"].is_array(), "{contract}");
    }
}

/// Somebody refused a network of Azure Storage, in good faith, before the rule that allows TCP 443.
fn with_a_denial() -> String {
    let denial = r#""securityRules": [{"name": "DenyPartner", "properties": {"priority": 101, "direction": "Outbound",
      "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
      "destinationAddressPrefixes": ["20.60.0.0/16", "52.239.192.0/18"], "destinationPortRange": "*"}},"#;
    let https = "\"AllowHttpsOutbound\", \"properties\": {\"priority\": ";
    NSG.replacen("\"securityRules\": [", denial, 1).replace(&format!("{https}100"), &format!("{https}102"))
}

#[test]
fn a_refuted_contract_shows_its_packet_and_the_rule() {
    let place = place();
    place.write("nsg.json", &with_a_denial());
    let answer = place.run(&format!("{EXAMPLE} --contracts contracts.txt"));
    assert_eq!(answer.code, Some(1), "{answer}");
    insta::assert_snapshot!(answer);

    let json = place.run(&format!("{EXAMPLE} --contracts contracts.txt --format json"));
    assert_eq!((json.code, &json.json()["verdict"]), (Some(1), &"fail".into()), "{json}");
    let json = json.json();
    let refuted: Vec<_> =
        json["contracts"].as_array().expect("a list").iter().filter(|c| c["verdict"] == "refuted").collect();
    assert_eq!(refuted.len(), 2, "{json}");
    assert_eq!(refuted[0]["decided_by"]["layer"], "subnet-nsg", "{json}");
    assert_eq!(refuted[0]["decided_by"]["rule"], "DenyPartner", "{json}");
    assert_eq!(refuted[0]["decided_by"]["priority"], 101, "{json}");

    // The packet is asked about on its own, and denied by the same rule.
    let packet = &refuted[0]["packet"];
    let word = |name: &str| packet[name].as_str().expect("a text").to_owned();
    let flow = EXAMPLE.replacen("prove", "explain", 1);
    let line = format!(
        "{flow} --direction {} --protocol {} --from {} --to {} --format json",
        word("direction"),
        word("protocol"),
        word("from"),
        word("to")
    );
    let path = place.run(&line);
    assert_eq!(path.code, Some(1), "{path}");
    assert_eq!(path.json()["path"][0]["rule"], "DenyPartner", "{path}");
}

#[test]
fn what_is_not_known_is_no_pass_and_is_named() {
    let place = place();
    let answer = place.run("prove --nsg nsg.json --subnet 10.241.0.0/28 --contracts contracts.txt");
    assert_eq!(answer.code, Some(3), "the virtual network was not given: {answer}");
    assert!(answer.stdout.contains("decided by:"), "{answer}");

    place.write("tag.txt", "deny outbound tcp 10.241.0.0/28 -> Storage.EastUS2:443\n");
    place.write(
        "nsg.json",
        &NSG.replacen(
            "\"destinationAddressPrefix\": \"Internet\"",
            "\"destinationAddressPrefix\": \"Storage\"",
            1,
        ),
    );
    let open = place.run(&format!("{EXAMPLE} --contracts tag.txt"));
    assert_eq!(open.code, Some(3), "{open}");
    assert!(open.stdout.contains("Storage") && open.stderr.contains("--service-tags"), "{open}");
    place.write(
        "tags.json",
        r#"{"changeNumber": 1, "cloud": "Public", "values": [
          {"name": "Storage", "id": "Storage", "properties": {"changeNumber": 1, "addressPrefixes": ["20.60.0.0/16"]}},
          {"name": "Storage.EastUS2", "id": "Storage.EastUS2", "properties": {"changeNumber": 1, "addressPrefixes": ["20.60.0.0/24"]}}]}"#,
    );
    let decided = place.run(&format!("{EXAMPLE} --contracts tag.txt --service-tags tags.json"));
    assert_eq!(decided.code, Some(1), "{decided}");
    assert!(decided.stdout.contains("20.60.0."), "{decided}");
}

#[test]
fn a_repair_is_shown_in_three_languages_and_holds_once_it_is_applied() {
    let place = place();
    place.write("asked.txt", "allow outbound tcp 10.241.0.0/28 -> 203.0.113.7:8443\n");
    let asked = "--contracts asked.txt";
    insta::assert_snapshot!(place.run(&format!("{EXAMPLE} {asked} --repair")));
    let terraform = place.run(&format!("{EXAMPLE} {asked} --repair=terraform"));
    assert!(terraform.stdout.contains("resource \"azurerm_network_security_rule\""), "{terraform}");

    let json = place.run(&format!("{EXAMPLE} {asked} --repair --format json"));
    assert_eq!(json.code, Some(1), "a repair that is shown is not done: {json}");
    let repair = &json.json()["repair"];
    let rule = &repair["rules"][0];
    assert!(rule["az"].as_str().is_some_and(|az| az.starts_with("az network nsg rule create ")), "{repair}");

    // The group with that rule keeps the contract, and all those it kept before.
    let arm = serde_json::to_string(&rule["arm"]).expect("JSON");
    place.write("nsg.json", &NSG.replacen("\"securityRules\": [", &format!("\"securityRules\": [{arm},"), 1));
    let answer = place.run(&format!("{EXAMPLE} {asked} --contracts contracts.txt --repair"));
    assert_eq!(answer.code, Some(0), "{answer}");
    assert!(answer.stdout.contains("nothing is refuted"), "{answer}");
}

#[test]
fn what_rules_allow_beyond_contracts_is_reported_largest_first() {
    let place = place();
    // The example's rules speak of the whole virtual network, its contracts of the build subnet.
    insta::assert_snapshot!(place.run(&format!("{EXAMPLE} --excess contracts.txt")));

    let whole = "allow outbound tcp * -> VirtualNetwork:22\nallow inbound tcp VirtualNetwork -> *:22\n\
                 allow inbound tcp VirtualNetwork -> *:60001\n";
    place.write("whole.txt", &format!("{CONTRACTS}\n{whole}"));
    let answer = place.run(&format!("{EXAMPLE} --excess whole.txt"));
    assert_eq!(answer.code, Some(0), "nothing is allowed that no contract asks for: {answer}");

    // Without the contract of port 80, nothing needs its rule, which allows by far the most.
    let fewer: Vec<_> = CONTRACTS.lines().filter(|line| !line.contains("Internet:80")).collect();
    place.write("fewer.txt", &fewer.join("\n"));
    let json = place.run(&format!("{EXAMPLE} --excess fewer.txt --format json"));
    assert_eq!((json.code, &json.json()["verdict"]), (Some(1), &"fail".into()), "{json}");
    let first = &json.json()["excess"][0];
    assert_eq!(
        (&first["decided_by"]["rule"], &first["needed"]),
        (&"AllowHttpOutbound".into(), &false.into())
    );

    place.write("wrong.txt", "allow outbound tcp * ->\n");
    assert_eq!(place.run(&format!("{EXAMPLE} --excess wrong.txt")).code, Some(2));
}
