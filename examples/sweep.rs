//! You will see pi come closer: a parameter sweep of 64 seeds, results as they come, and their mean at the end.
//!
//! Start a node first (`weft node`), then `cargo run -p weft-examples --bin sweep`.
#![expect(clippy::print_stdout, reason = "an example prints what you are to see")]

use futures::StreamExt;
use weft_sdk::{Mesh, Task};

const MONTE_CARLO: &[u8] = include_bytes!("../wasm-tasks/monte-carlo.wasm");
const SEEDS: u32 = 64;
const SAMPLES: u32 = 200_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mesh = Mesh::connect().await?;
    let task = Task::function(MONTE_CARLO.to_vec(), "pi");
    let inputs = (1..=SEEDS).map(|seed| format!("{seed} {SAMPLES}"));
    let mut results = mesh.map_iter(&task, inputs).await?;
    let (mut done, mut hits) = (0, 0);
    while let Some(result) = results.next().await {
        let result = result?.into_done()?;
        let output = result.output_bytes(&mesh).await?;
        hits += std::str::from_utf8(&output)?.trim().parse::<u64>()?;
        done += 1;
        if done % 16 == 0 {
            println!("{done:>3} of {SEEDS} seeds: pi is about {:.5}", pi(hits, done));
        }
    }
    Ok(())
}

fn pi(hits: u64, seeds: u32) -> f64 {
    4.0 * to_f64(hits) / (f64::from(seeds) * f64::from(SAMPLES))
}

fn to_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
