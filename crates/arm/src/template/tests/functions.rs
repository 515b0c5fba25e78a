//! Every documented function, by name.

use std::collections::BTreeSet;

use super::{compact, value_beside};
use crate::template::functions;

/// What each function gives, most of it as Microsoft's pages "ARM template functions" and "Bicep functions" show it.
#[rustfmt::skip]
const EXAMPLES: &[(&str, &str)] = &[
    // Array
    ("[array('efgh')]", r#"["efgh"]"#),
    ("[array(createArray(1))]", "[1]"),
    ("[concat(createArray('1-1', '1-2'), createArray('2-1'))]", r#"["1-1","1-2","2-1"]"#),
    ("[concat('prefix', '-', 5, true())]", r#""prefix-5True""#),
    ("[contains('OneTwoThree', 'e')]", "true"),
    ("[contains('OneTwoThree', 'z')]", "false"),
    ("[contains(createObject('one', 'a'), 'ONE')]", "true"),
    ("[contains(createArray('one', 'two'), 'Two')]", "false"),
    ("[createArray('a', 1, createObject())]", r#"["a",1,{}]"#),
    ("[empty(createArray())]", "true"),
    ("[empty('')]", "true"),
    ("[empty(createObject('a', 1))]", "false"),
    ("[first(createArray('one', 'two'))]", r#""one""#),
    ("[first('One Two')]", r#""O""#),
    ("[first(createArray())]", ""),
    ("[flatten(createArray(createArray('one'), createArray('two', 'three')))]", r#"["one","two","three"]"#),
    ("[indexFromEnd(createArray('a', 'b', 'c'), 2)]", r#""b""#),
    ("[indexOf('Test', 't')]", "0"),
    ("[indexOf('abcdef', 'CD')]", "2"),
    ("[indexOf(createArray('one', 'two', 'one'), 'one')]", "0"),
    ("[intersection(createArray('one', 'two', 'three'), createArray('two', 'three'))]", r#"["two","three"]"#),
    ("[intersection(createObject('one', 'a', 'two', 'b', 'three', 'c'), createObject('one', 'a', 'two', 'z', 'three', 'c'))]", r#"{"one":"a","three":"c"}"#),
    ("[last(createArray('one', 'two'))]", r#""two""#),
    ("[lastIndexOf('test', 'T')]", "3"),
    ("[lastIndexOf(createArray('one', 'two', 'one'), 'one')]", "2"),
    ("[lastIndexOf('abcdef', 'z')]", "-1"),
    ("[length('One Two Three')]", "13"),
    ("[length(createObject('a', 1, 'b', 2))]", "2"),
    ("[max(createArray(0, 3, 2, 5, 4))]", "5"),
    ("[max(0, 3, 2)]", "3"),
    ("[min(createArray(0, 3, 2))]", "0"),
    ("[range(5, 3)]", "[5,6,7]"),
    ("[skip(createArray('one', 'two', 'three'), 2)]", r#"["three"]"#),
    ("[skip('one two three', 4)]", r#""two three""#),
    ("[take(createArray('one', 'two', 'three'), 2)]", r#"["one","two"]"#),
    ("[take('one', 10)]", r#""one""#),
    ("[tryIndexFromEnd(createArray('a'), 2)]", ""),
    ("[union(createArray('one', 'two'), createArray('two', 'three'))]", r#"["one","two","three"]"#),
    ("[union(createObject('one', createObject('a', 1)), createObject('one', createObject('b', 2)))]", r#"{"one":{"a":1,"b":2}}"#),
    // CIDR
    ("[parseCidr('10.144.0.0/20')]", r#"{"network":"10.144.0.0","netmask":"255.255.240.0","broadcast":"10.144.15.255","firstUsable":"10.144.0.1","lastUsable":"10.144.15.254","cidr":20}"#),
    ("[parseCidr('fdad:3236:5555::/48')]", r#"{"network":"fdad:3236:5555::","netmask":"ffff:ffff:ffff::","firstUsable":"fdad:3236:5555::","lastUsable":"fdad:3236:5555:ffff:ffff:ffff:ffff:ffff","cidr":48}"#),
    ("[cidrSubnet('10.144.0.0/20', 24, 4)]", r#""10.144.4.0/24""#),
    ("[cidrSubnet('fdad:3236:5555::/48', 52, 1)]", r#""fdad:3236:5555:1000::/52""#),
    ("[cidrHost('10.144.3.0/24', 0)]", r#""10.144.3.1""#),
    ("[cidrHost('fdad:3236:5555:3000::/52', 4)]", r#""fdad:3236:5555:3000::5""#),
    // Comparison
    ("[coalesce(null(), null(), 'string')]", r#""string""#),
    ("[equals('a', 'A')]", "false"),
    ("[equals(createArray(1, 2), createArray(1, 2))]", "true"),
    ("[equals(createObject('a', 1, 'b', 2), createObject('b', 2, 'a', 1))]", "true"),
    ("[greater(2, 1)]", "true"),
    ("[greaterOrEquals('A', 'a')]", "false"),
    ("[less('A', 'a')]", "true"),
    ("[lessOrEquals(2, 1)]", "false"),
    // Date
    ("[dateTimeAdd('2020-04-07 14:53:14Z', 'P3Y', 'u')]", r#""2023-04-07 14:53:14Z""#),
    ("[dateTimeAdd('2020-04-07T14:53:14Z', '-P9D', 'yyyy-MM-dd')]", r#""2020-03-29""#),
    ("[dateTimeAdd('20200407T145314Z', 'PT1H', 'HH:mm')]", r#""15:53""#),
    ("[dateTimeFromEpoch(1683040573)]", r#""2023-05-02T15:16:13Z""#),
    ("[dateTimeToEpoch('2023-05-02T15:16:13Z')]", "1683040573"),
    ("[parameters('now')]", r#""[unknown: `utcNow()`, the time of the deployment; give the parameter a value]""#),
    // Deployment
    ("[deployer().objectId]", r#""[unknown: `deployer()`, who deploys]""#),
    ("[deployment().name]", r#""[unknown: the deployment's name]""#),
    ("[environment().suffixes.keyvaultDns]", r#"".vault.azure.net""#),
    ("[parameters('NAME')]", r#""jump""#),
    ("[variables('dogs')[0].name]", r#""Evie""#),
    // Lambda
    ("[filter(variables('dogs'), lambda('dog', greaterOrEquals(lambdaVariables('dog').age, 5)))]", r#"[{"name":"Evie","age":5},{"name":"Kira","age":8}]"#),
    ("[groupBy(createArray('a1', 'b1', 'a2'), lambda('x', first(lambdaVariables('x'))))]", r#"{"a":["a1","a2"],"b":["b1"]}"#),
    ("[map(variables('dogs'), lambda('dog', 'i', format('{0}{1}', lambdaVariables('dog').name, lambdaVariables('i'))))]", r#"["Evie0","Indy1","Kira2"]"#),
    ("[mapValues(createObject('a', 1, 'b', 2), lambda('x', mul(2, lambdaVariables('x'))))]", r#"{"a":2,"b":4}"#),
    ("[reduce(map(variables('dogs'), lambda('dog', lambdaVariables('dog').age)), 0, lambda('cur', 'next', add(lambdaVariables('cur'), lambdaVariables('next'))))]", "15"),
    ("[map(sort(variables('dogs'), lambda('a', 'b', less(lambdaVariables('a').age, lambdaVariables('b').age))), lambda('d', lambdaVariables('d').name))]", r#"["Indy","Evie","Kira"]"#),
    ("[toObject(variables('dogs'), lambda('d', lambdaVariables('d').name), lambda('d', lambdaVariables('d').age))]", r#"{"Evie":5,"Indy":2,"Kira":8}"#),
    // Logical
    ("[and(true(), not(false()))]", "true"),
    ("[bool('1')]", "true"),
    ("[bool(0)]", "false"),
    ("[if(equals('a', 'a'), 'yes', 'no')]", r#""yes""#),
    ("[or(false(), false())]", "false"),
    // Numeric
    ("[add(5, 3)]", "8"),
    ("[div(8, 3)]", "2"),
    ("[float('3.5')]", "3.5"),
    ("[int('4')]", "4"),
    ("[mod(7, 3)]", "1"),
    ("[mul(5, -3)]", "-15"),
    ("[sub(7, 3)]", "4"),
    // Object
    ("[createObject('a', 1, 'b', createArray(true()))]", r#"{"a":1,"b":[true]}"#),
    ("[items(createObject('item002', 2, 'item001', 1))]", r#"[{"key":"item001","value":1},{"key":"item002","value":2}]"#),
    ("[json('{\"a\": [1, null]}')]", r#"{"a":[1,null]}"#),
    ("[length(json('{''a'': ''b\"c''}').a)]", "3"),
    ("[null()]", ""),
    ("[objectKeys(createObject('b', 1, 'a', 2))]", r#"["a","b"]"#),
    ("[shallowMerge(createArray(createObject('a', createObject('x', 1)), createObject('a', createObject('y', 2))))]", r#"{"a":{"y":2}}"#),
    ("[tryGet(createObject('a', createArray(7)), 'a', 0)]", "7"),
    // Resource
    ("[extensionResourceId(resourceGroup().id, 'Microsoft.Authorization/roleAssignments', 'x')]", r#""/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Authorization/roleAssignments/x""#),
    ("[listKeys(resourceId('Microsoft.Storage/storageAccounts', 'st'), '2023-01-01').keys[0].value]", r#""[unknown: what `listKeys` gives of `/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st`]""#),
    ("[toUpper(managementGroupResourceId('Microsoft.Authorization/policyDefinitions', 'p'))]", r#""[unknown: the management group of the deployment]""#),
    ("[pickZones('Microsoft.Compute', 'virtualMachines', 'eastus2')]", r#""[unknown: `pickZones()`, which only Azure knows]""#),
    ("[providers('Microsoft.Web', 'sites').apiVersions[0]]", r#""[unknown: `providers()`, which only Azure knows]""#),
    ("[reference(resourceId('Contoso.Test/things', 'none'), '2024-01-01').x]", r#""[unknown: `/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Contoso.Test/things/none`, which no document describes]""#),
    ("[reference('it', '2024-01-01', 'Full').apiVersion]", r#""2024-01-01""#),
    ("[resourceId('other', 'Microsoft.Network/virtualNetworks/subnets', 'v', 's')]", r#""/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/other/providers/Microsoft.Network/virtualNetworks/v/subnets/s""#),
    ("[resourceInfo('it').name]", r#""it""#),
    ("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'r')]", r#""/subscriptions/00000000-0000-0000-0000-000000000000/providers/Microsoft.Authorization/roleDefinitions/r""#),
    ("[tenantResourceId('Microsoft.Authorization/roleDefinitions', 'r')]", r#""/providers/Microsoft.Authorization/roleDefinitions/r""#),
    ("[toLogicalZone(subscription().subscriptionId, 'eastus2', 'eastus2-az1')]", r#""[unknown: `toLogicalZone()`, which only Azure knows]""#),
    ("[toLogicalZones(subscription().subscriptionId, 'eastus2', createArray('eastus2-az1'))]", r#""[unknown: `toLogicalZones()`, which only Azure knows]""#),
    ("[toPhysicalZone(subscription().subscriptionId, 'eastus2', '1')]", r#""[unknown: `toPhysicalZone()`, which only Azure knows]""#),
    ("[toPhysicalZones(subscription().subscriptionId, 'eastus2', createArray('1'))]", r#""[unknown: `toPhysicalZones()`, which only Azure knows]""#),
    // Scope
    ("[managementGroup().name]", r#""[unknown: `managementGroup()`, the management group of the deployment]""#),
    ("[concat(resourceGroup().name, '/', resourceGroup().location)]", r#""rg/eastus2""#),
    ("[subscription().id]", r#""/subscriptions/00000000-0000-0000-0000-000000000000""#),
    ("[tenant().tenantId]", r#""[unknown: `tenant()`, the tenant of the deployment]""#),
    // String
    ("[base64('one, two, three')]", r#""b25lLCB0d28sIHRocmVl""#),
    ("[base64ToJson('eydvbmUnOiAnYScsICd0d28nOiAnYid9')]", r#"{"one":"a","two":"b"}"#),
    ("[base64ToString('b25lLCB0d28sIHRocmVl')]", r#""one, two, three""#),
    ("[endsWith('abcdef', 'EF')]", "true"),
    ("[if(true(), 'fine', fail('never'))]", r#""fine""#),
    ("[format('{0}, {1}. Formatted number: {2:N0} {{{3,4:D2}}}', 'Hello', 'User', 8175133, 7)]", r#""Hello, User. Formatted number: 8,175,133 {  07}""#),
    ("[guid('a', 'b')]", r#""2d796349-8c7e-55ec-9624-54ece82ed031""#),
    ("[join(createArray('one', 2), ', ')]", r#""one, 2""#),
    ("[parameters('new')]", r#""[unknown: `newGuid()`, a new one for every deployment; give the parameter a value]""#),
    ("[padLeft('123', 10, '0')]", r#""0000000123""#),
    ("[padLeft(7, 3)]", r#""  7""#),
    ("[replace('123-123', '123', '9')]", r#""9-9""#),
    ("[split('one;two,three', createArray(',', ';'))]", r#"["one","two","three"]"#),
    ("[split('one,two', ',')]", r#"["one","two"]"#),
    ("[startsWith('abcdef', 'AB')]", "true"),
    ("[string(createObject('a', createArray(1, 'x')))]", r#""{\"a\":[1,\"x\"]}""#),
    ("[string(true())]", r#""True""#),
    ("[substring('one two three', 4, 3)]", r#""two""#),
    ("[toLower('ABC')]", r#""abc""#),
    ("[toUpper('abc')]", r#""ABC""#),
    ("[trim('  one ')]", r#""one""#),
    ("[uniqueString('hello', 'world')]", r#""a7wkljktk6wne""#),
    // URI
    ("[buildUri(createObject('scheme', 'https', 'host', 'a.b', 'path', 'c'))]", r#""https://a.b/c""#),
    ("[dataUri('Hello')]", r#""data:text/plain;charset=utf8;base64,SGVsbG8=""#),
    ("[dataUriToString('data:;base64,SGVsbG8sIFdvcmxkIQ==')]", r#""Hello, World!""#),
    ("[parseUri('https://a.b:8443/c?d=e').port]", "8443"),
    ("[uri('http://contoso.org/firstpath/myscript.sh', 'nested/azuredeploy.json')]", r#""http://contoso.org/firstpath/nested/azuredeploy.json""#),
    ("[uri('http://contoso.org/firstpath/', '../a')]", r#""http://contoso.org/a""#),
    ("[uriComponent('http://contoso.com/a b')]", r#""http%3A%2F%2Fcontoso.com%2Fa%20b""#),
    ("[uriComponentToString('http%3A%2F%2Fcontoso.com%2Fa%20b')]", r#""http://contoso.com/a b""#),
];

/// What the pages list; `list*` stands for every function of a resource provider.
const DOCUMENTED: &str = "array concat contains createArray empty first flatten indexFromEnd indexOf intersection last
    lastIndexOf length max min objectKeys range skip take tryGet tryIndexFromEnd union parseCidr cidrSubnet cidrHost
    coalesce equals greater greaterOrEquals less lessOrEquals dateTimeAdd dateTimeFromEpoch dateTimeToEpoch utcNow
    deployer deployment environment parameters variables filter groupBy map mapValues reduce sort toObject and bool false
    if not or true add copyIndex div float int mod mul sub createObject items json null shallowMerge extensionResourceId
    listAccountSas listKeys listSecrets list* pickZones providers reference references resourceId
    subscriptionResourceId tenantResourceId managementGroupResourceId toLogicalZone toLogicalZones toPhysicalZone
    toPhysicalZones managementGroup resourceGroup subscription tenant base64 base64ToJson base64ToString dataUri
    dataUriToString endsWith fail format guid join newGuid padLeft replace split startsWith string substring toLower
    toUpper trim uniqueString uri uriComponent uriComponentToString buildUri parseUri lambda lambdaVariables";

const PARTS: &str = r#""parameters": {"name": {"type": "string", "defaultValue": "jump"},
      "now": {"type": "string", "defaultValue": "[utcNow('u')]"}, "new": {"type": "string", "defaultValue": "[newGuid()]"}},
    "variables": {"dogs": [{"name": "Evie", "age": 5}, {"name": "Indy", "age": 2}, {"name": "Kira", "age": 8}]},"#;

#[test]
fn every_function_gives_what_is_documented() {
    let mut wrong = Vec::new();
    for (expression, expected) in EXAMPLES {
        let value = value_beside(expression, PARTS);
        let shown = if value.kind == document::Kind::Null { String::new() } else { compact(&value) };
        if shown != *expected {
            wrong.push(format!("{expression} gives {shown}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_documented_function_is_there_and_is_tried() {
    for name in DOCUMENTED.split_whitespace() {
        assert!(functions::find(name).is_some(), "{name} is documented");
        assert!(functions::find(&name.to_uppercase()).is_some(), "{name} ignores case");
    }
    // Tried in loops of resources.
    let elsewhere = ["copyIndex", "references"];
    let called: BTreeSet<&str> = EXAMPLES
        .iter()
        .chain([&("newGuid(utcNow(list*(", "")])
        .flat_map(|(text, _)| text.split(|c: char| !(c.is_ascii_alphanumeric() || "(*".contains(c))))
        .flat_map(|part| part.split_inclusive('('))
        .filter_map(|part| part.strip_suffix('('))
        .chain(elsewhere)
        .collect();
    for function in functions::all() {
        assert!(called.contains(function.name), "{} is tried by no example", function.name);
    }
    assert!(functions::find("nosuch").is_none());
}
