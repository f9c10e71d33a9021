//! The rights that a process drops before it runs a guest or compiles a module: opening files, the network, other
//! processes. What the kernel can't enforce is reported. This is a second line of defence: it limits a guest that broke
//! out of the runtime.

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Most open files of a slot: code, waiting inputs, outputs.
const FILES_MAX: u64 = 1024;

/// How far a restriction is enforced.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Fence {
    /// Completely.
    Full,
    /// As far as this kernel supports it.
    Partial,
    /// Not at all; the text says why.
    Missing(String),
}

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Partial => f.write_str("partial (an older kernel)"),
            Self::Missing(why) => write!(f, "missing ({why})"),
        }
    }
}

/// The restrictions of a slot process, in addition to the runtime's sandbox.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Confinement {
    /// System calls: only those that the runtime needs.
    pub seccomp: Fence,
    /// Files and ports: none.
    pub landlock: Fence,
}

/// Denies this thread, and threads that it starts later, all files and ports.
pub(super) fn landlock() -> Fence {
    // The newest version that the crate supports; it omits what the kernel does not support.
    let abi = ABI::V6;
    let restrict = || -> Result<RulesetStatus, landlock::RulesetError> {
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?;
        Ok(rules.create()?.restrict_self()?.ruleset)
    };
    match restrict() {
        Ok(RulesetStatus::FullyEnforced) => Fence::Full,
        Ok(RulesetStatus::PartiallyEnforced) => Fence::Partial,
        Ok(RulesetStatus::NotEnforced) => Fence::Missing("the kernel has no Landlock".into()),
        Err(error) => Fence::Missing(error.to_string()),
    }
}

/// Restricts all threads of this process to the system calls that running guests needs. Other calls fail with `EPERM`.
pub(super) fn seccomp() -> Fence {
    fence(&[allow_list(false)])
}

/// Both restrictions and the resource limits, for a process that opens no file any more. It may still start threads.
pub(crate) fn confine_everything() -> Confinement {
    limit_resources();
    Confinement { landlock: landlock(), seccomp: fence(&[no_clone3(), allow_list(true)]) }
}

fn fence(filters: &[Result<BpfProgram, String>]) -> Fence {
    for filter in filters {
        let applied = filter.as_ref().map_err(Clone::clone).and_then(|filter| {
            seccompiler::apply_filter_all_threads(filter).map_err(|error| error.to_string())
        });
        if let Err(why) = applied {
            return Fence::Missing(why);
        }
    }
    Fence::Full
}

/// Resource limits.
pub(super) fn limit_resources() {
    let most = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    for (resource, limit) in
        [(Resource::Core, most(0)), (Resource::Fsize, most(2 << 30)), (Resource::Nofile, most(FILES_MAX))]
    {
        // A lower limit that was set before is kept.
        let _set = setrlimit(resource, limit);
    }
}

fn allow_list(threads: bool) -> Result<BpfProgram, String> {
    let mut rules: Vec<(i64, Vec<SeccompRule>)> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    rules.extend(stat_open_file()?);
    rules.push((libc::SYS_fcntl, one_of(1, FCNTLS.iter().map(|call| u64::from(call.cast_unsigned())))?));
    rules.push((libc::SYS_ioctl, one_of(1, IOCTLS)?));
    if threads {
        let thread = u64::try_from(libc::CLONE_THREAD).unwrap_or(0);
        let masked = SeccompCmpOp::MaskedEq(thread);
        let is_thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, masked, thread).map_err(words)?;
        rules.push((libc::SYS_clone, vec![SeccompRule::new(vec![is_thread]).map_err(words)?]));
        // Its own limits, which it can only lower.
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0).map_err(words)?;
        rules.push((libc::SYS_prlimit64, vec![SeccompRule::new(vec![own]).map_err(words)?]));
        // The other filter refuses it.
        rules.push((libc::SYS_clone3, Vec::new()));
    }
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    compile(rules, refuse, SeccompAction::Allow)
}

/// Allows a call if the lower half of this argument, which is all that the kernel reads, has one of these values.
fn one_of(argument: u8, values: impl IntoIterator<Item = u64>) -> Result<Vec<SeccompRule>, String> {
    let rule = |value| {
        let equals = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
        SeccompRule::new(vec![equals.map_err(words)?]).map_err(words)
    };
    values.into_iter().map(rule).collect()
}

/// The status of an open file, which is asked for with an empty path. A filter can't see that the path is empty, so a
/// process can still learn whether a path exists, and its length.
fn stat_open_file() -> Result<Vec<(i64, Vec<SeccompRule>)>, String> {
    let empty = u64::try_from(libc::AT_EMPTY_PATH).unwrap_or(0);
    let only = |argument: u8| one_of(argument, [empty]);
    Ok(vec![
        (libc::SYS_statx, only(2)?),
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        (libc::SYS_newfstatat, only(3)?),
    ])
}

/// The arguments of `clone3` are in memory, which a filter can't read. The C library falls back to `clone` if the
/// kernel does not support it.
fn no_clone3() -> Result<BpfProgram, String> {
    let unknown = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    compile(vec![(libc::SYS_clone3, Vec::new())], SeccompAction::Allow, unknown)
}

fn compile(
    rules: Vec<(i64, Vec<SeccompRule>)>,
    others: SeccompAction,
    these: SeccompAction,
) -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(words)?;
    let filter = SeccompFilter::new(rules.into_iter().collect(), others, these, arch);
    filter.and_then(BpfProgram::try_from).map_err(words)
}

fn words(error: seccompiler::BackendError) -> String {
    error.to_string()
}

/// Allowed `fcntl` commands. Those that make a file send signals are not among them.
const FCNTLS: [libc::c_int; 6] = [
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_DUPFD_CLOEXEC,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];

/// Allowed `ioctl` requests: `FIONBIO` and `FIOCLEX`, which the standard library uses on any file, and the runtime's
/// `PAGEMAP_SCAN` on its own page map. As numbers, for their types differ between C libraries.
const IOCTLS: [u64; 3] = [0x5421, 0x5451, 0xc060_6610];

/// System calls that the runtime, the allocator and the standard library need once everything is open. None of them
/// takes a path, an address or another process.
const ALLOWED: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_memfd_create,
    // Open files.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_lseek,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_write,
    libc::SYS_writev,
    // Signals to itself: traps of guests, and the end of the process.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time, randomness, waiting.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    // A thread's own state.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
