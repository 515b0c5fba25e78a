//! What this machine's own interfaces see of a build step.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use egress_gateway::Gateway;

use crate::TestResult;
use crate::capture::{Capture, Packet};
use crate::servers::{repeat, serve};
use crate::world::{allow, config, run_behind};

/// Part of every name that this test asks for, as it stands in a DNS message, a server name and a header.
const MARK: &[u8] = b"wire-test";
/// Addresses that the step tries. Nothing else on this machine has a reason to.
const TRIED: [&str; 4] = ["192.0.2.231", "203.0.113.231", "169.254.77.231", "2001:db8:77::231"];
/// Servers of the name that is allowed, and of the one that is not.
static SERVERS: OnceLock<[SocketAddr; 2]> = OnceLock::new();

fn concerns_us(packet: &Packet) -> bool {
    let ours = |end: &SocketAddr| {
        let stands_for_a_name =
            matches!(end.ip(), IpAddr::V4(ip) if ip.octets()[0] == 198 && ip.octets()[1] & 0xfe == 18);
        SERVERS.get().is_some_and(|servers| servers.contains(end))
            || TRIED.iter().any(|tried| end.ip() == tried.parse::<IpAddr>().unwrap())
            || stands_for_a_name
    };
    ours(&packet.from) || ours(&packet.to) || has(packet, MARK)
}

fn has(packet: &Packet, text: &[u8]) -> bool {
    packet.bytes.windows(text.len()).any(|part| part == text)
}

pub fn nothing_but_what_is_allowed() -> TestResult {
    let [allowed, refused] = *SERVERS.get_or_init(|| [serve(repeat), serve(repeat)]);
    let capture = match Capture::start(concerns_us) {
        Ok(capture) => capture,
        Err(error) => {
            eprintln!("SKIPPED: this machine does not let us listen on its interfaces: {error}");
            return Ok(());
        }
    };
    let names = [("yes.wire-test.example.com", allowed), ("no.wire-test.example.com", refused)];
    let gateway = Gateway::start(config(allow(&["yes.wire-test.example.com:443"]), &names))?;
    let talk = "yes.wire-test.example.com:443 tls yes.wire-test.example.com\n\
                yes.wire-test.example.com:443 tls forged.wire-test.example.com\n\
                yes.wire-test.example.com:80 http yes.wire-test.example.com\n\
                no.wire-test.example.com:443 tls no.wire-test.example.com\n\
                203.0.113.231:443 tls no.wire-test.example.com\n\
                203.0.113.231:22 raw SSH-2.0-wire-test\n\
                169.254.77.231:80 http no.wire-test.example.com";
    let talked = run_behind(&gateway, 1, "talk", talk)?;
    let reset = "reset after 0 bytes";
    assert_eq!(talked.lines().collect::<Vec<_>>(), [&["the same"][..], &[reset; 6]].concat());
    let ask = "192.0.2.231:53 udp A no.wire-test.example.com\n192.0.2.231:53 tcp A unknown.wire-test.example.com\n\
               192.0.2.231:53 udp PTR 231.113.0.203.in-addr.arpa";
    run_behind(&gateway, 2, "ask", ask)?;
    run_behind(
        &gateway,
        3,
        "packets",
        "203.0.113.231:123\n[2001:db8:77::231]:443\nno.wire-test.example.com:443",
    )?;

    let packets = capture.finish();
    assert!(
        packets.iter().any(|packet| packet.to == allowed && has(packet, b"yes.wire-test")),
        "{packets:?}"
    );
    for packet in &packets {
        assert!(packet.to == allowed || packet.from == allowed, "{packet:?}");
        for refused in [&b"no.wire-test"[..], b"forged", b"unknown"] {
            assert!(!has(packet, refused), "{packet:?}");
        }
    }
    Ok(())
}
