//! The weekly file of service tags.

use super::*;

const FILE: &str = r#"{"changeNumber": 376, "cloud": "Public", "values": [
  {"name": "Storage.EastUS2", "id": "Storage.EastUS2", "properties": {"changeNumber": 12, "region": "eastus2", "platform": "Azure",
   "systemService": "AzureStorage", "addressPrefixes": ["20.60.0.0/24", "2603:1030::/32"], "networkFeatures": ["NSG"]}},
  {"name": "AzureFrontDoor.Frontend", "properties": {"changeNumber": "3", "addressPrefixes": ["13.107.208.0/24"]}}]}"#;

#[test]
fn a_file_of_service_tags_says_which_one_it_is() {
    let tags = read_service_tags(&SourceText::new("tags.json", FILE), "abc").unwrap();
    assert_eq!(tags.source(), "service tags of the Public cloud, change number 376, sha256 abc");
    assert!(tags.contains("storage.eastus2") && tags.contains("AzureFrontDoor.FrontEnd"));
    assert_eq!(tags.names().count(), 2);
    // What the tags decide: a rule by tag, with both families.
    let group = r#"{"name": "nsg", "securityRules": [{"name": "storage", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "storage.EASTUS2", "destinationPortRange": "443",
        "access": "Deny", "priority": 100, "direction": "Outbound"}]}"#;
    let mut policy = described(group);
    policy.context.tags = tags.into();
    let to = |address: &str| {
        let destination = Destination::Address(address.parse().unwrap());
        policy.decide(&Flow { destination, application: None, ..tls("x") }).rule
    };
    assert_eq!(to("20.60.0.9"), "storage");
    assert_eq!(to("20.60.1.9"), "AllowInternetOutBound");
}

#[test]
fn every_error_of_a_file_of_service_tags_stands_at_its_place() {
    let text = "{\"changeNumber\": \"x\", \"values\": [\n {\"name\": \"A\", \"properties\": {\"addressPrefixes\": [\"10.0.0.1/8\", 3]}},\n {\"properties\": {}},\n {\"name\": \"a\", \"properties\": {\"addressPrefixes\": []}}]}";
    let source = SourceText::new("tags.json", text);
    let found = read_service_tags(&source, "0").unwrap_err();
    let told: Vec<_> =
        found.iter().map(|found| (source.position(found.span.start).line, found.code)).collect();
    assert_eq!(
        told,
        [
            (1, "missing-field"),
            (1, "wrong-type"),
            (2, "unknown-value"),
            (2, "wrong-type"),
            (3, "missing-field"),
            (4, "duplicate-name"),
        ]
    );
}
