//! Messages between engine, outer process and pid 1: length-prefixed JSON, and descriptors beside it.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::spec::Exit;

/// Largest message either side accepts: the specification carries uploaded files.
const LIMIT: usize = 256 << 20;

/// What the inside tells the outside.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The user namespace exists and waits for its id map.
    MapIds,
    /// The network's sockets follow as descriptors.
    Sockets,
    /// The command is about to run.
    Started,
    /// Set-up failed.
    SetUpFailed(String),
    /// What the image is made of stands in the way.
    ImageUnfit(String),
    /// A file could not be written inside: what is inside stands in its way.
    UploadFailed(String),
    /// A job reported an error.
    JobFailed(String),
    /// The command ended.
    Exited(Exit),
}

pub fn send(stream: &mut UnixStream, message: &impl Serialize) -> std::io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(|_| std::io::Error::other("message too large"))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(&body)
}

pub fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> std::io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LIMIT {
        return Err(std::io::Error::other("message too large"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

/// Descriptors in one message.
const AT_ONCE: usize = 16;

pub fn send_descriptors(stream: &UnixStream, descriptors: &[RawFd]) -> std::io::Result<()> {
    for some in descriptors.chunks(AT_ONCE) {
        let rights = [ControlMessage::ScmRights(some)];
        sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(b"F")], &rights, MsgFlags::empty(), None)?;
    }
    Ok(())
}

/// Receives exactly `count` descriptors.
pub fn receive_descriptors(stream: &UnixStream, count: usize) -> std::io::Result<Vec<OwnedFd>> {
    let mut received = Vec::new();
    while received.len() < count {
        let mut byte = [0];
        let mut space = nix::cmsg_space!([RawFd; AT_ONCE]);
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let before = received.len();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                received.extend(raw.into_iter().map(crate::sys::own));
            }
        }
        if received.len() == before {
            return Err(std::io::Error::other("a descriptor did not arrive"));
        }
    }
    Ok(received)
}
