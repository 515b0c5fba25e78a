//! A fault at every request, in turn: each journey ends well or with an error that says so, and the same journey again comes
//! to where an undisturbed one does. Nothing is made twice, and nothing is left that nobody knows of.

use std::collections::BTreeSet;
use std::path::Path;

use workflow::{Error, Event, Sweep};

use crate::wire::Fault;
use crate::world::{Listener, World};

pub const FAULTS: [Fault; 14] = [
    Fault::Refused(401, "InvalidAuthenticationToken"),
    Fault::Refused(403, "AuthorizationFailed"),
    Fault::Refused(404, "ResourceNotFound"),
    Fault::Refused(409, "Conflict"),
    Fault::Refused(412, "PreconditionFailed"),
    Fault::Refused(429, "TooManyRequests"),
    Fault::Refused(500, "InternalServerError"),
    Fault::Refused(503, "ServiceUnavailable"),
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Truncated,
    Fault::Expired,
    Fault::KilledBefore,
    Fault::KilledAfter,
];
/// No journey has as many requests.
pub const NEVER: usize = usize::MAX;
pub const EVERYTHING: Sweep =
    Sweep { templates: false, superseded: false, identity: false, roles: false, all: true };

fn states(path: &Path) -> workflow::Record {
    workflow::read_state(path).expect("a state").expect("there")
}

/// What is written down is there, and what is there is written down.
fn agree(world: &World, before: &BTreeSet<String>, state: &Path, at: &str) {
    let record = states(state);
    let there = world.inventory();
    for own in record.made.iter().filter(|own| own.confirmed) {
        assert!(world.has(&own.id), "{at}: {} is confirmed and not there", own.id);
    }
    // A role is listed under an id without its group.
    let name = |id: &str| id.to_lowercase().rsplit('/').next().unwrap_or_default().to_owned();
    let made: Vec<_> = record.made.iter().map(|own| name(&own.id)).collect();
    for id in there.difference(before) {
        assert!(made.contains(&name(id)), "{at}: nobody knows of {id}");
    }
}

fn deploying(isolated: bool, faults: &[Fault]) {
    let mut world = World::new();
    let design = world.design(isolated);
    let before = world.inventory();
    let state = world.new_state();
    world.arm(NEVER, Fault::LostBefore);
    let deploy = |world: &World, state: &Path| {
        world.process(state, &Listener::default(), |workflow| workflow.deploy(&design))
    };
    deploy(&world, &state).expect("alive").expect("deployed");
    let (requests, after) = (world.wire.names().len(), world.inventory());
    agree(&world, &before, &state, "undisturbed");
    let clean = |world: &World, state: &Path| {
        world.process(state, &Listener::default(), |workflow| workflow.clean(EVERYTHING))
    };
    clean(&world, &state).expect("alive").expect("cleaned");
    assert_eq!(world.inventory(), before);

    for &fault in faults {
        for index in 0..requests {
            let state = world.new_state();
            let at = format!("{fault:?} at request {index}");
            world.arm(index, fault);
            let disturbed = deploy(&world, &state);
            let named = world.wire.names().get(index).cloned();
            let at = format!("{at}, {}", named.unwrap_or_default());
            if let Ok(Err(error)) = &disturbed {
                told(error, &at);
            }
            world.wire.disarm();
            agree_where_written(&world, &before, &state, &at);
            let again = deploy(&world, &state).expect("alive");
            assert!(again.is_ok(), "{at}: {again:?}");
            assert_eq!(shape(&world.inventory()), shape(&after), "{at}");
            agree(&world, &before, &state, &at);
            let cleaned = clean(&world, &state).expect("alive");
            assert!(cleaned.is_ok(), "{at}: {cleaned:?}");
            assert_eq!(world.inventory(), before, "{at}: {cleaned:?}");
        }
    }
    eprintln!("{} faults at {requests} requests", faults.len());
}

/// Names of role assignments follow from the principal, and a new identity is a new one.
fn shape(inventory: &BTreeSet<String>) -> Vec<String> {
    let mut all: Vec<_> = inventory
        .iter()
        .map(|id| {
            id.split_once("/roleassignments/")
                .map_or(id.clone(), |(scope, _)| format!("{scope}/roleassignments/*"))
        })
        .collect();
    all.sort();
    all
}

fn agree_where_written(world: &World, before: &BTreeSet<String>, state: &Path, at: &str) {
    if state.exists() {
        agree(world, before, state, at);
    }
}

/// An error names what was being done and the request's id.
fn told(error: &Error, at: &str) {
    if let Error::Azure { error: inner, doing } = error {
        assert!(
            !doing.is_empty() && inner.to_string().contains("client request id"),
            "{at}: {error}: {inner}"
        );
    }
}

#[test]
fn an_isolated_deployment_survives_every_fault_at_every_request() {
    deploying(true, &FAULTS);
}

#[test]
fn a_private_link_deployment_survives_every_fault_at_every_request() {
    // What is the same in both shapes is disturbed above in every way.
    deploying(false, &FAULTS[9..]);
}

#[test]
fn a_change_of_a_template_survives_every_fault_at_every_request() {
    let mut world = World::new();
    let design = world.design(true);
    let state = world.new_state();
    let deploy = |world: &World, owner: &str| {
        let mut own = design.clone();
        own.template.tags.insert("owner".to_owned(), owner.into());
        world.process(&state, &Listener::default(), |workflow| workflow.deploy(&own))
    };
    let owner = |world: &World| {
        let there = world.client().get::<serde_json::Value>(&design.template_id(), "2025-10-01");
        there.expect("asked").expect("there")["tags"]["owner"].as_str().map(str::to_owned)
    };
    deploy(&world, "first").expect("alive").expect("deployed");
    world.arm(NEVER, Fault::LostBefore);
    deploy(&world, "second").expect("alive").expect("changed");
    let requests = world.wire.names().len();
    let after = world.inventory();
    for fault in FAULTS {
        for index in 0..requests {
            let at = format!("{fault:?} at request {index}");
            let next = format!("{fault:?}-{index}");
            world.arm(index, fault);
            let _ = deploy(&world, &next);
            world.wire.disarm();
            deploy(&world, &next).expect("alive").unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!(owner(&world), Some(next), "{at}");
            assert_eq!(world.inventory(), after, "{at}: no other template");
        }
    }
    eprintln!("{} faults at {requests} requests", FAULTS.len());
}

#[test]
fn a_run_is_started_once_whatever_happens() {
    let mut world = World::new();
    let design = world.design(true);
    let template = design.template_id();
    let state = world.new_state();
    let run = |world: &World, state: &Path| {
        world.process(state, &Listener::default(), |workflow| workflow.run(&template))
    };
    world
        .process(&state, &Listener::default(), |workflow| workflow.deploy(&design))
        .expect("alive")
        .expect("deployed");
    world.arm(NEVER, Fault::LostBefore);
    let ended = run(&world, &state).expect("alive");
    assert!(matches!(&ended, Err(Error::Run { state, .. }) if state == "Failed"), "{ended:?}");
    assert_eq!(world.wire.runs(), 1);
    // How often it looks depends on how quick the endpoint is; the first requests are always there.
    for fault in FAULTS {
        for index in 0..8 {
            let at = format!("{fault:?} at request {index}");
            world.arm(index, fault);
            let first = run(&world, &state);
            let ended = matches!(first, Ok(Err(Error::Run { .. })));
            if let Ok(Err(error)) = &first {
                told(error, &at);
            }
            world.wire.disarm();
            if !ended {
                let again = run(&world, &state).expect("alive");
                assert!(matches!(again, Err(Error::Run { .. })), "{at}: {first:?}, then {again:?}");
            }
            assert_eq!(world.wire.runs(), 1, "{at}: {:#?}", world.wire.names());
        }
    }
}

#[test]
fn cleaning_up_survives_every_fault_at_every_request() {
    let mut world = World::new();
    let design = world.design(true);
    let before = world.inventory();
    let deploy = |world: &World, state: &Path| {
        let deployed = world.process(state, &Listener::default(), |workflow| workflow.deploy(&design));
        deployed.expect("alive").expect("deployed");
    };
    let clean = |world: &World, state: &Path| {
        world.process(state, &Listener::default(), |workflow| workflow.clean(EVERYTHING))
    };
    let state = world.new_state();
    deploy(&world, &state);
    world.arm(NEVER, Fault::LostBefore);
    clean(&world, &state).expect("alive").expect("cleaned");
    let requests = world.wire.names().len();
    for fault in FAULTS {
        for index in 0..requests {
            let at = format!("{fault:?} at request {index}");
            let state = world.new_state();
            deploy(&world, &state);
            world.arm(index, fault);
            let _ = clean(&world, &state);
            world.wire.disarm();
            let again = clean(&world, &state).expect("alive").unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!(world.inventory(), before, "{at}: {again:?}");
            assert!(states(&state).made.is_empty() && again.left.is_empty(), "{at}: {again:?}");
        }
    }
}

#[test]
fn nothing_that_lets_somebody_in_is_written_down_or_told() {
    let mut world = World::new();
    let design = world.design(true);
    let state = world.new_state();
    world.arm(NEVER, Fault::LostBefore);
    let listener = Listener::default();
    world.process(&state, &listener, |workflow| workflow.deploy(&design)).expect("alive").expect("deployed");
    world.wire.arm(3, Fault::Refused(403, "AuthorizationFailed"));
    let tokens = |world: &World| world.wire.secrets();
    let mut secrets = tokens(&world);
    let refused = world.process(&state, &listener, |workflow| workflow.deploy(&design)).expect("alive");
    secrets.extend(tokens(&world));
    secrets.push(world.secret.clone());
    let mut texts = vec![format!("{refused:?}"), format!("{:?}", listener.heard.lock().expect("heard"))];
    for file in [state.clone(), state.with_extension("audit.jsonl")] {
        texts.push(std::fs::read_to_string(file).expect("read"));
    }
    assert!(secrets.len() > 3);
    for text in texts {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn two_processes_do_not_work_with_one_state() {
    let mut world = World::new();
    let design = world.design(true);
    let state = world.new_state();
    let outcome = world.process(&state, &Listener::default(), |workflow| {
        workflow.deploy(&design)?;
        let second = world.process(&state, &Listener::default(), |workflow| workflow.deploy(&design));
        assert!(matches!(second, Ok(Err(Error::InUse(_)))), "{second:?}");
        Ok(())
    });
    outcome.expect("alive").expect("deployed");
}

#[test]
fn what_somebody_else_made_stays() {
    let mut world = World::new();
    let design = world.design(true);
    let (mine, theirs) = (world.new_state(), world.new_state());
    let deploy = |state: &Path| {
        world
            .process(state, &Listener::default(), |workflow| workflow.deploy(&design))
            .expect("alive")
            .expect("deployed");
    };
    deploy(&theirs);
    let before = world.inventory();
    deploy(&mine);
    assert_eq!(states(&mine).made, [], "everything was there");
    let cleaned = world.process(&mine, &Listener::default(), |workflow| workflow.clean(EVERYTHING));
    assert_eq!(cleaned.expect("alive").expect("cleaned").removed, [""; 0]);
    assert_eq!(world.inventory(), before);
}

#[test]
fn a_run_is_asked_about_no_more_often_than_the_service_says() {
    let mut world = World::new();
    let design = world.design(true);
    let state = world.new_state();
    let listener = Listener::default();
    let ran = world.process(&state, &listener, |workflow| {
        workflow.deploy(&design)?;
        workflow.run(&design.template_id())
    });
    assert!(matches!(ran, Ok(Err(Error::Run { .. }))), "{ran:?}");
    let polls = world.wire.names().iter().filter(|name| name.contains("/operations/")).count();
    let waited = listener.waited.lock().expect("waited");
    // The endpoint says one second, each time.
    let hinted = waited.iter().filter(|time| time.as_millis() == 1000).count();
    assert!(polls > 0 && hinted >= polls, "{polls} polls, {waited:?}");
    let heard = listener.heard.lock().expect("heard");
    assert!(
        heard.iter().any(|event| matches!(event, Event::Run { run_state, .. } if run_state == "Failed")),
        "{heard:#?}"
    );
}
