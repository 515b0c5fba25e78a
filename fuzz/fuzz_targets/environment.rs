//! Documents of every kind, alone and named by an environment file: read, or refused at a place in a text.
#![no_main]

use arm::{Environment, Inventory};
use document::SourceText;

libfuzzer_sys::fuzz_target!(|text: &str| {
    // The first line may be the name that decides how the rest is read.
    let (name, rest) = match text.split_once('\n') {
        Some((name @ ("a.json" | "environment.toml"), rest)) => (name, rest),
        _ => ("a.json", text),
    };
    check(name, rest, "");
    for kind in ["resources", "arm-template", "terraform-plan", "snapshot"] {
        let file = format!("[[source]]\nkind = '{kind}'\nfile = 'a.json'\nparameters_file = 'a.json'\n");
        check("environment.toml", &file, rest);
    }
});

fn check(name: &str, main: &str, other: &str) {
    let mut environment = Environment::read(SourceText::new(name, main));
    let fetch = |path: &str| Ok::<_, ()>(SourceText::new(path, other));
    let Ok(inventory) = environment.open(fetch) else { return };
    for resource in inventory.resources() {
        assert!(inventory.find(&resource.id).is_some(), "{} is not found again", resource.id);
    }
    match network_policy::read(&environment, &inventory) {
        Ok(reading) => placed(&inventory, &reading.warnings),
        Err(found) => {
            assert!(found.iter().any(|found| found.is_error()), "refused without a reason");
            placed(&inventory, &found);
        }
    }
}

fn placed(inventory: &Inventory, found: &[document::Diagnostic]) {
    for found in found {
        let (text, found) = inventory.sources().localize(found).expect("there is a text");
        found.render(text);
    }
}
