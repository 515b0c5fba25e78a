//! What never leaves.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use egress_gateway::{Gateway, Layer, Outcome};
use network_policy::Verdict;
use sandbox::{Entry, IdMap, Spec};

use crate::TestResult;
use crate::servers::{listening, repeat, serve};
use crate::world::{Always, allow, config, only, run};

const RESET: &str = "reset after 0 bytes";

pub fn name() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[("other.example.com", serve(repeat))]);
    let (output, record) = run(config, "talk", "other.example.com:443 tls other.example.com")?;
    assert_eq!(output, RESET);
    only(&record, |row| row.name.as_deref() == Some("other.example.com") && row.protocol == "dns");
    let row = only(&record, |row| row.protocol == "tcp");
    assert_eq!((row.name.as_deref(), row.port), (Some("other.example.com"), 443));
    assert_eq!((row.decision, row.layer, row.refused), (Outcome::Denied, Layer::FirewallApplication, true));
    assert!(!row.rule.is_empty());
    Ok(())
}

pub fn forged_name() -> TestResult {
    let server = serve(repeat);
    let names = [("allowed.example.com", server), ("also.example.com", server)];
    let config = config(allow(&["allowed.example.com:443", "also.example.com:443"]), &names);
    let input =
        "allowed.example.com:443 tls forged.example.com\nallowed.example.com:443 tls also.example.com";
    let (output, record) = run(config, "talk", input)?;
    assert_eq!(output, format!("{RESET}\n{RESET}"));
    for forged in ["forged.example.com", "also.example.com"] {
        let row = only(&record, |row| row.name.as_deref() == Some(forged));
        assert_eq!((row.decision, row.layer, row.port), (Outcome::Denied, Layer::Gateway, 443));
        assert!(row.rule.contains("allowed.example.com"), "{}", row.rule);
    }
    Ok(())
}

pub fn raw_addresses() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[]);
    let input = "203.0.113.9:22 raw SSH-2.0-x\\n\n203.0.113.9:443 tls forged.example.com\n203.0.113.9:80 http 203.0.113.9\n198.18.7.7:443 tls allowed.example.com";
    let (output, record) = run(config, "talk", input)?;
    assert_eq!(output, [RESET; 4].join("\n"));
    let address: IpAddr = "203.0.113.9".parse()?;
    for port in [22, 80] {
        let row = only(&record, |row| row.address == Some(address) && row.port == port);
        assert_eq!((row.name, row.decision, row.protocol.as_str()), (None, Outcome::Denied, "tcp"));
    }
    only(&record, |row| row.name.as_deref() == Some("forged.example.com") && row.port == 443);
    only(&record, |row| row.address == Some("198.18.7.7".parse().unwrap()) && row.refused);
    Ok(())
}

pub fn foreign_dns() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[("allowed.example.com", serve(repeat))]);
    let input = "192.0.2.99:53 udp A Allowed.Example.com\n198.51.100.1:53 tcp A allowed.example.com\n\
                 192.0.2.99:53 udp AAAA allowed.example.com\n192.0.2.99:53 tcp HTTPS allowed.example.com\n\
                 192.0.2.99:53 udp PTR 1.0.18.198.in-addr.arpa\n192.0.2.99:53 udp A other.example.com\n\
                 192.0.2.99:53 udp A localhost";
    let (output, record) = run(config, "ask", input)?;
    let answers: Vec<&str> = output.lines().collect();
    assert_eq!(
        answers,
        ["198.18.0.1", "198.18.0.1", "nothing", "nothing", "allowed.example.com", "198.18.0.2", "127.0.0.1"]
    );
    assert_eq!(only(&record, |_| true).name.as_deref(), Some("other.example.com"));
    Ok(())
}

pub fn packets() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[("allowed.example.com", serve(repeat))]);
    let input = "203.0.113.9:123\nallowed.example.com:443\n[2001:db8::9]:443";
    let (output, record) = run(config, "packets", input)?;
    let expected =
        "203.0.113.9:123 refused\nallowed.example.com:443 refused\n[2001:db8::9]:443 refused\ntcp6 refused\n";
    assert_eq!(output, expected);
    let ntp = only(&record, |row| row.port == 123);
    assert_eq!((ntp.address, ntp.protocol.as_str()), (Some("203.0.113.9".parse()?), "udp"));
    assert_eq!((ntp.decision, ntp.layer), (Outcome::Denied, Layer::SubnetNsg));
    let quic = only(&record, |row| row.name.as_deref() == Some("allowed.example.com"));
    assert_eq!((quic.port, quic.protocol.as_str(), quic.decision), (443, "udp", Outcome::Denied));
    for protocol in ["udp", "tcp"] {
        let v6 = only(&record, |row| row.address.is_some_and(|ip| ip.is_ipv6()) && row.protocol == protocol);
        assert_eq!((v6.port, v6.decision), (443, Outcome::Denied));
    }
    Ok(())
}

/// An echo request to 203.0.113.10 of a raw socket; whether the sender is told that it was refused depends on the kernel.
const PING: &str = "use Socket; socket(my $raw, PF_INET, SOCK_RAW, 1) or die $!; \
                    send($raw, pack('C*', 8, 0, 0xf7, 0xfd, 0, 1, 0, 1), 0, sockaddr_in(0, inet_aton('203.0.113.10')));";

/// No code of a sandbox has the power to make raw sockets, so one is made from outside, in the sandbox's network: the
/// rules there refuse it all the same.
pub fn raw_packets() -> TestResult {
    let (server, _heard) = listening();
    let gateway =
        Gateway::start(config(Arc::new(Always(Verdict::Allowed)), &[("allowed.example.com", server)]))?;
    let job = Entry::Job { name: "greeted".into(), input: "allowed.example.com:22".into() };
    let mut running = sandbox::spawn(&Spec { network: true, ..Spec::new(IdMap::choose(&[])?.id_map, job) })?;
    let session = gateway.attach(1, running.take_sockets().ok_or("the sandbox has no sockets")?)?;
    let target = running.id().to_string();
    let sent = std::process::Command::new("nsenter")
        .args(["--user", "--net", "--target", &target, "--", "perl", "-e", PING])
        .output()?;
    running.kill();
    let _ = running.wait();
    session.finish();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let record = gateway.record();
    let ping = only(&record, |row| row.address == Some("203.0.113.10".parse().unwrap()));
    assert_eq!((ping.protocol.as_str(), ping.port, ping.decision), ("icmp", 0, Outcome::Denied));
    Ok(())
}

/// The address from which this machine reaches others, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("203.0.113.9:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

pub fn out_of_reach() -> TestResult {
    // Even a policy that allows everything does not open the way to this machine.
    let config = config(Arc::new(Always(Verdict::Allowed)), &[]);
    let mut targets: Vec<SocketAddr> =
        ["168.63.129.16:80", "169.254.169.254:80", "10.0.0.5:15001", "10.0.0.4:80", "127.0.0.1:15001"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
    targets.extend(own_address().map(|ip| SocketAddr::new(ip, 22)));
    let input: Vec<String> = targets.iter().map(|target| format!("{target} http {target}")).collect();
    let (output, record) = run(config, "talk", &input.join("\n"))?;
    assert_eq!(output, vec![RESET; targets.len()].join("\n"));
    for target in targets {
        let row = only(&record, |row| row.address == Some(target.ip()) && row.port == target.port());
        assert_eq!((row.decision, row.layer, row.refused), (Outcome::Denied, Layer::Gateway, true));
    }
    Ok(())
}

pub fn loopback_name() -> TestResult {
    let server = serve(repeat);
    let config = config(Arc::new(Always(Verdict::Allowed)), &[]);
    let input = format!("203.0.113.9:{} http localhost", server.port());
    let (output, record) = run(config, "talk", &input)?;
    assert_eq!(output, RESET);
    let row = only(&record, |_| true);
    assert_eq!((row.name.as_deref(), row.decision), (Some("localhost"), Outcome::Denied));
    assert!(row.address.is_some_and(|ip| ip.is_loopback()) && row.rule.contains("loopback"), "{row:?}");
    Ok(())
}

pub fn proxy_request() -> TestResult {
    let config = config(allow(&["allowed.example.com:443"]), &[("allowed.example.com", serve(repeat))]);
    let input =
        "203.0.113.9:3128 raw CONNECT allowed.example.com:443 HTTP/1.1\\nHost: allowed.example.com:443\\n\\n";
    let (output, record) = run(config, "talk", input)?;
    assert_eq!(output, RESET);
    assert!(only(&record, |_| true).rule.contains("proxy"), "{record:#?}");
    Ok(())
}
