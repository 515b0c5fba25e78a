//! How long templates take to be evaluated, for `cargo xtask bench`.
//!
//! Prints one line for each number of resources: the number, and the seconds of each run, with a tabulator between.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run has nobody to tell but who runs it")]

use std::fmt::Write as _;
use std::time::Instant;

use arm::Environment;
use document::SourceText;

const SIZES: [usize; 3] = [10, 100, 1000];
const RUNS: usize = 7;

const ENVIRONMENT: &str = "subscription = 's'\nlocation = 'eastus2'\n[[source]]\nkind = 'arm-template'\nfile = 'a.json'\n\
    resource_group = 'rg'\n";

fn main() {
    for size in SIZES {
        let template = template(size);
        // The first run warms up.
        let runs: Vec<f64> = (0..=RUNS).map(|_| seconds(&template, size)).skip(1).collect();
        println!("{size}\t{}", runs.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    }
}

fn seconds(template: &str, size: usize) -> f64 {
    let began = Instant::now();
    let mut environment = Environment::read(SourceText::new("environment.toml", ENVIRONMENT));
    let inventory = environment.open(|path| Ok::<_, ()>(SourceText::new(path, template))).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert!(inventory.findings().iter().all(|found| !found.is_error()), "{:?}", inventory.findings());
    assert_eq!(inventory.of_type("Microsoft.Network/networkSecurityGroups").count(), size);
    let last = inventory.of_type("Microsoft.Network/networkSecurityGroups/securityRules").last().unwrap();
    assert!(last.value.get("destinationPortRanges").unwrap().as_array().is_some());
    seconds
}

/// Network security groups of four rules, each of which refers to the group after it.
fn template(size: usize) -> String {
    let mut resources = String::new();
    for index in 0..size {
        let comma = if index == 0 { "" } else { "," };
        let next = (index + 1) % size;
        let _ = write!(
            resources,
            r#"{comma}{{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01",
              "name": "[format('{{0}}-{index}', variables('prefix'))]", "location": "[parameters('location')]",
              "tags": {{"next": "[reference(resourceId('Microsoft.Network/networkSecurityGroups', concat(variables('prefix'), '-{next}'))).own]"}},
              "properties": {{"own": "[uniqueString(resourceGroup().id, '{index}')]", "copy": [{{"name": "securityRules",
                "count": "[length(variables('ports'))]", "input": {{"name": "[concat('rule', copyIndex('securityRules'))]",
                "properties": {{"priority": "[add(100, copyIndex('securityRules'))]", "direction": "Outbound", "access": "Allow",
                  "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*",
                  "destinationAddressPrefix": "[cidrSubnet('10.0.0.0/8', 24, {index})]",
                  "destinationPortRange": "[string(variables('ports')[copyIndex('securityRules')])]"}}}}}}]}}}}"#
        );
    }
    format!(
        r#"{{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "parameters": {{"location": {{"type": "string", "defaultValue": "[resourceGroup().location]"}}}},
        "variables": {{"prefix": "nsg", "ports": [22, 80, 443, 60001]}}, "resources": [{resources}]}}"#
    )
}
