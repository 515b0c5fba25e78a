//! The real program and a real endpoint, with a proxy between them that does harm. Every kind of harm at every request is
//! tested in one process, by the crate `workflow`; here each request of a deployment meets one kind, and a whole run, to
//! its image and its logs, meets each.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::azure::{Ours, Seed, image, inventory};
use crate::images::can_build;
use crate::proxy::{Harm, Proxy};
use crate::story::{Said, Story, run, story_with};

const HARMS: [Harm; 12] = [
    Harm::LostAfter,
    Harm::Refused(429, "TooManyRequests"),
    Harm::Truncated,
    Harm::Refused(500, "InternalServerError"),
    Harm::Expired,
    Harm::LostBefore,
    Harm::Refused(503, "ServiceUnavailable"),
    Harm::Refused(409, "Conflict"),
    Harm::Refused(404, "ResourceNotFound"),
    Harm::Refused(403, "AuthorizationFailed"),
    Harm::Refused(401, "InvalidAuthenticationToken"),
    Harm::Refused(412, "PreconditionFailed"),
];

/// Runs a command by way of the proxy.
fn through(proxy: &Proxy, ours: &Ours<'_>, story: &Story, words: &[&str]) -> Said {
    let mut command: Command = ours.command(words);
    command.env("AKS_JUMPBOX_CLOUD", proxy.url()).env("AKS_JUMPBOX_CA_FILE", proxy.certificate());
    let said = run(command, None);
    story.heard(&said.out);
    story.heard(&said.err);
    said
}

/// It ended well, or says what could not be done, and by which request.
fn told(said: &Said, at: &str) {
    match said.code {
        Some(0) => {}
        Some(1 | 3 | 4) => {
            assert!(said.err.contains("could not") || said.err.contains("undecided"), "{at}: {said}");
        }
        _ => panic!("{at}: {said}"),
    }
}

#[test]
fn a_deployment_by_the_real_program_survives_harm_at_every_request() {
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let (rest, proxy) = (story.rest(), Proxy::new(story));
        let ours = Ours::new(story, "isolated", &image("harmed"));
        let deploy = || through(&proxy, &ours, story, &["deploy", "--skip-check"]);
        let clean = || through(&proxy, &ours, story, &["clean", "--all", "--yes"]);
        let before = inventory(&rest);
        proxy.arm(None);
        assert_eq!(deploy().code, Some(0));
        let requests = proxy.names().len();
        assert_eq!(clean().code, Some(0));
        assert!(requests > 20, "{requests}");
        for index in 0..requests {
            let harm = HARMS[index % HARMS.len()];
            proxy.arm(Some((index, harm)));
            let disturbed = deploy();
            let at = format!("{harm:?} at request {index}, {:?}", proxy.names().get(index));
            told(&disturbed, &at);
            proxy.arm(None);
            if disturbed.code != Some(0) {
                let again = deploy();
                assert_eq!(again.code, Some(0), "{at}: {disturbed}, then {again}");
            }
            let cleaned = clean();
            assert_eq!(cleaned.code, Some(0), "{at}: {cleaned}");
            assert_eq!((inventory(&rest), ours.state()["made"].clone()), (before.clone(), json!([])), "{at}");
        }
        let stalled = Harm::Stalled(Duration::from_secs(30));
        proxy.arm(Some((requests / 2, stalled)));
        let waited = deploy();
        told(&waited, "a request that takes half a minute");
        proxy.arm(None);
        assert_eq!(deploy().code, Some(0));
        assert_eq!(clean().code, Some(0));
        assert_eq!(inventory(&rest), before);
        eprintln!("{requests} requests");
    });
}

#[test]
fn a_whole_run_by_the_real_program_makes_one_image_whatever_is_harmed() {
    if !can_build() {
        return;
    }
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let proxy = Proxy::new(story);
        let ours = Ours::new(story, "isolated", &image("harmed"));
        let build = || through(&proxy, &ours, story, &["build", "--target", "azure", "--as-deployed"]);
        proxy.arm(None);
        assert_eq!(through(&proxy, &ours, story, &["deploy"]).code, Some(0));
        assert_eq!(build().code, Some(0));
        proxy.arm(None);
        assert_eq!(build().code, Some(0), "its layers are kept now");
        let requests = proxy.names().len();
        let runs = || {
            let log = story.serve.log();
            log.lines().filter(|line| line.starts_with("POST ") && line.contains("/run 202")).count()
        };
        for (number, harm) in HARMS.into_iter().take(8).enumerate() {
            let index = number * requests / 8;
            let begun = runs();
            proxy.arm(Some((index, harm)));
            let disturbed = build();
            let at = format!("{harm:?} at request {index}, {:?}", proxy.names().get(index));
            told(&disturbed, &at);
            proxy.arm(None);
            if disturbed.code != Some(0) {
                let again = build();
                assert_eq!(again.code, Some(0), "{at}: {disturbed}, then {again}");
            }
            assert_eq!(runs(), begun + 1, "{at}: {disturbed}");
        }
        eprintln!("{requests} requests");
    });
}
