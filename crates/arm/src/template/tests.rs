//! Templates as they are written, and what becomes of them.

mod expressions;
mod functions;
mod resources;

use document::{SourceText, Value};

use crate::{Environment, Inventory, ResourceId};

/// What files make of each other, the first one being the environment file or the only document.
fn opened(files: &[(&str, &str)]) -> Inventory {
    let text = |name: &str| {
        let found = files.iter().find(|(own, _)| *own == name);
        SourceText::new(name, found.map_or("", |(_, text)| text))
    };
    let mut environment = Environment::read(text(files[0].0));
    environment.open(|path| Ok::<_, ()>(text(path))).expect("files are there")
}

/// A template of parts, in an environment that tells a subscription, a group and a region.
fn template(parts: &str) -> Inventory {
    let environment = "subscription = \"00000000-0000-0000-0000-000000000000\"\nlocation = \"eastus2\"\n\
        [[source]]\nkind = \"arm-template\"\nfile = \"main.json\"\nresource_group = \"rg\"\n";
    let schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
    let main = format!("{{\"$schema\": \"{schema}\", \"contentVersion\": \"1.0.0.0\", {parts}}}");
    opened(&[("environment.toml", environment), ("main.json", &main)])
}

/// The errors of an inventory: place, code and message.
fn errors(inventory: &Inventory) -> Vec<String> {
    let errors = inventory.findings().iter().filter(|found| found.is_error());
    let shown = errors.map(|found| {
        let place = inventory.sources().place(found.span);
        format!("{place} {} {}", found.code, found.message)
    });
    shown.collect()
}

/// The value that an expression has as a property of a resource, with the parts of a template around it.
fn value_beside(expression: &str, parts: &str) -> Value {
    let expression = Value::from(expression).to_json_pretty();
    let inventory = template(&format!(
        "{parts} \"resources\": [{{\"type\": \"Contoso.Test/things\", \"name\": \"it\", \"apiVersion\": \"2024-01-01\",
          \"properties\": {{\"value\": {{\"of\": {expression}}}}}}}]"
    ));
    assert_eq!(errors(&inventory), [""; 0], "{expression}");
    let resource = inventory.of_type("Contoso.Test/things").next().expect("the resource");
    resource
        .value
        .get("value")
        .and_then(|value| value.get("of"))
        .cloned()
        .unwrap_or(Value::new(document::Kind::Null))
}

/// The error of an expression: the text that it points at, code and message.
fn error(expression: &str) -> String {
    let expression = Value::from(expression).to_json_pretty();
    let inventory = template(&format!("\"variables\": {{\"x\": {expression}}}, \"resources\": []"));
    let found = inventory.findings().iter().find(|found| found.is_error());
    let found = found.unwrap_or_else(|| panic!("no error in {expression}"));
    let (text, local) = inventory.sources().localize(found).expect("a place");
    let at = &text.text()[local.span.start..local.span.end];
    format!("{at} | {} | {}", found.code, found.message)
}

/// The resource of an id within the template's group.
fn resource<'a>(inventory: &'a Inventory, tail: &str) -> &'a crate::Resource {
    let id =
        format!("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/{tail}");
    let id = ResourceId::parse(&id).expect("an id");
    inventory.find(&id).unwrap_or_else(|| {
        let all: Vec<_> = inventory.resources().map(|resource| resource.id.to_string()).collect();
        panic!("no {id} among {all:#?}")
    })
}

/// A value as JSON without blanks.
fn compact(value: &Value) -> String {
    let text = value.to_json_pretty();
    text.lines().map(str::trim_start).collect::<String>().replace("\": ", "\":")
}
