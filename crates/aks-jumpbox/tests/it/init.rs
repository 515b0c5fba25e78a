//! From nothing to a recipe, and from a recipe to a template.

use crate::program::Place;

#[test]
fn init_writes_a_recipe_that_stands_for_the_built_in_one() {
    let place = Place::new();
    let built_in = place.run("render template");
    assert_eq!(built_in.code, Some(0), "{built_in}");
    assert_eq!(built_in.json()["properties"]["distribute"][0]["type"], "VHD");

    let written = place.run("init sub");
    insta::assert_snapshot!(written, @"
    exit 0
    --- stdout
    wrote sub/jumpbox.toml
    next: read it, change it, then `aks-jumpbox build` in that folder
    --- stderr
    ");
    assert_eq!(place.run("render template --config sub/jumpbox.toml").stdout, built_in.stdout);
}

#[test]
fn init_never_overwrites() {
    let place = Place::new();
    place.write("jumpbox.toml", "# mine\n");
    let refused = place.run("init --format json");
    assert_eq!(refused.code, Some(2), "{refused}");
    assert_eq!(refused.json()["error"]["category"], "input");
    assert_eq!(refused.json()["error"]["file"], "./jumpbox.toml");
    assert_eq!(place.read("jumpbox.toml"), "# mine\n");
}

#[test]
fn the_nearest_recipe_above_is_in_force() {
    let place = Place::new();
    place.write("jumpbox.toml", "[image]\nname = \"mine\"\n");
    place.write("deep/er/other.txt", "");
    let mut line = "render template".to_owned();
    let here = place.run(&line);
    assert_eq!(here.json()["properties"]["distribute"][0]["runOutputName"], "mine", "{here}");
    line.push_str(" --config nowhere.toml");
    let refused = place.run(&line);
    assert_eq!(refused.code, Some(2), "{refused}");
}

#[test]
fn a_wrong_recipe_is_shown_with_its_line() {
    let place = Place::new();
    place.write("jumpbox.toml", "[image]\nname = \"box\"\n\n[ssh]\nmax_auth_trys = 6\n");
    insta::assert_snapshot!(place.run("render template"));
    let json = place.run("render template --format json").json();
    assert_eq!(json["error"]["line"], 5, "{json}");
    assert_eq!(json["error"]["column"], 1, "{json}");
}
