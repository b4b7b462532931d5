//! Against a service manager of a few lines, on the other end of a socket pair.

use std::thread::JoinHandle;

use super::*;

/// A bus whose other end gives `answers`, one list for each message that comes in, and the messages it got.
fn scripted(answers: Vec<Vec<Message>>) -> (Bus, JoinHandle<Vec<Message>>) {
    let (stream, mut other) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        let mut got = Vec::new();
        let mut bytes = Vec::new();
        for list in answers {
            let length = loop {
                match Message::length(&bytes).unwrap() {
                    Some(length) if bytes.len() >= length => break length,
                    _ => {}
                }
                let mut buffer = [0; 512];
                let n = other.read(&mut buffer).unwrap();
                bytes.extend_from_slice(&buffer[..n]);
            };
            let call = Message::decode(&bytes[..length]).unwrap();
            bytes.drain(..length);
            for answer in list {
                let reply_to = if answer.kind == Kind::Signal { 0 } else { call.serial };
                // In pieces, as sockets may.
                for piece in (Message { reply_to, serial: 1, ..answer }).encode().chunks(7) {
                    other.write_all(piece).unwrap();
                }
            }
            got.push(call);
        }
        got
    });
    (Bus { stream, bytes: Vec::new(), serial: 0, ended: Vec::new() }, server)
}

fn returns(body: Vec<Value>) -> Message {
    Message { kind: Kind::Return, body, ..Message::default() }
}

fn removed(job: &str, result: &str) -> Message {
    let body = vec![Value::U32(1), Value::Path(job.into()), Value::str("a.scope"), Value::str(result)];
    Message { kind: Kind::Signal, member: "JobRemoved".into(), path: "/".into(), body, ..Message::default() }
}

#[test]
fn a_job_is_waited_for_whether_its_end_comes_before_the_answer_or_after() {
    let job = || returns(vec![Value::Path("/job/7".into())]);
    let orders = [
        vec![job(), removed("/job/6", "failed"), removed("/job/7", "done")],
        vec![removed("/job/7", "done"), removed("/job/6", "failed"), job()],
    ];
    for answers in orders {
        let (mut bus, server) = scripted(vec![answers]);
        assert_eq!(bus.job("StopUnit", vec![Value::str("a.scope"), Value::str("replace")]), Ok("done".into()));
        let got = server.join().unwrap();
        assert_eq!((got[0].member.as_str(), got[0].path.as_str()), ("StopUnit", SYSTEMD_PATH));
        assert_eq!(got[0].interface, "org.freedesktop.systemd1.Manager");
    }
}

#[test]
fn refusals_are_told() {
    let error = Message {
        kind: Kind::Error,
        error: "org.freedesktop.systemd1.UnitExists".into(),
        body: vec![Value::str("Unit a.scope was already loaded or has a fragment file.")],
        ..Message::default()
    };
    let (mut bus, server) = scripted(vec![vec![error]]);
    let failure = bus.ask("StartTransientUnit", Vec::new()).unwrap_err();
    assert_eq!(failure.to_string(), "Unit a.scope was already loaded or has a fragment file.");
    assert!(matches!(failure, Failure::Refused { name, .. } if name.ends_with(".UnitExists")));
    server.join().unwrap();
}

#[test]
fn properties_are_unpacked() {
    let (mut bus, server) = scripted(vec![vec![returns(vec![Value::str("257.9").variant()])]]);
    assert_eq!(bus.property("Version"), Ok(Value::str("257.9")));
    assert_eq!(server.join().unwrap()[0].member, "Get");
}

#[test]
fn a_connection_that_ends_or_talks_nonsense_is_an_error() {
    let (stream, other) = UnixStream::pair().unwrap();
    drop(other);
    let mut bus = Bus { stream, bytes: Vec::new(), serial: 0, ended: Vec::new() };
    assert!(bus.ask("Subscribe", Vec::new()).is_err());

    let (stream, mut other) = UnixStream::pair().unwrap();
    other.write_all(&[0xff; 64]).unwrap();
    let mut bus = Bus { stream, bytes: Vec::new(), serial: 0, ended: Vec::new() };
    assert_eq!(bus.ask("Subscribe", Vec::new()), Err(Failure::Nonsense("no message")));
}

#[test]
fn silence_ends_when_patience_does() {
    let (stream, _other) = UnixStream::pair().unwrap();
    let mut bus = Bus { stream, bytes: Vec::new(), serial: 0, ended: Vec::new() };
    let end = Instant::now() + Duration::from_millis(20);
    assert_eq!(bus.next(end), Err(Failure::Kernel(Errno::ETIMEDOUT)));
}

#[test]
fn the_socket_is_authenticated_by_its_credentials() {
    for (answers, want) in [
        ("DATA\r\nOK 0123\r\n", Ok(())),
        ("OK 0123\r\n", Ok(())),
        ("REJECTED EXTERNAL\r\n", Err(Failure::Kernel(Errno::EACCES))),
    ] {
        let (stream, mut other) = UnixStream::pair().unwrap();
        other.write_all(answers.as_bytes()).unwrap();
        let mut bus = Bus { stream, bytes: Vec::new(), serial: 0, ended: Vec::new() };
        assert_eq!(bus.authenticate(), want);
        drop(bus);
        let mut got = String::new();
        other.read_to_string(&mut got).unwrap();
        assert_eq!(got, "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
    }
}

#[test]
fn addresses() {
    let daemon = |path: &str| Address::Daemon(path.into());
    let direct = |path: &str| Address::Direct(path.into());
    assert_eq!(users(None, None, 1000), [direct("/run/user/1000/systemd/private"), daemon("/run/user/1000/bus")]);
    let session = "tcp:host=a,port=1;unix:path=/tmp/a%20b,guid=12;unix:abstract=/tmp/c;unix:path=/r/bus";
    assert_eq!(
        users(Some(session), Some("/r"), 0),
        [direct("/r/systemd/private"), daemon("/tmp/a b"), Address::Abstract(b"/tmp/c".to_vec()), daemon("/r/bus")]
    );
    for text in ["unix:", "unix:path=%zz", "unix:path=%", "unixexec:path=/a", ""] {
        assert_eq!(address(text), None, "{text}");
    }
}
