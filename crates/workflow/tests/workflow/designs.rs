//! What settings and a template come to.

use workflow::{Design, Settings};

use crate::world::World;

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
