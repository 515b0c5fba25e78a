//! Templates that Azure would refuse, or that are too large to be read, as a user meets them.

use serde_json::Value;

use crate::program::Place;

const ENVIRONMENT: &str = "subscription = \"11111111-2222-3333-4444-555555555555\"\nlocation = \"eastus2\"\n\
    [[source]]\nkind = \"arm-template\"\nfile = \"main.json\"\nresource_group = \"rg\"\n";

/// The parts of a template on a line of their own, which is the second one.
fn template(parts: &str) -> String {
    format!(
        "{{\"$schema\": \"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#\",\n{parts}}}"
    )
}

fn many(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

fn resource(name: &str, more: &str) -> String {
    format!(r#"{{"type": "A.B/c", "apiVersion": "1", "name": "{name}"{more}}}"#)
}

#[test]
fn every_kind_of_bad_template_is_refused_at_its_place() {
    let member = |index| format!(r#""m{index}": {{"type": "int", "defaultValue": 1, "value": 1}}"#);
    let resources = |list: String| format!(r#""resources": [{list}]"#);
    let cases = [
        (
            "parameters",
            format!(r#""parameters": {{{}}}, "resources": []"#, many(257, member)),
            (r#"{"m0""#, "the template has 257 parameters", "at most 256, Azure's limit"),
        ),
        (
            "variables",
            format!(r#""variables": {{{}}}, "resources": []"#, many(513, member)),
            (r#"{"m0""#, "the template has 513 variables", "at most 512, Azure's limit"),
        ),
        (
            "outputs",
            format!(r#""outputs": {{{}}}, "resources": []"#, many(65, member)),
            (r#"{"m0""#, "the template has 65 outputs", "at most 64, Azure's limit"),
        ),
        (
            "resources",
            resources(many(401, |index| resource(&format!("[concat('{index}-', copyIndex())]"), r#", "copy": {"name": "l", "count": 2}"#))),
            (r#"[{"type""#, "the template has 802 resources", "at most 800, Azure's limit"),
        ),
        (
            "a loop of a million",
            resources(resource("x", r#", "copy": {"name": "l", "count": 1000000}"#)),
            ("1000000", "the loop is to turn 1000000 times", "0 to 800, Azure's limit"),
        ),
        (
            "4 MB",
            format!(r#""variables": {{"x": "{}"}}, "resources": []"#, "x".repeat(4 * 1024 * 1024)),
            ("{", "the template has 4194439 bytes", "at most 4194304, Azure's limit"),
        ),
        (
            "a long expression",
            format!(r#""variables": {{"x": "[concat('{}')]"}}, "resources": []"#, "x".repeat(24_576)),
            ("[concat", "the expression is too long", "at most 24576 characters"),
        ),
        (
            "variables in a circle",
            r#""variables": {"a": "[variables('b')]", "b": "[variables('a')]"}, "resources": []"#.to_owned(),
            ("'a')", "the value of `a` depends on itself", ""),
        ),
        (
            "parameters in a circle",
            r#""parameters": {"a": {"type": "string", "defaultValue": "[parameters('a')]"}}, "resources": []"#.to_owned(),
            ("'a')", "the value of `a` depends on itself", ""),
        ),
        (
            "resources in a circle",
            resources([resource("a", r#", "dependsOn": ["b"]"#), resource("b", r#", "dependsOn": ["a"]"#)].join(",")),
            ("[\"b\"]", "a` waits for itself", ""),
        ),
        (
            "a deployment of nothing",
            resources(r#"{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "properties": {}}"#.to_owned()),
            ("{}", "the deployment has no template", "`template` or `templateLink`"),
        ),
    ];
    for (name, parts, (pointed, message, expected)) in cases {
        let place = Place::new();
        place.write("environment.toml", ENVIRONMENT);
        let text = template(&parts);
        place.write("main.json", &text);
        let before = &text[..text.find(pointed).expect("it is there")];
        let (line, rest) = (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default());
        let column = rest.chars().count() + 1;
        for command in ["check", "snapshot"] {
            let answer = place.run(&format!("{command} --environment environment.toml --format json"));
            assert_eq!(answer.code, Some(2), "{name}: {answer}");
            let found = answer.json();
            let all = found["errors"].as_array().cloned().unwrap_or_else(|| vec![found["error"].clone()]);
            let says = |error: &&Value| error["message"].as_str().is_some_and(|text| text.contains(message));
            let error = all.iter().find(says).unwrap_or_else(|| panic!("{name}: {answer}"));
            let at = (&error["line"], &error["column"]);
            assert_eq!(at, (&line.into(), &column.into()), "{name}: {error}");
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
    }
}

#[test]
fn a_template_that_is_elsewhere_leaves_everything_open_and_is_named() {
    let place = Place::new();
    place.write("environment.toml", ENVIRONMENT);
    place.write(
        "main.json",
        &template(
            r#""resources": [{"type": "Microsoft.Network/virtualNetworks", "apiVersion": "1", "name": "v", "properties": {
            "subnets": [{"name": "build", "properties": {"addressPrefix": "10.0.0.0/28"}}]}},
            {"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "properties": {
              "templateLink": {"relativePath": "more/rules.json"}}}]"#,
        ),
    );
    let answer = place.run("check --environment environment.toml --format json");
    assert_eq!(answer.code, Some(3), "{answer}");
    assert!(
        answer.stdout.contains("the template `more/rules.json` of this deployment is elsewhere"),
        "{answer}"
    );
    let answer = place.run("snapshot --environment environment.toml");
    assert_eq!(answer.code, Some(0), "{answer}");
    assert!(
        answer.stderr.contains("main.json:5:31") && answer.stderr.contains("`more/rules.json`"),
        "{answer}"
    );
}

#[test]
fn a_parameter_file_in_bicep_is_told_how_to_become_json() {
    let place = Place::new();
    place.write("environment.toml", &format!("{ENVIRONMENT}parameters_file = \"main.bicepparam\"\n"));
    place.write("main.json", &template(r#""resources": []"#));
    place.write("main.bicepparam", "using 'main.bicep'\n");
    let answer = place.run("snapshot --environment environment.toml");
    assert_eq!(answer.code, Some(2), "{answer}");
    assert!(answer.stderr.contains("bicep build-params"), "{answer}");
}
