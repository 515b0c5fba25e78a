//! Machines that try an image, and what a private link leaves: nothing stays, in whatever order it has to go.

use serde_json::json;
use workflow::{Error, Sweep, TrialPlace, TrialSpec};

use crate::faults::{EVERYTHING, FAULTS, NEVER};
use crate::wire::Fault;
use crate::world::{Listener, World, put};

/// An image without a disk here: its machines are stored and do not boot.
fn image(world: &World) -> TrialSpec {
    let client = world.client();
    let subscription = format!("/subscriptions/{}", world.subscription);
    let register = format!("{subscription}/providers/Microsoft.Compute/register");
    client.post::<(), serde::de::IgnoredAny>(&register, "2021-04-01", None).expect("registered");
    let group = format!("{subscription}/resourceGroups/rg-try");
    put(&client, &group, &json!({ "location": "eastus2" }));
    let image = format!("{group}/providers/Microsoft.Compute/images/plain");
    let disk = json!({ "osType": "Linux", "diskSizeGB": 2 });
    put(
        &client,
        &image,
        &json!({ "location": "eastus2", "properties": { "storageProfile": { "osDisk": disk } } }),
    );
    let network =
        format!("{subscription}/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/vnet");
    TrialSpec {
        image,
        place: TrialPlace {
            group,
            subnet: format!("{network}/subnets/build"),
            size: "Standard_D2s_v5".to_owned(),
        },
        admin: "someone".to_owned(),
        public_key: "ssh-ed25519 AAAA nobody".to_owned(),
    }
}

#[test]
fn a_machine_goes_after_every_fault_at_every_request() {
    let mut world = World::new();
    let spec = image(&world);
    let before = world.inventory();
    let state = world.new_state();
    let attempt = |world: &World, state: &std::path::Path| {
        world.process(state, &Listener::default(), |workflow| {
            workflow.with_machine(&spec, |machine| {
                assert_eq!(machine.image_size, Some(2 << 30));
                Ok::<_, Error>(())
            })
        })
    };
    world.arm(NEVER, Fault::LostBefore);
    attempt(&world, &state).expect("alive").expect("tried");
    let requests = world.wire.names().len();
    assert_eq!(world.inventory(), before);
    for fault in FAULTS {
        for index in 0..requests {
            let state = world.new_state();
            world.arm(index, fault);
            let disturbed = attempt(&world, &state);
            let at =
                format!("{fault:?} at request {index}, {:?}: {disturbed:?}", world.wire.names().get(index));
            world.wire.disarm();
            let clean = |workflow: &mut workflow::Workflow<'_>| workflow.clean(Sweep::default());
            let cleaned = world.process(&state, &Listener::default(), clean).expect("alive");
            assert!(cleaned.is_ok(), "{at}: {cleaned:?}");
            assert_eq!(world.inventory(), before, "{at}");
        }
    }
    eprintln!("{} faults at {requests} requests", FAULTS.len());
}

#[test]
fn an_interface_that_azure_keeps_for_its_machine_is_awaited() {
    let mut world = World::new();
    let spec = image(&world);
    let before = world.inventory();
    let (state, listener) = (world.new_state(), Listener::default());
    world.wire.refuse_deletion("/networkInterfaces/", 400, "NicReservedForAnotherVm");
    let tried =
        world.process(&state, &listener, |workflow| workflow.with_machine(&spec, |_| Ok::<_, Error>(())));
    tried.expect("alive").expect("tried");
    assert_eq!(world.inventory(), before);
    let waited: u64 = listener.waited.lock().expect("waited").iter().map(std::time::Duration::as_secs).sum();
    assert_eq!(waited, 30);
}

#[test]
fn a_user_who_stops_the_work_leaves_no_machine() {
    let mut world = World::new();
    let spec = image(&world);
    let before = world.inventory();
    let state = world.new_state();
    let listener = Listener::default();
    let ended = world.process(&state, &listener, |workflow| {
        workflow.with_machine(&spec, |machine| {
            listener.stop();
            machine.run("true").map(drop)
        })
    });
    let ended = ended.expect("alive");
    assert!(matches!(ended, Err(Error::Stopped)), "{ended:?}");
    assert_eq!(world.inventory(), before);
    let record = workflow::read_state(&state).expect("a state").expect("there");
    assert!(record.made.is_empty(), "{record:?}");
}

#[test]
fn what_a_private_link_leaves_goes_in_the_order_in_which_it_lets_go() {
    let mut world = World::new();
    let design = world.design(false);
    let before = world.inventory();
    let state = world.new_state();
    let listener = Listener::default();
    let deployed = world.process(&state, &listener, |workflow| workflow.deploy(&design));
    deployed.expect("alive").expect("deployed");
    let client = world.client();
    let template: serde_json::Value =
        client.get(&design.template_id(), "2025-10-01").expect("asked").expect("there");
    let group = template["properties"]["exactStagingResourceGroup"].as_str().expect("a group").to_owned();
    let provider = format!("{group}/providers/Microsoft.Network");
    let subnet =
        design.template.vm_profile.vnet_config.as_ref().expect("a network").subnet_id.as_str().to_owned();
    let nic =
        json!({ "ipConfigurations": [{ "name": "one", "properties": { "subnet": { "id": subnet } } }] });
    for (kind, says) in [
        ("loadBalancers", json!({})),
        ("networkInterfaces", nic),
        ("privateLinkServices", json!({})),
        ("privateEndpoints", json!({})),
    ] {
        put(
            &client,
            &format!("{provider}/{kind}/pls"),
            &json!({ "location": "eastus2", "properties": says }),
        );
    }
    world.arm(NEVER, Fault::LostBefore);
    world.wire.refuse_deletion("/imageTemplates/", 409, "NicInUseWithPrivateEndpoint");
    let cleaned = world.process(&state, &listener, |workflow| workflow.clean(EVERYTHING));
    let cleaned = cleaned.expect("alive").expect("cleaned");
    assert!(cleaned.left.is_empty(), "{cleaned:?}");
    assert_eq!(world.inventory(), before);
    let deleted: Vec<_> = world
        .wire
        .names()
        .into_iter()
        .filter_map(|name| name.strip_prefix("DELETE ").map(str::to_owned))
        .filter_map(|name| name.rsplit('/').nth(1).map(str::to_owned))
        .take(6)
        .collect();
    let order = [
        "imageTemplates",
        "privateEndpoints",
        "privateLinkServices",
        "networkInterfaces",
        "loadBalancers",
        "imageTemplates",
    ];
    assert_eq!(deleted, order);
}
