//! Environments as one file.

use crate::program::Place;

#[test]
fn a_full_disk_leaves_the_file_that_was_there() {
    let place = Place::new();
    place.write("nsg.json", include_str!("../../../../docs/examples/network/nsg.json"));
    let Some(answer) = place.run_on_a_full_disk("64k", "snapshot --environment nsg.json --output disk/out")
    else {
        eprintln!("SKIPPED: no file system can be mounted here (unshare --map-root-user --mount)");
        return;
    };
    assert_eq!(answer.code, Some(4), "{answer}");
    assert_eq!(answer.stdout, "1filler\nout\n", "{answer}");
    assert!(answer.stderr.contains("could not write disk/out"), "{answer}");
}
