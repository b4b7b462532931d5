//! Which errors a system call can plausibly return, by its manual page and the kernel's sources.

use nix::errno::Errno::{self, *};
use syscalls::Sysno;

/// Errors to try at a call; none for those that cannot fail when they are called rightly.
pub fn plausible(call: Sysno) -> &'static [Errno] {
    match call {
        Sysno::open | Sysno::openat | Sysno::openat2 => &[EMFILE, EACCES, ENOMEM],
        Sysno::open_tree | Sysno::fsopen | Sysno::fsmount => &[ENOMEM, EPERM, EMFILE],
        Sysno::mount | Sysno::move_mount | Sysno::mount_setattr | Sysno::fsconfig | Sysno::pivot_root => {
            &[ENOMEM, EPERM, EINVAL]
        }
        Sysno::umount2 => &[EBUSY, EPERM],
        Sysno::read | Sysno::pread64 | Sysno::readv | Sysno::getdents64 => &[EIO, EINTR],
        Sysno::write | Sysno::pwrite64 | Sysno::writev => &[ENOSPC, EIO, EINTR],
        Sysno::fsync | Sysno::fdatasync | Sysno::syncfs | Sysno::ftruncate | Sysno::close => &[EIO],
        Sysno::statfs | Sysno::fstatfs => &[EIO],
        Sysno::copy_file_range | Sysno::sendfile | Sysno::fallocate => &[ENOSPC, EIO],
        Sysno::mmap | Sysno::brk | Sysno::mremap => &[ENOMEM],
        Sysno::clone | Sysno::clone3 | Sysno::fork | Sysno::vfork => &[EAGAIN, ENOMEM],
        Sysno::execve | Sysno::execveat => &[ENOMEM, EACCES],
        Sysno::setns | Sysno::unshare => &[EPERM, ENOMEM, ENOSPC],
        Sysno::mkdir | Sysno::mkdirat | Sysno::mknodat | Sysno::symlinkat | Sysno::linkat => &[ENOSPC, EACCES],
        Sysno::rename | Sysno::renameat | Sysno::renameat2 => &[ENOSPC, EIO],
        Sysno::unlink | Sysno::unlinkat | Sysno::rmdir => &[EIO, EBUSY],
        Sysno::stat | Sysno::lstat | Sysno::fstat | Sysno::newfstatat | Sysno::statx => &[EIO, ENOMEM],
        Sysno::readlink | Sysno::readlinkat => &[EIO, EACCES],
        Sysno::chmod | Sysno::fchmod | Sysno::fchmodat | Sysno::fchown | Sysno::fchownat => &[EPERM, EIO],
        Sysno::chdir | Sysno::fchdir | Sysno::chroot => &[EACCES, EPERM],
        Sysno::socket | Sysno::socketpair | Sysno::pipe2 | Sysno::eventfd2 | Sysno::epoll_create1 => &[EMFILE, ENOMEM],
        Sysno::memfd_create | Sysno::signalfd4 | Sysno::pidfd_open | Sysno::dup | Sysno::dup3 => &[EMFILE, ENOMEM],
        Sysno::accept4 | Sysno::bind | Sysno::listen => &[EMFILE, ENOMEM],
        Sysno::connect => &[ECONNREFUSED, EINTR],
        Sysno::sendmsg | Sysno::sendto | Sysno::recvmsg | Sysno::recvfrom => &[ENOMEM, EINTR],
        Sysno::poll | Sysno::ppoll | Sysno::epoll_wait | Sysno::epoll_pwait => &[EINTR, ENOMEM],
        Sysno::wait4 | Sysno::waitid => &[EINTR],
        Sysno::flock => &[EINTR, ENOLCK],
        Sysno::bpf => &[EPERM, ENOMEM],
        Sysno::keyctl => &[EDQUOT, ENOSYS],
        Sysno::ioctl => &[EIO, EPERM],
        Sysno::seccomp => &[EINVAL, ENOMEM],
        Sysno::setgroups | Sysno::setresuid | Sysno::setresgid | Sysno::setuid | Sysno::setgid => &[EPERM, EAGAIN],
        Sysno::capset | Sysno::sethostname | Sysno::setdomainname | Sysno::setsid => &[EPERM],
        Sysno::prlimit64 | Sysno::setrlimit | Sysno::sched_setaffinity | Sysno::sched_setattr => &[EPERM, EINVAL],
        Sysno::kill | Sysno::tgkill | Sysno::pidfd_send_signal => &[EPERM],
        Sysno::close_range => &[ENOMEM],
        _ => &[],
    }
}

/// Whether the call has its effect even when it fails.
pub fn acts_anyway(call: Sysno) -> bool {
    call == Sysno::close
}
