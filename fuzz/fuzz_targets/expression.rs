//! Single expressions of the template language, wherever a template may hold one: evaluated, or refused at a place.
#![no_main]

use arm::Environment;
use document::{SourceText, Value};

const ENVIRONMENT: &str = "subscription = 's'\nlocation = 'eastus2'\n[[source]]\nkind = 'arm-template'\nfile = 'a.json'\n\
    resource_group = 'rg'\n";

libfuzzer_sys::fuzz_target!(|text: &str| {
    let expression = Value::from(format!("[{text}]")).to_json_pretty();
    let template = format!(
        r#"{{"$schema": "deploymentTemplate.json#", "parameters": {{"open": {{"type": "string"}}, "list": {{"type": "array",
        "defaultValue": [1, "a", {{"b": null}}, "[parameters('open')]"]}}}}, "variables": {{"x": {expression}}},
        "resources": [{{"type": "A.B/c", "name": {expression}, "copy": {{"name": "l", "count": 2}},
          "properties": {{"value": {expression}, {expression}: 1}}}}],
        "outputs": {{"o": {{"type": "object", "value": {expression}}}}}}}"#
    );
    let mut environment = Environment::read(SourceText::new("environment.toml", ENVIRONMENT));
    let fetch = |path: &str| Ok::<_, ()>(SourceText::new(path, template.as_str()));
    let Ok(inventory) = environment.open(fetch) else { return };
    for found in inventory.findings() {
        let (text, found) = inventory.sources().localize(found).expect("there is a text");
        let at = found.span.start..found.span.end;
        assert!(text.text().get(at).is_some(), "a place inside a character: {found:?}");
        found.render(text);
    }
});
