//! Modes, proxies, mirrors and bounds.

use std::sync::Arc;

use egress_gateway::{Gateway, Layer, Mirror, Mode, NoProxy, Outcome, UpstreamProxy};
use network_policy::Verdict;

use crate::TestResult;
use crate::servers::{greet, http, proxy, repeat, serve};
use crate::world::{Always, allow, config, only, run, run_behind};

pub fn learn() -> TestResult {
    let mut config = config(allow(&["allowed.example.com:443"]), &[("other.example.com", serve(repeat))]);
    config.mode = Mode::Learn;
    let (output, record) =
        run(config, "talk", "other.example.com:443 tls other.example.com\n169.254.169.254:80 http x")?;
    assert_eq!(output, "the same\nreset after 0 bytes");
    let row = only(&record, |row| row.name.as_deref() == Some("other.example.com"));
    assert_eq!((row.decision, row.layer, row.refused), (Outcome::Allowed, Layer::Gateway, false));
    assert!(row.note.is_some_and(|note| note.contains("policy")));
    Ok(())
}

pub fn undecided() -> TestResult {
    let server = serve(repeat);
    for (told_otherwise, expected) in [(false, "reset after 0 bytes"), (true, "the same")] {
        let mut config = config(Arc::new(Always(Verdict::Undecided)), &[("a.example.com", server)]);
        config.allow_undecided = told_otherwise;
        let (output, record) = run(config, "talk", "a.example.com:443 tls a.example.com")?;
        assert_eq!(output, expected);
        let row = only(&record, |row| row.protocol == "tcp");
        assert_eq!((row.decision, row.refused), (Outcome::Undecided, !told_otherwise));
    }
    Ok(())
}

pub fn upstream_proxy() -> TestResult {
    let entries = ["allowed.example.com:443", "refused.example.com:443"];
    let mut config = config(allow(&entries), &[]);
    config.upstream_proxy = Some(format!("http://me:secret@{}", serve(proxy)).parse()?);
    let input =
        "allowed.example.com:443 tls allowed.example.com\nrefused.example.com:443 tls refused.example.com";
    let (output, record) = run(config, "talk", input)?;
    assert!(output.starts_with("CONNECT allowed.example.com:443 HTTP/1.1\r\n"), "{output}");
    assert!(output.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{output}");
    assert!(output.ends_with("\nreset after 0 bytes"), "{output}");
    let row = only(&record, |row| row.name.as_deref() == Some("allowed.example.com"));
    assert_eq!((row.address, row.decision), (None, Outcome::Allowed), "only the proxy knows the address");
    let row = only(&record, |row| row.name.as_deref() == Some("refused.example.com"));
    assert!(row.note.is_some_and(|note| note.contains("403")));
    assert!(!serde_json::to_string(&record)?.contains("secret"));
    Ok(())
}

pub fn no_proxy() -> TestResult {
    let site = serve(http);
    let names = ["archive.example.com", "elsewhere.example.com", "direct.example.com"];
    let mut config =
        config(allow(&names.map(|name| format!("{name}:80")).each_ref().map(String::as_str)), &[]);
    let at = |host: &str| Mirror { host: host.to_owned(), port: site.port() };
    config.mirrors.insert(names[0].to_owned(), at("127.0.0.1"));
    config.mirrors.insert(names[1].to_owned(), at("127.0.1.1"));
    config.test_lookup = Some(Arc::new(|_| vec!["169.254.169.254".parse().unwrap()]));
    let upstream: UpstreamProxy = format!("http://{}", serve(proxy)).parse()?;
    config.upstream_proxy = Some(upstream.except(NoProxy::new(".direct.example.com,127.0.0.0/24")));
    let input = names.map(|name| format!("{name}:80 http {name}")).join("\n");
    let (output, record) = run(config, "talk", &input)?;
    let answers: Vec<&str> = output.lines().collect();
    assert_eq!(answers[0], "HTTP/1.1 200 OK", "{output}");
    assert!(output.contains(&format!("CONNECT 127.0.1.1:{} HTTP/1.1\r\n", site.port())), "{output}");
    assert_eq!(*answers.last().unwrap(), "reset after 0 bytes", "{output}");
    let address = |name: &str| only(&record, |row| row.name.as_deref() == Some(name)).address;
    assert_eq!(address(names[0]), Some(site.ip()));
    assert_eq!(address(names[1]), None, "only the proxy knows the address");
    let direct = only(&record, |row| row.name.as_deref() == Some(names[2]));
    assert!(direct.refused && direct.rule.contains("forbidden address"), "{direct:?}");
    Ok(())
}

pub fn mirror() -> TestResult {
    let mirror = serve(http);
    let mut config = config(allow(&["archive.example.com:80"]), &[]);
    config.mirrors.insert(
        "archive.example.com".to_owned(),
        Mirror { host: mirror.ip().to_string(), port: mirror.port() },
    );
    let hosts = "archive.example.com:80\narchive.example.com\narchive.example.com";
    let (output, record) = run(config, "kept_alive", hosts)?;
    let answer = format!("POST /x HTTP/1.1 at {mirror} with 44\n");
    assert_eq!(output, answer.repeat(2), "a mirror sees its own name in every request");
    assert_eq!(only(&record, |_| true).name.as_deref(), Some("archive.example.com"));
    Ok(())
}

pub fn too_many() -> TestResult {
    let mut config = config(allow(&["allowed.example.com:443"]), &[("allowed.example.com", serve(greet))]);
    config.max_connections = 2;
    let gateway = Gateway::start(config)?;
    let third = run_behind(&gateway, 7, "hold", "allowed.example.com:443")?;
    assert_eq!(third, "reset after 0 bytes");
    let row = only(&gateway.record(), |row| row.refused);
    assert_eq!((row.step, row.layer, row.name.as_deref()), (7, Layer::Gateway, Some("allowed.example.com")));
    assert!(row.rule.contains('2'), "{}", row.rule);
    Ok(())
}
