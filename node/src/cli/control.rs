//! The flags of the verbs that tell a node to do something: `weft drain`, `weft stop`.

/// Flags of `weft drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct DrainArgs {
    /// Take new tasks again. What was given back does not come back by itself.
    #[arg(long, conflicts_with_all = ["wait", "leave"])]
    pub(crate) off: bool,
    /// Wait until the node holds no task and all its results were delivered. It then says which
    /// jobs on its disk other nodes rely on. Ctrl-C ends the wait, not the draining.
    #[arg(long)]
    pub(crate) wait: bool,
    /// For a machine that goes for good: as --wait, and wait until other nodes have taken its
    /// places among the three that keep a job at level mesh, as far as there are nodes for that.
    /// Ends with 0 if nothing is left on its disk, with 1 and a word on each thing that is.
    #[arg(long)]
    pub(crate) leave: bool,
}

/// Flags of `weft stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// Return at once, without waiting until the node has ended; it ends all the same.
    #[arg(long)]
    pub(crate) no_wait: bool,
}
