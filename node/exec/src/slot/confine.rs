//! The rights that a process gives up before it runs or compiles anything of a stranger's: no file by its name, no
//! network, no other process. What the kernel can't enforce is said, not hidden. It is not what keeps a guest in, that
//! is the runtime; it is what a guest finds that got out of it.

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Files that a slot has open at once: its code, inputs that wait, outputs on their way.
const FILES_MAX: u64 = 1024;

/// How far one fence holds.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Fence {
    /// All of it.
    Full,
    /// What this kernel knows of it.
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

/// What keeps a slot's process from the rest of the machine, beside the runtime.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Confinement {
    /// System calls: only those that the runtime needs.
    pub seccomp: Fence,
    /// Files and ports: none.
    pub landlock: Fence,
}

/// Takes this thread, and those it will start, away from all files and ports.
pub(super) fn landlock() -> Fence {
    // The newest that the crate knows; it leaves out what the kernel does not know.
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

/// Leaves all threads of this process the system calls that running guests takes, and no other. What is refused fails
/// with `EPERM`.
pub(super) fn seccomp() -> Fence {
    fence(&[allow_list(false)])
}

/// Both fences and the limits, for a process that opens nothing any more. It may start threads still.
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

/// What even a process with all its rights does not get.
pub(super) fn limit_resources() {
    let most = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    for (resource, limit) in
        [(Resource::Core, most(0)), (Resource::Fsize, most(2 << 30)), (Resource::Nofile, most(FILES_MAX))]
    {
        // A lower limit that was there before may stay.
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
        // Its own limits, which can only get lower.
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0).map_err(words)?;
        rules.push((libc::SYS_prlimit64, vec![SeccompRule::new(vec![own]).map_err(words)?]));
        // Refused by the other filter.
        rules.push((libc::SYS_clone3, Vec::new()));
    }
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    compile(rules, refuse, SeccompAction::Allow)
}

/// A call whose argument at this place has one of these values in its lower half, which is all that the kernel reads.
fn one_of(argument: u8, values: impl IntoIterator<Item = u64>) -> Result<Vec<SeccompRule>, String> {
    let rule = |value| {
        let equals = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
        SeccompRule::new(vec![equals.map_err(words)?]).map_err(words)
    };
    values.into_iter().map(rule).collect()
}

/// Asking for the length of an open file, which goes by way of an empty name. A filter can't see that it is empty: what
/// remains is that a process may learn that a file of some name exists, and how long it is.
fn stat_open_file() -> Result<Vec<(i64, Vec<SeccompRule>)>, String> {
    let empty = u64::try_from(libc::AT_EMPTY_PATH).unwrap_or(0);
    let only = |argument: u8| one_of(argument, [empty]);
    Ok(vec![
        (libc::SYS_statx, only(2)?),
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        (libc::SYS_newfstatat, only(3)?),
    ])
}

/// The arguments of `clone3` are in memory, where no filter sees them. The C library falls back to `clone` if the
/// kernel does not have it.
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

/// What may be done with an open file by `fcntl`. Not: have it send signals, of any kind and to any process.
const FCNTLS: [libc::c_int; 6] = [
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_DUPFD_CLOEXEC,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];

/// What may be asked of a device: `FIONBIO` and `FIOCLEX`, which the standard library uses on any file, and the
/// runtime's `PAGEMAP_SCAN` on its own page map. Numbers, for their types differ between C libraries.
const IOCTLS: [u64; 3] = [0x5421, 0x5451, 0xc060_6610];

/// What the runtime, the allocator and the standard library need once everything is open. Whatever takes a name, an
/// address or another process is not in it.
const ALLOWED: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_memfd_create,
    // What is open already.
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
    // Signals to itself: how a trap comes home, and how the process ends.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time, chance, waiting.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    // What a thread says of itself.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
