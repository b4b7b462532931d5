//! Writes tar archives, well-formed ones and others.

/// An archive in the making. Every method adds one entry.
#[derive(Clone, Default)]
pub struct Archive(pub Vec<u8>);

/// The fields of a header.
#[derive(Clone)]
pub struct Header {
    pub name: Vec<u8>,
    pub flag: u8,
    pub mode: u32,
    pub uid: Vec<u8>,
    pub gid: Vec<u8>,
    pub size: Vec<u8>,
    pub mtime: Vec<u8>,
    pub link: Vec<u8>,
    pub device: (u32, u32),
    pub magic: [u8; 8],
}

pub const MTIME: i64 = 1_000_000_000;

pub fn octal(value: u64, width: usize) -> Vec<u8> {
    let mut text = format!("{value:0width$o}", width = width - 1).into_bytes();
    text.push(0);
    text
}

pub fn base256(value: i128, width: usize) -> Vec<u8> {
    let mut bytes = value.to_be_bytes()[16 - width..].to_vec();
    bytes[0] |= 0x80;
    bytes
}

impl Header {
    pub fn new(name: impl AsRef<[u8]>, flag: u8) -> Header {
        Header {
            name: name.as_ref().to_vec(),
            flag,
            mode: if flag == b'5' { 0o755 } else { 0o644 },
            uid: octal(0, 8),
            gid: octal(0, 8),
            size: octal(0, 12),
            mtime: octal(MTIME as u64, 12),
            link: Vec::new(),
            device: (0, 0),
            magic: *b"ustar\x0000",
        }
    }

    pub fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, most: usize, bytes: &[u8]| {
            let n = bytes.len().min(most);
            block[at..at + n].copy_from_slice(&bytes[..n]);
        };
        put(0, 100, &self.name);
        put(100, 8, &octal(u64::from(self.mode), 8));
        put(108, 8, &self.uid);
        put(116, 8, &self.gid);
        put(124, 12, &self.size);
        put(136, 12, &self.mtime);
        put(148, 8, b"        ");
        put(156, 1, &[self.flag]);
        put(157, 100, &self.link);
        put(257, 8, &self.magic);
        put(329, 8, &octal(u64::from(self.device.0), 8));
        put(337, 8, &octal(u64::from(self.device.1), 8));
        checksummed(block)
    }
}

pub fn checksummed(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].copy_from_slice(b"        ");
    let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// One pax record with its length.
pub fn record(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let body = [b" ", key.as_ref(), b"=", value.as_ref(), b"\n"].concat();
    let mut length = body.len() + 1;
    while length.to_string().len() + body.len() != length {
        length = length.to_string().len() + body.len();
    }
    [length.to_string().as_bytes(), &body].concat()
}

impl Archive {
    pub fn new() -> Archive {
        Archive::default()
    }

    /// A header as it is and data, padded to whole blocks.
    pub fn raw(mut self, header: &Header, data: &[u8]) -> Archive {
        self.0.extend_from_slice(&header.block());
        self.bytes(data)
    }

    pub fn bytes(mut self, data: &[u8]) -> Archive {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A header whose size is that of the data.
    pub fn entry(self, header: Header, data: &[u8]) -> Archive {
        self.raw(&Header { size: octal(data.len() as u64, 12), ..header }, data)
    }

    pub fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Archive {
        self.entry(Header::new(name, b'0'), data.as_ref())
    }

    pub fn mode(self, name: &str, flag: u8, mode: u32) -> Archive {
        self.entry(Header { mode, ..Header::new(name, flag) }, b"")
    }

    pub fn dir(self, name: impl AsRef<[u8]>) -> Archive {
        self.entry(Header::new(name, b'5'), b"")
    }

    pub fn link(self, flag: u8, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Archive {
        let mut header = Header::new(&name, flag);
        header.link = target.as_ref().to_vec();
        if header.link.len() > 100 {
            return self.pax(&[("linkpath", target.as_ref())]).entry(header, b"");
        }
        self.entry(header, b"")
    }

    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Archive {
        self.link(b'2', name, target)
    }

    pub fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Archive {
        self.link(b'1', name, target)
    }

    pub fn whiteout(self, name: &str) -> Archive {
        self.file(name, b"")
    }

    /// An extended header for the entry that follows.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Archive {
        let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.raw_pax(b'x', &records)
    }

    pub fn raw_pax(self, flag: u8, records: &[u8]) -> Archive {
        self.entry(Header::new("pax", flag), records)
    }

    /// A GNU long name (`L`) or link (`K`).
    pub fn long(self, flag: u8, name: &[u8]) -> Archive {
        let data = [name, b"\0"].concat();
        self.entry(Header::new("././@LongLink", flag), &data)
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}
