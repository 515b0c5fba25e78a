//! How long documents take to be evaluated, for `cargo xtask bench`.
//!
//! They are read as exports, which may be larger than what Azure deploys. Prints one line for each shape and number of resources: shape, number, and the seconds of each run, with tabulators
//! between. They are the processor's seconds, which do not count what else the machine does meanwhile. Arguments choose
//! a shape and a number.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run has nobody to tell but who runs it")]

use arm::{Environment, Inventory};
use document::SourceText;
use rustix::time::{ClockId, clock_gettime};

const SIZES: [usize; 3] = [10, 100, 1000];
const RUNS: usize = 7;

const ENVIRONMENT: &str = "subscription = 's'\nlocation = 'eastus2'\n[[source]]\nkind = 'KIND'\nfile = 'a.json'\n\
    resource_group = 'rg'\n";

/// A document that grows, and what it must come to.
struct Shape {
    name: &'static str,
    kind: &'static str,
    document: fn(usize) -> String,
    /// Whether it was evaluated to so many resources as it should.
    is_right: fn(&Inventory, usize) -> bool,
}

const SHAPES: [Shape; 7] = [
    Shape {
        name: "groups",
        kind: "resources",
        document: groups,
        is_right: |all, size| things(all, GROUPS, size),
    },
    Shape {
        name: "literal",
        kind: "resources",
        document: literal,
        is_right: |all, size| things(all, GROUPS, size),
    },
    Shape {
        name: "loop",
        kind: "resources",
        document: looped,
        is_right: |all, size| things(all, GROUPS, size),
    },
    Shape {
        name: "chain",
        kind: "resources",
        document: chain,
        is_right: |all, size| things(all, "A.B/c", size),
    },
    Shape {
        name: "nested",
        kind: "resources",
        document: nested,
        is_right: |all, size| things(all, GROUPS, size),
    },
    Shape {
        name: "resources",
        kind: "resources",
        document: resources,
        is_right: |all, size| things(all, GROUPS, size),
    },
    Shape {
        name: "rules",
        kind: "resources",
        document: rules,
        is_right: |all, size| things(all, RULES, size),
    },
];

const GROUPS: &str = "Microsoft.Network/networkSecurityGroups";
const RULES: &str = "Microsoft.Network/networkSecurityGroups/securityRules";

/// Whether there are so many resources of a type, of which the first and the last know what they say.
fn things(all: &Inventory, kind: &str, size: usize) -> bool {
    let known = all
        .of_type(kind)
        .filter(|own| own.value.get("known").is_none_or(|value| value.as_str() == Some("yes")));
    known.count() == size
}

fn main() {
    let mut words = std::env::args().skip(1);
    let (shape, size) = (words.next(), words.next().and_then(|size| size.parse().ok()));
    for shape in SHAPES.iter().filter(|own| shape.as_ref().is_none_or(|name| own.name == name)) {
        for size in SIZES.into_iter().filter(|own| size.is_none_or(|size: usize| *own == size)) {
            let document = (shape.document)(size);
            // The first run warms up.
            let runs: Vec<f64> = (0..=RUNS).map(|_| seconds(shape, &document, size)).skip(1).collect();
            println!(
                "{}\t{size}\t{}",
                shape.name,
                runs.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
            );
        }
    }
}

fn seconds(shape: &Shape, document: &str, size: usize) -> f64 {
    let began = processor_seconds();
    let mut environment =
        Environment::read(SourceText::new("environment.toml", ENVIRONMENT.replace("KIND", shape.kind)));
    let inventory = environment.open(|path| Ok::<_, ()>(SourceText::new(path, document))).unwrap();
    let seconds = processor_seconds() - began;
    assert!(inventory.findings().iter().all(|found| !found.is_error()), "{:?}", inventory.findings());
    assert!((shape.is_right)(&inventory, size), "{} {size}", shape.name);
    seconds
}

#[expect(clippy::cast_precision_loss, reason = "it does not run for years")]
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn template(resources: &[String]) -> String {
    format!(
        r#"{{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "parameters": {{"location": {{"type": "string", "defaultValue": "[resourceGroup().location]"}}}},
        "variables": {{"prefix": "nsg", "ports": [22, 80, 443, 60001]}}, "resources": [{}]}}"#,
        resources.join(",\n")
    )
}

/// Network security groups of four rules, each of which refers to the group after it.
fn groups(size: usize) -> String {
    let group = |index: usize| {
        let next = (index + 1) % size;
        format!(
            r#"{{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01",
              "name": "[format('{{0}}-{index}', variables('prefix'))]", "location": "[parameters('location')]",
              "tags": {{"next": "[reference(resourceId('Microsoft.Network/networkSecurityGroups', concat(variables('prefix'), '-{next}'))).own]"}},
              "properties": {{"own": "[uniqueString(resourceGroup().id, '{index}')]", "copy": [{{"name": "securityRules",
                "count": "[length(variables('ports'))]", "input": {{"name": "[concat('rule', copyIndex('securityRules'))]",
                "properties": {{"priority": "[add(100, copyIndex('securityRules'))]", "direction": "Outbound", "access": "Allow",
                  "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*",
                  "destinationAddressPrefix": "[cidrSubnet('10.0.0.0/8', 24, {index})]",
                  "destinationPortRange": "[string(variables('ports')[copyIndex('securityRules')])]"}}}}}}]}}}}"#
        )
    };
    template(&(0..size).map(group).collect::<Vec<_>>())
}

fn rule(index: usize) -> String {
    format!(
        r#"{{"name": "rule{index}", "properties": {{"priority": {}, "direction": "Outbound", "access": "Allow", "protocol": "Tcp",
          "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "10.{}.{}.0/24",
          "destinationPortRange": "443"}}}}"#,
        100 + index,
        index / 256,
        index % 256
    )
}

fn literal_group(index: usize) -> String {
    let rules: Vec<_> = (0..4).map(rule).collect();
    format!(
        r#"{{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01", "name": "nsg-{index}", "location": "eastus2",
          "properties": {{"securityRules": [{}]}}}}"#,
        rules.join(",")
    )
}

/// Network security groups of four rules without any expression.
fn literal(size: usize) -> String {
    template(&(0..size).map(literal_group).collect::<Vec<_>>())
}

/// The same as a document that is no template.
fn resources(size: usize) -> String {
    format!("[{}]", (0..size).map(literal_group).collect::<Vec<_>>().join(",\n"))
}

/// Loops over network security groups of four rules. A loop turns 800 times at most.
fn looped(size: usize) -> String {
    let one = |part: usize| {
        format!(
            r#"{{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01", "name": "[format('nsg-{part}-{{0}}', copyIndex())]",
              "location": "[parameters('location')]", "copy": {{"name": "groups", "count": {}}}, "properties": {{"copy": [{{"name": "securityRules",
                "count": "[length(variables('ports'))]", "input": {{"name": "[concat('rule', copyIndex('securityRules'))]",
                "properties": {{"priority": "[add(100, copyIndex('securityRules'))]", "direction": "Outbound", "access": "Allow",
                  "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*",
                  "destinationAddressPrefix": "[cidrSubnet('10.0.0.0/8', 24, copyIndex('groups'))]",
                  "destinationPortRange": "[string(variables('ports')[copyIndex('securityRules')])]"}}}}}}]}}}}"#,
            size / 2
        )
    };
    template(&[one(0), one(1)])
}

/// Resources of which each refers to the one after it, so that what the last one says reaches the first.
fn chain(size: usize) -> String {
    let link = |index: usize| {
        let known =
            if index + 1 == size { "yes".to_owned() } else { format!("[reference('c{}').known]", index + 1) };
        format!(
            r#"{{"type": "A.B/c", "apiVersion": "1", "name": "c{index}", "properties": {{"known": "{known}", "own": "[uniqueString('{index}')]"}}}}"#
        )
    };
    template(&(0..size).map(link).collect::<Vec<_>>())
}

/// Nested deployments, each of a network security group in a resource group of its own.
fn nested(size: usize) -> String {
    let deployment = |index: usize| {
        format!(
            r#"{{"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "deployment-{index}", "resourceGroup": "rg-{index}",
              "properties": {{"mode": "Incremental", "expressionEvaluationOptions": {{"scope": "inner"}},
                "parameters": {{"name": {{"value": "[format('nsg-{index}', variables('prefix'))]"}}}},
                "template": {{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
                  "contentVersion": "1.0.0.0", "parameters": {{"name": {{"type": "string"}}}},
                  "resources": [{{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01",
                    "name": "[parameters('name')]", "location": "eastus2", "properties": {{"securityRules": [{}]}}}}],
                  "outputs": {{"id": {{"type": "string", "value": "[resourceId('Microsoft.Network/networkSecurityGroups', parameters('name'))]"}}}}}}}}}}"#,
            rule(index)
        )
    };
    template(&(0..size).map(deployment).collect::<Vec<_>>())
}

/// One network security group of many rules.
fn rules(size: usize) -> String {
    let rules: Vec<_> = (0..size).map(rule).collect();
    template(&[format!(
        r#"{{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01", "name": "nsg", "location": "eastus2",
          "properties": {{"securityRules": [{}]}}}}"#,
        rules.join(",")
    )])
}
