//! What the service does around the customizers, and what a local build says where it cannot.

use serde_json::{Value, json};

use crate::disk::Root;
use crate::world::{World, fresh};

#[test]
fn a_deprovisioning_script_of_the_authors_runs_instead_of_the_clean_up() {
    let Some(world) = World::ready() else { return };
    let script = "printf '%s\\n' 'echo deprovisioned by $(id -un)' 'touch /opt/deprovisioned' \
                  > /tmp/DeprovisioningScript.sh";
    world.steps(&json!([
        fresh("keys", &["sudo ssh-keygen -A", "echo line | sudo tee /var/log/own.log"]),
        fresh("leave the script", &[script]),
    ]));
    let built = world.build("", 0);
    assert_eq!(built.states(), ["succeeded"; 3]);
    let printed = ["echo deprovisioned by $(id -un)", "touch /opt/deprovisioned", "deprovisioned by root"];
    assert_eq!(built.output(3), printed);
    let log = world.read("out/customization.log");
    assert!(log.contains("azure-arm: deprovisioned by root"), "{log}");
    assert!(built.said("warning").contains("left SSH host keys: every machine"), "{built}");

    let root = Root::of(&world.path("out/image.vhd"));
    assert!(root.exists("/opt/deprovisioned"));
    assert!(
        root.exists("/etc/ssh/ssh_host_ed25519_key"),
        "what the script does not remove stays, as in Azure"
    );
    assert_eq!(root.file("/var/log/own.log").as_deref(), Some("line\n"));
    assert!(!root.exists("/home/packer") && !root.file("/etc/passwd").expect("there").contains("packer"));
    assert_eq!(root.names("/tmp"), Vec::<String>::new());
    let again = world.build("", 0);
    assert_eq!(again.states(), ["cached"; 3]);
    assert!(again.said("warning").contains("left SSH host keys"), "an unchanged image is no better: {again}");
}

#[test]
fn source_validation_alone_runs_the_validators_on_the_source_and_makes_nothing() {
    let Some(world) = World::ready() else { return };
    let with = |validator: Value| {
        world.template(&json!({
            "customize": [fresh("never", &["sudo touch /opt/never"])],
            "validate": {"sourceValidationOnly": true, "inVMValidations": [validator]},
        }));
    };
    with(fresh("untouched", &["test ! -e /opt/never", "id -un"]));
    let built = world.build("", 0);
    assert_eq!((built.ends("customize").len(), built.ends("validate")), (0, vec!["succeeded"]), "{built}");
    assert_eq!(built.done()["image"], Value::Null);
    assert_eq!(world.names("out"), ["customization.log", "egress.json", "manifest.json", "validation.log"]);
    with(fresh("strict", &["exit 4"]));
    assert!(world.build("", 1).complaint().contains("validator 1 'strict' failed"));
}

#[test]
fn run_states_kernel_arguments_and_what_only_azure_does() {
    let Some(world) = World::ready() else { return };
    let settings = "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX audit=1\"' | sudo tee /etc/default/grub.d/50-audit.cfg";
    world.template(&json!({
        "customize": [fresh("kernel", &[
            "sudo sed -i 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT=\"mitigations=auto\"/' /etc/default/grub",
            "sudo mkdir -p /etc/default/grub.d",
            settings,
        ])],
        "optimize": {"vmBoot": {"state": "Enabled"}},
    }));
    let built = world.build("", 0);
    let menu = Root::of(&world.path("out/image.vhd")).file("/boot/grub/grub.cfg").expect("a menu");
    assert!(menu.contains(" audit=1 mitigations=auto\n"), "{menu}");

    let phases = built.events.iter().filter(|event| event["event"] == "phase");
    let mut states: Vec<_> = phases.map(|event| event["run_sub_state"].as_str().expect("a state")).collect();
    states.dedup();
    assert_eq!(states, ["Building", "Customizing", "Distributing"]);
    let manifest = world.json("out/manifest.json");
    assert_eq!(manifest["last_run_status"]["run_state"], "Succeeded");
    assert_eq!(manifest["last_run_status"]["run_sub_state"], "Distributing");

    let only = "boot optimisation (optimize.vmBoot)";
    assert_eq!(manifest["only_in_azure"], json!([only]));
    assert!(built.said("warning").contains(only), "{built}");
    let text = world.command("build --template image.json").output().expect("the program runs");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains(&format!("{only}: only in Azure")), "{text}");

    let odd = "echo 'GRUB_CMDLINE_LINUX=\"a; reboot\"' | sudo tee -a /etc/default/grub";
    world.steps(&json!([fresh("odd", &[odd])]));
    assert!(world.build("", 2).complaint().contains("GRUB_CMDLINE_LINUX has the character ';'"));
}

#[test]
fn a_script_that_leans_on_azure_or_a_running_machine_is_warned_of() {
    let Some(world) = World::ready() else { return };
    world.write("far.sh", "#!/bin/sh\nif false; then\n  curl http://169.254.169.254/metadata | sh\nfi\n");
    world.steps(&json!([
        fresh("service", &["echo start", "sudo systemctl daemon-reload"]),
        {"type": "Shell", "name": "far", "scriptUri": "far.sh"},
    ]));
    let built = world.build("", 1);
    let warnings = built.said("warning");
    for told in [
        "step 1 'service', line 2: `systemctl daemon-reload` asks systemd",
        "step 2 'far', line 3: 169.254.169.254 is the instance metadata service",
        "step 2 'far', line 3: when `curl` fails",
    ] {
        assert!(warnings.contains(told), "{told}: {warnings}");
    }
    assert!(built.complaint().contains("does not run in a local build"), "and why it failed: {built}");
    let manifest = world.json("out/manifest.json");
    assert_eq!(manifest["warnings"].as_array().map(Vec::len), Some(3), "{manifest}");
}
