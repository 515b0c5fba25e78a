//! Servers on this machine's loopback.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Serves every connection on a thread of its own, for as long as the test's process lives.
pub fn serve(handle: fn(TcpStream) -> io::Result<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What goes wrong here, the client notices.
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// A server that only listens, and what it heard on each connection, as soon as that ends.
pub fn listening() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, heard) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = Vec::new();
            // A reset ends a connection as well as anything.
            let _ = stream.read_to_end(&mut bytes);
            let _ = tell.send(bytes);
        }
    });
    (address, heard)
}

/// Greets that many connections without a thread for each, then looks, tells what it saw, and closes all.
pub fn crowd<T: Send + 'static>(
    size: usize,
    look: impl FnOnce() -> T + Send + 'static,
) -> (SocketAddr, Receiver<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, seen) = channel();
    thread::spawn(move || {
        let greeted = |mut stream: TcpStream| stream.write_all(b"welcome\n").map(|()| stream).ok();
        let held: Vec<TcpStream> = listener.incoming().flatten().filter_map(greeted).take(size).collect();
        let _ = tell.send(look());
        drop(held);
    });
    (address, seen)
}

/// An address on which nothing listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Reads all that the client says, then says it again.
pub fn repeat(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    stream.write_all(&bytes)
}

/// Speaks first, then repeats one line.
pub fn greet(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"welcome\n")?;
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    stream.write_all(line.as_bytes())
}

/// Answers every HTTP request with its request line and host.
pub fn http(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut request, mut host) = (String::new(), String::new());
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some(("Host", value)) => value.clone_into(&mut host),
                Some(("Content-Length", value)) => length = value.parse().unwrap_or(0),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = format!("{} at {host} with {length}\n", request.trim_end());
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())?;
    }
}

/// Bytes of the bulk transfer.
pub const BULK: u64 = 1 << 30;
/// Bytes of one of its blocks.
pub const BLOCK: usize = 1 << 20;

/// Block `index` of the bulk transfer: no two are alike, so that a lost or doubled one shows.
pub fn stamp(block: &mut [u8], index: u64) {
    block[..8].copy_from_slice(&index.to_le_bytes());
}

/// The content that all blocks share.
pub fn pattern() -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(BLOCK).collect()
}

/// Waits for a byte, then sends the bulk.
pub fn bulk(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0])?;
    let mut block = pattern();
    for index in 0..BULK / BLOCK as u64 {
        stamp(&mut block, index);
        stream.write_all(&block)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread bytes would reset the connection.
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

/// A proxy that reports the head of each `CONNECT` to the client as the tunnel's first bytes.
pub fn proxy(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    if head.starts_with("CONNECT refused.") {
        return stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n");
    }
    write!(stream, "HTTP/1.1 200 OK\r\n\r\n{head}")?;
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest)?;
    stream.write_all(&rest)
}
