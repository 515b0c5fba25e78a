//! What flow logs say was denied to a build.

use crate::program::Place;

const NETWORK: &str = include_str!("../../../../docs/examples/network/vnet-flow-log.json");
const FIREWALL: &str = include_str!("../../../../docs/examples/network/firewall-log.jsonl");

fn place() -> Place {
    let place = Place::new();
    place.write("vnet.json", NETWORK);
    place.write("firewall.jsonl", FIREWALL);
    place
}

#[test]
fn what_a_build_needs_stands_before_noise() {
    insta::assert_snapshot!(
        place().run("explain --log vnet.json --log firewall.jsonl --subnet 10.241.0.0/28")
    );
}

#[test]
fn noise_alone_is_a_pass_and_programs_get_every_field() {
    let answer = place().run("explain --log firewall.jsonl --subnet 10.241.0.0/28 --format json");
    assert_eq!(answer.code, Some(0), "{answer}");
    insta::assert_snapshot!(answer);
}

#[test]
fn the_window_decides_what_counts() {
    let place = place();
    let window = |since: &str, until: &str| {
        let line = format!("explain --log vnet.json --subnet 10.241.0.0/28 --since {since} --until {until}");
        place.run(&line)
    };
    let noise = window("2025-06-01T12:00:07Z", "2025-06-01T12:00:40Z");
    assert_eq!(noise.code, Some(0), "{noise}");
    let unknown = window("2025-06-01T14:00:40+02:00", "2025-06-02");
    assert_eq!(unknown.code, Some(3), "one that nothing is known of: {unknown}");
    let silent = window("2025-06-02", "2025-06-03");
    assert_eq!(silent.code, Some(3), "{silent}");
    assert!(silent.stdout.contains("no flow of the subnet"), "{silent}");
    let wrong = window("yesterday", "2025-06-03");
    assert_eq!(wrong.code, Some(2), "{wrong}");
}

#[test]
fn what_the_recipe_allows_is_needed() {
    let place = place();
    place.write("jumpbox.toml", "[network]\nallow = [\"changelogs.ubuntu.com:443\"]\n");
    let answer = place.run("explain --log firewall.jsonl --format json");
    assert_eq!(answer.code, Some(1), "{answer}");
    assert_eq!(answer.json()["denied"][0]["name"], "changelogs.ubuntu.com", "{answer}");
    assert_eq!(answer.json()["denied"][0]["class"], "needed", "{answer}");
}

#[test]
fn a_log_that_breaks_off_is_told_and_one_that_is_none_is_refused() {
    let place = place();
    place.write("half.jsonl", &FIREWALL[..FIREWALL.len() - 40]);
    let half = place.run("explain --log half.jsonl");
    assert_eq!(half.code, Some(0), "{half}");
    assert!(half.stdout.contains("half.jsonl:3:"), "{half}");
    assert!(half.stdout.contains("breaks off"), "{half}");

    place.write("wrong.json", &NETWORK.replace("10.250.0.4", "10.250.0.400"));
    insta::assert_snapshot!(place.run("explain --log wrong.json"), @"
    exit 2
    --- stdout
    --- stderr
    wrong.json:14:8: error: `10.250.0.400` is not allowed
      expected: an IP address
    ");
    let json = place.run("explain --log wrong.json --format json");
    assert_eq!(json.code, Some(2), "{json}");
    assert_eq!(json.json()["error"]["line"], 14, "{json}");
    for line in ["explain", "explain --log nowhere.json", "explain --log ."] {
        assert_eq!(place.run(line).code, Some(2), "{line}");
    }
}

#[test]
fn an_environment_names_the_build_subnet() {
    let place = place();
    place.write(
        "environment.toml",
        "build_subnet = \"vnet/snet\"\n[[source]]\nkind = \"resources\"\nfile = \"vnet-only.json\"\n",
    );
    let network = r#"{"type": "Microsoft.Network/virtualNetworks", "name": "vnet",
      "id": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet",
      "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]},
        "subnets": [{"name": "snet", "properties": {"addressPrefix": "PREFIX"}}]}}"#;
    let denied = |prefix: &str| {
        place.write("vnet-only.json", &network.replace("PREFIX", prefix));
        let answer = place.run("explain --log vnet.json --environment environment.toml --format json");
        answer.json()["denied_entries"].as_u64()
    };
    assert_eq!(denied("10.241.0.0/28"), Some(6));
    assert_eq!(denied("10.242.0.0/28"), Some(0), "another subnet's flows do not count");
}
