//! Reports that results wait for room on this machine's own disk.

use std::time::Duration;

use tokio::time::Interval;
use weft_client::{Mesh, api};

/// How often the node is asked, while nothing else happens.
const EVERY: Duration = Duration::from_secs(5);

/// Looks whether outcomes wait for room here.
#[derive(Debug)]
pub(crate) struct Shortage {
    clock: Interval,
    told: bool,
}

impl Shortage {
    pub(crate) fn new() -> Self {
        let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self { clock, told: false }
    }

    /// Ready when there is something new to say: that room is missing, or that there is room again. May be dropped at
    /// any point.
    pub(crate) async fn news(&mut self, mesh: &Mesh) -> String {
        loop {
            self.clock.tick().await;
            // A node that does not answer is noticed where its results are waited for.
            let Ok(status) = mesh.status().await else { continue };
            let starved = status.store.starved > 0;
            if starved != self.told {
                self.told = starved;
                return words(&status);
            }
        }
    }
}

fn words(status: &api::Status) -> String {
    let api::Store { starved, fault, .. } = &status.store;
    if *starved == 0 {
        return String::from("there is room on this node's disk again");
    }
    let why = fault.as_deref().map_or_else(String::new, |fault| format!(" ({fault})"));
    format!(
        "this node has no room for the outputs of {starved} ended tasks: its disk or store below {} is full{why}; nothing \
         is lost, and the results come when there is room",
        status.data_dir
    )
}
