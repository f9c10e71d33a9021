//! Two configurations: what a mesh must agree on, and what a node chooses. Relations between times are checked when
//! this file compiles.

use alloc::string::String;
use alloc::vec::Vec;

use crate::message::Class;
use crate::policy::Owners;

/// What all nodes of a mesh agree on. Durations in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct MeshConfig {
    /// How long a lease lasts after its award or its last renewal.
    pub lease_ms: u64,
    /// How often a worker renews.
    pub renew_ms: u64,
    /// How long after a connection closed its leases still wait for it to come back.
    pub grace_ms: u64,
    /// How long a bid stands.
    pub bid_ms: u64,
    /// How often an owner repeats a call that is still open.
    pub call_ms: u64,
    /// How long a worker remembers a call that is not repeated.
    pub call_ttl_ms: u64,
    /// How long a worker waits for an acknowledgement before it sends an outcome again.
    pub resend_ms: u64,
    /// How long a worker keeps an outcome that nobody acknowledges.
    pub keep_ms: u64,
    /// How often a node tells its capacity when nothing changed.
    pub capacity_ms: u64,
    /// At most how often it tells it when something did.
    pub capacity_min_ms: u64,
    /// How many attempts of one task may end as lost before the task is given up.
    pub losses_max: u32,
    /// How many peers an owner calls directly; in a larger mesh workers and owners meet at exchanges.
    pub full_mesh: u32,
    /// About how many nodes have one exchange.
    pub cell_nodes: u32,
    /// How long an owner waits for an exchange's first word before it asks elsewhere.
    pub seek_ms: u64,
    /// How many other exchanges are asked to lend a bid where none stands.
    pub scouts: u8,
    /// How often a worker says again what it stands at its exchange.
    pub stand_ms: u64,
    /// How often an exchange tells everybody that it serves, and, in a mesh of cells, a node its capacity.
    pub cell_tell_ms: u64,
}

impl MeshConfig {
    /// The defaults, for a LAN: `docs/limits.md` says what each of them bounds.
    pub const DEFAULT: Self = Self {
        lease_ms: 4000,
        renew_ms: 1300,
        grace_ms: 500,
        bid_ms: 2000,
        call_ms: 1000,
        call_ttl_ms: 5000,
        resend_ms: 1000,
        keep_ms: 600_000,
        capacity_ms: 3000,
        capacity_min_ms: 250,
        losses_max: 16,
        full_mesh: 64,
        cell_nodes: 100,
        seek_ms: 50,
        scouts: 1,
        stand_ms: 1000,
        cell_tell_ms: 10_000,
    };
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const _: () = {
    let mesh = MeshConfig::DEFAULT;
    assert!(mesh.renew_ms * 3 <= mesh.lease_ms, "a lease must survive two lost renewals");
    assert!(mesh.call_ms < mesh.bid_ms, "a bid must be renewed before it ends");
    assert!(mesh.call_ms * 3 < mesh.call_ttl_ms, "a call must survive three lost repetitions");
    assert!(mesh.grace_ms < mesh.lease_ms, "a closed connection is an early hint");
    assert!(mesh.resend_ms < mesh.lease_ms, "an outcome is sent again before its lease ends");
    assert!(mesh.stand_ms < mesh.bid_ms, "a standing bid must be said again before it ends");
    assert!(mesh.seek_ms < mesh.call_ms, "an exchange is asked before everybody is called again");
    assert!(mesh.capacity_min_ms < mesh.capacity_ms, "a change is told before the heartbeat");
};

/// What one node chooses.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct NodeConfig {
    /// A name for people, at most 64 bytes.
    pub name: String,
    /// How many tasks run at once; 0 makes a node that only owns.
    pub slots: u32,
    /// Memory that one task may have, in bytes.
    pub memory_bytes: u64,
    /// Longest module whose tasks it takes, in bytes.
    pub module_bytes: u64,
    /// Labels, at most 32. The label `node` is added by the engine.
    pub labels: Vec<(String, String)>,
    /// The lowest priority class whose tasks it takes, its own ones included.
    pub class_min: Class,
    /// Nonce of this start of the node.
    pub boot: u64,
    /// Whose tasks it takes, beside its own.
    pub owners: Owners,
}
