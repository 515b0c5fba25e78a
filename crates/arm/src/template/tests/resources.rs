//! Resources: loops, conditions, children, nested deployments, references.

use super::{compact, errors, opened, resource, template};

#[test]
fn loops_make_resources_properties_and_variables() {
    let inventory = template(
        r#""variables": {"copy": [{"name": "ports", "count": 2, "input": "[add(443, copyIndex('ports'))]"}]},
        "resources": [{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-01-01",
          "name": "[concat('nsg-', copyIndex(1))]", "copy": {"name": "groups", "count": 2, "mode": "Serial", "batchSize": 1},
          "properties": {"copy": [{"name": "securityRules", "count": "[length(variables('ports'))]", "input": {
            "name": "[format('r{0}-{1}', copyIndex('groups'), copyIndex('securityRules', 1))]",
            "properties": {"priority": "[add(100, copyIndex('securityRules'))]",
              "destinationPortRange": "[string(variables('ports')[copyIndex('securityRules')])]"}}}]}}]"#,
    );
    assert_eq!(errors(&inventory), [""; 0]);
    let rule = resource(&inventory, "Microsoft.Network/networkSecurityGroups/nsg-2/securityRules/r1-2");
    assert_eq!(compact(rule.value.get("destinationPortRanges").expect("ports")), "[\"444\"]");
    assert_eq!(inventory.of_type("Microsoft.Network/networkSecurityGroups/securityRules").count(), 4);
    // The rule points to the body of the loop.
    assert_eq!(inventory.sources().place(rule.value.span), "main.json:4:111");
}

#[test]
fn a_loop_of_a_million_is_refused() {
    let inventory = template(
        r#""resources": [{"type": "A.B/c", "apiVersion": "1", "name": "x", "copy": {"name": "l", "count": 1000000}}]"#,
    );
    assert_eq!(errors(&inventory), ["main.json:1:220 copy-count the loop is to turn 1000000 times"]);
}

#[test]
fn hub_and_spoke_refer_to_each_other() {
    let environment = "subscription = \"s\"\n[[source]]\nkind = \"arm-template\"\nfile = \"hub.json\"\nresource_group = \"hub\"\n\
        [[source]]\nkind = \"arm-template\"\nfile = \"spoke.json\"\nresource_group = \"spoke\"\n[source.runtime]\n\
        \"/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/azureFirewalls/fw\" = \
        { ipConfigurations = [ { properties = { privateIPAddress = \"10.200.0.4\" } } ] }\n";
    let hub = r#"{"$schema": "deploymentTemplate.json#", "resources": [
        {"type": "Microsoft.Network/ipGroups", "apiVersion": "1", "name": "builders", "properties": {"ipAddresses": [
          "[reference(resourceId('spoke', 'Microsoft.Network/virtualNetworks/subnets', 'v', 'build'), '1').addressPrefix]"]}},
        {"type": "Microsoft.Network/azureFirewalls", "apiVersion": "1", "name": "fw",
         "properties": {"ipConfigurations": [{"name": "ip", "properties": {}}]}}]}"#;
    let spoke = r#"{"$schema": "deploymentTemplate.json#", "resources": [
        {"type": "Microsoft.Network/routeTables", "apiVersion": "1", "name": "rt", "properties": {"routes": [{"name": "all",
          "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress":
            "[reference(resourceId('hub', 'Microsoft.Network/azureFirewalls', 'fw'), '1').ipConfigurations[0].properties.privateIpAddress]"}}]}},
        {"type": "Microsoft.Network/virtualNetworks", "apiVersion": "1", "name": "v", "properties": {"subnets": [
          {"name": "build", "properties": {"addressPrefix": "[cidrSubnet('10.241.0.0/24', 28, 1)]"}}]}}]}"#;
    let inventory = opened(&[("environment.toml", environment), ("hub.json", hub), ("spoke.json", spoke)]);
    assert_eq!(inventory.findings(), []);
    let of_type = |kind: &str| inventory.of_type(kind).next().expect(kind).value.clone();
    let group = of_type("Microsoft.Network/ipGroups");
    assert_eq!(compact(group.get("ipAddresses").expect("addresses")), "[\"10.241.0.16/28\"]");
    let route = of_type("Microsoft.Network/routeTables/routes");
    assert_eq!(compact(route.get("nextHopIpAddress").expect("a hop")), "\"10.200.0.4\"");
}

#[test]
fn children_stand_in_every_notation() {
    let inventory = template(
        r#""resources": [
        {"type": "Microsoft.Network/virtualNetworks", "apiVersion": "1", "name": "v", "properties": {"subnets": [{"name": "inline"}]},
         "resources": [{"type": "subnets", "apiVersion": "1", "name": "nested", "dependsOn": ["v"], "properties": {"x": 1}},
           {"type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "1", "name": "v/full", "properties": {"x": 1}}]},
        {"type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "1", "name": "v/beside", "properties": {"x": 1}},
        {"type": "Microsoft.Network/virtualNetworks/providers/roleAssignments", "apiVersion": "1",
         "name": "[concat('v/Microsoft.Authorization/', guid('a'))]", "properties": {"x": 1}},
        {"type": "/Microsoft.Authorization/roleAssignments", "apiVersion": "1", "name": "scoped",
         "scope": "[resourceId('Microsoft.Network/virtualNetworks', 'v')]", "properties": {"x": 1}},
        {"type": "Microsoft.Authorization/locks", "apiVersion": "1", "name": "lock", "scope": "Microsoft.Network/virtualNetworks/v",
         "properties": {"x": 1}}]"#,
    );
    assert_eq!(errors(&inventory), [""; 0]);
    for child in [
        "subnets/inline",
        "subnets/nested",
        "subnets/full",
        "subnets/beside",
        "providers/Microsoft.Authorization/roleAssignments/scoped",
        "providers/Microsoft.Authorization/locks/lock",
    ] {
        resource(&inventory, &format!("Microsoft.Network/virtualNetworks/v/{child}"));
    }
    assert_eq!(inventory.of_type("Microsoft.Authorization/roleAssignments").count(), 2);
}

const NESTED: &str = r#"{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "inside", "resourceGroup": "other",
    "properties": {"mode": "Incremental", SCOPE "template": {"$schema": "deploymentTemplate.json#", "contentVersion": "1.0.0.0",
      "parameters": {"name": {"type": "string", "defaultValue": "inner"}}, "variables": {"v": "own"},
      "resources": [{"type": "A.B/c", "apiVersion": "1", "name": "[parameters('name')]",
        "properties": {"group": "[resourceGroup().name]", "v": "[variables('v')]"}}],
      "outputs": {"id": {"type": "string", "value": "[resourceId('A.B/c', parameters('name'))]"},
        "many": {"type": "array", "copy": {"count": 2, "input": "[copyIndex(7)]"}}}}}}"#;

fn nested(scope: &str) -> crate::Inventory {
    template(&format!(
        r#""parameters": {{"name": {{"type": "string", "defaultValue": "outer"}}}}, "variables": {{"v": "around"}},
        "resources": [{}, {{"type": "A.B/reader", "apiVersion": "1", "name": "r",
          "properties": {{"id": "[reference('inside').outputs.id.value]", "many": "[reference('inside').outputs.many.value]"}}}}]"#,
        NESTED.replace("SCOPE", scope)
    ))
}

#[test]
fn a_nested_template_is_evaluated_in_the_scope_that_it_asks_for() {
    let inner = nested(
        r#""expressionEvaluationOptions": {"scope": "inner"}, "parameters": {"name": {"value": "[concat(parameters('name'), '-given')]"}},"#,
    );
    let outer = nested("");
    let subscription = "/subscriptions/00000000-0000-0000-0000-000000000000";
    for (inventory, name, group, variable) in
        [(&inner, "outer-given", "other", "own"), (&outer, "outer", "rg", "around")]
    {
        assert_eq!(errors(inventory), [""; 0]);
        let made = inventory.of_type("A.B/c").next().expect("the resource");
        assert_eq!(
            made.id.to_string(),
            format!("{subscription}/resourceGroups/other/providers/A.B/c/{name}")
        );
        assert_eq!(made.value.get("group").and_then(document::Value::as_str), Some(group));
        assert_eq!(made.value.get("v").and_then(document::Value::as_str), Some(variable));
        let reader = resource(inventory, "A.B/reader/r");
        let id = reader
            .value
            .get("properties")
            .and_then(|properties| properties.get("id"))
            .or(reader.value.get("id"));
        let expected = format!("{subscription}/resourceGroups/{group}/providers/A.B/c/{name}");
        assert_eq!(id.and_then(document::Value::as_str), Some(expected.as_str()));
        assert_eq!(compact(reader.value.get("many").expect("many")), "[7,8]");
    }
}

#[test]
fn conditions_decide_what_exists() {
    let inventory = template(
        r#""parameters": {"open": {"type": "bool"}}, "resources": [
        {"type": "A.B/c", "apiVersion": "1", "name": "yes", "condition": "[equals(1, 1)]"},
        {"type": "A.B/c", "apiVersion": "1", "name": "no", "condition": "[not(true())]",
         "properties": {"never": "[fail('not evaluated')]"}},
        {"type": "A.B/c", "apiVersion": "1", "name": "maybe", "condition": "[parameters('open')]"}]"#,
    );
    assert_eq!(errors(&inventory), [""; 0]);
    let all: Vec<_> = inventory.of_type("A.B/c").map(|own| (own.id.name(), own.doubt.as_deref())).collect();
    let doubt = "its condition, the parameter `open`, which has no value";
    assert_eq!(all, [("maybe", Some(doubt)), ("yes", None)]);
}

#[test]
fn parameters_are_checked_where_they_are_written() {
    let environment = "[[source]]\nkind = \"arm-template\"\nfile = \"main.json\"\nparameters_file = \"p.json\"\n\
        parameters = { number = 7 }\n";
    let main = r#"{"$schema": "deploymentTemplate.json#", "parameters": {
        "region": {"type": "string", "allowedValues": ["eastus2", "westeurope"]}, "number": {"type": "int", "maxValue": 9},
        "short": {"type": "string", "minLength": 3}, "flag": {"type": "bool"}, "secret": {"type": "securestring"},
        "given": {"type": "string", "defaultValue": "[concat(parameters('Region'), parameters('number'))]"}},
        "resources": [{"type": "A.B/c", "apiVersion": "1", "name": "x",
          "properties": {"given": "[parameters('given')]", "secret": "[parameters('secret')]"}}]}"#;
    let parameters = |region: &str, number: &str| {
        format!(
            r#"{{"$schema": "deploymentParameters.json#", "parameters": {{ // as Azure takes it
            "region": {{"value": "{region}"}}, "number": {{"value": {number}}}, "short": {{"value": "abc"}}, "flag": {{"value": true}},
            "secret": {{"reference": {{"keyVault": {{"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv"}}, "secretName": "key"}}}}}}}}"#
        )
    };
    let good = parameters("eastus2", "3");
    let inventory = opened(&[("environment.toml", environment), ("main.json", main), ("p.json", &good)]);
    assert_eq!(inventory.findings(), []);
    let made = inventory.of_type("A.B/c").next().expect("the resource");
    assert_eq!(made.value.get("given").and_then(document::Value::as_str), Some("eastus27"));
    let secret = made.value.get("secret").and_then(document::Value::unknown_because);
    assert_eq!(secret, Some("the parameter `secret`, the secret `key` of the key vault `kv`"));
    let bad = parameters("eastus", "3")
        .replace("\"abc\"", "\"ab\"")
        .replace("true", "\"true\"")
        .replace("\"number\"", "\"numbers\"");
    let inventory = opened(&[("environment.toml", environment), ("main.json", main), ("p.json", &bad)]);
    assert_eq!(
        errors(&inventory),
        [
            "p.json:2:33 parameter-value the parameter `region` may not be `eastus`",
            "p.json:2:44 unknown-parameter the template has no parameter `numbers`",
            "p.json:2:88 parameter-range the parameter `short` is 2 characters",
            "p.json:2:113 parameter-type the parameter `flag` is a string",
        ]
    );
}

#[test]
fn what_waits_for_itself_or_stands_twice_is_refused() {
    let inventory = template(
        r#""resources": [{"type": "A.B/c", "apiVersion": "1", "name": "a", "dependsOn": ["b"]},
        {"type": "A.B/c", "apiVersion": "1", "name": "b", "dependsOn": ["[resourceId('A.B/c', 'a')]"]},
        {"type": "A.B/c", "apiVersion": "1", "name": "c", "dependsOn": ["b"]}]"#,
    );
    let found = errors(&inventory);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("cycle") && found[0].ends_with("waits for itself"), "{found:?}");
    let export = r#"{"$schema": "deploymentTemplate.json#", "resources": [{"type": "A.B/c", "name": "a", "dependsOn": ["a"]}]}"#;
    assert!(errors(&opened(&[("export.json", export)])).is_empty(), "Azure exports such templates");
    let twice = template(
        r#""resources": [{"type": "A.B/c", "apiVersion": "1", "name": "same", "copy": {"name": "l", "count": 2}}]"#,
    );
    assert!(errors(&twice)[0].contains("duplicate-resource"), "{:?}", errors(&twice));
}

#[test]
fn values_that_refer_to_each_other_stay_unknown_and_say_so() {
    let one = |name: &str, other: &str| {
        format!(
            r#"{{"type": "A.B/c", "apiVersion": "1", "name": "{name}", "properties": {{"mine": "{name}",
            "theirs": "[reference('{other}').mine]", "circle": "[reference('{other}').circle]"}}}}"#
        )
    };
    let inventory = template(&format!(r#""resources": [{}, {}]"#, one("a", "b"), one("b", "a")));
    assert_eq!(errors(&inventory), [""; 0]);
    let a = resource(&inventory, "A.B/c/a");
    assert_eq!(a.value.get("theirs").and_then(document::Value::as_str), Some("b"));
    let reason = a.value.get("circle").and_then(document::Value::unknown_because).expect("unknown");
    assert!(reason.contains("depends on itself"), "{reason}");
}

#[test]
fn a_value_reaches_the_end_of_a_long_chain_whatever_its_order() {
    const LENGTH: usize = 800;
    let link = |index: usize, next: usize| {
        let known = if next == LENGTH { "yes".to_owned() } else { format!("[reference('c{next}').known]") };
        format!(
            r#"{{"type": "A.B/c", "apiVersion": "1", "name": "c{index}", "properties": {{"known": "{known}"}}}}"#
        )
    };
    let ascending: Vec<_> = (0..LENGTH).map(|index| link(index, index + 1)).collect();
    let descending: Vec<_> = ascending.iter().rev().cloned().collect();
    for chain in [ascending, descending] {
        let inventory = template(&format!(r#""resources": [{}]"#, chain.join(",")));
        assert_eq!(errors(&inventory), [""; 0]);
        let known =
            |own: &&crate::Resource| own.value.get("known").and_then(document::Value::as_str) == Some("yes");
        assert_eq!(inventory.of_type("A.B/c").filter(known).count(), LENGTH);
    }
}

#[test]
fn a_resource_that_exists_unless_it_exists_is_refused() {
    let inventory = template(
        r#""resources": [{"type": "A.B/c", "apiVersion": "1", "name": "x", "properties": {"on": true},
          "condition": "[not(reference(resourceId('A.B/c', 'x')).on)]"}]"#,
    );
    assert_eq!(
        errors(&inventory),
        ["main.json:1:1 cycle what this says keeps changing: it depends on itself"]
    );
}

#[test]
fn symbolic_names_loops_and_existing_resources_are_referred_to() {
    let inventory = template(
        r#""languageVersion": "2.0", "functions": [{"namespace": "contoso", "members": {"named": {
          "parameters": [{"name": "part", "type": "string"}], "output": {"type": "string", "value": "[toLower(concat('N-', parameters('part')))]"}}}}],
        "resources": {
        "many": {"type": "A.B/c", "apiVersion": "1", "name": "[format('n{0}', copyIndex())]", "copy": {"name": "many", "count": 3},
          "properties": {"at": "[copyIndex()]"}},
        "reader": {"type": "A.B/reader", "apiVersion": "1", "name": "[contoso.named('X')]", "properties": {
          "ats": "[map(references('many'), lambda('one', lambdaVariables('one').at))]", "second": "[reference('many[1]').at]",
          "far": "[resourceInfo('far').id]"}},
        "far": {"existing": true, "type": "A.B/c", "apiVersion": "1", "name": "far", "resourceGroup": "elsewhere"}}"#,
    );
    assert_eq!(errors(&inventory), [""; 0]);
    let reader = resource(&inventory, "A.B/reader/n-x");
    assert_eq!(compact(reader.value.get("ats").expect("all")), "[0,1,2]");
    assert_eq!(compact(reader.value.get("second").expect("one")), "1");
    let far = reader.value.get("far").and_then(document::Value::as_str).expect("an id");
    assert!(far.ends_with("/resourceGroups/elsewhere/providers/A.B/c/far"), "{far}");
    assert_eq!(inventory.of_type("A.B/c").count(), 3);
}

#[test]
fn a_subscription_template_makes_groups_and_deploys_into_them() {
    let main = r#"{"$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
        "resources": [{"type": "Microsoft.Resources/resourceGroups", "apiVersion": "1", "name": "rg-new", "location": "westeurope"},
        {"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "in-it", "resourceGroup": "rg-new", "dependsOn": ["rg-new"],
         "properties": {"expressionEvaluationOptions": {"scope": "inner"}, "template": {"$schema": "deploymentTemplate.json#", "resources": [
           {"type": "A.B/c", "apiVersion": "1", "name": "x", "location": "[resourceGroup().location]"}]}}}]}"#;
    let environment = "subscription = \"s\"\nlocation = \"East US 2\"\n[[source]]\nkind = \"arm-template\"\nfile = \"main.json\"\n";
    let inventory = opened(&[("environment.toml", environment), ("main.json", main)]);
    assert_eq!(inventory.findings(), []);
    let made = inventory.of_type("A.B/c").next().expect("the resource");
    assert_eq!(made.id.to_string(), "/subscriptions/s/resourceGroups/rg-new/providers/A.B/c/x");
    assert_eq!(made.value.get("location").and_then(document::Value::as_str), Some("westeurope"));
}

#[test]
fn a_template_beyond_azures_limit_is_refused() {
    let large = format!(r#""variables": {{"x": "{}"}}, "resources": []"#, "x".repeat(4 * 1024 * 1024));
    assert_eq!(errors(&template(&large)).len(), 1);
}

#[test]
fn a_snapshot_reads_back_as_what_it_was_made_of() {
    let inventory = template(
        r#""parameters": {"open": {"type": "bool"}, "name": {"type": "string"}}, "resources": [
        {"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "1", "name": "[parameters('name')]",
         "properties": {"securityRules": [{"name": "r", "properties": {"priority": "[if(parameters('open'), 1, 2)]"}}]}},
        {"type": "A.B/c", "apiVersion": "1", "name": "maybe", "condition": "[parameters('open')]"}]"#,
    );
    let again = opened(&[("snapshot.json", &inventory.snapshot().to_json_pretty())]);
    assert_eq!(again.findings(), []);
    let shown = |inventory: &crate::Inventory| {
        let each =
            inventory.resources().map(|own| (own.id.to_string(), own.doubt.clone(), compact(&own.value)));
        each.collect::<Vec<_>>()
    };
    assert_eq!(shown(&again).len(), 3);
    for (one, other) in shown(&inventory).into_iter().zip(shown(&again)) {
        assert_eq!((one.0, one.1), (other.0, other.1));
    }
    let rule = |inventory: &crate::Inventory| {
        let rule = inventory
            .of_type("Microsoft.Network/networkSecurityGroups/securityRules")
            .next()
            .expect("a rule");
        rule.value.get("priority").and_then(document::Value::unknown_because).map(str::to_owned)
    };
    assert_eq!(rule(&again), rule(&inventory));
}

#[test]
fn run_time_values_answer_for_resources_that_no_document_describes() {
    let environment = "subscription = \"s\"\n[[source]]\nkind = \"arm-template\"\nfile = \"main.json\"\nresource_group = \"rg\"\n\
        [source.runtime]\n\"/subscriptions/s/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st\" = \
        { listKeys = { keys = [ { value = \"secret\" } ] }, primaryEndpoints = { blob = \"https://st.blob.core.windows.net/\" } }\n";
    let main = r#"{"$schema": "deploymentTemplate.json#", "resources": [{"type": "A.B/c", "apiVersion": "1", "name": "x", "properties": {
        "key": "[listKeys(resourceId('Microsoft.Storage/storageAccounts', 'st'), '2023-01-01').keys[0].value]",
        "blob": "[reference(resourceId('Microsoft.Storage/storageAccounts', 'st'), '2023-01-01').primaryEndpoints.blob]"}}]}"#;
    let inventory = opened(&[("environment.toml", environment), ("main.json", main)]);
    assert_eq!(inventory.findings(), []);
    let made = inventory.of_type("A.B/c").next().expect("the resource");
    assert_eq!(made.value.get("key").and_then(document::Value::as_str), Some("secret"));
    assert_eq!(
        made.value.get("blob").and_then(document::Value::as_str),
        Some("https://st.blob.core.windows.net/")
    );
}
