//! `try --target azure` against an endpoint that really boots what it built.

use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::azure::{NETWORK, Ours, SUBSCRIPTION, Seed, image, inventory};
use crate::images::can_build;
use crate::story::{Story, story_with};

fn trial(ours: &Ours<'_>, subnet: &str) -> Child {
    let mut command = ours.command(&["try", "--target", "azure", "--subnet", subnet]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
}

/// Waits until so many machines were asked for.
fn wait_for_machines(story: &Story, count: usize) {
    story.wait_until("the machine", || {
        let log = story.serve.log();
        let asked = |line: &&str| line.starts_with("PUT ") && line.contains("/virtualMachines/vm-try-");
        log.lines().filter(asked).count() == count
    });
}

#[test]
fn a_machine_of_the_image_boots_is_tested_and_goes_whatever_happens() {
    if !can_build() {
        return;
    }
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let rest = story.rest();
        let own = "\n[[smoke_test]]\nname = \"mine\"\nrun = \"echo seen >&2; cat /etc/none\"\n";
        let ours = Ours::new(story, "isolated", &(image("tried") + own));
        ours.events(&["build", "--target", "azure"], 0);
        let before = inventory(&rest);
        let subnet = format!("/subscriptions/{SUBSCRIPTION}{NETWORK}/subnets/snet-imagebuilder");
        let trials = || {
            let made = ours.state()["made"].clone();
            made.as_array().into_iter().flatten().filter(|one| one["kind"] == "trial").count()
        };

        let interrupted = trial(&ours, &subnet);
        wait_for_machines(story, 1);
        kill_process(Pid::from_child(&interrupted), Signal::INT).expect("sent");
        let ended = interrupted.wait_with_output().expect("it ends");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{err}");
        assert_eq!((inventory(&rest), trials()), (before.clone(), 0), "{err}");

        let mut killed = trial(&ours, &subnet);
        wait_for_machines(story, 2);
        killed.kill().expect("killed");
        killed.wait().expect("it ended");
        assert_eq!(trials(), 3, "a machine, its disk and its interface are written down");

        let words =
            ["try", "--target", "azure", "--subnet", &subnet, "--junit", "try.xml", "--format", "json"];
        let said = ours.run(&words);
        assert_eq!(said.code, Some(1), "{said}");
        let told: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said}"));
        let tests: Vec<_> = told["tests"].as_array().expect("tests").iter().collect();
        let failed: Vec<_> = tests.iter().filter(|test| test["status"] != "pass").collect();
        assert_eq!(failed.len(), 1, "{told:#}");
        assert_eq!(failed[0]["name"], "mine");
        assert!(failed[0]["detail"].as_str().is_some_and(|text| text.contains("/etc/none")), "{told:#}");
        let names: Vec<_> = tests.iter().map(|test| test["name"].as_str().unwrap_or_default()).collect();
        let all = [
            "jq answers",
            "mine",
            "no-failed-units",
            "sshd-settings",
            "password-login-refused",
            "root-login-refused",
            "disk-grew",
            "no-build-user",
            "fresh-identity",
        ];
        assert_eq!(names, all);
        let junit = std::fs::read_to_string(ours.folder.join("try.xml")).expect("written");
        assert!(junit.contains("tests=\"9\"") && junit.contains("failures=\"1\""), "{junit}");
        assert_eq!((inventory(&rest), trials()), (before, 0), "also what the killed one left is gone");

        // Trusted Launch, since the definition has it, and no address that anybody could reach.
        let log = story.serve.log();
        assert!(!log.contains("publicIPAddresses"), "{log}");
        let runs = log.lines().filter(|line| line.contains("/runCommand 202")).count();
        assert!((2..8).contains(&runs), "each piece of an answer costs half a minute in Azure: {runs}");
    });
}

#[test]
fn a_machine_joins_a_subnet_and_needs_what_it_names() {
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let rest = story.rest();
        let subnet = format!("/subscriptions/{SUBSCRIPTION}{NETWORK}/subnets/snet-imagebuilder");
        let interface = |subnet: &str| {
            json!({ "location": "eastus2", "properties": { "ipConfigurations": [
                { "name": "one", "properties": { "subnet": { "id": subnet } } },
            ] } })
        };
        let path =
            |kind: &str, name: &str| format!("/resourceGroups/rg-net/providers/Microsoft.{kind}/{name}");
        let (first, second) =
            (path("Network/networkInterfaces", "one"), path("Network/networkInterfaces", "two"));
        let address = |answer: &Value| {
            answer["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"].clone()
        };
        let made = rest.put(&first, &interface(&subnet)).json();
        let other = rest.put(&second, &interface(&subnet)).json();
        assert!(address(&made).is_string(), "{made:#}");
        assert_ne!(address(&made), address(&other));
        assert_eq!(
            address(&rest.put(&first, &interface(&subnet)).json()),
            address(&made),
            "it keeps its address"
        );
        let nowhere = rest.put(&first.replace("one", "three"), &interface(&subnet.replace("snet-", "none-")));
        assert_eq!(nowhere.json()["error"]["code"], "InvalidResourceReference");

        let machine = path("Compute/virtualMachines", "vm");
        let full = |path: &str| format!("/subscriptions/{SUBSCRIPTION}{path}");
        let body = |image: &str| {
            json!({ "location": "eastus2", "properties": {
                "storageProfile": { "imageReference": { "id": full(image) }, "osDisk": { "name": "disk" } },
                "networkProfile": { "networkInterfaces": [{ "id": full(&first) }] },
            } })
        };
        let image = path("Compute/images", "none");
        assert_eq!(rest.put(&machine, &body(&image)).json()["error"]["code"], "ImageNotFound");
        rest.send("POST", &rest.url("/providers/Microsoft.Compute/register"), &[], b"");
        let plain = json!({ "location": "eastus2", "properties": { "storageProfile": { "osDisk": {} } } });
        let kept = rest.put(&image, &plain);
        assert!(kept.status < 300, "{}", kept.json());
        let made = rest.put(&machine, &body(&image));
        assert!(made.status < 300, "one without a file here is stored: {}", made.json());
        assert_eq!(rest.send("DELETE", &rest.url(&first), &[], b"").json()["error"]["code"], "NicInUse");
        assert!(rest.send("DELETE", &rest.url(&machine), &[], b"").status < 300);
        assert!(rest.send("DELETE", &rest.url(&first), &[], b"").status < 300, "the machine has let it go");
    });
}
