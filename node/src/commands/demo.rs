//! `weft demo`: a whole mesh in this process, two real jobs, and a node that is killed in the middle.

use weft_node::demo::DemoArgs as Demo;

use super::Problem;
use crate::cli::DemoArgs;

/// Runs the demo, which writes its files and messages by itself.
pub(crate) async fn demo(args: DemoArgs) -> Result<u8, Problem> {
    let DemoArgs { tiles, out, nodes, slots } = args;
    let demo = Demo { tiles, nodes: usize::from(nodes), slots, out };
    let work =
        async { weft_node::demo::run(&demo).await.map_err(|error| Problem::Failed(error.to_string())) };
    tokio::select! {
        ended = work => ended.map(|()| 0),
        _ = tokio::signal::ctrl_c() => Err(Problem::Interrupted("interrupted; the demo's nodes are stopped".into())),
    }
}
