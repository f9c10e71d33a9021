//! Inputs and results that flow: which side waits for the other.

use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weft_client::{Input, Output};

use super::bench::{Bench, DEADLINE, task};

#[tokio::test]
async fn ten_thousand_tasks_come_back() {
    let bench = Bench::start().await;
    let mut results = bench.mesh.map_iter(&task(), (0..10_000).map(|n| format!("input {n}"))).await.unwrap();
    let mut seen = vec![false; 10_000];
    while let Some(result) = results.next().await {
        let result = result.unwrap();
        let expected = format!("input {}", result.index);
        assert_eq!(result.output, Output::Inline(expected.into()));
        assert!(!std::mem::replace(&mut seen[result.index as usize], true), "{} came twice", result.index);
    }
    assert!(seen.iter().all(|seen| *seen));
    assert_eq!(results.summary().unwrap().done, 10_000);
}

#[tokio::test]
async fn results_flow_while_inputs_still_come() {
    let bench = Bench::start().await;
    let (inputs, source) = mpsc::channel::<Input>(1);
    let source =
        stream::unfold(source, |mut source| async { source.recv().await.map(|input| (input, source)) });
    let mut results = timeout(DEADLINE, bench.mesh.map(&task(), source)).await.unwrap().unwrap();
    for index in 0..3 {
        inputs.send(Input::from("x")).await.unwrap();
        let result = timeout(DEADLINE, results.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(result.index, index);
    }
    drop(inputs);
    assert!(timeout(DEADLINE, results.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_sends_only_so_far_ahead_of_results() {
    const AHEAD: u32 = 8192;
    let bench = Bench::holding().await;
    let endless = stream::repeat_with(|| Input::from("input"));
    let results = bench.mesh.map(&task(), endless).await.unwrap();
    bench.wait_for(|seen| seen.tasks > AHEAD / 2).await;
    let tasks = bench.settled().await;
    assert!(tasks <= AHEAD, "{tasks} tasks were sent");
    drop(results);
    bench.wait_for(|seen| seen.cancelled.len() == 1).await;
}

#[tokio::test]
async fn a_node_reads_only_so_far_ahead_of_ends() {
    const ROOM: u32 = 16_384;
    let bench = Bench::holding().await;
    // A detached job waits for no results of its own; this one's inputs never end, so neither does its submission.
    let task = task();
    let endless = bench.mesh.submit(&task, std::iter::repeat("input"));
    let tasks = tokio::select! {
        _never = endless => panic!("inputs without end were all taken"),
        tasks = async {
            bench.wait_for(|seen| seen.tasks >= ROOM).await;
            bench.settled().await
        } => tasks,
    };
    // One read may bring more than fits: what a connection buffers, at six bytes an input and more.
    assert!(tasks < 4 * ROOM, "{tasks} tasks were taken");
}
