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

/// Documents of this module's tests, each as the single document and as one that an environment file names.
fn documents() -> impl proptest::strategy::Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        firewall::FIREWALL,
        environment::HUB,
        environment::SPOKE,
        environment::PLAN,
        shapes::EFFECTIVE,
    ])
}

/// One act of damage: bytes cut out, doubled, or replaced by what means something.
fn damaged(text: &str, acts: &[(usize, usize, usize)]) -> String {
    const MEANINGFUL: [&str; 12] =
        ["null", "[]", "{}", "\"\"", "true", "-1", "\"[parameters('x')]\"", "\"/\"", "\"*\"", ",", "]", "}"];
    let mut text = text.to_owned();
    for &(act, at, length) in acts {
        let bound = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (bound(at % (text.len() + 1)), bound(at % (text.len() + 1) + length));
        let piece = text[start..end].to_owned();
        match act % 3 {
            0 => text.replace_range(start..end, ""),
            1 => text.insert_str(end, &piece),
            _ => {
                // A whole value, so that the text often stays JSON.
                let from = text[start..].find(": ").map_or(start, |found| start + found + 2);
                let to = text[from..].find([',', '}', '\n']).map_or(from, |found| from + found);
                text.replace_range(from..to, MEANINGFUL[length % MEANINGFUL.len()]);
            }
        }
    }
    text
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 300, failure_persistence: None, ..Default::default() })]

    /// A damaged document reads, or is refused for a reason at a place; it never panics.
    #[test]
    fn damage_ends_in_a_policy_or_in_an_error_with_its_place(
        document in documents(),
        acts in proptest::collection::vec((0usize..3, 0usize..20_000, 0usize..60), 1..4),
        kind in proptest::sample::select(vec!["resources", "arm-template", "terraform-plan", "snapshot"]),
    ) {
        let text = damaged(document, &acts);
        let alone = World::of(("network.json", &text), &[]);
        let file = format!("[[source]]\nkind = '{kind}'\nfile = 'a.json'\nparameters_file = 'a.json'\n");
        let named = World::of(("environment.toml", &file), &[("a.json", &text)]);
        for world in [alone, named] {
            if let Err(found) = &world.read {
                proptest::prop_assert!(found.iter().any(Diagnostic::is_error));
                proptest::prop_assert_eq!(world.told(found).len(), found.len());
            }
        }
    }
}
