//! What leaves a build and what does not.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::disk::Root;
use crate::world::{Built, World, fresh};

/// Rows of the egress record that belong to a step.
fn rows(world: &World, step: u64) -> Vec<Value> {
    let record = world.json("out/egress.json");
    let rows = record["connections"].as_array().expect("a list").iter();
    rows.filter(|row| row["step"] == step).cloned().collect()
}

fn row(world: &World, step: u64, protocol: &str) -> Value {
    let rows = rows(world, step);
    let found = rows.iter().find(|row| row["protocol"] == protocol);
    found.unwrap_or_else(|| panic!("no {protocol} connection of step {step}: {rows:?}")).clone()
}

#[test]
fn a_step_that_fails_for_a_refused_connection_names_it_its_rule_and_what_to_add() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh("download", &["curl -sS http://denied.example/file"])]));
    let built = world.build("", 1);
    let refused = built.failed()["refused"].as_array().expect("a list").clone();
    assert_eq!(refused.len(), 1, "a name that was looked up and dialled is told once: {refused:?}");
    assert_eq!(refused[0]["name"], "denied.example");
    assert_eq!(refused[0]["port"], 80);
    let leads =
        "step 1 'download' failed: denied.example:80 refused by the egress policy (no rule allows it); ";
    assert!(built.complaint().starts_with(leads), "{built}");
    assert!(built.complaint().contains("to allow it add allow = [\"denied.example:80\"]"), "{built}");
    assert_eq!(row(&world, 1, "tcp")["decision"], "denied");

    let text = world.command("build --template image.json").output().expect("the program runs");
    let text = String::from_utf8_lossy(&text.stderr).into_owned();
    assert!(
        text.contains("denied.example:80 refused by the egress policy (no rule allows it)"),
        "people see it too: {text}"
    );
}

#[test]
fn time_servers_and_raw_addresses_are_refused_and_recorded() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([
        fresh("time", &["bash -c 'echo x > /dev/udp/203.0.113.9/123' || true"]),
        fresh("address", &["curl -sS --max-time 20 http://203.0.113.9/ || echo refused"]),
    ]));
    let built = world.build("--until address", 0);
    let time = row(&world, 1, "udp");
    assert_eq!(
        (&time["port"], &time["address"], &time["decision"]),
        (&json!(123), &json!("203.0.113.9"), &json!("denied"))
    );
    assert!(built.output(2).contains(&"refused"), "{built}");
    assert_eq!(row(&world, 2, "tcp")["decision"], "denied");
}

#[test]
fn rules_of_a_given_nsg_are_in_force_and_refuse_by_their_name() {
    let Some(world) = World::ready() else { return };
    let rule = |name: &str, priority: u32, access: &str, port: &str| {
        json!({"name": name, "properties": {"protocol": "Tcp", "access": access, "direction": "Outbound",
            "priority": priority, "sourceAddressPrefix": "*", "sourcePortRange": "*",
            "destinationAddressPrefix": "Internet", "destinationPortRange": port}})
    };
    let nsg = json!({"type": "Microsoft.Network/networkSecurityGroups", "name": "nsg-build", "properties":
        {"securityRules": [rule("AllowWeb", 100, "Allow", "80"), rule("DenyTls", 110, "Deny", "443")]}});
    world.write("nsg.json", nsg.to_string());
    world.steps(&json!([fresh("download", &["curl -sS https://203.0.113.9/"])]));
    let built = world.build("--network nsg.json", 1);
    let refused = &built.failed()["refused"][0];
    assert_eq!((&refused["rule"], &refused["port"]), (&json!("DenyTls"), &json!(443)), "{built}");
    assert!(built.complaint().contains("in NSG 'nsg-build', add"), "{built}");
}

#[test]
fn learning_refuses_nothing_and_records_what_would_have_been_refused() {
    let Some(world) = World::ready() else { return };
    let server = Server::start();
    world.write("jumpbox.toml", format!("[local.mirrors]\n\"other.example\" = \"{}\"\n", server.address));
    world.steps(&json!([fresh("download", &["curl -sS http://other.example/file"])]));
    world.build("--until 1", 1);
    let built = world.build("--until 1 --learn", 0);
    assert_eq!(built.output(1), ["content"]);
    let row = row(&world, 1, "tcp");
    assert_eq!(
        (&row["name"], &row["port"], &row["refused"]),
        (&json!("other.example"), &json!(80), &json!(false))
    );
    assert_eq!(row["note"], "the policy in force does not allow it: no rule allows it", "{row}");
}

#[test]
fn an_allowed_name_is_reached_and_recorded_with_what_went_over_it() {
    let Some(world) = World::ready() else { return };
    let server = Server::start();
    let settings = format!(
        "[network]\nallow = [\"files.example:80\"]\n[local.mirrors]\n\"files.example\" = \"{}\"\n",
        server.address
    );
    world.write("jumpbox.toml", settings);
    world.steps(&json!([fresh("download", &["curl -sS http://files.example/file"])]));
    let built = world.build("--until 1", 0);
    assert_eq!(built.output(1), ["content"]);
    let row = row(&world, 1, "tcp");
    assert_eq!((&row["name"], &row["decision"]), (&json!("files.example"), &json!("allowed")));
    assert!(row["bytes_in"].as_u64() > Some(7) && row["bytes_out"].as_u64() > Some(7), "{row}");
    let again = world.build("--until 1", 0);
    assert_eq!(again.states(), ["cached"]);
    assert_eq!(rows(&world, 1).iter().filter(|row| row["protocol"] == "tcp").count(), 1, "told again");
}

#[test]
fn what_no_proxy_names_is_reached_without_the_proxy() {
    let Some(world) = World::ready() else { return };
    let server = Server::start();
    let settings = format!(
        "[network]\nallow = [\"files.example:80\"]\n[local]\nupstream_proxy = \"http://127.0.0.1:1\"\n\
         [local.mirrors]\n\"files.example\" = \"{}\"\n",
        server.address
    );
    world.write("jumpbox.toml", settings);
    world.steps(&json!([fresh("download", &["curl -sS http://files.example/file"])]));
    for (excepted, code) in [("192.0.2.1", 1), ("127.0.0.0/8", 0)] {
        let mut command = world.build_command("--until 1");
        let built = Built::of(&command.env("NO_PROXY", excepted).output().expect("the program runs"));
        assert_eq!(built.code, Some(code), "{built}");
        let note = row(&world, 1, "tcp")["note"].to_string();
        assert_eq!(note.contains("upstream proxy"), code == 1, "{note}");
    }
}

#[test]
fn a_companys_authority_is_trusted_by_steps_and_never_in_the_image() {
    let Some(world) = World::ready() else { return };
    world.write("authority.pem", include_str!("authority.pem"));
    world.write("jumpbox.toml", "[local]\ncertificate_authorities = [\"authority.pem\"]\n");
    let mark = include_str!("authority.pem").lines().nth(1).expect("its first line of content");
    let sees = format!("grep -c {mark} $SSL_CERT_FILE; sudo sh -c 'grep -c {mark} $SSL_CERT_FILE'");
    let whole = "test $(grep -c BEGIN $SSL_CERT_FILE) -gt 100 && echo beside the public ones";
    world.steps(&json!([fresh("trusts", &[&sees, whole])]));
    let built = world.build("", 0);
    assert_eq!(built.output(1), ["1", "1", "beside the public ones"]);
    let root = Root::of(&world.path("out/image.vhd"));
    let bundle = root.file("/etc/ssl/certs/ca-certificates.crt").expect("the image's own bundle");
    assert!(!bundle.contains(mark));
    assert!(!root.exists("/run/aks-jumpbox"));
    let environment = root.file("/etc/environment").unwrap_or_default();
    assert!(!environment.contains("SSL_CERT_FILE"), "{environment}");
}

/// A web server on this machine that answers `content` until the test ends.
struct Server {
    address: String,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\ncontent\n");
            }
        });
        Self { address }
    }
}
