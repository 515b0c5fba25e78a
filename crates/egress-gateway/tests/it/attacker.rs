//! What a hostile build step does, run inside the sandbox.

use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sandbox::JobContext;
use simple_dns::TYPE;

use crate::client::{PATIENCE, SERVER, connect, end, exchange, find, query, told};

/// Connections of a crowd.
pub const CROWD: usize = 2000;

/// One line each, `TARGET BEGINNING`: says the beginning, then one byte at a time, until the gateway has enough.
pub fn trickle(_: &JobContext, input: &str) -> Result<String, String> {
    let mut output = Vec::new();
    for line in input.lines() {
        let (target, beginning) = line.split_once(' ').ok_or("no beginning")?;
        let text = beginning.replace("\\n", "\r\n").replace("\\0", "\0").replace("\\16", "\x16");
        let ended = connect(find(target)?).and_then(|mut stream| {
            stream.write_all(text.as_bytes())?;
            stream.set_read_timeout(Some(Duration::from_millis(5)))?;
            dawdle(&mut stream)
        });
        output.push(ended.map_or_else(|error| end(&error), |()| "closed".to_owned()));
    }
    Ok(output.join("\n"))
}

fn dawdle(stream: &mut TcpStream) -> io::Result<()> {
    loop {
        match stream.read(&mut [0; 512]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.write_all(b"a")?,
            Err(error) => return Err(error),
        }
    }
}

/// Opens a crowd of connections that say nothing and waits until the gateway has ended every one.
pub fn silent_crowd(_: &JobContext, input: &str) -> Result<String, String> {
    let held = open_crowd(input, |_| Ok(()))?;
    let ended = held.into_iter().map(|mut stream| stream.read(&mut [0]));
    Ok(ended.filter(|read| matches!(read, Err(error) if end(error) == "reset")).count().to_string())
}

/// Opens a crowd of connections, each once the one before was greeted, and holds them until the server closes one.
pub fn greeted_crowd(_: &JobContext, input: &str) -> Result<String, String> {
    let mut held = open_crowd(input, |stream| stream.read_exact(&mut [0; 8]))?;
    let _ = held[0].read(&mut [0]);
    Ok(held.len().to_string())
}

fn open_crowd(target: &str, begin: fn(&mut TcpStream) -> io::Result<()>) -> Result<Vec<TcpStream>, String> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let to = find(target)?;
    let open = |_| {
        let mut stream = connect(to)?;
        begin(&mut stream).map(|()| stream)
    };
    (0..CROWD).map(open).collect::<io::Result<_>>().map_err(|error| error.to_string())
}

/// A request for the first host and, in the same packet, one for the second.
pub fn pipelined(_: &JobContext, input: &str) -> Result<String, String> {
    let requests: Vec<String> =
        input.lines().map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).collect();
    let first = input.lines().next().ok_or("no host")?;
    Ok(exchange(find(&format!("{first}:80"))?, requests.concat().as_bytes()))
}

/// Asks for ever new names until one of the questions is answered.
pub fn question_flood(_: &JobContext, _: &str) -> Result<String, String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    socket.connect(SERVER).unwrap();
    for index in 0.. {
        socket.send(&query(&format!("n{index}.example.com"), TYPE::A)).unwrap();
        // Waiting for an answer to every question would be polite.
        if index % 64 == 0 && socket.recv(&mut [0; 512]).is_ok() {
            break;
        }
    }
    Ok("answered".to_owned())
}

/// Sends messages that are no question, each given in hexadecimal; what is answered, as the code of the reply.
pub fn malformed_questions(_: &JobContext, input: &str) -> Result<String, String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(SERVER).unwrap();
    let mut output = Vec::new();
    for line in input.lines() {
        let digits = line.replace(' ', "");
        let byte = |index| u8::from_str_radix(&digits[index..index + 2], 16).unwrap();
        let message: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        socket.send(&message).map_err(|error| error.to_string())?;
        if message.len() < 12 {
            // Less than a header is not answered; a good question shows that there was no answer before its own.
            socket.send(&query("localhost", TYPE::A)).map_err(|error| error.to_string())?;
        }
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).map_err(|error| error.to_string())?;
        output.push(told(&reply[..length]));
    }
    Ok(output.join("\n"))
}
