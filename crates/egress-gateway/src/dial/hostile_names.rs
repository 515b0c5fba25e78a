//! Names whose owner is an attacker: answers that change, and chains of aliases, as the C library reads them from a name
//! server in a network of this test's own.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use network_policy::NetworkPolicy;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use simple_dns::rdata::{A, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, QTYPE, RCODE, ResourceRecord, TYPE};

use super::*;
use crate::Config;

const NAME: &str = "rebound.example.com";
/// What nobody has: discarded by the first router (RFC 6666).
const OUTSIDE: &str = "100::1";

fn config() -> Config {
    Config::new(Arc::new(NetworkPolicy::default_for(&[]).compile()), [10, 0, 0, 4].into())
}

/// How dialling ends, with the address that it ended at and the reason.
async fn end(shared: &Shared, name: &str) -> (Option<IpAddr>, String) {
    match dial(shared, &Destination::Name(name.to_owned()), 443, &mut Vec::new()).await {
        Ok(dialled) => (dialled.address, "connected".to_owned()),
        Err(DialError::Failed { address, .. }) => (address, "failed".to_owned()),
        Err(DialError::Forbidden { address, why }) => (Some(address), why.to_owned()),
    }
}

/// Its clock jumps to the next timer when all wait, so that no test does.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn each_connection_goes_only_to_addresses_that_were_checked_in_the_look_up_it_uses() {
    let own = own_addresses().unwrap().into_iter().find(|address| forbidden(*address, &[]).is_none());
    let mut rebound = vec![
        ("127.0.0.1".parse().unwrap(), "loopback"),
        ("169.254.169.254".parse().unwrap(), "link-local"),
        ("168.63.129.16".parse().unwrap(), "Azure's platform address"),
    ];
    rebound.extend(own.map(|address| (address, "an address of this machine itself")));
    let outside: IpAddr = OUTSIDE.parse().unwrap();
    // Between any two of them stands an answer that may be dialled.
    let answers: Vec<IpAddr> = rebound.iter().flat_map(|(address, _)| [outside, *address]).collect();
    let left = Arc::new(Mutex::new(VecDeque::from(answers)));
    let asked = Arc::clone(&left);
    let shared = Shared::new(Config {
        test_lookup: Some(Arc::new(move |_| asked.lock().unwrap().pop_front().into_iter().collect())),
        ..config()
    });
    runtime().block_on(async {
        for (index, (address, why)) in rebound.iter().enumerate() {
            assert_eq!(end(&shared, NAME).await.0, Some(outside), "{address}");
            let unasked = left.lock().unwrap().len();
            assert_eq!(unasked, 2 * (rebound.len() - index) - 1, "one look-up a connection");
            // What was kept of that look-up is too old: the next connection is checked by its own.
            tokio::time::advance(Duration::from_secs(61)).await;
            assert_eq!(end(&shared, NAME).await, (Some(*address), (*why).to_owned()));
            tokio::time::advance(Duration::from_secs(61)).await;
        }
    });
}

/// Aliases of the first name, one after the other, and what stands at their end; `None` is a server that fails.
fn zone(name: &str) -> Option<(Vec<String>, Option<[u8; 4]>)> {
    let links = |last: usize, end: &str| {
        let names = (0..last).map(|index| format!("{index}.example.net"));
        names.chain([end.to_owned()]).collect::<Vec<_>>()
    };
    Some(match name {
        "long.example.com" => (links(16, "end.example.net"), Some([192, 0, 2, 1])),
        "platform.example.com" => (links(2, "end.example.net"), Some([168, 63, 129, 16])),
        "metadata.example.com" => (links(2, "end.example.net"), Some([169, 254, 169, 254])),
        "loop.example.com" => (links(3, "loop.example.com"), None),
        // As content networks do; a search domain would give the same name.
        "alias.example.com" => (vec!["alias.example.com.corp.example".to_owned()], Some([192, 0, 2, 2])),
        "short.example.com.corp.example" => (Vec::new(), Some([192, 0, 2, 3])),
        "broken.example.com" => return None,
        _ => (Vec::new(), None),
    })
}

/// The reply to a question, all of the chain in one message, as a recursive resolver gives it.
fn reply(question: &[u8]) -> Vec<u8> {
    let packet = Packet::parse(question).unwrap();
    let asked = packet.questions[0].clone();
    let mut reply = Packet::new_reply(packet.id());
    match zone(&asked.qname.to_string()) {
        None => *reply.rcode_mut() = RCODE::ServerFailure,
        Some((aliases, address)) => {
            let mut owner = asked.qname.clone().into_owned();
            for alias in aliases {
                let target = Name::new(&alias).unwrap().into_owned();
                let data = RData::CNAME(CNAME(target.clone()));
                reply.answers.push(ResourceRecord::new(owner, CLASS::IN, 60, data));
                owner = target;
            }
            if reply.answers.is_empty() && address.is_none() {
                *reply.rcode_mut() = RCODE::NameError;
            }
            if let (Some(address), QTYPE::TYPE(TYPE::A)) = (address, asked.qtype) {
                let data = RData::A(A { address: u32::from_be_bytes(address) });
                reply.answers.push(ResourceRecord::new(owner, CLASS::IN, 60, data));
            }
        }
    }
    reply.questions.push(asked);
    reply.build_bytes_vec_compressed().unwrap()
}

/// Gives this thread a network of its own, whose only name server is ours.
fn own_name_server(configuration: &Path) -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(|error| error.to_string())?;
    let none = None::<&Path>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(|error| error.to_string())?;
    std::fs::write(
        configuration,
        "nameserver 127.0.0.1\nsearch corp.example\noptions timeout:1 attempts:1\n",
    )
    .map_err(|error| error.to_string())?;
    let place = Path::new("/etc/resolv.conf").canonicalize().map_err(|error| error.to_string())?;
    mount(Some(configuration), &place, none, MsFlags::MS_BIND, none).map_err(|error| error.to_string())?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    if !up.is_ok_and(|status| status.success()) {
        return Err("`ip link set lo up` failed".to_owned());
    }
    let server = UdpSocket::bind("127.0.0.1:53").map_err(|error| error.to_string())?;
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut question) {
            server.send_to(&reply(&question[..length]), from).unwrap();
        }
    });
    Ok(())
}

#[test]
fn what_stands_at_the_end_of_a_chain_of_aliases_is_checked() {
    let configuration = std::env::temp_dir().join(format!("resolv.conf-{}", std::process::id()));
    let ready = own_name_server(&configuration);
    let _ = std::fs::remove_file(&configuration);
    if let Err(error) = ready {
        eprintln!("SKIPPED: no network with a name server of its own: {error}");
        return;
    }
    let shared = Shared::new(config());
    let runtime = runtime();
    let at = |address: [u8; 4]| Some(IpAddr::from(address));
    for (name, address, why) in [
        ("long.example.com", at([192, 0, 2, 1]), "failed"),
        ("platform.example.com", at([168, 63, 129, 16]), "Azure's platform address"),
        ("metadata.example.com", at([169, 254, 169, 254]), "link-local"),
        ("alias.example.com", at([192, 0, 2, 2]), "failed"),
        ("short.example.com", None, "failed"),
        ("loop.example.com", None, "failed"),
        ("broken.example.com", None, "failed"),
    ] {
        assert_eq!(runtime.block_on(end(&shared, name)), (address, why.to_owned()), "{name}");
    }
}
