//! A hostile build step: what it gets, what it can make the gateway hold, and what the record says.

use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use egress_gateway::{Config, Connection, Gateway, Layer, Outcome};
use network_policy::Verdict;

use crate::TestResult;
use crate::attacker::CROWD;
use crate::servers::{crowd, listening, nobody, repeat, serve};
use crate::world::{Always, allow, config, only, run, run_behind};

const NAME: &str = "allowed.example.com";
const RESET: &str = "reset after 0 bytes";

/// Deadlines short enough to be waited for.
fn hasty(mut config: Config) -> Config {
    config.deadlines.first_byte = Duration::from_millis(200);
    config.deadlines.message = Duration::from_millis(200);
    config.deadlines.dns = Duration::from_millis(200);
    config
}

fn refused_by_gateway(row: &Connection) {
    assert_eq!((row.step, row.decision, row.layer, row.refused), (1, Outcome::Denied, Layer::Gateway, true));
}

pub fn trickled_messages() -> TestResult {
    let entries = ["allowed.example.com:443", "allowed.example.com:80"];
    let (server, _) = listening();
    let input = "allowed.example.com:443 \\16\x03\x01\x3f\x7f\x01\\0\x3f\n\
                 allowed.example.com:80 GET / HTTP/1.1\\nHost: allowed.example.com\\nX: \n\
                 allowed.example.com:80 GET / HTTP/1.1\\nHost: allowed.example.com\\n\\nGET /again HTTP/1.1\\nX: \n\
                 192.0.2.53:53 \x03\x7f";
    let (output, record) = run(hasty(config(allow(&entries), &[(NAME, server)])), "trickle", input)?;
    assert_eq!(output.lines().count(), 4, "the gateway ended every one: {output}");
    for (port, rule) in
        [(443, "first message"), (80, "first message"), (80, "HTTP request"), (53, "DNS question")]
    {
        let row = only(&record, |row| row.port == port && row.rule == format!("its {rule} never ended"));
        refused_by_gateway(&row);
        assert_eq!(row.name.as_deref(), (port != 53).then_some(NAME));
    }
    Ok(())
}

pub fn silent_crowd() -> TestResult {
    let config = hasty(config(allow(&["allowed.example.com:443"]), &[(NAME, nobody())]));
    let gateway = Gateway::start(config)?;
    let before = descriptors();
    assert_eq!(run_behind(&gateway, 1, "silent_crowd", "allowed.example.com:443")?, CROWD.to_string());
    let row = only(&gateway.record(), |row| row.refused);
    assert_eq!((row.name.as_deref(), row.count), (Some(NAME), CROWD as u64), "{row:?}");
    assert_eq!(descriptors(), before, "every connection is closed");
    Ok(())
}

pub fn open_crowd() -> TestResult {
    // Two sockets and two pipes each, and this test's own server socket.
    const DESCRIPTORS: usize = 7;
    // Some 6 KiB were seen; a buffer that stays with its connection would be 16 more.
    const MEMORY: u64 = 12 << 10;
    let (server, full) = crowd(CROWD, || (resident(), descriptors()));
    let gateway = Gateway::start(config(Arc::new(Always(Verdict::Allowed)), &[(NAME, server)]))?;
    let (memory, files) = (resident(), descriptors());
    assert_eq!(run_behind(&gateway, 1, "greeted_crowd", "allowed.example.com:22")?, CROWD.to_string());
    let (memory_full, files_full) = full.recv()?;
    eprintln!("{CROWD} connections: {} KiB more", (memory_full - memory) >> 10);
    assert!(memory_full - memory < CROWD as u64 * MEMORY, "{memory} {memory_full}");
    assert!(files_full - files <= CROWD * DESCRIPTORS + 16, "{files} {files_full}");
    assert_eq!(only(&gateway.record(), |row| row.port == 22).count, CROWD as u64);
    Ok(())
}

/// Bytes of memory that this process, and so its gateway, really has, without the program itself.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

pub fn pipelining() -> TestResult {
    let (server, heard) = listening();
    let names = [(NAME, server), ("other.example.com", server)];
    for second in ["other.example.com", "also.example.com"] {
        // Even where the other host is allowed, its request belongs on a connection of its own.
        let config = config(allow(&["allowed.example.com:80", "also.example.com:80"]), &names);
        let (output, record) = run(config, "pipelined", &format!("{NAME}\n{second}"))?;
        assert_eq!(output, RESET);
        let row = only(&record, |row| row.name.as_deref() == Some(second));
        refused_by_gateway(&row);
        assert!(row.rule.contains("another host"), "{}", row.rule);
        let heard = String::from_utf8(heard.recv()?)?;
        assert!(!heard.contains(second), "{heard}");
    }
    Ok(())
}

pub fn http_2() -> TestResult {
    let (server, heard) = listening();
    let config = config(allow(&["allowed.example.com:80"]), &[(NAME, server)]);
    let input = "allowed.example.com:80 raw PRI * HTTP/2.0\\n\\nSM\\n\\n";
    let (output, record) = run(config, "talk", input)?;
    assert_eq!(output, RESET);
    assert_eq!(only(&record, |row| row.refused).name.as_deref(), Some(NAME));
    assert!(heard.try_recv().is_err(), "nothing was dialled");
    Ok(())
}

pub fn hellos() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[(NAME, serve(repeat))]);
    let input = "allowed.example.com:443 split allowed.example.com\n\
                 allowed.example.com:443 huge allowed.example.com\n\
                 203.0.113.9:443 unnamed x\n\
                 allowed.example.com:443 unnamed x";
    let (output, record) = run(config, "talk", input)?;
    assert_eq!(output, format!("the same\n{RESET}\n{RESET}\n{RESET}"));
    assert_eq!(only(&record, |row| !row.refused).count, 1);
    refused_by_gateway(&only(&record, |row| row.rule == "its first message is too large"));
    let unnamed = only(&record, |row| row.address == Some("203.0.113.9".parse().unwrap()));
    assert_eq!((unnamed.name, unnamed.decision), (None, Outcome::Denied));
    let unnamed =
        only(&record, |row| row.refused && row.name.as_deref() == Some(NAME) && row.layer != Layer::Gateway);
    assert_eq!(
        unnamed.decision,
        Outcome::Denied,
        "the name from DNS does not make it an HTTPS request for it"
    );
    Ok(())
}

pub fn question_flood() -> TestResult {
    // The host's resolver says nothing until the gateway has refused a question.
    let refused = Arc::new((Mutex::new(false), Condvar::new()));
    let (told, waited) = (Arc::clone(&refused), Arc::clone(&refused));
    let mut config = config(Arc::new(Always(Verdict::Allowed)), &[]);
    config.observer = Some(Arc::new(move |row| {
        if row.refused {
            *told.0.lock().unwrap() = true;
            told.1.notify_all();
        }
    }));
    config.test_lookup = Some(Arc::new(move |_| {
        let guard = waited.1.wait_while(waited.0.lock().unwrap(), |refused| !*refused).unwrap();
        drop(guard);
        vec!["192.0.2.1".parse().unwrap()]
    }));
    let (output, record) = run(config, "question_flood", "")?;
    assert_eq!(output, "answered");
    let row = only(&record, |row| row.refused);
    refused_by_gateway(&row);
    assert_eq!((row.protocol.as_str(), row.rule.as_str()), ("dns", "more than 512 DNS questions at once"));
    Ok(())
}

pub fn malformed_questions() -> TestResult {
    let header = "0001 0100 0001 0000 0000 0000";
    let long = format!("3f{}", "61".repeat(63)).repeat(5);
    let messages = [
        (format!("{header} c00c 0001 0001"), "FormatError", "a name that points at itself"),
        (format!("{header} 40 6161 00 0001 0001"), "FormatError", "a label of a reserved kind"),
        (format!("{header} {long} 00 0001 0001"), "FormatError", "a name of more than 255 bytes"),
        (format!("{header} 3f 61"), "FormatError", "a label that is cut short"),
        ("0001 0100 ffff ffff ffff ffff".to_owned(), "FormatError", "counts without records"),
        ("00".to_owned(), "127.0.0.1", "one byte gets no answer, and the next question does"),
    ];
    let input: Vec<&str> = messages.iter().map(|(message, ..)| message.as_str()).collect();
    let config = config(allow(&["allowed.example.com:443"]), &[]);
    let (output, record) = run(config, "malformed_questions", &input.join("\n"))?;
    for (line, (_, code, what)) in output.lines().zip(&messages) {
        assert_eq!(line, *code, "{what}");
    }
    assert_eq!((output.lines().count(), record.connections.len()), (messages.len(), 0));
    Ok(())
}

pub fn rebinding() -> TestResult {
    let (server, heard) = listening();
    let mut answers: Vec<IpAddr> = [
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "fe80::1",
    ]
    .map(|text| text.parse().unwrap())
    .to_vec();
    // An answer with very many addresses.
    answers.extend((0..200).map(|index| IpAddr::from([127, 1, 0, index])));
    let (count, mut config) = (answers.len(), config(Arc::new(Always(Verdict::Allowed)), &[]));
    config.test_lookup = Some(Arc::new(move |_| answers.clone()));
    let target = format!("rebound.example.com:{}", server.port());
    let (output, record) = run(config, "talk", &format!("{target} http {target}"))?;
    assert_eq!(output, RESET);
    assert_eq!(record.connections.len(), count, "each address that was kept from being dialled");
    for row in &record.connections {
        refused_by_gateway(row);
        assert!(row.rule.starts_with("the name resolves to a forbidden address: "), "{row:?}");
    }
    assert!(heard.try_recv().is_err(), "nothing was dialled");
    Ok(())
}
