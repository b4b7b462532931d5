//! A minimal rtnetlink(7) client: one request, its answers.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use coracle_sys::{Errno, Result};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use nix::unistd::Pid;

const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// More than the kernel puts into one packet of a dump.
const BUFFER: usize = 64 * 1024;

/// A socket in one network namespace.
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    flags: u32,
}

impl Link {
    pub fn is_loopback(&self) -> bool {
        self.flags & libc::IFF_LOOPBACK as u32 != 0
    }
}

/// An address of an interface, with the attributes the kernel told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    scope: u8,
    flags: u32,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Address {
    /// Whether it was set and not learned, and holds beyond its link.
    pub fn is_permanent_and_global(&self) -> bool {
        self.flags & libc::IFA_F_PERMANENT != 0 && self.scope == libc::RT_SCOPE_UNIVERSE
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |kind| self.attributes.iter().find(|(k, _)| *k == kind).map(|(_, data)| data.as_slice());
        let bytes = of(libc::IFA_LOCAL).or_else(|| of(libc::IFA_ADDRESS)).unwrap_or_default();
        if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
            write!(f, "{}/{}", Ipv4Addr::from(bytes), self.prefix)
        } else if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
            write!(f, "{}/{}", Ipv6Addr::from(bytes), self.prefix)
        } else {
            write!(f, "{bytes:02x?}/{}", self.prefix)
        }
    }
}

impl Netlink {
    /// Opens a socket in this process's network namespace.
    pub fn open() -> Result<Netlink> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// The interface `name`; `ENODEV` if there is none.
    pub fn link(&mut self, name: &str) -> Result<Link> {
        let mut body = link_header(0, 0, 0);
        attribute(&mut body, libc::IFLA_IFNAME, &with_null(name));
        let answers = self.ask(libc::RTM_GETLINK, libc::NLM_F_ACK, &body)?;
        answers.iter().find_map(|answer| parse_link(answer)).ok_or(Errno::ENODEV)
    }

    /// All interfaces.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let answers = self.ask(libc::RTM_GETLINK, libc::NLM_F_DUMP, &link_header(0, 0, 0))?;
        Ok(answers.iter().filter_map(|answer| parse_link(answer)).collect())
    }

    /// The addresses of the interface `index`, of all families.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<Address>> {
        let answers = self.ask(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; ADDRESS_HEADER])?;
        Ok(answers.iter().filter_map(|answer| parse_address(answer, index)).collect())
    }

    /// Brings the interface up or takes it down.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<()> {
        let flag = libc::IFF_UP as u32;
        let body = link_header(index, if up { flag } else { 0 }, flag);
        self.ask(libc::RTM_NEWLINK, libc::NLM_F_ACK, &body).map(drop)
    }

    /// Moves the interface to the network namespace of process `pid` and gives it a name there.
    pub fn give(&mut self, index: u32, pid: Pid, name: &str) -> Result<()> {
        let mut body = link_header(index, 0, 0);
        attribute(&mut body, libc::IFLA_NET_NS_PID, &pid.as_raw().to_ne_bytes());
        attribute(&mut body, libc::IFLA_IFNAME, &with_null(name));
        self.ask(libc::RTM_NEWLINK, libc::NLM_F_ACK, &body).map(drop)
    }

    /// Gives the interface an address another one had.
    pub fn add_address(&mut self, index: u32, address: &Address) -> Result<()> {
        // The label of an IPv4 address begins with the interface's old name; how long it lives is for ever.
        const NOT: [u16; 2] = [libc::IFA_LABEL, libc::IFA_CACHEINFO];
        let mut body = vec![address.family, address.prefix, address.flags as u8, address.scope];
        body.extend(index.to_ne_bytes());
        for (kind, data) in address.attributes.iter().filter(|(kind, _)| !NOT.contains(kind)) {
            attribute(&mut body, *kind, data);
        }
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.ask(libc::RTM_NEWADDR, flags, &body).map(drop)
    }

    /// Sends one request and collects the bodies of the answers until the kernel says that it is done.
    fn ask(&mut self, kind: u16, flags: i32, body: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.sequence += 1;
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend(0u32.to_ne_bytes());
        request.extend(body);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let (mut answers, mut buffer) = (Vec::new(), vec![0; BUFFER]);
        loop {
            let n = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            if collect(&buffer[..n], self.sequence, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Takes the messages of one packet apart; true when the last one is there.
fn collect(mut packet: &[u8], sequence: u32, answers: &mut Vec<Vec<u8>>) -> Result<bool> {
    while packet.len() >= HEADER {
        let length = number(packet, 0).ok_or(Errno::EBADMSG)? as usize;
        let kind = half(packet, 4).ok_or(Errno::EBADMSG)?;
        let body = packet.get(HEADER..length).ok_or(Errno::EBADMSG)?;
        let ours = number(packet, 8) == Some(sequence);
        match i32::from(kind) {
            _ if !ours => {}
            libc::NLMSG_ERROR => {
                let errno = number(body, 0).ok_or(Errno::EBADMSG)? as i32;
                return if errno == 0 { Ok(true) } else { Err(Errno::from_raw(-errno)) };
            }
            libc::NLMSG_DONE => return Ok(true),
            _ => answers.push(body.to_vec()),
        }
        packet = packet.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

fn parse_link(body: &[u8]) -> Option<Link> {
    Some(Link { index: number(body, 4)?, flags: number(body, 8)? })
}

fn parse_address(body: &[u8], index: u32) -> Option<Address> {
    if number(body, 4)? != index {
        return None;
    }
    let attributes = attributes(body.get(ADDRESS_HEADER..)?);
    let long = attributes.iter().find(|(kind, _)| *kind == libc::IFA_FLAGS).and_then(|(_, data)| number(data, 0));
    Some(Address {
        family: body[0],
        prefix: body[1],
        scope: body[3],
        flags: long.unwrap_or(u32::from(body[2])),
        attributes,
    })
}

fn attributes(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut list = Vec::new();
    while let (Some(length), Some(kind)) = (half(bytes, 0), half(bytes, 2)) {
        let Some(data) = bytes.get(4..usize::from(length)) else { break };
        list.push((kind, data.to_vec()));
        bytes = bytes.get(aligned(length.into())..).unwrap_or_default();
    }
    list
}

fn attribute(body: &mut Vec<u8>, kind: u16, data: &[u8]) {
    body.extend(((4 + data.len()) as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(data);
    body.resize(aligned(body.len()), 0);
}

fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(change.to_ne_bytes());
    debug_assert_eq!(header.len(), LINK_HEADER);
    header
}

fn with_null(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_a_round() {
        let mut body = Vec::new();
        attribute(&mut body, 3, b"eth0\0");
        attribute(&mut body, 8, &[1, 2, 3, 4]);
        assert_eq!(body.len(), 12 + 8);
        assert_eq!(attributes(&body), [(3, b"eth0\0".to_vec()), (8, vec![1, 2, 3, 4])]);
        assert!(attributes(&[200, 0, 1, 0]).is_empty());
        assert!(attributes(&[0, 0, 0, 0, 0]).len() <= 1);
    }

    #[test]
    fn answers_end_with_an_error_number() {
        let mut packet = 20u32.to_ne_bytes().to_vec();
        packet.extend(2u16.to_ne_bytes());
        packet.extend([0; 2]);
        packet.extend(7u32.to_ne_bytes());
        packet.extend([0; 4]);
        packet.extend((-19i32).to_ne_bytes());
        assert_eq!(collect(&packet, 7, &mut Vec::new()), Err(Errno::ENODEV));
        assert!(!collect(&packet, 8, &mut Vec::new()).unwrap());
        assert_eq!(collect(&packet[..18], 7, &mut Vec::new()), Err(Errno::EBADMSG));
    }

    #[test]
    fn the_kernel_answers() {
        let mut netlink = Netlink::open().unwrap();
        let lo = netlink.link("lo").unwrap();
        assert!(lo.is_loopback());
        assert!(netlink.links().unwrap().contains(&lo));
        assert_eq!(netlink.link("no-such-link"), Err(Errno::ENODEV));
    }
}
