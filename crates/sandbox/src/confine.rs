//! What code of a sandbox may not do even as root inside: no powers but those that its work takes, and no system calls
//! that reach for the kernel itself. Programs of the image install packages; so does the job that makes a base, by a
//! program of the host that also mounts.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities};

use crate::seccomp::{Rule, When, program};
use crate::sys;

/// Powers that installing and configuring packages takes. `sudo` gives no more than these.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE);

/// What jobs that mount have beside, in namespaces of their own.
const KEPT_TO_MOUNT: CapabilitySet = KEPT.union(CapabilitySet::SYS_ADMIN);

/// Confines this process, which is about to start a program of the image, and all it will start.
pub fn for_program() -> Result<(), String> {
    confine(KEPT, shared().chain(no_mounts()))
}

/// Confines this process, which is about to run a job, and all it will start.
pub fn for_job(may_mount: bool) -> Result<(), String> {
    let rules = shared().chain(always(&TRACING));
    if may_mount {
        confine(KEPT_TO_MOUNT, rules.chain(no_namespaces(OTHER_NAMESPACES)))
    } else {
        confine(KEPT, rules.chain(no_mounts()))
    }
}

/// Nothing can be mounted, nor a namespace be made that would bring the power to.
fn no_mounts() -> impl Iterator<Item = Rule> {
    always(&MOUNTS).chain(no_namespaces(NAMESPACES))
}

fn no_namespaces(kinds: u32) -> [Rule; 2] {
    [
        rule(libc::SYS_clone, When::AnyBit { argument: 0, mask: kinds }, libc::EPERM),
        rule(libc::SYS_unshare, When::AnyBit { argument: 0, mask: kinds | TIME_NAMESPACE }, libc::EPERM),
    ]
}

fn confine(kept: CapabilitySet, rules: impl Iterator<Item = Rule>) -> Result<(), String> {
    let rules: Vec<_> = rules.collect();
    let fail = |error: std::io::Error| format!("failed to confine the sandbox: {error}");
    // Its memory and descriptors are nobody's business inside.
    nix::sys::prctl::set_dumpable(false).map_err(|errno| fail(errno.into()))?;
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no more.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(fail(errno.into())),
        }
    }
    sys::filter_system_calls(&mut program(&rules)).map_err(fail)?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(|errno| fail(errno.into()))
}

/// System calls that mount.
const MOUNTS: [i64; 10] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
];

/// System calls that look into other processes. Nobody debugs in a job, and pid 1 of it is the engine's.
const TRACING: [i64; 5] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
];

/// System calls that are refused to everyone: other namespaces, keys, kernel modules, tracing of the kernel.
const REFUSED: [i64; 20] = [
    libc::SYS_setns,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
];

/// System calls that programs do without when the kernel does not have them: their arguments cannot be judged.
const ABSENT: [i64; 4] =
    [libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP)
    .cast_unsigned();

/// Those that mmdebstrap does without. A user namespace would bring every power back.
const OTHER_NAMESPACES: u32 =
    (libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_NEWCGROUP).cast_unsigned();

/// `CLONE_NEWTIME`, which is a signal's place in the flags of clone(2) and so a namespace for unshare(2) alone.
const TIME_NAMESPACE: u32 = 0x80;

/// Sockets of programs: local, IPv4, IPv6, and asking the kernel about addresses and routes.
const FAMILIES: [u32; 4] = [
    libc::AF_UNIX.cast_unsigned(),
    libc::AF_INET.cast_unsigned(),
    libc::AF_INET6.cast_unsigned(),
    libc::AF_NETLINK.cast_unsigned(),
];

/// Plain Linux, its 32-bit addresses, their combinations, and the question which one is in force.
const PERSONALITIES: [u32; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Typing into the terminal, as the person in front of it would.
const TYPING: [u32; 2] = [0x5412, 0x541c];

fn rule(call: i64, when: When, errno: i32) -> Rule {
    Rule { call, when, errno }
}

fn always(calls: &[i64]) -> impl Iterator<Item = Rule> {
    calls.iter().map(|&call| rule(call, When::Always, libc::EPERM))
}

/// What is refused to programs and jobs alike.
fn shared() -> impl Iterator<Item = Rule> {
    let absent = ABSENT.map(|call| rule(call, When::Always, libc::ENOSYS));
    let judged = [
        rule(libc::SYS_socket, When::NoneOf { argument: 0, values: &FAMILIES }, libc::EAFNOSUPPORT),
        rule(libc::SYS_socketpair, When::NoneOf { argument: 0, values: &FAMILIES }, libc::EAFNOSUPPORT),
        rule(libc::SYS_personality, When::NoneOf { argument: 0, values: &PERSONALITIES }, libc::EPERM),
        rule(libc::SYS_ioctl, When::OneOf { argument: 1, values: &TYPING }, libc::EPERM),
    ];
    always(&REFUSED).chain(absent).chain(judged)
}
