//! What was acknowledged is there after `kill -9`, and nothing is half there.

mod deployed;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use ureq::{Agent, http};

use crate::serve::Serve;

const ROUNDS: u64 = 20;
const WRITERS: usize = 4;
/// Resources that each writer writes and deletes.
const OWN: usize = 3;

/// What a resource may be after the end: absent, or a mark. What was acknowledged last, and what was sent after that.
type Fate = Vec<Option<u64>>;

/// A client of one endpoint.
#[derive(Clone)]
struct Client {
    agent: Agent,
    base: String,
    token: String,
}

impl Client {
    fn new(serve: &Serve) -> Self {
        let agent = crate::rest::agent(&std::fs::read(serve.ca()).expect("read"));
        let (endpoint, subscription) = (serve.told("endpoint"), serve.told("subscription"));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", serve.told("client_id")),
            ("client_secret", serve.told("client_secret")),
        ];
        let mut answer = agent.post(format!("{endpoint}/adfs/oauth2/token")).send_form(form).expect("sent");
        let answer: Value =
            serde_json::from_str(&answer.body_mut().read_to_string().expect("a text")).expect("JSON");
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        Self { agent, base: format!("{endpoint}/subscriptions/{subscription}"), token }
    }

    /// Status and body; none where the endpoint ended before it answered.
    fn send(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = http::Request::builder().method(method);
        let request = request.uri(format!("{}{path}?api-version=2024-05-01", self.base));
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut answer = self.agent.run(request.body(text).expect("a request")).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default()))
    }
}

fn path(writer: usize, own: usize) -> String {
    format!("/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/w{writer}-{own}")
}

/// A group whose rules, rows of their own, all bear the mark.
fn body(mark: u64) -> Value {
    let rules: Vec<Value> = (0..4)
        .map(|index| {
            json!({ "name": format!("r{index}-{mark}"), "properties": {
                "priority": 100 + index, "direction": "Outbound", "access": "Allow", "protocol": "Tcp",
                "description": mark.to_string(),
            } })
        })
        .collect();
    json!({ "location": "eastus2", "tags": { "mark": mark.to_string() }, "properties": { "securityRules": rules } })
}

/// Writes and deletes until the endpoint is gone. Each answer is counted before the next request.
fn work(
    client: &Client,
    writer: usize,
    mut seed: u64,
    answered: &AtomicUsize,
    tell: &mpsc::Sender<()>,
) -> Vec<Fate> {
    let mut fates = vec![vec![None]; OWN];
    for step in 0.. {
        seed = next(seed);
        let own = usize::try_from(seed >> 33).expect("small") % OWN;
        let mark = (u64::try_from(writer).expect("small") << 32) + step;
        let wanted = if seed.is_multiple_of(4) { None } else { Some(mark) };
        fates[own].push(wanted);
        let answer = match wanted {
            Some(mark) => client.send("PUT", &path(writer, own), &body(mark)),
            None => client.send("DELETE", &path(writer, own), &Value::Null),
        };
        let Some((status, _)) = answer else { break };
        assert!(matches!(status, 200 | 201 | 204), "status {status}");
        fates[own] = vec![wanted];
        answered.fetch_add(1, Ordering::Relaxed);
        if tell.send(()).is_err() {
            break;
        }
    }
    fates
}

/// Where a test's choices begin: told by whoever repeats them, or any.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    given.unwrap_or_else(|| u64::try_from(now % 1_000_000_007).expect("small"))
}

pub(crate) fn next(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// The mark that a resource bears in all its parts; none where it is absent.
fn mark(client: &Client, path: &str) -> Option<u64> {
    let (status, found) = client.send("GET", path, &Value::Null).expect("an answer");
    if status == 404 {
        return None;
    }
    let mark = found["tags"]["mark"].as_str().unwrap_or_else(|| panic!("{status} {found}"));
    let rules = found["properties"]["securityRules"].as_array().expect("rules");
    let marks: Vec<_> = rules.iter().map(|rule| rule["properties"]["description"].as_str()).collect();
    assert_eq!(marks, [Some(mark); 4], "half written: {found}");
    Some(mark.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_nothing_is_half_there() {
    let first = seed();
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..ROUNDS {
        let seed = next(first + round);
        eprintln!("CRASH_SEED={} for this round", first + round);
        let mut serve = Serve::start(folder.path());
        let client = Client::new(&serve);
        client.send("POST", "/providers/Microsoft.Network/register", &Value::Null).expect("registered");
        client.send("PUT", "/resourceGroups/g", &json!({ "location": "eastus2" })).expect("a group");
        for (writer, own) in all() {
            client.send("DELETE", &path(writer, own), &Value::Null).expect("clean");
        }
        let end = 20 + usize::try_from(seed >> 40).expect("small") % 180;
        let answered = AtomicUsize::new(0);
        let (tell, told) = mpsc::channel();
        let fates: Vec<Vec<Fate>> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (client, answered, tell) = (client.clone(), &answered, tell.clone());
                    let seed = next(seed + u64::try_from(writer).expect("small"));
                    scope.spawn(move || work(&client, writer, seed, answered, &tell))
                })
                .collect();
            for () in told.iter().take(end) {}
            serve.kill();
            writers.into_iter().map(|writer| writer.join().expect("ended")).collect()
        });
        assert!(answered.load(Ordering::Relaxed) >= end);

        let serve = Serve::start(folder.path());
        let client = Client::new(&serve);
        let mut wrong = BTreeMap::new();
        for (writer, own) in all() {
            let (fate, found) = (&fates[writer][own], mark(&client, &path(writer, own)));
            if !fate.contains(&found) {
                wrong.insert((writer, own), (fate, found));
            }
        }
        assert!(wrong.is_empty(), "lost or made up: {wrong:?}");
    }
}

fn all() -> impl Iterator<Item = (usize, usize)> {
    (0..WRITERS).flat_map(|writer| (0..OWN).map(move |own| (writer, own)))
}
