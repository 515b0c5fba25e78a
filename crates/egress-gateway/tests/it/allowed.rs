//! What the policy allows.

use egress_gateway::{Layer, Outcome};
use network_policy::Verdict;

use crate::TestResult;
use crate::servers::{BULK, bulk, greet, http, nobody, repeat, serve};
use crate::world::{Always, allow, config, only, run};

const NAME: &str = "allowed.example.com";

pub fn bytes_are_untouched() -> TestResult {
    let server = serve(repeat);
    let config = config(allow(&["allowed.example.com:443", "allowed.example.com:80"]), &[(NAME, server)]);
    let input =
        "allowed.example.com:443 tls allowed.example.com\nallowed.example.com:80 http allowed.example.com";
    let (output, record) = run(config, "talk", input)?;
    assert_eq!(output, "the same\nthe same");
    assert_eq!(record.connections.len(), 2, "{record:#?}");
    let row = only(&record, |row| row.port == 443);
    assert_eq!((row.step, row.name.as_deref(), row.address), (1, Some(NAME), Some(server.ip())));
    assert_eq!((row.decision, row.layer, row.count), (Outcome::Allowed, Layer::FirewallApplication, 1));
    assert!(row.bytes_out > 60 && row.bytes_out == row.bytes_in, "{row:?}");
    Ok(())
}

pub fn raw_address_with_name() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[(NAME, serve(repeat))]);
    let (output, record) = run(config, "talk", "203.0.113.9:443 tls allowed.example.com")?;
    assert_eq!(output, "the same");
    assert_eq!(only(&record, |_| true).name.as_deref(), Some(NAME));
    Ok(())
}

pub fn server_speaks_first() -> TestResult {
    let config = config(std::sync::Arc::new(Always(Verdict::Allowed)), &[(NAME, serve(greet))]);
    let (output, record) = run(config, "greeted", "allowed.example.com:22")?;
    assert_eq!(output, "welcome\nthanks\n");
    let row = only(&record, |_| true);
    assert_eq!((row.port, row.bytes_out, row.bytes_in), (22, 7, 15));
    Ok(())
}

pub fn kept_alive() -> TestResult {
    let config = config(allow(&["allowed.example.com:80", "other.example.com:80"]), &[(NAME, serve(http))]);
    let hosts = "allowed.example.com:80\nallowed.example.com\nallowed.example.com:80\nother.example.com";
    let (output, record) = run(config, "kept_alive", hosts)?;
    let answers: Vec<&str> = output.lines().collect();
    assert_eq!(answers[0], "POST /x HTTP/1.1 at allowed.example.com with 44", "the body is not a request");
    assert_eq!(answers[1], "POST /x HTTP/1.1 at allowed.example.com:80 with 44");
    assert_eq!(answers[2], "reset");
    assert_eq!(only(&record, |row| row.decision == Outcome::Allowed).name.as_deref(), Some(NAME));
    let denied = only(&record, |row| row.decision == Outcome::Denied);
    assert_eq!((denied.name.as_deref(), denied.layer), (Some("other.example.com"), Layer::Gateway));
    Ok(())
}

pub fn parallel() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[(NAME, serve(repeat))]);
    let (output, record) = run(config, "parallel", "allowed.example.com:443")?;
    assert_eq!(output, "200");
    assert_eq!(only(&record, |_| true).count, 200);
    Ok(())
}

pub fn gigabyte() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[(NAME, serve(bulk))]);
    let (output, record) = run(config, "bulk", "allowed.example.com:443")?;
    assert_eq!(output, BULK.to_string());
    assert_eq!(only(&record, |_| true).bytes_in, BULK);
    Ok(())
}

pub fn unreachable() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[(NAME, nobody())]);
    let (output, record) = run(config, "talk", "allowed.example.com:443 tls allowed.example.com")?;
    assert_eq!(output, "reset after 0 bytes");
    let row = only(&record, |_| true);
    assert_eq!((row.decision, row.refused, row.bytes_out), (Outcome::Allowed, false, 0));
    assert!(row.note.as_deref().is_some_and(|note| note.contains("refused")), "{row:?}");
    Ok(())
}
