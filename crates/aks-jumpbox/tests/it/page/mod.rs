//! The page that `check --html` writes: as a file, and in a browser.

mod browser;
mod looks;

use serde_json::{Value, json};

use crate::check::{broken, place};
use crate::program::Place;

/// Markup, the end of a style and of an attribute, a link, and what turns the reading direction.
const HOSTILE: &str = "</style></script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>' \
                       onclick=\"window.pwned=1\" \
                       javascript:window.pwned=1 [x](javascript:1) \u{202e}gnp.tfel `";

/// One build subnet, with a hostile delegation; its group's last rules have hostile names, which end at a slash.
fn hostile() -> Place {
    let place = broken();
    let group = place.read("nsg.json");
    let name =
        |number: usize| json!(format!("{}{}{number}", HOSTILE.replace('/', ""), "W".repeat(400))).to_string();
    place.write(
        "nsg.json",
        &group.replace("\"DenyAllInbound\"", &name(1)).replace("\"DenyAllOutbound\"", &name(2)),
    );
    let network = place.read("network.json");
    let delegation = json!([{"name": "x", "properties": {"serviceName": HOSTILE}}]);
    let own = "\"privateLinkServiceNetworkPolicies\"";
    place.write("network.json", &network.replace(own, &format!("\"delegations\": {delegation}, {own}")));
    place
}

fn rule(name: &str, direction: &str, priority: u16, ends: (&str, &str), port: &str) -> Value {
    let access = if name.starts_with("Deny") { "Deny" } else { "Allow" };
    json!({"name": name, "properties": {
        "priority": priority, "direction": direction, "access": access, "protocol": "Tcp",
        "sourceAddressPrefix": ends.0, "sourcePortRange": "*",
        "destinationAddressPrefix": ends.1, "destinationPortRange": port}})
}

const NETWORK: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network";

/// Two subnets: port 445 is refused, and whether 22 is allowed is open.
fn isolated() -> Place {
    let (build, container) = ("10.241.0.0/28", "10.241.0.32/28");
    let all = ("*", "*");
    let network = |kind: &str, name: &str| format!("{NETWORK}/{kind}/{name}");
    let group = |name: &str, rules: Value| json!({"id": network("networkSecurityGroups", name), "properties": {"securityRules": rules}});
    let subnet = |name: &str, prefix: &str, delegations: Value| {
        json!({"name": name, "properties": {"addressPrefix": prefix, "delegations": delegations,
            "natGateway": {"id": network("natGateways", "nat")},
            "networkSecurityGroup": {"id": network("networkSecurityGroups", name)}}})
    };
    let groups =
        json!({"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}});
    let resources = json!([
        group("build", json!([
            rule("AllowSsh", "Inbound", 100, (container, "[parameters('unknown')]"), "22"),
            rule("DenyInbound", "Inbound", 4000, all, "*"),
        ])),
        group("container", json!([rule("DenyFiles", "Outbound", 4000, (container, "Internet"), "445")])),
        {"id": network("virtualNetworks", "vnet"), "location": "eastus2", "properties": {
            "addressSpace": {"addressPrefixes": ["10.241.0.0/24"]},
            "subnets": [subnet("build", build, json!([])), subnet("container", container, json!([groups]))]}},
    ]);
    let place = Place::new();
    place.write("world.json", &resources.to_string());
    place.write(
        "environment.toml",
        "subscription = \"s\"\nlocation = \"eastus2\"\nbuild_subnet = \"vnet/build\"\n\
         container_subnet = \"vnet/container\"\n[[source]]\nkind = \"resources\"\nfile = \"world.json\"\n",
    );
    place
}

const CHECK: &str = "check --environment environment.toml --html page.html";

/// A place whose page is written.
fn written(place: Place, line: &str, code: i32) -> Place {
    let answer = place.run(line);
    assert_eq!(answer.code, Some(code), "{answer}");
    place
}

#[test]
fn the_page_stands_beside_every_format_and_changes_no_answer() {
    let place = broken();
    let line = "check --environment environment.toml";
    let mut pages = Vec::new();
    for format in ["text", "json", "sarif"] {
        let alone = place.run(&format!("{line} --format {format}"));
        let with = place.run(&format!("{line} --format {format} --html page.html"));
        assert_eq!((with.code, &with.stdout, &with.stderr), (alone.code, &alone.stdout, &alone.stderr));
        pages.push(place.read("page.html"));
    }
    assert!(pages.iter().all(|page| *page == pages[0]), "the same findings are the same page");
    let text = place.run(line).stdout;
    let verdict = text.lines().last().expect("a verdict");
    assert!(pages[0].contains("✗ fail:") && verdict.starts_with("✗ fail:"), "{verdict}");
    for count in verdict.split("  ").map(|part| part.trim_start_matches("✗ fail: ")) {
        assert!(pages[0].contains(&format!(">{count}<")), "{count} of `{verdict}` is on the page");
    }
    for name in ["environment.toml", "network.json", "nsg.json"] {
        assert!(pages[0].contains(&format!("<code>{name}</code>")), "{name} was read");
    }
}

#[test]
fn a_page_that_cannot_be_written_is_told_and_nothing_is_left() {
    let place = place("Disabled");
    let answer = place.run("check --environment environment.toml --html nowhere/page.html");
    assert_eq!(answer.code, Some(2), "{answer}");
    assert!(answer.stderr.contains("could not write nowhere/page.html"), "{answer}");
    let folder = place.run("check --environment environment.toml --html .");
    assert_eq!(folder.code, Some(2), "{folder}");
    let count = std::fs::read_dir(place.path()).expect("it is there").count();
    assert_eq!(count, 3, "nothing but the documents");
}

#[test]
fn nothing_may_be_loaded_or_run() {
    let page = written(hostile(), CHECK, 1).read("page.html");
    assert!(page.contains("default-src 'none'; style-src 'sha256-"), "{page}");
    for markup in
        ["<script", "<img", "<link", "<iframe", "url(", "@import", " style=", "http-equiv=\"refresh\""]
    {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(
        page.contains("&lt;script&gt;window.pwned=1&lt;/script&gt;"),
        "the name is shown as it is written"
    );
    let links: Vec<_> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.len() > 20);
    for link in links {
        assert!(link.starts_with('#') || link.starts_with("https://learn.microsoft.com/azure/"), "{link}");
    }
    let ids: Vec<_> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert_eq!(ids.iter().filter(|id| **id == target).count(), 1, "#{target} leads to one place");
    }
}
