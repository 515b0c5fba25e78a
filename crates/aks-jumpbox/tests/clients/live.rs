//! `check --live` and `snapshot --live`: what the endpoint says now.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::azure::{NETWORK, Ours, SUBSCRIPTION, Seed, image, run_with};
use crate::proxy::Proxy;
use crate::rest::Rest;
use crate::story::{az_story_with, run, story_with};

#[test]
fn a_network_is_checked_as_it_is_now() {
    for topology in ["isolated", "private-link"] {
        let seed = Seed::of(topology);
        story_with(&["--seed", &seed.file().display().to_string()], |story| {
            let ours = Ours::new(story, topology, &image("live"));
            let rest = story.rest();
            let early = ours.run(&["check", "--live"]);
            assert!(early.code == Some(1) && early.out.contains("provider.registered"), "{early}");
            ours.events(&["deploy"], 0);
            let told = ours.json(&["check", "--live"]);
            assert_eq!(
                (told["verdict"].as_str(), told["topology"].as_str()),
                (Some("pass"), Some(topology)),
                "{told:#}"
            );
            let status = |told: &Value, id: &str| {
                let all = told["findings"].as_array().expect("findings");
                all.iter().find(|one| one["id"] == id).map(|one| one["status"].clone()).unwrap_or_default()
            };
            assert_eq!(status(&told, "subnet.free-addresses"), "pass", "{told:#}");
            assert_eq!(status(&told, "access.deployer.template"), "pass", "{told:#}");
            for quota in ["region.vm-size", "region.vm-quota", "region.container-quota"] {
                assert_eq!(status(&told, quota), "pass", "{quota}: {told:#}");
            }
            assert_eq!(ours.run(&["snapshot", "--live", "--output", "today.json"]).code, Some(0));
            effective_rules_are_read(&ours, &rest);

            let nsg =
                "/resourceGroups/rg-net/providers/Microsoft.Network/networkSecurityGroups/nsg-imagebuilder";
            let mut group = rest.get(nsg).json();
            group["properties"]["securityRules"] = json!([{ "name": "deny", "properties": {
                "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*",
                "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*",
            }}]);
            assert!(rest.put(nsg, &group).status < 300);
            let said = ours.run(&["check", "--live", "--format", "json"]);
            assert_eq!(said.code, Some(1), "{said}");
            let told: Value = serde_json::from_str(&said.out).expect("JSON");
            let failed = |one: &&Value| one["status"] == "fail";
            let ids: Vec<_> = told["findings"].as_array().expect("findings").iter().filter(failed).collect();
            let is_ssh =
                |one: &&Value| one["id"].as_str().is_some_and(|id| id.starts_with("nsg.inbound.ssh"));
            assert!(ids.iter().any(is_ssh), "{ids:#?}");
            let early = ours.run(&["deploy"]);
            assert!(
                early.code == Some(1) && early.err.contains("nsg.inbound.ssh"),
                "nothing is made: {early}"
            );
            ours.events(&["deploy", "--skip-check"], 0);
            let mut nowhere = ours.command(&["check", "--live"]);
            let file = ours.folder.join("jumpbox.toml");
            let text = std::fs::read_to_string(&file)
                .expect("read")
                .replace("subnets/snet-imagebuilder\"", "subnets/none\"");
            std::fs::write(ours.folder.join("nowhere.toml"), text).expect("written");
            let said = run_with(&mut nowhere, "AKS_JUMPBOX_CONFIG", "nowhere.toml");
            assert!(said.code == Some(2) && said.err.contains("there is no subnet"), "{said}");
            let unregister = rest.url("/providers/Microsoft.VirtualMachineImages/unregister");
            rest.send("POST", &unregister, &[], &[]);
            let said = ours.run(&["check", "--live", "--format", "json"]);
            let told: Value = serde_json::from_str(&said.out).expect("JSON");
            assert_eq!(status(&told, "provider.registered"), "fail", "{told:#}");
        });
    }
}

/// What applies to an interface is read where a machine has one, and does not contradict what its group says.
fn effective_rules_are_read(ours: &Ours<'_>, rest: &Rest<'_>) {
    let subnet = format!("/subscriptions/{SUBSCRIPTION}{NETWORK}/subnets/snet-imagebuilder");
    let interface = "/resourceGroups/rg-net/providers/Microsoft.Network/networkInterfaces/other";
    let configuration = json!([{ "name": "one", "properties": { "subnet": { "id": subnet } } }]);
    let body = json!({ "location": "eastus2", "properties": { "ipConfigurations": configuration } });
    assert!(rest.put(interface, &body).status < 300);
    let told = ours.json(&["check", "--live"]);
    let warnings = told["warnings"].to_string();
    assert!(warnings.contains("NetworkInterfaceNotAttachedToRunningVM"), "no machine has it yet: {warnings}");
    assert_eq!(told["verdict"], "pass", "{told:#}");
    let machine = "/resourceGroups/rg-net/providers/Microsoft.Compute/virtualMachines/other";
    let id = format!("/subscriptions/{SUBSCRIPTION}{interface}");
    let body = json!({ "location": "eastus2", "properties": {
        "networkProfile": { "networkInterfaces": [{ "id": id }] },
    }});
    assert!(rest.put(machine, &body).status < 300);
    let told = ours.json(&["check", "--live"]);
    assert_eq!((told["verdict"].as_str(), &told["warnings"]), (Some("pass"), &Value::Null), "{told:#}");
    assert_eq!(ours.run(&["snapshot", "--live", "--output", "applied.json"]).code, Some(0));
    let text = std::fs::read_to_string(ours.folder.join("applied.json")).expect("written");
    assert!(text.contains("effectiveSecurityRules"), "{text}");
    for gone in [machine, interface] {
        assert!(rest.send("DELETE", &rest.url(gone), &[], b"").status < 300);
    }
}

#[test]
fn whoever_is_logged_in_to_the_azure_cli_is_who_asks() {
    let seed = Seed::of("isolated");
    az_story_with(&["--seed", &seed.file().display().to_string()], |story, az| {
        let ours = Ours::new(story, "isolated", &image("lent"));
        let mut command = ours.command(&["deploy", "--what-if", "--login", "developer-tools"]);
        for name in ["TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"] {
            command.env_remove(format!("AZURE_{name}"));
        }
        az.lend(&mut command);
        let said = run(command, None);
        assert_eq!(said.code, Some(0), "{said}");
        assert!(said.out.contains("create") && said.out.contains("/imageTemplates/lent-"), "{said}");
        let mut nobody = ours.command(&["deploy", "--what-if", "--login", "developer-tools"]);
        nobody.env("PATH", "/nowhere").env("AZURE_CONFIG_DIR", ours.folder.join("nobody"));
        let said = run(nobody, None);
        assert!(said.code == Some(4) && said.err.contains("az login"), "{said}");
    });
}

#[test]
fn a_federated_token_of_a_pipeline_logs_in() {
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let ours = Ours::new(story, "isolated", &image("federated"));
        let proxy = Proxy::new(story);
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJwaXBlbGluZSJ9.c2lnbmF0dXJl";
        story.secret(token);
        proxy.trust(token, story.serve.told("client_secret"));
        let file = story.write("token", token);
        let attempt = |file: &str| {
            let mut command = ours.command(&["deploy", "--what-if", "--login", "workload-identity"]);
            command.env_remove("AZURE_CLIENT_SECRET").env("AZURE_FEDERATED_TOKEN_FILE", file);
            command.env("AKS_JUMPBOX_CLOUD", proxy.url()).env("AKS_JUMPBOX_CA_FILE", proxy.certificate());
            let said = run(command, None);
            story.heard(&said.out);
            story.heard(&said.err);
            said
        };
        let said = attempt(&file);
        assert_eq!(said.code, Some(0), "{said}");
        assert!(said.out.contains("/imageTemplates/federated-"), "{said}");
        let other = story.write("other", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvdGhlciJ9.c2lnbmF0dXJl");
        let said = attempt(&other);
        assert!(said.code == Some(4) && said.err.contains("hint:"), "one that nobody trusts: {said}");
    });
}

/// Plays the metadata service of a machine in Azure: whoever asks with its header gets a token. What was asked is kept.
fn identity_endpoint(token: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bound");
    let url = format!("http://{}/msi/token", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (kept, token) = (Arc::clone(&asked), token.to_owned());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&mut stream).lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let known =
                head.iter().any(|line| line.eq_ignore_ascii_case("x-identity-header: of-the-machine"));
            let body = json!({
                "access_token": token, "expires_on": "4102444800", "resource": "any", "token_type": "Bearer",
            })
            .to_string();
            let status = if known { "200 OK" } else { "403 Forbidden" };
            kept.lock().expect("asked").push(head.first().cloned().unwrap_or_default());
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    (url, asked)
}

#[test]
fn the_managed_identity_of_a_machine_logs_in() {
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let ours = Ours::new(story, "isolated", &image("machine"));
        let (url, asked) = identity_endpoint(&story.rest().token);
        let attempt = |header: &str| {
            let mut command = ours.command(&["deploy", "--what-if", "--login", "managed-identity"]);
            command.env_remove("AZURE_CLIENT_SECRET").env_remove("AZURE_TENANT_ID");
            command.env("AZURE_CLIENT_ID", "of-its-identity").env("IDENTITY_ENDPOINT", &url);
            command.env("IDENTITY_HEADER", header);
            let said = run(command, None);
            story.heard(&said.out);
            story.heard(&said.err);
            said
        };
        let said = attempt("of-the-machine");
        assert_eq!(said.code, Some(0), "{said}");
        assert!(said.out.contains("/imageTemplates/machine-"), "{said}");
        let asked = asked.lock().expect("asked").clone();
        assert!(asked.iter().all(|line| line.contains("client_id=of-its-identity")), "{asked:?}");
        let said = attempt("of-another");
        assert!(said.code == Some(4) && said.err.contains("hint:"), "{said}");
    });
}

#[test]
fn what_may_not_be_read_never_passes() {
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let ours = Ours::new(story, "isolated", &image("reader"));
        let rest = story.rest();
        let made = rest.send("POST", "/v1.0/applications", &[], br#"{"displayName":"reader"}"#).json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let path = format!("/v1.0/applications/{}/addPassword", text(&made["id"]));
        let password = text(
            &serde_json::from_str::<Value>(&rest.answer_with_a_secret(&path)).expect("JSON")["secretText"],
        );
        story.secret(&password);
        let mut check = ours.command(&["check", "--live", "--format", "json"]);
        check.env("AZURE_CLIENT_ID", text(&made["appId"]));
        let said = run_with(&mut check, "AZURE_CLIENT_SECRET", &password);
        let told: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said}"));
        let of_the_network = |one: &&Value| {
            one["id"]
                .as_str()
                .is_some_and(|id| ["nsg.", "route.", "access."].iter().any(|area| id.starts_with(area)))
        };
        let findings = told["findings"].as_array().unwrap_or_else(|| panic!("{said}"));
        let found: Vec<_> = findings.iter().filter(of_the_network).collect();
        assert_eq!(said.code, Some(3), "{said}");
        let passed: Vec<_> =
            found.iter().filter(|one| one["status"] == "pass").map(|one| &one["id"]).collect();
        assert!(!found.is_empty(), "{told:#}");
        assert_eq!(passed, ["access.identity.source"], "the template alone says that: {found:#?}");
        assert!(told["warnings"].to_string().contains("could not be read: AuthorizationFailed"), "{told:#}");
    });
}
