//! What is kept of a failed build when the template asks for it.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::terminal::Terminal;
use crate::world::{World, fresh, names};

/// Folders of builds in the cache.
fn work(world: &World) -> Vec<String> {
    names(&world.cache().join("work"))
}

#[test]
fn abort_keeps_what_the_failed_step_left_until_the_cache_is_pruned() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.template(&json!({
        "customize": [fresh("fails", &["echo evidence | sudo tee /opt/evidence", "exit 3"])],
        "errorHandling": {"onCustomizerError": "abort"},
    }));
    let built = world.build("", 1);
    let notes = built.said("note");
    let line = notes.lines().find(|line| line.contains("errorHandling is abort")).expect("it says where");
    let folder = line.split_whitespace().map(PathBuf::from).find(|word| word.is_absolute()).expect("a path");
    let evidence = find(&folder, "evidence").expect("what the step wrote is there");
    assert_eq!(fs::read_to_string(evidence).expect("read"), "evidence\n");

    world.steps(&json!([fresh("fails without abort", &["exit 3"])]));
    world.build("", 1);
    assert_eq!(work(&world).len(), 1, "the next build leaves it alone and keeps nothing itself");
    let pruned = world.command("cache prune --yes").output().expect("the program runs");
    assert!(pruned.status.success(), "{pruned:?}");
    assert_eq!(work(&world), Vec::<String>::new(), "`cache prune` removes it");
}

#[test]
fn a_shell_opens_where_a_step_failed_and_the_build_still_fails() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh("fails", &["echo evidence | sudo tee /opt/evidence", "exit 3"])]));
    let mut terminal = Terminal::start(&world.command("build --template image.json --shell-on-error"));
    terminal.until("a shell in what the step left");
    terminal.until("packer@pkrvm");
    terminal.press("sudo cat /opt/evidence; echo answer $((40 + 2)) as $(id -un)\n");
    terminal.until("answer 42 as packer");
    terminal.press("exit\n");
    let (seen, code) = terminal.end();
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains("evidence\r\nanswer 42"), "{seen}");
    assert!(seen.contains("Allowed exit codes are: [0]"), "{seen}");
    assert_eq!(work(&world), Vec::<String>::new());
}

fn find(folder: &PathBuf, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if entry.file_name() == name {
            return Some(path);
        }
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir())
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}
