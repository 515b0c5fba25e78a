//! The tests that are run in a booted image: those of its recipe, and the posture that every jump box must have.
//!
//! A posture test first proves that the question is a real one (the password is set, root has the key) and only then
//! that the answer is no: a test that could not see anything fails.

use serde::{Deserialize, Serialize};

use super::error::BootError;
use super::machine::{Identity, Machine};
use super::report::Status;
use super::seed::{ADMIN, PASSWORD_USER};
use super::ssh::{Output, refused_methods};
use crate::tools::tail;

/// A test of a recipe: a command that must succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeTest {
    /// Unique in its recipe.
    pub name: String,
    /// Run by the shell of an account with sudo; must exit with 0.
    pub run: String,
    /// Text that must occur in what it prints, on either stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
}

/// How a test ended and what was seen.
pub(super) type Outcome = (Status, String);

/// A posture test's name and work.
pub(super) type Posture = (&'static str, fn(&Machine) -> Result<Outcome, BootError>);

/// The posture tests, in the order in which they run.
pub(super) const POSTURE: [Posture; 6] = [
    ("no-failed-units", no_failed_units),
    ("sshd-settings", sshd_settings),
    ("password-login-refused", password_login_refused),
    ("root-login-refused", root_login_refused),
    ("disk-grew", disk_grew),
    ("no-build-user", no_build_user),
];

/// Name of the test that compares two boots.
pub(super) const FRESH_IDENTITY: &str = "fresh-identity";

/// What the SSH service's effective settings must say, as `sshd -T` prints them; a number is the most it may be.
const SSHD_SETTINGS: [(&str, &str); 5] = [
    ("x11forwarding", "no"),
    ("maxauthtries", "6"),
    ("kbdinteractiveauthentication", "no"),
    ("passwordauthentication", "no"),
    ("permitrootlogin", "no"),
];

/// Runs a test of a recipe.
pub(super) fn run(machine: &Machine, test: &SmokeTest) -> Result<Outcome, BootError> {
    machine.ssh(&test.run).map(|output| judge(test, &output))
}

pub(super) fn judge(test: &SmokeTest, output: &Output) -> Outcome {
    let printed = format!("{}{}", output.stdout, output.stderr);
    let last = tail(&printed, 6);
    match (output.exit, &test.expect) {
        (Some(0), Some(expected)) if !printed.contains(expected.as_str()) => {
            (Status::Fail, format!("`{}` did not print \"{expected}\": {last}", test.run))
        }
        (Some(0), expected) => {
            let expected = expected.as_deref().unwrap_or_default();
            let telling = printed.lines().find(|line| line.contains(expected));
            (Status::Pass, telling.or(printed.lines().next()).unwrap_or_default().trim().to_owned())
        }
        (Some(code), _) => (Status::Fail, format!("`{}` exited with {code}: {last}", test.run)),
        (None, _) => (Status::Fail, format!("`{}` was killed: {last}", test.run)),
    }
}

fn pass(detail: impl Into<String>) -> Outcome {
    (Status::Pass, detail.into())
}

fn fail(detail: impl Into<String>) -> Outcome {
    (Status::Fail, detail.into())
}

/// The detail of a test whose question got no answer.
fn no_answer(output: &Output) -> Outcome {
    fail(format!("could not tell (exit {:?}): {}", output.exit, tail(&output.stderr, 4)))
}

/// Waits for the end of the boot; its exit status says no more than the state that it prints.
pub(super) const ASK_UNITS: &str =
    "systemctl is-system-running --wait; systemctl list-units --failed --plain --no-legend";

fn no_failed_units(machine: &Machine) -> Result<Outcome, BootError> {
    machine.ssh(ASK_UNITS).map(|output| judge_units(&output))
}

pub(super) fn judge_units(output: &Output) -> Outcome {
    let mut lines = output.stdout.lines();
    let state = lines.next().unwrap_or_default().trim();
    let failed: Vec<_> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    match (state, failed.as_slice()) {
        _ if output.exit != Some(0) => no_answer(output),
        ("running", []) => pass("running"),
        (_, []) => fail(format!("the system is {state}")),
        _ => fail(format!("the system is {state}; failed: {}", failed.join(", "))),
    }
}

/// Asks for those of the effective settings that are judged.
pub(super) fn ask_settings() -> String {
    let names = SSHD_SETTINGS.map(|(name, _)| name).join("|");
    format!("settings=$(sudo -n /usr/sbin/sshd -T) || exit; echo \"$settings\" | grep -iE '^({names}) '")
}

fn sshd_settings(machine: &Machine) -> Result<Outcome, BootError> {
    machine.ssh(&ask_settings()).map(|output| judge_settings(&output))
}

pub(super) fn judge_settings(output: &Output) -> Outcome {
    if output.exit != Some(0) {
        return no_answer(output);
    }
    let wrong = wrong_settings(&output.stdout);
    if wrong.is_empty() {
        let all: Vec<_> = SSHD_SETTINGS.iter().map(|(name, value)| format!("{name} {value}")).collect();
        return pass(all.join(", "));
    }
    fail(wrong.join(", "))
}

fn wrong_settings(effective: &str) -> Vec<String> {
    SSHD_SETTINGS
        .iter()
        .filter_map(|(name, expected)| {
            let value = effective.lines().find_map(|line| {
                let (found, value) = line.split_once(' ')?;
                found.eq_ignore_ascii_case(name).then_some(value.trim())
            });
            match value {
                Some(value) if value == *expected || below(value, expected) => None,
                Some(value) => Some(format!("{name} is {value}, not {expected}")),
                None => Some(format!("{name} is not set, should be {expected}")),
            }
        })
        .collect()
}

fn below(value: &str, most: &str) -> bool {
    matches!((value.parse::<u32>(), most.parse::<u32>()), (Ok(value), Ok(most)) if value < most)
}

fn password_login_refused(machine: &Machine) -> Result<Outcome, BootError> {
    let account = machine.ssh(&format!("sudo -n passwd --status {PASSWORD_USER}"))?;
    if !has_password(&account) {
        return Ok(no_answer(&account));
    }
    machine.log_in_with_password().map(|login| judge_password_login(&account, &login))
}

fn has_password(account: &Output) -> bool {
    account.exit == Some(0) && account.stdout.split_whitespace().nth(1) == Some("P")
}

/// Judges a login with the right password of an account, and what `passwd --status` says of that.
pub(super) fn judge_password_login(account: &Output, login: &Output) -> Outcome {
    if !has_password(account) {
        return no_answer(account);
    }
    judge_refusal(login, &["password", "keyboard-interactive"])
}

/// Succeeds where root has the one-time key.
pub(super) const ASK_ROOT_KEY: &str =
    "sudo -n grep -q '^ssh-ed25519 .* one-time$' /root/.ssh/authorized_keys";

fn root_login_refused(machine: &Machine) -> Result<Outcome, BootError> {
    let key = machine.ssh(ASK_ROOT_KEY)?;
    if key.exit != Some(0) {
        return Ok(no_answer(&key));
    }
    machine.log_in_with_key("root").map(|login| judge_root_login(&key, &login))
}

/// Judges a login as root, and whether the key that it used is root's.
pub(super) fn judge_root_login(key: &Output, login: &Output) -> Outcome {
    if key.exit == Some(0) { judge_refusal(login, &[]) } else { no_answer(key) }
}

/// Whether a login was refused, and none of `forbidden` was among the methods that the server offered instead.
fn judge_refusal(output: &Output, forbidden: &[&str]) -> Outcome {
    if output.exit == Some(0) {
        return fail("the login succeeded");
    }
    let Some(methods) = refused_methods(&output.stderr) else {
        return fail(format!("the login was not refused but ended with: {}", tail(&output.stderr, 3)));
    };
    match methods.iter().find(|method| forbidden.contains(method)) {
        Some(method) => fail(format!("the login was refused, but the server offers {method}")),
        None => pass(format!("Permission denied ({})", methods.join(","))),
    }
}

/// The size of the root file system.
pub(super) const ASK_SIZE: &str = "df --block-size=1 --output=size / | tail -n 1";

fn disk_grew(machine: &Machine) -> Result<Outcome, BootError> {
    machine.ssh(ASK_SIZE).map(|output| judge_size(&output, machine.image_size()))
}

/// Judges the size of the root file system of a machine whose disk is larger than its image, which has so many bytes.
pub(super) fn judge_size(output: &Output, image: u64) -> Outcome {
    output.stdout.trim().parse().map_or_else(|_| no_answer(output), |size| judge_growth(size, image))
}

/// The guest's disk is larger than the image. A root file system larger than the *whole* image can only be one whose
/// partition and file system both grew.
fn judge_growth(root: u64, image: u64) -> Outcome {
    let mib = |bytes: u64| bytes >> 20;
    if root > image {
        return pass(format!("{} MiB on an image of {} MiB", mib(root), mib(image)));
    }
    fail(format!("the root file system has {} MiB on an image of {} MiB", mib(root), mib(image)))
}

/// The user database, an empty line, and the names in `/home`.
pub(super) const ASK_USERS: &str = "getent passwd && echo && ls -A /home";

fn no_build_user(machine: &Machine) -> Result<Outcome, BootError> {
    machine.ssh(ASK_USERS).map(|output| judge_accounts(&output))
}

pub(super) fn judge_accounts(output: &Output) -> Outcome {
    if output.exit == Some(0) { judge_users(&output.stdout) } else { no_answer(output) }
}

/// Judges a user database, an empty line, and the names in `/home`. A person's account has a user id from 1000 and a
/// shell; a home that belongs to no account is one that was forgotten.
fn judge_users(text: &str) -> Outcome {
    let (accounts, homes) = text.split_once("\n\n").unwrap_or((text, ""));
    let accounts: Vec<Vec<&str>> = accounts.lines().map(|line| line.split(':').collect()).collect();
    let is_person = |account: &&Vec<&str>| {
        let id = account.get(2).and_then(|id| id.parse::<u32>().ok()).unwrap_or_default();
        let shell = account.get(6).copied().unwrap_or_default();
        (1000..60_000).contains(&id) && !shell.ends_with("/nologin") && !shell.ends_with("/false")
    };
    let ours = |name: &&str| [ADMIN, PASSWORD_USER].contains(name);
    let people = accounts.iter().filter(is_person).map(|account| account[0]).filter(|name| !ours(name));
    let owned = |home: &str| {
        let path = format!("/home/{home}");
        accounts.iter().any(|account| account.get(5).is_some_and(|known| *known == path))
    };
    let found: Vec<_> = people
        .map(|name| format!("account {name}"))
        .chain(homes.lines().filter(|home| !owned(home)).map(|home| format!("/home/{home}")))
        .collect();
    if found.is_empty() { pass("none") } else { fail(format!("left in the image: {}", found.join(", "))) }
}

/// Whether two machines made from one image are two.
pub(super) fn judge_identities(first: &Identity, second: &Identity) -> Outcome {
    if first.machine_id == second.machine_id {
        return fail(format!("both boots have machine-id {}", first.machine_id));
    }
    match first.host_keys.iter().find(|key| second.host_keys.contains(key)) {
        Some(key) => fail(format!("both boots have the SSH host key {key}")),
        None => pass(format!(
            "two machine-ids, {} and {} different host keys",
            first.host_keys.len(),
            second.host_keys.len()
        )),
    }
}

#[cfg(test)]
#[path = "smoke_tests.rs"]
mod tests;
