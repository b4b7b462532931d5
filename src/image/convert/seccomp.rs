//! The system calls of a container: all that programs need and none that configures the machine. A call that is not
//! known here fails as on an older kernel (ENOSYS), so that programs fall back; one that needs a capability is allowed
//! with the capability and fails as without it (EPERM) else.

use serde_json::{Value, json};

const EPERM: u32 = libc::EPERM as u32;
const ENOSYS: u32 = libc::ENOSYS as u32;

/// What every program may call. A name that an architecture lacks is passed over.
const ALLOWED: &str = "
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fadvise64_64 arm_fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
    fcntl64 fdatasync fgetxattr file_getattr file_setattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat lchown lchown32
    lgetxattr link linkat listmount listxattr listxattrat llistxattr lremovexattr lseek _llseek lsetxattr lstat lstat64
    mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64
    setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range
    sync_file_range2 syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice
    write writev
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch name_to_handle_at
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll ppoll_time64
    pselect6 pselect6_time64 select _newselect signalfd signalfd4 pipe pipe2
    brk madvise process_madvise process_mrelease map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall
    mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
    membarrier
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 adjtimex alarm getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times
    capget capset execve execveat exit exit_group fork vfork getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit
    ugetrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill pidfd_open pidfd_send_signal prctl
    arch_prctl prlimit64 rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp set_robust_list get_robust_list set_thread_area get_thread_area
    set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority
    setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32
    tgkill tkill wait4 waitid waitpid landlock_add_rule landlock_create_ruleset landlock_restrict_self
    ptrace process_vm_readv process_vm_writev
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
    pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn sigaction
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
    getcpu getrandom ioctl sysinfo uname
    breakpoint cacheflush set_tls get_tls riscv_flush_icache riscv_hwprobe
    s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr swapcontext
";

/// What a capability adds.
const WITH: &[(&str, &str)] = &[
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr mount mount_setattr \
         move_mount open_tree open_tree_attr pivot_root quotactl quotactl_fd setdomainname sethostname setns umount \
         umount2 unshare syslog bpf perf_event_open",
    ),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
    ("CAP_SYS_BOOT", "reboot kexec_load kexec_file_load"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module query_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node migrate_pages move_pages"),
    ("CAP_SYSLOG", "syslog"),
];

/// Calls that exist but nobody here needs: they fail as forbidden, not as unknown.
const REFUSED: &str =
    "add_key request_key keyctl userfaultfd io_uring_enter io_uring_register io_uring_setup nfsservctl
    swapon swapoff sysfs _sysctl uselib ustat vm86 vm86old modify_ldt create_module get_kernel_syms fanotify_mark";

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// The profile for a container with these capabilities in its bounding set.
pub fn profile(capabilities: &[String]) -> Value {
    let has = |name: &str| capabilities.iter().any(|own| own == name);
    let mut allowed: Vec<&str> = ALLOWED.split_whitespace().collect();
    let mut refused: Vec<&str> = REFUSED.split_whitespace().collect();
    for (capability, calls) in WITH {
        let list = if has(capability) { &mut allowed } else { &mut refused };
        list.extend(calls.split_whitespace());
    }
    let mut rules = Vec::new();
    if !has("CAP_SYS_ADMIN") {
        // The flags of clone3 are in memory, where a filter does not see them: programs fall back to clone.
        refused.retain(|call| !["clone", "clone3"].contains(call));
        let flags = if cfg!(target_arch = "s390x") { 1 } else { 0 };
        let no_namespaces = json!({"index": flags, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"});
        rules.push(json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_namespaces]}));
    }
    // Not AF_VSOCK, which reaches the machine below a virtual one.
    let sockets = json!({"index": 0, "value": libc::AF_VSOCK, "op": "SCMP_CMP_NE"});
    rules.push(json!({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [sockets]}));
    for persona in [0x0u64, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff] {
        let same = json!({"index": 0, "value": persona, "op": "SCMP_CMP_EQ"});
        rules.push(json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [same]}));
    }
    for list in [&mut allowed, &mut refused] {
        list.sort_unstable();
        list.dedup();
    }
    refused.retain(|call| allowed.binary_search(call).is_err());
    rules.insert(0, json!({"names": allowed, "action": "SCMP_ACT_ALLOW"}));
    rules.push(json!({"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}));
    let mut profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": ENOSYS, "syscalls": rules});
    if let Some(architectures) = architectures() {
        profile["architectures"] = json!(architectures);
    }
    profile
}

/// The ways a program can enter this machine's kernel.
fn architectures() -> Option<&'static [&'static str]> {
    match std::env::consts::ARCH {
        "x86_64" => Some(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        "aarch64" => Some(&["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        "s390x" => Some(&["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(profile: &Value, call: &str) -> String {
        let rules = profile["syscalls"].as_array().unwrap();
        let named = |rule: &&Value| rule["names"].as_array().unwrap().iter().any(|name| name == call);
        let found: Vec<_> = rules.iter().filter(named).collect();
        match found.as_slice() {
            [] => "unknown".into(),
            [only] if only["args"].is_null() => only["action"].as_str().unwrap().trim_start_matches("SCMP_ACT_").into(),
            _ => "conditional".into(),
        }
    }

    #[test]
    fn capabilities_open_calls() {
        let plain = profile(&["CAP_CHOWN".into()]);
        let admin = profile(&["CAP_SYS_ADMIN".into()]);
        for (call, without, with) in [
            ("openat", "ALLOW", "ALLOW"),
            ("mount", "ERRNO", "ALLOW"),
            ("bpf", "ERRNO", "ALLOW"),
            ("clone", "conditional", "ALLOW"),
            ("clone3", "unknown", "ALLOW"),
            ("keyctl", "ERRNO", "ERRNO"),
            ("socket", "conditional", "conditional"),
            ("chroot", "ERRNO", "ERRNO"),
            ("no_such_call", "unknown", "unknown"),
        ] {
            assert_eq!((action(&plain, call), action(&admin, call)), (without.into(), with.into()), "{call}");
        }
        assert_eq!(plain["defaultErrnoRet"], 38);
    }
}
