//! Documents that no one should send.

use super::*;

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
        r#"{"type": "Microsoft.Network/networkSecurityGroups/securityRules", "name": "g/r"}"#,
        r#"{"effectiveSecurityRules": [{}]}"#,
    ] {
        assert!(World::of(("network.json", text), &[]).read.is_err(), "{text}");
    }
    // Cut anywhere, a document is an error or a policy, never a panic.
    for end in (0..firewall::FIREWALL.len()).filter(|end| firewall::FIREWALL.is_char_boundary(*end)) {
        let _ = World::of(("cut.json", &firewall::FIREWALL[..end]), &[]);
    }
    let rule = shapes::RULE;
    let rules: Vec<_> = (0..1001).map(|n| format!(r#"{{"name": "a{n}", {rule}}}"#)).collect();
    let rules = format!(r#"{{"name": "g", "securityRules": [{}]}}"#, rules.join(","));
    assert!(complaints(&rules)[0].contains("1001 rules"));
}
