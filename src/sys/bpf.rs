//! BPF programs that decide on access to devices in cgroup v2.
