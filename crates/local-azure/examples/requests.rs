//! How fast a running endpoint is: `requests PROGRAM` starts `PROGRAM serve` and asks it over TLS, as clients do.
//!
//! Beside it, the plainest server that keeps documents: Python's own, over the same TLS, with `SQLite`, without roles, types
//! or checks. Prints a line for each measurement: its name, a tab, and numbers; seconds, or requests per second.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, http};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CONNECTIONS: usize = 4;
const REQUESTS: usize = 2_000;
const MANY: usize = 100_000;
const GROUP: &str = "/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups";

/// A server as a process that ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client of a server.
#[derive(Clone)]
struct Client {
    agent: Agent,
    base: String,
    token: String,
}

fn main() -> Outcome<()> {
    let program = std::env::args().nth(1).ok_or("usage: requests PROGRAM")?;
    let folder = tempfile::tempdir()?;
    let mut starts = Vec::new();
    for start in 0..5 {
        starts.push(ready(&program, &folder.path().join(start.to_string()))?.2);
    }
    print("start, new state", &starts);

    let state = folder.path().join("state");
    let (server, first, _) = ready(&program, &state)?;
    let client = ours(&first)?;
    requests("", &client)?;
    {
        let (_peer, client) = peer(folder.path())?;
        requests("peer ", &client)?;
    }
    fill(&client)?;
    print("list page of 1000, 100000 resources", &pages(&client, GROUP)?);
    print("list page of all types", &pages(&client, "/resources")?);
    let mut one = Vec::new();
    for index in 0..20 {
        let began = Instant::now();
        client.send("DELETE", &format!("{GROUP}/n{index}"), &Value::Null)?;
        one.push(began.elapsed().as_secs_f64());
    }
    print("delete one of 100000", &one);
    drop(server);
    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(ready(&program, &state)?.2);
    }
    print("start, 100000 resources", &starts);
    Ok(())
}

fn print(name: &str, values: &[f64]) {
    let values: Vec<_> = values.iter().map(|value| format!("{value:.6}")).collect();
    println!("{name}\t{}", values.join(" "));
}

/// Starts the endpoint; its first line, and the seconds until that was there.
fn ready(program: &str, state: &Path) -> Outcome<(Server, Value, f64)> {
    let began = Instant::now();
    let mut command = Command::new(program);
    command.args(["--quiet", "serve", "--listen", "127.0.0.1:0", "--state"]).arg(state);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let seconds = began.elapsed().as_secs_f64();
    Ok((Server(child), serde_json::from_str(&line)?, seconds))
}

fn agent(pem: &[u8]) -> Outcome<Agent> {
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(pem)?]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    Ok(Agent::config_builder().tls_config(tls).http_status_as_error(false).proxy(None).build().new_agent())
}

fn ours(first: &Value) -> Outcome<Client> {
    let text = |name: &str| first[name].as_str().unwrap_or_default();
    let agent = agent(&std::fs::read(text("ca"))?)?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", text("client_id")),
        ("client_secret", text("client_secret")),
    ];
    let mut answer = agent.post(format!("{}/adfs/oauth2/token", text("endpoint"))).send_form(form)?;
    let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    let token = answer["access_token"].as_str().ok_or("no token")?.to_owned();
    let base = format!("{}/subscriptions/{}", text("endpoint"), text("subscription"));
    let client = Client { agent, base, token };
    client.send("POST", "/providers/Microsoft.Network/register", &Value::Null)?;
    client.send("PUT", "/resourceGroups/g", &json!({ "location": "eastus2" }))?;
    Ok(client)
}

const PEER: &str = include_str!("peer.py");

fn peer(folder: &Path) -> Outcome<(Server, Client)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    let file = folder.join("peer.pem");
    std::fs::write(&file, format!("{}{}", key.serialize_pem(), certificate.pem()))?;
    let mut command = Command::new("python3");
    command.args(["-c", PEER]).arg(&file).arg(folder.join("peer.sqlite3")).stdout(Stdio::piped());
    let mut server = Server(command.spawn()?);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let base = format!("https://localhost:{}", line.trim());
    Ok((server, Client { agent: agent(certificate.pem().as_bytes())?, base, token: "none".to_owned() }))
}

impl Client {
    fn send(&self, method: &str, path: &str, body: &Value) -> Outcome<String> {
        self.ask(method, &format!("{}{path}?api-version=2024-05-01", self.base), body)
    }

    fn ask(&self, method: &str, url: &str, body: &Value) -> Outcome<String> {
        let request = http::Request::builder().method(method).uri(url);
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut answer = self.agent.run(request.body(text)?)?;
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string()?;
        if answer.status().is_success() { Ok(text) } else { Err(format!("{method} {url}: {text}").into()) }
    }
}

fn body(index: usize) -> Value {
    let rule = json!({ "name": "https", "properties": {
        "priority": 100, "direction": "Outbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "AzureCloud", "destinationPortRange": "443",
    } });
    json!({ "location": "eastus2", "tags": { "n": index.to_string() }, "properties": { "securityRules": [rule] } })
}

/// Sends requests over some connections at once: seconds of each, sorted, and requests per second.
fn load(
    client: &Client,
    count: usize,
    send: impl Fn(&Client, usize) -> Outcome<()> + Sync,
) -> Outcome<(Vec<f64>, f64)> {
    let began = Instant::now();
    let (send, each) = (&send, count / CONNECTIONS);
    let mut all = thread::scope(|scope| -> Outcome<Vec<f64>> {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|thread| {
                let client = client.clone();
                scope.spawn(move || -> Outcome<Vec<f64>> {
                    let one = |index| -> Outcome<f64> {
                        let began = Instant::now();
                        send(&client, index)?;
                        Ok(began.elapsed().as_secs_f64())
                    };
                    (thread * each..(thread + 1) * each).map(one).collect()
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok(all)
    })?;
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = all.len() as f64 / began.elapsed().as_secs_f64();
    all.sort_by(f64::total_cmp);
    Ok((all, rate))
}

/// PUT of new groups with a rule each, then GET of them.
fn requests(who: &str, client: &Client) -> Outcome<()> {
    let put = |client: &Client, index: usize| {
        client.send("PUT", &format!("{GROUP}/n{index}"), &body(index)).map(drop)
    };
    let get = |client: &Client, index: usize| {
        client.send("GET", &format!("{GROUP}/n{index}"), &Value::Null).map(drop)
    };
    let tell = |name: &str, (seconds, rate): (Vec<f64>, f64)| {
        print(&format!("{who}{name} rate"), &[rate]);
        print(&format!("{who}{name} p50"), &[seconds[seconds.len() / 2]]);
        print(&format!("{who}{name} p99"), &[seconds[seconds.len() * 99 / 100]]);
    };
    tell("PUT", load(client, REQUESTS, put)?);
    tell("GET", load(client, REQUESTS, get)?);
    Ok(())
}

fn fill(client: &Client) -> Outcome<()> {
    load(client, MANY, |client, index| {
        client.send("PUT", &format!("{GROUP}/n{index}"), &body(index)).map(drop)
    })?;
    Ok(())
}

/// Seconds of each page of a list.
fn pages(client: &Client, path: &str) -> Outcome<Vec<f64>> {
    let mut url = Some(format!("{}{path}?api-version=2024-05-01", client.base));
    let (mut seconds, mut count) = (Vec::new(), 0);
    while let Some(next) = url {
        let began = Instant::now();
        let text = client.ask("GET", &next, &Value::Null)?;
        seconds.push(began.elapsed().as_secs_f64());
        let page: Value = serde_json::from_str(&text)?;
        count += page["value"].as_array().map_or(0, Vec::len);
        url = page["nextLink"].as_str().map(str::to_owned);
    }
    if count < MANY - 100 { Err(format!("only {count} resources").into()) } else { Ok(seconds) }
}
