//! ARM templates with a parameter file, twice in one environment: evaluated, or refused at a place in a text.
#![no_main]

use arm::Environment;
use document::SourceText;

const ENVIRONMENT: &str = "subscription = 's'\nlocation = 'eastus2'\n[[source]]\nkind = 'arm-template'\nfile = 'a.json'\n\
    resource_group = 'rg'\nparameters_file = 'p.json'\n[[source]]\nkind = 'arm-template'\nfile = 'b.json'\n";

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (template, parameters) = text.split_once("\n---\n").unwrap_or((text, "{}"));
    check(template, parameters);
});

fn check(template: &str, parameters: &str) {
    let mut environment = Environment::read(SourceText::new("environment.toml", ENVIRONMENT));
    let text = |path: &str| if path == "p.json" { parameters } else { template };
    let fetch = |path: &str| Ok::<_, ()>(SourceText::new(path, text(path)));
    let Ok(inventory) = environment.open(fetch) else { return };
    for resource in inventory.resources() {
        assert!(inventory.find(&resource.id).is_some(), "{} is not found again", resource.id);
    }
    for found in inventory.findings() {
        let (text, found) = inventory.sources().localize(found).expect("there is a text");
        let at = found.span.start..found.span.end;
        assert!(text.text().get(at).is_some(), "a place inside a character: {found:?}");
        found.render(text);
    }
}
