//! Requests that no client of Azure sends, and many at once.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::thread;

use serde_json::json;

use crate::rest::{Answer, Rest, VERSION};
use crate::story::{Story, story};

const NSG: &str = "/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups";

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    assert!(!answer.header("x-ms-request-id").is_empty(), "every answer has an id: {answer:?}");
}

#[test]
fn bad_requests_are_refused_with_azures_codes() {
    story(|story| {
        let rest = story.rest();
        rest.group("g");
        let put = |body: &[u8]| rest.send("PUT", &rest.url(&format!("{NSG}/n")), &[], body);
        let deep = "[".repeat(100_000);
        for body in [&b""[..], b"{", b"[]", b"7", b"\xff\xfe", b"{\"a\":1}x", deep.as_bytes()] {
            refused(&put(body), 400, "InvalidRequestContent");
        }
        refused(
            &put(b"{\"location\":\"eastus2\",\"properties\":{\"securityRules\":7}}"),
            400,
            "InvalidRequestFormat",
        );
        refused(&put(b"{\"properties\":{}}"), 400, "LocationRequired");
        refused(&rest.get(&format!("{NSG}/n")), 404, "ResourceNotFound");

        let subscription = story.subscription();
        let send = |method: &str, path: &str| rest.send(method, path, &[], &[]);
        refused(&send("GET", &format!("{subscription}/resourceGroups/g")), 400, "MissingApiVersionParameter");
        let wrong = format!("{subscription}/resourceGroups/g?api-version=latest");
        refused(&send("GET", &wrong), 400, "InvalidApiVersionParameter");
        refused(
            &send("GET", &format!("/subscriptions/other/resourceGroups?{VERSION}")),
            404,
            "SubscriptionNotFound",
        );
        refused(&send("GET", "/no/such/thing"), 404, "InvalidResourceType");
        refused(&send("PUT", &format!("{subscription}?{VERSION}")), 405, "HttpMethodNotAllowed");
        refused(&send("TRACE", &rest.url("/resourceGroups/g")), 405, "HttpMethodNotAllowed");
        refused(&send("POST", &rest.url(&format!("{NSG}/n/explode"))), 501, "NotImplementedLocally");
        for path in ["/%2e%2e/secrets.json", "/..%2fsecrets.json", "/%00", "/%5c..%5cx", "/%ff", "/a%3fb"] {
            refused(&send("GET", &rest.url(path)), 400, "InvalidRequestUri");
        }
        refused(&send("GET", &rest.url(&"/a".repeat(3000))), 400, "InvalidRequestUri");
    });
}

#[test]
fn no_client_names_a_file_of_the_endpoint() {
    story(|story| {
        let rest = story.rest();
        rest.group("g");
        let register = rest.url("/providers/Microsoft.Compute/register");
        assert_eq!(rest.send("POST", &register, &[], &[]).status, 200);
        let file = story.write("precious", "precious");
        let image = json!({ "location": "eastus2", "properties": { "localFile": file } }).to_string();
        let url = rest.url("/resourceGroups/g/providers/Microsoft.Compute/images/i");
        assert_eq!(rest.send("PUT", &url, &[], image.as_bytes()).status, 201);
        assert_eq!(rest.send("PUT", &url, &[], image.as_bytes()).status, 200);
        assert_eq!(rest.send("DELETE", &url, &[], &[]).status, 200);
        assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), "precious");
    });
}

#[test]
fn only_own_and_fresh_tokens_are_taken() {
    story(|story| {
        let rest = story.rest();
        let other = tempfile::tempdir().expect("a folder");
        let other = crate::serve::Serve::start(other.path());
        let mut stranger = rest.clone();
        let mut asked = |token: &str| {
            token.clone_into(&mut stranger.token);
            stranger.get("/resourceGroups")
        };
        let (head, tail) = rest.token.rsplit_once('.').expect("a signature");
        let turned: String = tail.chars().rev().collect();
        for token in ["x", "a.b.c", &format!("{head}.{turned}"), &format!("{head}."), &rest.token[1..]] {
            let answer = asked(token);
            refused(&answer, 401, "InvalidAuthenticationToken");
            assert!(answer.header("www-authenticate").starts_with("Bearer "), "{answer:?}");
        }
        let answer = asked("");
        refused(&answer, 401, "AuthenticationFailed");
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{answer:?}");
        // Another endpoint's own, and one that is meant for blobs.
        let foreign = foreign_token(&other);
        refused(&asked(&foreign), 401, "InvalidAuthenticationToken");
        let login = rest.log_in_for(&own(story), "https://storage.azure.com/.default");
        let token = login["access_token"].as_str().expect("a token");
        refused(&asked(token), 401, "InvalidAuthenticationTokenAudience");
        assert_eq!(asked(&rest.token).status, 200);
        let wrong = rest.log_in(story.serve.told("client_id"), "wrong");
        assert_eq!(wrong["error"], "invalid_client");
    });
}

fn own(story: &Story) -> (String, String) {
    (story.serve.told("client_id").to_owned(), story.serve.told("client_secret").to_owned())
}

fn foreign_token(other: &crate::serve::Serve) -> String {
    let agent = crate::rest::agent(&std::fs::read(other.ca()).expect("read"));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", other.told("client_id")),
        ("client_secret", other.told("client_secret")),
    ];
    let url = format!("{}/adfs/oauth2/token", other.told("endpoint"));
    let text = agent.post(url).send_form(form).expect("sent").body_mut().read_to_string().expect("text");
    let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    body["access_token"].as_str().expect("a token").to_owned()
}

#[test]
fn a_body_of_a_hundred_megabytes_is_refused_and_not_kept() {
    story(|story| {
        let rest = story.rest();
        rest.group("g");
        let before = peak(story);
        let chunk = vec![b'x'; 1 << 20];
        let path = rest.url(&format!("{NSG}/n"));
        let token = &rest.token;
        for framing in ["Content-Length: 104857600", "Transfer-Encoding: chunked"] {
            let mut stream = rest.raw();
            let mut head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
            let _ = write!(head, "Authorization: Bearer {token}\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("sent");
            let chunked = framing.ends_with("chunked");
            for _ in 0..100 {
                if chunked {
                    stream.write_all(b"100000\r\n").expect("sent");
                }
                stream.write_all(&chunk).expect("sent");
                if chunked {
                    stream.write_all(b"\r\n").expect("sent");
                }
            }
            if chunked {
                stream.write_all(b"0\r\n\r\n").expect("sent");
            }
            let answer = to_end(stream);
            assert!(
                answer.starts_with("HTTP/1.1 413 ") && answer.contains("RequestContentTooLarge"),
                "{answer}"
            );
        }
        // Half of one body would be far more than that.
        assert!(peak(story) < before + 30_000, "{} and {before} KiB", peak(story));
        assert_eq!(rest.get("/resourceGroups/g").status, 200);
    });
}

/// The most memory that the endpoint ever held, in KiB.
fn peak(story: &Story) -> u64 {
    let pid = story.serve.id().as_raw_nonzero();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

fn to_end(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn clients_that_dawdle_delay_nobody() {
    story(|story| {
        let rest = story.rest();
        let silent: Vec<_> = (0..150).map(|_| rest.socket()).collect();
        let mut halfway = Vec::new();
        for _ in 0..150 {
            let mut stream = rest.raw();
            stream.write_all(b"GET /subscriptions HTTP/1.1\r\nHost: local").expect("sent");
            halfway.push(stream);
        }
        let mut bodies = Vec::new();
        for _ in 0..50 {
            let mut stream = rest.raw();
            stream
                .write_all(b"POST /adfs/oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\ng")
                .expect("sent");
            bodies.push(stream);
        }
        let other = story.rest();
        other.group("g");
        assert_eq!(other.get("/resourceGroups/g").status, 200);
        drop((silent, halfway, bodies));
    });
}

#[test]
fn of_writes_at_once_with_a_condition_one_wins() {
    story(|story| {
        let rest = story.rest();
        rest.group("g");
        let url = rest.url(&format!("{NSG}/n"));
        let body =
            |mark: usize| json!({ "location": "eastus2", "tags": { "a": mark, "b": mark } }).to_string();
        let all = |headers: &[(&str, &str)]| -> Vec<Answer> {
            let write = |mark: usize, rest: &Rest<'_>| rest.send("PUT", &url, headers, body(mark).as_bytes());
            thread::scope(|scope| {
                let write = &write;
                let rest = &rest;
                let threads: Vec<_> = (0..8).map(|mark| scope.spawn(move || write(mark, rest))).collect();
                threads.into_iter().map(|thread| thread.join().expect("ended")).collect()
            })
        };
        let count =
            |answers: &[Answer], status| answers.iter().filter(|answer| answer.status == status).count();

        let answers = all(&[("If-None-Match", "*")]);
        assert_eq!((count(&answers, 201), count(&answers, 412)), (1, 7));
        let tag = rest.get(&format!("{NSG}/n")).header("etag").to_owned();
        let answers = all(&[("If-Match", &tag)]);
        assert_eq!((count(&answers, 200), count(&answers, 412)), (1, 7));
        let answers = all(&[]);
        assert_eq!(count(&answers, 200), 8);
        let last = rest.get(&format!("{NSG}/n"));
        assert_eq!(last.json()["tags"]["a"], last.json()["tags"]["b"]);
        let old = rest.send("DELETE", &url, &[("If-Match", &tag)], &[]);
        refused(&old, 412, "PreconditionFailed");
        let now = last.header("etag").to_owned();
        assert_eq!(rest.send("DELETE", &url, &[("If-Match", &now)], &[]).status, 200);
        let answers = all(&[("If-Match", "*")]);
        assert_eq!(count(&answers, 412), 8);
    });
}
