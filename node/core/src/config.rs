//! Two configurations: settings that all nodes of a mesh share, and settings of one node. Relations between times are
//! checked at compile time.

use alloc::string::String;
use alloc::vec::Vec;

use crate::message::Class;
use crate::policy::Owners;

/// Settings that all nodes of a mesh share. Durations are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct MeshConfig {
    /// How long a lease lasts after its award or its last renewal.
    pub lease_ms: u64,
    /// How often a worker renews its leases.
    pub renew_ms: u64,
    /// How long leases of a worker are kept after its connection was closed, for it to connect again.
    pub grace_ms: u64,
    /// How long a bid is valid.
    pub bid_ms: u64,
    /// How often an owner repeats a call that is still open.
    pub call_ms: u64,
    /// How long a worker keeps a call that is not repeated.
    pub call_ttl_ms: u64,
    /// How long a worker waits for an acknowledgement before it sends an outcome again.
    pub resend_ms: u64,
    /// How long a worker keeps an outcome that is not acknowledged.
    pub keep_ms: u64,
    /// How often a node announces its capacity without a change.
    pub capacity_ms: u64,
    /// Shortest interval between two announcements.
    pub capacity_min_ms: u64,
    /// Attempts of one task that may end as lost before the task is given up.
    pub losses_max: u32,
    /// Peers that an owner calls directly; in a larger mesh matchmakers match owners and workers.
    pub full_mesh: u32,
    /// Nodes of one cell, roughly.
    pub cell_nodes: u32,
    /// How long an owner waits for a matchmaker's first answer before it asks elsewhere.
    pub request_ms: u64,
    /// Other matchmakers that are asked for bids when none fits.
    pub flocks: u8,
    /// How often a worker repeats its bids at its matchmaker.
    pub advertise_ms: u64,
    /// How often a matchmaker announces its cell, and, in a mesh of cells, a node its capacity.
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
        request_ms: 50,
        flocks: 1,
        advertise_ms: 1000,
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
    assert!(mesh.advertise_ms < mesh.bid_ms, "an advertised bid must be repeated before it ends");
    assert!(mesh.request_ms < mesh.call_ms, "a matchmaker is asked before all nodes are called again");
    assert!(mesh.capacity_min_ms < mesh.capacity_ms, "a change is announced before the heartbeat");
};

/// Settings of one node.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct NodeConfig {
    /// A name for people, at most 64 bytes.
    pub name: String,
    /// Tasks that run at once; a node with 0 only owns jobs.
    pub slots: u32,
    /// Memory that one task may have, in bytes.
    pub memory_bytes: u64,
    /// Longest module that it accepts, in bytes.
    pub module_bytes: u64,
    /// What its store keeps at most, in bytes: a task that needs more at once it does not take.
    pub store_bytes: u64,
    /// Labels, at most 32. The label `node` is added by the engine.
    pub labels: Vec<(String, String)>,
    /// The lowest priority class whose tasks it takes, its own ones included.
    pub class_min: Class,
    /// The number of this node's disk, drawn when its journal was made, and anew when the journal was not the one that the
    /// node had last; 0 if the node keeps no jobs of others.
    pub disk: u64,
    /// Boot nonce: random for each start of the node.
    pub boot: u64,
    /// Owners whose tasks it takes, besides its own.
    pub owners: Owners,
}
