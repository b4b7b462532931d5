//! Requests that the shim makes: of containerd, to take its events, and of another shim, whether it lives.
//!
//! The client of the ttrpc crate would hold two threads, one of which never sleeps for long.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use containerd_shim_protos::api::ConnectRequest;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::ttrpc::proto::MESSAGE_HEADER_LENGTH;
use containerd_shim_protos::ttrpc::{MessageHeader, Request, Response};

use crate::error::{Doing, Error, Result};

/// How long the other side may take to answer. One that hangs is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to the socket at `path`.
pub fn connect(path: &str) -> Result<UnixStream> {
    let connection = UnixStream::connect(path).doing(|| format!("connect to {path}"))?;
    let patient = connection.set_read_timeout(Some(PATIENCE));
    patient.and_then(|()| connection.set_write_timeout(Some(PATIENCE))).doing(|| "set timeout".into())?;
    Ok(connection)
}

/// Encodes a request for [`call`].
pub fn request(service: &str, method: &str, message: &impl Message) -> Result<Vec<u8>> {
    let request = Request {
        service: service.into(),
        method: method.into(),
        payload: message.write_to_bytes().map_err(malformed)?,
        ..Request::default()
    };
    request.write_to_bytes().map_err(malformed)
}

/// One call and its answer, whatever that is: a header of ten bytes and a message, each way.
pub fn call(connection: &mut UnixStream, request: &[u8]) -> Result<Response> {
    connection.write_all(&frame(request)).doing(|| "send request".into())?;
    let mut header = [0; MESSAGE_HEADER_LENGTH];
    connection.read_exact(&mut header).doing(|| "read answer".into())?;
    let mut answer = vec![0; MessageHeader::from(header).length as usize];
    connection.read_exact(&mut answer).doing(|| "read answer".into())?;
    Response::parse_from_bytes(&answer).map_err(malformed)
}

/// Whether a shim listens at `path`. To connect there does not tell: the kernel closes the connections of one that was
/// killed before it closes its listener, so it is asked something, and the answer is no matter.
///
/// # Errors
/// What tells neither way.
pub fn lives(path: &str) -> Result<bool> {
    let question = request("containerd.task.v3.Task", "Connect", &ConnectRequest::default())?;
    let asked = UnixStream::connect(path).and_then(|mut connection| {
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.write_all(&frame(&question))?;
        connection.read_exact(&mut [0])
    });
    match asked.as_ref().map_err(std::io::Error::kind) {
        // One that hangs lives.
        Ok(()) | Err(ErrorKind::WouldBlock) => Ok(true),
        Err(
            ErrorKind::NotFound
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof,
        ) => Ok(false),
        Err(_) => asked.map(|()| true).doing(|| format!("ask who listens at {path}")),
    }
}

fn frame(request: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from(MessageHeader::new_request(1, request.len() as u32));
    frame.extend(request);
    frame
}

/// A message that cannot be written or read.
fn malformed(error: impl std::fmt::Display) -> Error {
    Error::new(format!("encode message: {error}"))
}
