//! The same build by root and by a person who is not, in turns.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ours::{build, jq_step, template};
use super::{Bench, Row, checked, time};
use crate::host::is_root;
use crate::process::command;

/// The scenario.
pub const ROOTLESS: &str = "rootless: cached base, install jq, write a file, to VHD";
/// How many times as long as root's a build without root may take.
const MOST_TIMES: f64 = 1.3;
const NAME: &str = "aks-jumpbox-bench";

/// Measures both; the first builds, which make each one's base, do not count.
pub fn measure(bench: &Bench) -> [Row; 2] {
    eprintln!("  {ROOTLESS} ...");
    let pairs = pairs(bench);
    let each = |pick: fn(&(f64, f64)) -> f64| pairs.clone().map(|pairs| pairs.iter().map(pick).collect());
    rows(each(|pair| pair.0), each(|pair| pair.1))
}

/// The person's row is judged by root's.
fn rows(person: Result<Vec<f64>, String>, root: Result<Vec<f64>, String>) -> [Row; 2] {
    let root = Row { scenario: ROOTLESS, by: "root", seconds: root, promise: None };
    // What did not run keeps no promise.
    let most = root.median().map_or(0.0, |median| MOST_TIMES * median);
    [Row { scenario: ROOTLESS, by: "aks-jumpbox", seconds: person, promise: Some(most) }, root]
}

/// Seconds of the person's builds and of root's.
fn pairs(bench: &Bench) -> Result<Vec<(f64, f64)>, String> {
    if !is_root() {
        return Err("needs root, to make a user".to_owned());
    }
    let person = Person::new(&bench.program)?;
    let both = |scripts: &[String]| -> Result<(f64, f64), String> {
        let file = template(bench, "rootless", scripts).map_err(|stop| stop.message)?;
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        std::fs::write(person.home.join("image.json"), text).map_err(|error| error.to_string())?;
        let mut by_root = build(bench, &file, "rootless").map_err(|stop| stop.message)?;
        Ok((time(&mut person.build())?, time(&mut by_root)?))
    };
    both(&[])?;
    (0..bench.runs).map(|run| both(&[jq_step(run)])).collect()
}

/// An account of this machine with a copy of the program, removed with everything that is its own.
struct Person {
    home: PathBuf,
}

impl Person {
    fn new(program: &Path) -> Result<Self, String> {
        let person = Self { home: Path::new("/home").join(NAME) };
        // Whatever a run that was killed left.
        person.remove();
        let home = person.home.display().to_string();
        checked(&mut command("useradd", &["--create-home", "--user-group", "--home-dir", &home, NAME]))?;
        let has_ids =
            |file| std::fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("{NAME}:")));
        if !has_ids("/etc/subuid") || !has_ids("/etc/subgid") {
            let range = "1900065536-1900131071";
            checked(&mut command("usermod", &["--add-subuids", range, "--add-subgids", range, NAME]))?;
        }
        std::fs::copy(program, person.home.join("aks-jumpbox")).map_err(|error| error.to_string())?;
        Ok(person)
    }

    /// A build as this person would start it at home, with a cache of its own.
    fn build(&self) -> Command {
        let mut build = command("setpriv", &["--reuid", NAME, "--regid", NAME, "--init-groups"]);
        build.args(["./aks-jumpbox", "build", "--quiet", "--template", "image.json"]);
        build.current_dir(&self.home).env_clear();
        build.env("HOME", &self.home).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        build
    }

    fn remove(&self) {
        // That there is no such user is what is wanted.
        let _ = checked(&mut command("userdel", &["--remove", NAME]));
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn a_build_without_root_is_judged_by_roots() {
        let broken = |person, root| rows(person, root)[0].breaks_promise();
        assert!(!broken(Ok(vec![5.1]), Ok(vec![4.0])));
        assert!(broken(Ok(vec![5.3]), Ok(vec![4.0])));
        assert!(broken(Err("needs root".to_owned()), Err("needs root".to_owned())));
    }
}
