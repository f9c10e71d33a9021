//! What becomes of a node whose parts fail. An adapter that panics ends its events, which `node/net/src/net/tests.rs`
//! shows; this shows what the node makes of that.

mod adopted;
mod kept;
mod lately;

use std::time::Duration;

use tokio::task::LocalSet;

use super::start::start_net;
use super::*;
use crate::embedded::{self, EmbeddedConfig};
use crate::handle::NodeStopped;

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_node_whose_network_adapter_broke_ends_says_so_and_answers_those_who_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { nodes: 1, slots: 1, dir: dir.path().to_owned() };
        let settings = embedded::settings(&config, 0, [7; 32], Vec::new()).unwrap();
        let mut node = Node::start(settings.clone()).await.unwrap();
        let handle = node.handle();
        assert!(settings.data_dir.join("api.json").exists());

        let (net, events) = start_net(&settings, 1, handle.store(), &StoreFault::default()).await.unwrap();
        node.events = events;
        let running = tokio::task::spawn_local(node.run_until(std::future::pending()));
        handle.snapshot().await.expect("it runs as long as its adapter does");
        drop(net);
        let ended = tokio::time::timeout(DEADLINE, running).await.expect("it ends").unwrap();
        let said = ended.unwrap_err().to_string();
        assert!(
            said.contains("network adapter broke") && said.contains("start the node again"),
            "it says what broke and what to do: {said}"
        );
        assert_eq!(handle.snapshot().await.unwrap_err(), NodeStopped);
        assert!(!settings.data_dir.join("api.json").exists(), "clients find no API that does not answer");
    });
}
