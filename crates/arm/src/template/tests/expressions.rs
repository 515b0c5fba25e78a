//! How far what is not known spreads, and where errors point.

use super::{compact, error, opened, value_beside};

const PARTS: &str = r#""parameters": {"open": {"type": "string"}, "list": {"type": "array"}, "flag": {"type": "bool"}},
    "variables": {"mixed": {"known": 1, "open": "[parameters('open')]"},
      "items": ["a", "[parameters('open')]", "c"]},"#;

fn shown(expression: &str) -> String {
    compact(&value_beside(expression, PARTS))
}

#[test]
fn what_is_not_known_spreads_no_further_than_it_must() {
    for (expression, expected) in [
        ("[if(true(), 'a', parameters('open'))]", "\"a\""),
        ("[if(false(), fail('no'), 'b')]", "\"b\""),
        ("[length(variables('items'))]", "3"),
        ("[variables('items')[2]]", "\"c\""),
        ("[variables('mixed').known]", "1"),
        ("[last(variables('items'))]", "\"c\""),
        ("[contains(variables('items'), 'a')]", "true"),
        ("[contains(variables('mixed'), 'OPEN')]", "true"),
        ("[and(false(), parameters('flag'))]", "false"),
        ("[and(parameters('flag'), false())]", "false"),
        ("[or(parameters('flag'), true())]", "true"),
        ("[coalesce(null(), 'x', parameters('open'))]", "\"x\""),
        ("[equals(parameters('open'), parameters('open'))]", "true"),
        ("[equals(createArray('a', parameters('open')), createArray('b', parameters('open')))]", "false"),
        ("[length(createArray(parameters('open'), parameters('open')))]", "2"),
        ("[length(map(variables('items'), lambda('x', concat(lambdaVariables('x'), '!'))))]", "3"),
        ("[empty(createObject('a', parameters('open')))]", "false"),
        ("[take(variables('items'), 1)]", "[\"a\"]"),
        ("[union(variables('mixed'), createObject('open', 2))]", "{\"known\":1,\"open\":2}"),
        ("[tryGet(variables('mixed'), 'none', 'deeper')]", "null"),
        (
            "[resourceId('Microsoft.Network/virtualNetworks', parameters('open'))]",
            "\"/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/{parameters('open')}\"",
        ),
    ] {
        assert_eq!(shown(expression), expected, "{expression}");
    }
}

#[test]
fn what_is_not_known_says_what_would_decide_it() {
    let parameter = "\"[unknown: the parameter `open`, which has no value]\"";
    for expression in [
        "[parameters('open')]",
        "[concat('a', parameters('open'))]",
        "[format('{0}', parameters('open'))]",
        "[toLower(parameters('open'))]",
        "[variables('items')[1]]",
        "[contains(variables('items'), 'x')]",
        "[string(variables('items'))]",
        "[join(variables('items'), ',')]",
        "[equals(parameters('open'), 'a')]",
        "[uniqueString(parameters('open'))]",
        "[variables('mixed').open.deeper]",
    ] {
        assert_eq!(shown(expression), parameter, "{expression}");
    }
    let flag = "\"[unknown: the parameter `flag`, which has no value]\"";
    assert_eq!(shown("[if(parameters('flag'), 1, 2)]"), flag);
    assert_eq!(shown("[and(true(), parameters('flag'))]"), flag);
    assert!(
        shown("[reference('/subscriptions/s/resourceGroups/g/providers/A.B/c/d').x]")
            .contains("no document describes")
    );
    assert!(shown("[deployer().objectId]").contains("who deploys"));
}

#[test]
fn errors_point_into_the_expression() {
    for (expression, expected) in [
        ("[concat('a', nosuch('b'))]", "nosuch | unknown-function | there is no function `nosuch`"),
        (
            "[contoso.nosuch('b')]",
            "contoso.nosuch | unknown-function | there is no function `contoso.nosuch`",
        ),
        ("[split('a')]", "split | wrong-arity | `split` is called with 1 argument"),
        ("[add(1, 'é')]", "add | wrong-argument | a string is given"),
        ("[concat('\"\\u00e9é', int('x'))]", "int | wrong-argument | `x` is no integer"),
        ("[createObject('a', 1).b]", "b | no-property | the object has no property `b`"),
        ("[createArray(1)[4]]", "4 | no-item | the array has no item 4"),
        ("[parameters('none')]", "'none' | unknown-name | the template has no parameter `none`"),
        ("[variables('x')]", "'x' | cycle | the value of `x` depends on itself"),
        ("[copyIndex()]", "copyIndex | no-loop | `copyIndex` stands outside of a loop"),
        ("[utcNow()]", "utcNow | not-here | `utcNow` stands outside of a parameter's default"),
        ("[and(true(), 3)]", "3 | wrong-argument | an integer is given"),
        ("[div(1, 0)]", "div | wrong-argument | a division by zero"),
        ("[add(9223372036854775807, 1)]", "add | wrong-argument | the result is too large"),
        ("[range(0, 1000000)]", "range | wrong-argument | `range` is to make 1000000 integers"),
        ("[lambda('x', 1)]", "lambda | not-here | a lambda function stands here"),
        ("[map(createArray(1), 'x')]", "'x' | wrong-argument | this is no lambda function"),
        ("[fail('too small')]", "fail | failed | the template fails: too small"),
    ] {
        assert_eq!(error(expression), expected, "{expression}");
    }
}

#[test]
fn a_doubling_text_and_a_deep_value_end() {
    let doubling = "[length(reduce(range(0, 60), 'xxxxxxxx', lambda('s', 'n', concat(lambdaVariables('s'), lambdaVariables('s')))))]";
    assert!(error(doubling).contains("too-large"), "{}", error(doubling));
    let nested =
        "[reduce(range(0, 9999), createArray(), lambda('a', 'n', createArray(lambdaVariables('a'))))]";
    assert!(error(nested).contains("too-deep"), "{}", error(nested));
    let loops = "[length(map(range(0, 10000), lambda('a', map(range(0, 10000), lambda('b', map(range(0, 10000), lambda('c', 1)))))))]";
    assert!(error(loops).contains("too large together"), "{}", error(loops));
    let link = |i| format!("\"v{i}\": \"[concat(variables('v{}'), 'x')]\"", i + 1);
    let chain = (0..300).map(link).collect::<Vec<_>>().join(", ");
    let chain = format!(
        "{{\"$schema\": \"deploymentTemplate.json#\", \"variables\": {{{chain}, \"v300\": \"x\"}}, \"resources\": []}}"
    );
    let inventory = opened(&[("a.json", &chain)]);
    assert!(super::errors(&inventory)[0].contains("nested too deeply"), "{:?}", super::errors(&inventory));
}

#[test]
fn what_nothing_evaluates_is_checked_too() {
    let inventory = super::template(
        r#""resources": [{"type": "A.B/c", "apiVersion": "1", "name": "x", "condition": false, "properties": {"a": "[nosuch()]"}},
        {"type": "A.B/c", "apiVersion": "1", "name": "y", "metadata": {"text": "[no expression]"},
         "properties": {"b": "[if(true(), 1, split('a'))]"}}]"#,
    );
    let found = super::errors(&inventory);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].ends_with("there is no function `nosuch`"), "{found:?}");
    assert!(found[1].ends_with("`split` is called with 1 argument"), "{found:?}");
}

#[test]
fn parameters_of_one_name_in_two_templates_are_two() {
    let environment = "subscription = \"s\"\n[[source]]\nkind = \"arm-template\"\nfile = \"a.json\"\nresource_group = \"rg\"\n\
        [[source]]\nkind = \"arm-template\"\nfile = \"b.json\"\nresource_group = \"rg\"\n";
    let template = r#"{"$schema": "deploymentTemplate.json#", "parameters": {"name": {"type": "string"}}, "resources": [
        {"type": "A.B/c", "apiVersion": "1", "name": "[parameters('name')]"}]}"#;
    let inventory = opened(&[("environment.toml", environment), ("a.json", template), ("b.json", template)]);
    assert_eq!(inventory.of_type("A.B/c").count(), 2);
}
