//! How much an archive may ask for.

/// What one archive may ask for. Sizes are in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub entries: u64,
    /// Extended headers and long names of one entry together.
    pub headers: u64,
    pub path: usize,
    pub component: usize,
    pub xattr_value: usize,
    /// Extended attributes of one entry.
    pub xattrs: usize,
    /// The size of a file with holes, which costs nothing in the archive.
    pub sparse_size: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 10_000_000,
            headers: 1 << 20,
            path: 4096,
            component: 255,
            xattr_value: 64 << 10,
            xattrs: 64,
            sparse_size: 256 << 30,
        }
    }
}
