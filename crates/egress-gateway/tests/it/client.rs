//! What build steps do, run inside the sandbox. Each takes a text and returns one.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::Duration;

use sandbox::JobContext;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

use crate::servers::{BLOCK, BULK, pattern, stamp};

/// Nothing here takes this long; a test that waits for it fails.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// The server that a step asks; any address is the gateway.
pub const SERVER: &str = "192.0.2.53:53";

fn block(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

/// A TLS hello for a server name.
pub fn client_hello(name: &str) -> Vec<u8> {
    let entry = [&[0][..], &block(name.as_bytes())].concat();
    hello_with(&[&[0, 0][..], &block(&block(&entry))].concat())
}

/// A TLS hello with these extensions.
fn hello_with(extensions: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[9; 32], &[0], &block(&[0x13, 1]), &[1, 0], &block(extensions)].concat();
    [&[22, 3, 1][..], &block(&[&[1, 0][..], &block(&body)].concat())].concat()
}

pub fn query(name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(4711);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new_unchecked(name), kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().unwrap()
}

fn ask_udp(server: &str, question: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // A connected socket only takes a reply that comes from the address it asked.
    socket.connect(server)?;
    socket.send(question)?;
    let mut reply = vec![0; 1500];
    let length = socket.recv(&mut reply)?;
    reply.truncate(length);
    Ok(reply)
}

fn ask_tcp(server: &str, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(server.parse().unwrap())?;
    stream.write_all(&[&u16::try_from(question.len()).unwrap().to_be_bytes()[..], question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

pub fn told(reply: &[u8]) -> String {
    let packet = Packet::parse(reply).unwrap();
    match (packet.rcode(), packet.answers.first().map(|answer| &answer.rdata)) {
        (RCODE::NoError, Some(RData::A(a))) => IpAddr::from(a.address.to_be_bytes()).to_string(),
        (RCODE::NoError, Some(RData::PTR(name))) => name.0.to_string(),
        (RCODE::NoError, _) => "nothing".to_owned(),
        (code, _) => format!("{code:?}"),
    }
}

pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// `host:port`, where a host that is no address is asked for first.
pub fn find(target: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = target.parse() {
        return Ok(address);
    }
    let (name, port) = target.split_once(':').ok_or("no port")?;
    let reply = ask_udp(SERVER, &query(name, TYPE::A)).map_err(|error| error.to_string())?;
    let address: IpAddr = told(&reply).parse().map_err(|_| format!("{name}: {}", told(&reply)))?;
    (address, port.parse().unwrap()).to_socket_addrs().unwrap().next().ok_or("no address".to_owned())
}

/// How a connection broke. Whoever writes at that moment sees a reset under another name.
pub fn end(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected | io::ErrorKind::BrokenPipe => {
            "reset".to_owned()
        }
        other => format!("{other:?}"),
    }
}

/// Sends bytes, ends its own direction and reads all there is.
pub fn exchange(to: SocketAddr, bytes: &[u8]) -> String {
    let mut received = Vec::new();
    let result = connect(to).and_then(|mut stream| {
        stream.write_all(bytes)?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut received)
    });
    match result {
        Ok(_) if received == bytes => "the same".to_owned(),
        Ok(_) => String::from_utf8_lossy(&received).into_owned(),
        Err(error) => format!("{} after {} bytes", end(&error), received.len()),
    }
}

/// A TLS hello, in as many records as it takes, that is larger than anyone's.
fn huge_hello() -> Vec<u8> {
    let message = [&[1, 0, 0xff, 0xff][..], &vec![0; 0xffff]].concat();
    message.chunks(1 << 14).flat_map(|part| [&[22, 3, 1][..], &block(part)].concat()).collect()
}

/// Like [`exchange`], every byte in a segment of its own.
fn exchange_split(to: SocketAddr, bytes: &[u8]) -> String {
    let sent = connect(to).and_then(|mut stream| {
        stream.set_nodelay(true)?;
        bytes.iter().try_for_each(|byte| stream.write_all(&[*byte]))?;
        stream.shutdown(Shutdown::Write)?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received).map(|_| received)
    });
    match sent {
        Ok(received) if received == bytes => "the same".to_owned(),
        other => format!("{other:?}"),
    }
}

/// One line each: `TARGET tls NAME`, `TARGET http HOST`, `TARGET raw TEXT`, TLS hellos `split NAME`, `huge -` and
/// `unnamed -`; answers line by line.
pub fn talk(_: &JobContext, input: &str) -> Result<String, String> {
    let mut output = Vec::new();
    for line in input.lines() {
        let [target, kind, what] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            return Err(format!("malformed: {line}"));
        };
        let bytes = match kind {
            "tls" => [client_hello(what), vec![23, 3, 3, 0, 4, 1, 2, 3, 4]].concat(),
            "split" => {
                output.push(exchange_split(find(target)?, &client_hello(what)));
                continue;
            }
            "huge" => huge_hello(),
            "unnamed" => hello_with(&[]),
            "http" => format!("GET /x HTTP/1.1\r\nHost: {what}\r\n\r\n").into_bytes(),
            _ => what.replace("\\n", "\r\n").into_bytes(),
        };
        output.push(find(target).map_or_else(|error| error, |to| exchange(to, &bytes)));
    }
    Ok(output.join("\n"))
}

/// One line each: `SERVER udp|tcp TYPE NAME`.
pub fn ask(_: &JobContext, input: &str) -> Result<String, String> {
    let mut output = Vec::new();
    for line in input.lines() {
        let [server, transport, kind, name] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("malformed: {line}"));
        };
        let kind = match kind {
            "A" => TYPE::A,
            "AAAA" => TYPE::AAAA,
            "HTTPS" => TYPE::HTTPS,
            _ => TYPE::PTR,
        };
        let ask = if transport == "tcp" { ask_tcp } else { ask_udp };
        output.push(
            ask(server, &query(name, kind)).map_or_else(|error| error.to_string(), |reply| told(&reply)),
        );
    }
    Ok(output.join("\n"))
}

/// Sends a datagram to each address; what the sender is told.
pub fn packets(_: &JobContext, input: &str) -> Result<String, String> {
    let mut output = String::new();
    for line in input.lines() {
        let to: SocketAddr = find(line)?;
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let result = socket.connect(to).and_then(|()| socket.send(b"x")).and_then(|_| socket.recv(&mut [0]));
        let _ = writeln!(output, "{line} {}", if result.is_ok() { "answered" } else { "refused" });
    }
    let v6 = TcpStream::connect_timeout(&"[2001:db8::9]:443".parse().unwrap(), PATIENCE);
    let _ = writeln!(output, "tcp6 {}", if v6.is_ok() { "connected" } else { "refused" });
    Ok(output)
}

/// Waits for the server's greeting before it says anything.
pub fn greeted(_: &JobContext, input: &str) -> Result<String, String> {
    let talk = || -> io::Result<String> {
        let mut stream = connect(find(input).map_err(io::Error::other)?)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut text = String::new();
        reader.read_line(&mut text)?;
        stream.write_all(b"thanks\n")?;
        reader.read_line(&mut text)?;
        Ok(text)
    };
    talk().map_err(|error| error.to_string())
}

/// Sends each line as a request for that host on one connection; the answers, until the connection breaks.
pub fn kept_alive(_: &JobContext, input: &str) -> Result<String, String> {
    let mut output = String::new();
    let mut hosts = input.lines();
    let mut stream = connect(find(hosts.next().unwrap())?).map_err(|error| error.to_string())?;
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for host in hosts {
        let body = "GET / HTTP/1.1\r\nHost: hidden.example.com\r\n\r\n";
        let length = body.len();
        let sent =
            write!(stream, "POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut lines = Vec::new();
        let answered = sent.and_then(|()| {
            for _ in 0..4 {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                lines.push(line);
            }
            Ok(())
        });
        match answered {
            Ok(()) => output += &lines[3],
            Err(error) => return Ok(output + &end(&error)),
        }
    }
    Ok(output)
}

/// That many exchanges at once; how many went well.
pub fn parallel(_: &JobContext, input: &str) -> Result<String, String> {
    let threads: Vec<_> = (0..200)
        .map(|index| {
            let target = input.to_owned();
            thread::spawn(move || {
                let hello = client_hello("allowed.example.com");
                let text = format!("connection {index}");
                find(&target).map(|to| exchange(to, &[&hello, text.as_bytes()].concat()))
            })
        })
        .collect();
    let well = threads.into_iter().filter_map(|thread| thread.join().ok());
    Ok(well.filter(|result| result.as_deref() == Ok("the same")).count().to_string())
}

/// Receives the bulk and compares every byte of it.
pub fn bulk(_: &JobContext, input: &str) -> Result<String, String> {
    let receive = || -> io::Result<u64> {
        let mut stream = connect(find(input).map_err(io::Error::other)?)?;
        stream.write_all(&client_hello("allowed.example.com"))?;
        let (mut expected, mut block) = (pattern(), vec![0; BLOCK]);
        for index in 0..BULK / BLOCK as u64 {
            stream.read_exact(&mut block)?;
            stamp(&mut expected, index);
            if block != expected {
                return Err(io::Error::other(format!("block {index} differs")));
            }
        }
        Ok(BULK + stream.read(&mut block)? as u64)
    };
    receive().map(|bytes| bytes.to_string()).map_err(|error| error.to_string())
}

/// Holds two connections open while it tries a third.
pub fn hold(_: &JobContext, input: &str) -> Result<String, String> {
    let to = find(input)?;
    let hello = client_hello("allowed.example.com");
    let open = || -> io::Result<TcpStream> {
        let mut stream = connect(to)?;
        stream.write_all(&hello)?;
        // The server's greeting shows that the connection is established all the way.
        stream.read_exact(&mut [0; 8])?;
        Ok(stream)
    };
    let held = [open().map_err(|error| error.to_string())?, open().map_err(|error| error.to_string())?];
    let third = exchange(to, &hello);
    drop(held);
    Ok(third)
}
