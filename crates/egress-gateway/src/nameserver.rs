//! The DNS server that a step sees, at whatever address it asks.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::sync::{Arc, PoisonError};

use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg};
use tokio::io::Interest;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dns::{self, About, Answer, Asked, Message};
use crate::forward::{read_some, write_all};
use crate::gateway::{Ruling, Shared};
use crate::limits;
use crate::resolver::LookupError;

/// Where DNS is asked.
pub(crate) const PORT: u16 = 53;
/// Largest question that is read; a longer one is cut and so malformed.
const LARGEST_QUESTION: usize = 4096;

/// A datagram: whom it came from and which address it was sent to.
struct Letter {
    bytes: Vec<u8>,
    from: SockaddrIn,
    to: libc::in_addr,
}

/// Answers questions over UDP, without end.
pub(crate) async fn serve(shared: Arc<Shared>, step: u32, socket: Arc<UdpSocket>) {
    let mut waiting = JoinSet::new();
    loop {
        let letter = tokio::select! {
            letter = socket.async_io(Interest::READABLE, || receive(&socket)) => letter,
            Some(_) = waiting.join_next() => continue,
        };
        match letter {
            Ok(Some(letter)) if waiting.len() < limits::DNS_WAITING => {
                let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
                waiting.spawn(async move {
                    if let Some(reply) = answer(&shared, step, &letter.bytes).await {
                        // UDP may lose a reply; the client asks again.
                        let _ = socket.async_io(Interest::WRITABLE, || send(&socket, &letter, &reply)).await;
                    }
                });
            }
            // The client's own retries are soon enough.
            Ok(Some(_)) => shared.recorder.add(flooded().row(step, None, None, PORT, "dns")),
            // Only errors of single datagrams (such as an ICMP answer to a reply) are reported here.
            Ok(_) | Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// The refusal of a question while too many wait for the host's resolver.
fn flooded() -> Ruling {
    Ruling::refusal(format!("more than {} DNS questions at once", limits::DNS_WAITING))
}

/// One datagram; `None` when it cannot be answered.
fn receive(socket: &UdpSocket) -> io::Result<Option<Letter>> {
    let mut bytes = vec![0; LARGEST_QUESTION];
    let mut control = nix::cmsg_space!(libc::in_pktinfo);
    let (length, from, to) = {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message =
            recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
        let to = message.cmsgs()?.find_map(|item| match item {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(info.ipi_addr),
            _ => None,
        });
        (message.bytes, message.address, to)
    };
    bytes.truncate(length);
    Ok(from.zip(to).map(|(from, to)| Letter { bytes, from, to }))
}

/// Replies from the address that was asked.
fn send(socket: &UdpSocket, letter: &Letter, reply: &[u8]) -> io::Result<usize> {
    let info =
        libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: letter.to, ipi_addr: libc::in_addr { s_addr: 0 } };
    let control = [ControlMessage::Ipv4PacketInfo(&info)];
    let parts = [IoSlice::new(reply)];
    Ok(sendmsg(socket.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&letter.from))?)
}

/// Answers questions over TCP (RFC 7766), until the client closes, falls silent or dawdles.
pub(crate) async fn serve_stream(shared: &Shared, step: u32, client: TcpStream) {
    let mut bytes = Vec::new();
    let most = shared.config.deadlines.dns;
    let refuse = |rule| shared.recorder.add(Ruling::refusal(rule).row(step, None, None, PORT, "dns"));
    loop {
        let question = match timeout(most, next_question(&client, &mut bytes)).await {
            Ok(Ok(Some(question))) => question,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return refuse("its DNS question is too large");
            }
            Err(_) if !bytes.is_empty() => return refuse("its DNS question never ended"),
            _ => return,
        };
        let Some(reply) = answer(shared, step, &question).await else { return };
        let Ok(size) = u16::try_from(reply.len()) else { return };
        let framed = [&size.to_be_bytes(), &reply[..]].concat();
        if !matches!(timeout(most, write_all(&client, &framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Takes the next question out of `bytes`, reading as far as necessary; `None` at the end.
async fn next_question(client: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some((length, rest)) = bytes.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > LARGEST_QUESTION {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if let Some(question) = rest.get(..length).map(<[u8]>::to_vec) {
                bytes.drain(..2 + length);
                return Ok(Some(question));
            }
        }
        if read_some(client, bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// The reply to a message, if it gets one.
async fn answer(shared: &Shared, step: u32, message: &[u8]) -> Option<Vec<u8>> {
    let asked = match dns::read(message) {
        Message::Ignore => return None,
        Message::Reply(reply) => return Some(reply),
        Message::Question(asked) => asked,
    };
    let answer = answer_to(shared, step, &asked).await;
    asked.reply(&answer)
}

async fn answer_to(shared: &Shared, step: u32, asked: &Asked) -> Answer {
    match &asked.about {
        About::Unusable(text) => {
            let ruling = Ruling::refusal("not a host name");
            shared.recorder.add(ruling.row(step, Some(text.clone()), None, PORT, "dns"));
            Answer::NoSuchName
        }
        About::Reverse(address) => match address.and_then(|address| shared.name_of(address)) {
            Some(name) => Answer::Pointer(name.to_string()),
            None => Answer::NoSuchName,
        },
        // RFC 6761 section 6.3: these names never leave a machine.
        About::Name { name, addresses } if name == "localhost" || name.ends_with(".localhost") => {
            if *addresses {
                Answer::Address(std::net::Ipv4Addr::LOCALHOST)
            } else {
                Answer::NoData
            }
        }
        About::Name { name, addresses } => answer_name(shared, step, name, *addresses).await,
    }
}

async fn answer_name(shared: &Shared, step: u32, name: &str, addresses: bool) -> Answer {
    let mut ruling = shared.rule_on_name(name);
    let record = |ruling: &Ruling| {
        shared.recorder.add(ruling.row(step, Some(name.to_owned()), None, PORT, "dns"));
    };
    if !addresses {
        return Answer::NoData;
    }
    if !ruling.pass {
        // The name gets an address all the same, without asking anyone: as behind a real firewall it is the
        // connection that is refused, and only then is the port known.
        record(&ruling);
    } else if let Err(error) = exists(shared, name).await {
        let (answer, note) = match error {
            LookupError::NoSuchName => {
                (Answer::NoSuchName, "this machine's resolver knows no such name".to_owned())
            }
            LookupError::Failed(why) => (Answer::Failure, format!("this machine's resolver failed: {why}")),
        };
        ruling.note = Some(note);
        record(&ruling);
        return answer;
    }
    let address = shared.names.lock().unwrap_or_else(PoisonError::into_inner).address_of(name);
    if address.is_none() {
        record(&Ruling::refusal("more names than one build can know"));
    }
    address.map_or(Answer::Failure, Answer::Address)
}

/// Whether there is something to dial for the name. A proxy resolves names itself, and this machine may not.
async fn exists(shared: &Shared, name: &str) -> Result<(), LookupError> {
    let config = &shared.config;
    let replaced = config.test_names.contains_key(name) || config.mirrors.contains_key(name);
    if replaced || config.proxy_to(name, None).is_some() {
        return Ok(());
    }
    shared.resolver.resolve(name).await.map(|_| ())
}
