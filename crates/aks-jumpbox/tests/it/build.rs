//! What `build` and `try` say before anything is built.

use crate::program::Place;

const BAD_TEMPLATE: &str = r#"{
  "type": "Microsoft.VirtualMachineImages/imageTemplates",
  "apiVersion": "2024-02-01",
  "location": "eastus2",
  "identity": {"type": "UserAssigned", "userAssignedIdentities": {"<identity>": {}}},
  "properties": {
    "source": {"type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"},
    "customise": [],
    "customize": [{"type": "Shel", "name": "Install", "inline": ["true"]}],
    "distribute": [{"type": "VHD", "runOutputName": "box"}]
  }
}
"#;

#[test]
fn a_wrong_template_is_shown_with_every_place() {
    let place = Place::new();
    place.write("image.json", BAD_TEMPLATE);
    insta::assert_snapshot!(place.run("build --template image.json"));
}

#[test]
fn a_wrong_template_is_json_with_every_place() {
    let place = Place::new();
    place.write("image.json", BAD_TEMPLATE);
    let answer = place.run("build --template image.json --format json");
    assert_eq!(answer.code, Some(2), "{answer}");
    let errors = answer.json()["errors"].as_array().expect("several").clone();
    let places: Vec<_> =
        errors.iter().map(|error| (error["line"].as_u64(), error["category"].as_str())).collect();
    assert_eq!(places, [(Some(8), Some("template")), (Some(9), Some("template"))], "{answer}");
    let text = errors[0].to_string();
    assert!(text.contains("customize"), "the nearest right spelling is named: {text}");
}

#[test]
fn what_is_no_template_at_all_is_an_error_with_a_place() {
    let place = Place::new();
    for text in ["", "{", "[]", "null", "{\"a\":}", "\u{feff}{}", "{} {}"] {
        place.write("image.json", text);
        let answer = place.run("build --template image.json --format json");
        assert_eq!(answer.code, Some(2), "{text:?}: {answer}");
        let json = answer.json();
        let first = if json["error"].is_object() { &json["error"] } else { &json["errors"][0] };
        assert_eq!(first["category"], "template", "{text:?}: {answer}");
        assert!(first["line"].is_u64() && first["column"].is_u64(), "{text:?}: {answer}");
    }
}

#[test]
fn files_that_are_missing_or_no_text_are_wrong_questions() {
    let place = Place::new();
    std::fs::write(place.path().join("image.json"), [b'{', 0xff, 0xfe]).expect("written");
    for line in ["build --template nowhere.json", "build --template .", "build --template image.json"] {
        let answer = place.run(&format!("{line} --format json"));
        assert_eq!(answer.code, Some(2), "{line}: {answer}");
        assert_eq!(answer.json()["error"]["category"], "input", "{line}: {answer}");
    }
}

#[test]
fn wrong_network_rules_are_shown_with_their_place() {
    let place = Place::new();
    place.write(
        "nsg.json",
        r#"{"type": "Microsoft.Network/networkSecurityGroups", "name": "nsg", "properties": {"securityRules": [
  {"name": "AllowHttps", "properties": {"protocol": "Tcp", "access": "Alow", "direction": "Outbound", "priority": 100,
   "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "Internet", "destinationPortRange": "443"}}]}}
"#,
    );
    let answer = place.run("build --network nsg.json --format json");
    assert_eq!(answer.code, Some(2), "{answer}");
    assert_eq!(answer.json()["error"]["line"], 2, "{answer}");
}

#[test]
fn a_shell_needs_a_terminal() {
    let answer = Place::new().run("build --shell-on-error");
    assert_eq!(answer.code, Some(2), "{answer}");
}

#[test]
fn try_without_an_image_says_how_to_make_one() {
    insta::assert_snapshot!(Place::new().run("try"), @"
    exit 2
    --- stdout
    --- stderr
    error: there is no image in out/
    hint: build one with `aks-jumpbox build`, or name a disk
    ");
}
