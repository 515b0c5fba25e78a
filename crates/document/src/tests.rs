//! Texts in, values and complaints out.

use proptest::prelude::*;

use crate::{Document, Kind, MAX_DEPTH, Node, Reader, Severity, SourceText, Value, parse_json, parse_toml};

fn json(text: &str) -> Document {
    parse_json(&SourceText::new("a.json", text))
}

/// `line:column code` of every complaint.
fn complaints(read: fn(&SourceText) -> Document, text: &str) -> Vec<String> {
    let source = SourceText::new("a", text);
    let found = read(&source).diagnostics;
    found
        .iter()
        .map(|found| {
            let at = source.position(found.span.start);
            format!("{}:{} {}", at.line, at.column, found.code)
        })
        .collect()
}

#[test]
fn json_values_know_their_places() {
    let text =
        "\u{feff}// note\n{\"a\": [1, -2.5e3, /* x */ true, null], \"b\": \"\\u00e9\\ud83d\\ude00\\n\"}";
    let document = json(text);
    assert_eq!(document.diagnostics, []);
    let value = document.value.expect("a value");
    let item = &value.get("a").and_then(Value::as_array).expect("an array")[1];
    assert_eq!(&text[item.span.start..item.span.end], "-2.5e3");
    let Kind::Number(number) = &item.kind else { panic!("no number") };
    assert_eq!((number.as_i64(), number.as_f64()), (None, Some(-2500.0)));
    assert_eq!(value.get("b").and_then(Value::as_str), Some("é😀\n"));
    let member = &value.as_object().expect("an object").iter().next().expect("a member");
    assert_eq!(&text[member.key_span.start..member.key_span.end], "\"a\"");
}

#[test]
fn json_mistakes_have_places_and_names() {
    for (text, expected) in [
        ("", "1:1 unexpected-end"),
        ("{\"a\": 1,\n}", "1:8 trailing-comma"),
        ("[1,]", "1:3 trailing-comma"),
        ("[1 2]", "1:3 missing-comma"),
        ("{\"a\": 1\n\"b\": 2}", "1:8 missing-comma"),
        ("{\"a\": 1, \"a\": 2}", "1:10 duplicate-field"),
        ("{a: 1}", "1:2 syntax"),
        ("{'a': 1}", "1:2 syntax"),
        ("{\"a\" 1}", "1:6 syntax"),
        ("[True]", "1:2 syntax"),
        ("[01]", "1:3 syntax"),
        ("[1.]", "1:4 syntax"),
        ("[-]", "1:3 syntax"),
        ("\"a\nb\"", "1:1 unexpected-end"),
        ("\"\\x\"", "1:3 syntax"),
        ("\"\\ud800\"", "1:2 syntax"),
        ("\"\\ud800\\u0041\"", "1:2 syntax"),
        ("\"\\u12\"", "1:6 syntax"),
        ("\"\u{1}\"", "1:2 syntax"),
        ("/* a", "1:1 unexpected-end"),
        ("{} {}", "1:4 syntax"),
        ("[}", "1:2 syntax"),
    ] {
        assert_eq!(complaints(parse_json, text), [expected], "{text}");
    }
}

#[test]
fn several_mistakes_are_found_at_once_and_the_value_stays() {
    let text = "{\"a\": [1 2,], \"a\": 3,}";
    assert_eq!(
        complaints(parse_json, text),
        ["1:9 missing-comma", "1:11 trailing-comma", "1:15 duplicate-field", "1:21 trailing-comma"]
    );
    let value = json(text).value.expect("a value");
    assert_eq!(value.get("a").and_then(Value::as_array).map(<[_]>::len), Some(2));
}

#[test]
fn the_number_of_values_has_a_limit() {
    let source = SourceText::new("many.json", r#"[1, {"a": 2}, 3]"#);
    assert!(crate::json::parse_within(&source, 5, false).value.is_some());
    let document = crate::json::parse_within(&source, 4, false);
    assert_eq!(document.value, None);
    assert_eq!(document.diagnostics[0].code, "too-large");
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(json(&nested(MAX_DEPTH)).diagnostics, []);
    assert_eq!(complaints(parse_json, &nested(MAX_DEPTH + 1)), [format!("1:{} too-deep", MAX_DEPTH + 1)]);
    assert_eq!(json(&"{\"a\":".repeat(1_000_000)).diagnostics.len(), 1);
    for text in
        ["[".repeat(100_000), "a.".repeat(100_000) + "a = 1", format!("a = {}", "{b = ".repeat(10_000))]
    {
        assert!(!parse_toml(&SourceText::new("a.toml", text)).diagnostics.is_empty());
    }
}

#[test]
fn toml_becomes_the_same_values() {
    let text = "b = 0x1F\na = [+1, 1_000, 2.5]\n[t]\nd = 2026-01-02\n[[x]]\ny = true\n[[x]]\ny = 'z'\n";
    let document = parse_toml(&SourceText::new("a.toml", text));
    assert_eq!(document.diagnostics, []);
    let value = document.value.expect("a value");
    insta::assert_snapshot!(value.to_json_pretty(), @r#"
    {
      "b": 31,
      "a": [
        1,
        1000,
        2.5
      ],
      "t": {
        "d": "2026-01-02"
      },
      "x": [
        {
          "y": true
        },
        {
          "y": "z"
        }
      ]
    }
    "#);
    let z = value.get("x").and_then(Value::as_array).and_then(|x| x[1].get("y")).expect("a value");
    assert_eq!(&text[z.span.start..z.span.end], "'z'");
}

#[test]
fn toml_mistakes_have_places() {
    assert_eq!(complaints(parse_toml, "a = 1\na = 2\n[b\nc = "), ["2:1 syntax", "3:3 syntax"]);
    assert_eq!(complaints(parse_toml, "a = inf\nb = nan"), ["1:5 number-range", "2:5 number-range"]);
}

#[test]
fn a_field_in_the_wrong_case_counts_where_that_is_a_warning() {
    let document = json("{\"Name\": \"x\", \"name\": \"y\", \"SIZE\": 3}").value.expect("a value");
    for (severity, size) in [(Severity::Error, None), (Severity::Warning, Some(3))] {
        let mut reader = Reader::new();
        reader.unknown_fields_are(severity);
        let fields = reader.fields(&Node::root(&document), &["name", "size"]).expect("an object");
        let name = fields.get("name").and_then(|node| reader.string(&node).map(str::to_owned));
        assert_eq!(name.as_deref(), Some("y"));
        assert_eq!(fields.get("size").and_then(|node| reader.integer(&node, 0..=9)), size);
        let found = reader.finish();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|found| found.severity == severity && found.code == "wrong-case"));
    }
}

#[test]
fn a_long_line_is_shown_around_its_place() {
    let text = format!("{{\"{}\": \u{7}1}}", "x".repeat(500));
    let source = SourceText::new("a.json", text);
    let shown = parse_json(&source).diagnostics[0].render(&source);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[0], "a.json:1:506: error: unexpected `\u{fffd}` [syntax]");
    assert_eq!(
        lines[1].chars().skip(5).position(|c| c == '1'),
        lines[2].chars().skip(5).position(|c| c == '^').map(|at| at + 1)
    );
    assert!(!shown.contains('\u{7}'));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::new(Kind::Null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::array),
            proptest::collection::vec((any::<String>(), inner), 0..4).prop_map(Value::object),
        ]
    })
}

proptest! {
    #[test]
    fn written_json_reads_back_as_itself(value in value()) {
        let text = value.to_json_pretty();
        let document = json(&text);
        prop_assert_eq!(&document.diagnostics, &[]);
        prop_assert_eq!(document.value.map(|value| value.to_json_pretty()), Some(text));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>(), likely in "[\\[\\]{}\",:/*\\\\a01.e\n =-]{0,60}") {
        for text in [text, likely] {
            let source = SourceText::new("any", text);
            for document in [parse_json(&source), parse_toml(&source)] {
                for found in document.diagnostics {
                    found.render(&source);
                }
            }
        }
    }
}
