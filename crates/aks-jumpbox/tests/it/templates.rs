//! Environments of ARM templates: what the examples of the documentation answer.

use crate::program::Place;

const FILES: [(&str, &str); 6] = [
    ("environment.toml", include_str!("../../../../docs/examples/hub-and-spoke/environment.toml")),
    ("hub.json", include_str!("../../../../docs/examples/hub-and-spoke/hub.json")),
    ("hub.parameters.json", include_str!("../../../../docs/examples/hub-and-spoke/hub.parameters.json")),
    ("spoke.json", include_str!("../../../../docs/examples/hub-and-spoke/spoke.json")),
    ("image-builder.json", include_str!("../../../../docs/examples/hub-and-spoke/image-builder.json")),
    ("contracts.txt", include_str!("../../../../docs/examples/hub-and-spoke/contracts.txt")),
];

const EXPLAIN: &str =
    "explain --direction outbound --protocol tcp --from 10.241.0.5:50000 --to 20.60.0.1:443";

fn place() -> Place {
    let place = Place::new();
    for (name, text) in FILES {
        place.write(name, text);
    }
    place
}

#[test]
fn templates_that_refer_to_each_other_decide_every_contract_and_flow() {
    let place = place();
    let proven = place.run("prove --environment environment.toml --contracts contracts.txt");
    assert_eq!(proven.code, Some(0), "{proven}");
    let checked = place.run("check --environment environment.toml");
    assert_eq!(checked.code, Some(0), "{checked}");
    for (name, code) in [("x.blob.core.windows.net", 0), ("dl.k8s.io", 0), ("www.example.org", 1)] {
        let explained = place.run(&format!("{EXPLAIN} --fqdn {name} --environment environment.toml"));
        assert_eq!(explained.code, Some(code), "{explained}");
    }
}

#[test]
fn a_snapshot_answers_as_the_templates_do() {
    let place = place();
    let written = place.run("snapshot --environment environment.toml");
    assert_eq!(written.code, Some(0), "{written}");
    let again = place.run("snapshot --environment environment.toml");
    assert_eq!(again.code, Some(2), "what is there is not overwritten: {again}");
    let environment = format!(
        "{}\n[[source]]\nkind = \"snapshot\"\nfile = \"snapshot.json\"\n",
        FILES[0].1.lines().take_while(|line| !line.starts_with("[[")).collect::<Vec<_>>().join("\n")
    );
    place.write("again.toml", &environment);
    let proven = place.run("prove --environment again.toml --contracts contracts.txt");
    assert_eq!(proven.code, Some(0), "{proven}");
    let explained = place.run(&format!("{EXPLAIN} --fqdn dl.k8s.io --environment again.toml"));
    assert_eq!(explained.code, Some(0), "{explained}");
    let json = place.run("snapshot --environment environment.toml --format json").json();
    assert!(json["value"].as_array().is_some_and(|all| all.len() > 15), "{json}");
}

#[test]
fn an_error_points_into_the_expression() {
    let place = place();
    place.write(
        "hub.json",
        &FILES[1].1.replace("cidrSubnet(parameters('hubPrefix'), 26, 1)", "cidrSubnets(1)"),
    );
    let answer = place.run("prove --environment environment.toml --contracts contracts.txt --format json");
    assert_eq!(answer.code, Some(2), "{answer}");
    let error = &answer.json()["error"];
    assert_eq!((&error["line"], &error["column"]), (&31.into(), &78.into()), "{error}");
    assert_eq!(error["hint"], "did you mean `cidrSubnet`?");
}

#[test]
fn a_bicep_file_needs_a_compiler() {
    let place = place();
    let environment = FILES[0].1.replace("spoke.json", "spoke.bicep");
    place.write("environment.toml", &environment);
    place.write("spoke.bicep", "param location string\n");
    // Neither `bicep` nor `az` is a program of the test's machine, or their answer is another refusal.
    let answer = place.run("prove --environment environment.toml --contracts contracts.txt");
    assert_ne!(answer.code, Some(0), "{answer}");
    assert!(answer.stderr.contains("spoke.bicep"), "{answer}");
}
