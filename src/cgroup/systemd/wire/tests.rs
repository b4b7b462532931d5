use super::*;

fn call() -> Message {
    Message {
        serial: 7,
        destination: "org.freedesktop.systemd1".into(),
        path: "/org/freedesktop/systemd1".into(),
        interface: "org.freedesktop.systemd1.Manager".into(),
        member: "StartTransientUnit".into(),
        body: vec![
            Value::str("a.scope"),
            Value::Array(
                "(sv)".into(),
                vec![
                    Value::Struct(vec![Value::str("PIDs"), Value::Array("u".into(), vec![Value::U32(1)]).variant()]),
                    Value::Struct(vec![Value::str("MemoryMax"), Value::U64(u64::MAX).variant()]),
                    Value::Struct(vec![Value::str("Delegate"), Value::Bool(true).variant()]),
                ],
            ),
            Value::Array("(sa(sv))".into(), Vec::new()),
            Value::Byte(1),
            Value::I16(-2),
            Value::U16(3),
            Value::I32(-4),
            Value::I64(-5),
            Value::F64(0.5),
            Value::Path("/".into()),
            Value::Signature("a{sv}".into()),
            Value::Array("{sy}".into(), vec![Value::Entry(Box::new((Value::str("k"), Value::Byte(9))))]),
        ],
        ..Message::default()
    }
}

#[test]
fn what_is_written_is_read() {
    let message = call();
    let bytes = message.encode();
    assert_eq!(Message::length(&bytes), Ok(Some(bytes.len())));
    assert_eq!(Message::decode(&bytes), Ok(message));
}

/// The bytes of a known message, as dbus-monitor --pcap shows them.
#[test]
fn hello_in_bytes() {
    let hello = Message {
        serial: 1,
        destination: "org.freedesktop.DBus".into(),
        path: "/org/freedesktop/DBus".into(),
        interface: "org.freedesktop.DBus".into(),
        member: "Hello".into(),
        ..Message::default()
    };
    let want = b"l\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x6d\x00\x00\x00\
        \x01\x01o\x00\x15\x00\x00\x00/org/freedesktop/DBus\x00\x00\x00\
        \x02\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00\
        \x03\x01s\x00\x05\x00\x00\x00Hello\x00\x00\x00\
        \x06\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00";
    assert_eq!(hello.encode(), want);
}

#[test]
fn big_endian_is_read_too() {
    let bytes = b"B\x02\x00\x01\x00\x00\x00\x08\x00\x00\x00\x05\x00\x00\x00\x0f\
        \x05\x01u\x00\x00\x00\x00\x07\x08\x01g\x00\x01t\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09";
    assert_eq!(Message::length(bytes), Ok(Some(bytes.len())));
    let want = Message { kind: Kind::Return, serial: 5, reply_to: 7, body: vec![Value::U64(9)], ..Message::default() };
    assert_eq!(Message::decode(bytes), Ok(want));
}

#[test]
fn variants_nest_so_deep_and_no_deeper() {
    let nested = |depth| (0..depth).fold(Value::Byte(1), |value, _| value.variant());
    let message = |depth| Message { body: vec![nested(depth)], ..call() };
    assert_eq!(Message::decode(&message(MAX_DEPTH).encode()), Ok(message(MAX_DEPTH)));
    assert_eq!(Message::decode(&message(MAX_DEPTH + 1).encode()), Err(Malformed));
}

#[test]
fn broken_messages_are_refused_and_never_a_panic() {
    let bytes = call().encode();
    for end in 0..bytes.len() {
        assert_eq!(Message::decode(&bytes[..end]), Err(Malformed), "{end} bytes");
    }
    // Each byte in turn is something else.
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff, b'a', b'(', b'v'] {
            let mut broken = bytes.clone();
            broken[at] = value;
            let _ = Message::length(&broken);
            let _ = Message::decode(&broken);
        }
    }
    assert_eq!(Message::length(&[b'l', 1, 0, 1]), Ok(None));
    assert_eq!(Message::length(&[0xff; 16]), Err(Malformed));
}
