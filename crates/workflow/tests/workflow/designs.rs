//! What settings and a template come to.

use image_template::{Distribute, ImageTemplate};
use workflow::{Design, Settings};

use crate::world::{Listener, World, template};

#[test]
fn a_template_that_changes_gets_another_name_and_one_that_does_not_keeps_it() {
    let world = World::new();
    let (one, same, other) = (world.design(true), world.design(true), world.design(false));
    assert_eq!(one.template_name(), same.template_name());
    assert_ne!(one.template_name(), other.template_name());
    assert!(
        one.template_name().starts_with("jb-") && one.template_name().len() == 13,
        "{}",
        one.template_name()
    );
}

#[test]
fn what_azure_lets_change_is_changed_and_nothing_else_gets_the_name() {
    let mut world = World::new();
    let state = world.new_state();
    let deploy = |design: &Design| {
        let listener = Listener::default();
        world
            .process(&state, &listener, |workflow| workflow.deploy(design))
            .expect("alive")
            .expect("deployed");
        let name = |name: &&String| name.starts_with("PATCH ");
        world.wire.names().iter().filter(name).count()
    };
    let first = world.design(true);
    assert_eq!(deploy(&first), 0);

    let mut same = first.clone();
    same.template.tags.insert("owner".to_owned(), "platform".into());
    same.template.vm_profile.vm_size = Some("Standard_D4ds_v4".into());
    if let Some(Distribute::SharedImage(image)) = same.template.distribute.first_mut() {
        image.exclude_from_latest = true;
    }
    let planned = world.process(&state, &Listener::default(), |workflow| workflow.preview(&same));
    let planned = planned.expect("alive").expect("planned");
    let action = planned.iter().find(|one| one.id == first.template_id()).map(|one| one.action);
    assert_eq!(action, Some("change"));
    assert_eq!(deploy(&same), 1);
    assert_eq!(deploy(&same), 1, "what is as designed is left alone");
    let there: serde_json::Value =
        world.client().get(&first.template_id(), "2025-10-01").expect("asked").expect("there");
    assert_eq!(there["tags"]["owner"], "platform");
    assert_eq!(there["properties"]["vmProfile"]["vmSize"], "Standard_D4ds_v4");
    assert_eq!(there["properties"]["distribute"][0]["excludeFromLatest"], true);

    let name = |change: fn(&mut ImageTemplate)| {
        let mut own = template();
        change(&mut own);
        world.design_of(true, &own).template_name().to_owned()
    };
    assert_eq!(name(|own| own.vm_profile.vm_size = Some("Standard_D4ds_v4".into())), first.template_name());
    assert_ne!(name(|own| own.customize.clear()), first.template_name());
    assert_ne!(name(|own| own.build_timeout_minutes = 61), first.template_name());
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let world = World::new();
    let template = world.design(true).template;
    let mut nowhere = template.clone();
    nowhere.location = "<location>".into();
    let open = Design::new(&Settings::default(), &nowhere, true).expect_err("open");
    let settings: Vec<_> = open.iter().map(|one| one.setting).collect();
    assert_eq!(settings, ["subscription", "location"]);
    let settings = Settings {
        subscription: Some(world.subscription.clone()),
        build_subnet: Some("vnet/build".to_owned()),
        ..Settings::default()
    };
    let open = Design::new(&settings, &template, false).expect_err("open");
    assert!(open[0].setting == "build_subnet" && open[0].why.contains("vnet/build"), "{open:?}");
}

#[test]
fn script_lines_that_look_like_expressions_reach_azure_as_they_are() {
    let text = World::new().design(true).deployment();
    assert!(text.contains(r#""[[ -d /etc ]""#), "{text}");
    assert!(text.contains(r#""[concat('[', '[ x ]] && true')]""#), "{text}");
    assert!(text.contains(r#""echo '""#), "{text}");
}
