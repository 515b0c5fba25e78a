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
