//! What a child may say to its parent: packets of any kind, with and without a descriptor.
//!
//! The input is a list of packets: a byte that says whether a descriptor comes along, the length, the bytes.

#![no_main]

mod wrong;

use std::io::IoSlice;
use std::os::fd::AsRawFd;

use libcoracle::launch::packet::{Message, channel};
use libfuzzer_sys::fuzz_target;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

fuzz_target!(|packets: &[u8]| {
    let Ok((mut parent, child)) = channel() else { return };
    let (mut rest, mut sent, mut with_descriptor) = (packets, 0, 0);
    while let [attached, length, behind @ ..] = rest
        && sent < 8
    {
        let (packet, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        let number = [child.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&number)];
        let attached = if attached & 1 == 1 { &rights[..] } else { &[] };
        let flags = MsgFlags::MSG_DONTWAIT;
        if sendmsg::<()>(child.as_raw_fd(), &[IoSlice::new(packet)], attached, flags, None).is_err() {
            break;
        }
        rest = behind;
        sent += 1;
        with_descriptor += if wrong::is("descriptor") { 0 } else { attached.len() };
    }
    drop(child);
    for _ in 0..sent {
        match parent.receive() {
            Ok(None) | Err(_) => break,
            Ok(Some(Message::Terminal { fd })) => {
                assert!(fd.as_raw_fd() > 2 && with_descriptor > 0);
                with_descriptor -= 1;
            }
            Ok(Some(Message::Failed { text, .. })) => assert!(text.len() <= 3 * 256),
            Ok(Some(_)) => {}
        }
    }
});
