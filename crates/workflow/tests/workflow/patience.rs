//! Roles that Azure has yet to honour, and identities that it has yet to know.

use workflow::{Error, Event};

use crate::world::{Listener, World};

const DEPLOYMENT: &str = "/Microsoft.Resources/deployments/";

/// What was waited for, in words.
fn waits(listener: &Listener) -> Vec<String> {
    let heard = listener.heard.lock().expect("heard");
    let text = |event: &Event| match event {
        Event::Waiting { text, .. } => Some(text.clone()),
        _ => None,
    };
    heard.iter().filter_map(text).collect()
}

fn asked(world: &World, part: &str) -> usize {
    world.wire.names().iter().filter(|name| name.starts_with("PUT ") && name.contains(part)).count()
}

#[test]
fn a_new_role_is_awaited_by_trying_what_needs_it() {
    let mut world = World::new();
    let design = world.design(true);
    let state = world.new_state();
    let listener = Listener::default();
    world.wire.refuse_writes(DEPLOYMENT, 403, "AuthorizationFailed", 3);
    let deployed = world.process(&state, &listener, |workflow| workflow.deploy(&design));
    deployed.expect("alive").expect("deployed");
    assert_eq!(asked(&world, DEPLOYMENT), 4);
    let told = waits(&listener).iter().filter(|text| text.contains("yet to honour")).count();
    assert_eq!(told, 3);
    let pauses: Vec<_> =
        listener.waited.lock().expect("waited").iter().map(std::time::Duration::as_secs).collect();
    assert!(pauses.windows(3).any(|three| three == [5, 10, 20]), "ever longer: {pauses:?}");
}

#[test]
fn the_wait_for_a_role_ends() {
    let mut world = World::new();
    let design = world.design(true);
    let state = world.new_state();
    let listener = Listener::default();
    world.wire.refuse_writes(DEPLOYMENT, 403, "AuthorizationFailed", 10_000);
    let refused = world.process(&state, &listener, |workflow| workflow.deploy(&design)).expect("alive");
    assert!(matches!(&refused, Err(error) if error.is_authorization()), "{refused:?}");
    let waited: u64 = listener.waited.lock().expect("waited").iter().map(std::time::Duration::as_secs).sum();
    assert!((1790..=1830).contains(&waited), "half an hour, and not for ever: {waited} s");
}

#[test]
fn a_refusal_with_no_new_role_behind_it_ends_at_once() {
    let mut world = World::new();
    let design = world.design(true);
    let (first, second) = (world.new_state(), world.new_state());
    let deploy = |state: &std::path::Path, listener: &Listener| {
        world.process(state, listener, |workflow| workflow.deploy(&design)).expect("alive")
    };
    deploy(&first, &Listener::default()).expect("deployed");
    let other = world.design(false);
    world.wire.refuse_writes(DEPLOYMENT, 403, "AuthorizationFailed", 1);
    // The roles of the other shape are new, so somebody else assigns them before.
    let settled =
        world.process(&first, &Listener::default(), |workflow| workflow.deploy(&other)).expect("alive");
    settled.expect("its roles are new, so it waited");
    let changed = workflow::Design {
        template: image_template::ImageTemplate { name: Some("jb-later".into()), ..other.template.clone() },
        ..other
    };
    world.wire.refuse_writes(DEPLOYMENT, 403, "AuthorizationFailed", 1);
    let listener = Listener::default();
    let refused = world.process(&second, &listener, |workflow| workflow.deploy(&changed)).expect("alive");
    assert!(
        matches!(&refused, Err(Error::Azure { error, .. }) if error.status() == Some(403)),
        "{refused:?}"
    );
    assert_eq!(waits(&listener), [""; 0]);
}

#[test]
fn an_identity_that_is_new_is_awaited_too() {
    let mut world = World::new();
    let design = world.design(true);
    let state = world.new_state();
    let listener = Listener::default();
    world.wire.refuse_writes("/roleAssignments/", 400, "PrincipalNotFound", 2);
    let deployed = world.process(&state, &listener, |workflow| workflow.deploy(&design)).expect("alive");
    assert!(deployed.is_ok(), "{deployed:?}");
    assert_eq!(asked(&world, "/roleAssignments/"), 4, "two roles, and two refusals");
    assert_eq!(waits(&listener).iter().filter(|text| text.contains("not known everywhere")).count(), 2);
}
