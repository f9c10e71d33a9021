//! You will see 60 tasks end although one of three nodes dies half-way: a whole mesh inside this program.
//!
//! Nothing to start first: `cargo run -p weft-examples --bin embedded`.
#![expect(clippy::print_stdout, reason = "an example prints what you are to see")]

use std::collections::BTreeMap;

use futures::StreamExt;
use weft_sdk::{Embedded, Mesh, Task};

const SPIN: &[u8] = include_bytes!("../wasm-tasks/spin.wasm");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut mesh = Mesh::embedded(3).await?;
    println!("three nodes are up, each with an identity, a directory and a swarm of its own");
    let task = Task::function(SPIN.to_vec(), "spin");
    let inputs = (0..60).map(|index| (5_000_000 + index).to_string());
    let mut results = mesh.map_iter(&task, inputs).await?;
    let mut by_worker: BTreeMap<String, u32> = BTreeMap::new();
    let mut again = 0;
    let mut done = 0;
    while let Some(result) = results.next().await {
        let result = result?.into_done()?;
        done += 1;
        again += result.attempts - 1;
        *by_worker.entry(result.worker.unwrap_or_default()).or_default() += 1;
        if done == 20 {
            mesh.kill(2);
            println!("node 2 is dead, {done} results are here");
        }
    }
    println!("{done} results, {again} tasks were given to another node");
    for (worker, tasks) in by_worker {
        println!("{tasks:>4} by {}", worker.get(..8).unwrap_or(&worker));
    }
    Ok(())
}
