//! Jobs: their results, lists, ends, and what of them is refused.

use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weft_client::{Error, Input, JobFilter, JobState, Level, Outcome, Reading, api as wire};
use weft_core::{Event, JobId};

use super::bench::{Bench, DEADLINE, task};

#[tokio::test]
async fn a_detached_job_keeps_its_results() {
    let bench = Bench::start().await;
    let job = bench.mesh.submit(&task(), (0..1000).map(|n| n.to_string())).await.unwrap();
    let view = timeout(DEADLINE, job.wait()).await.unwrap().unwrap();
    assert_eq!((view.state, view.tasks, view.done, view.detached), (JobState::Done, 1000, 1000, true));
    for _ in 0..2 {
        let results: Vec<_> = job.results().await.unwrap().collect().await;
        assert_eq!(results.len(), 1000);
        assert!(results.iter().all(|result| result.as_ref().unwrap().is_done()));
    }
    let again = bench.mesh.attach(job.id().get(..12).unwrap()).await.unwrap();
    assert_eq!(again.id(), job.id());
    assert_eq!(bench.mesh.jobs().await.unwrap().len(), 1);
    assert!(bench.seen.borrow().cancelled.is_empty());
}

#[tokio::test]
async fn results_are_read_from_any_place_and_as_far_as_they_are() {
    let bench = Bench::start().await;
    let job = bench.mesh.submit(&task(), (0..3000).map(|n| n.to_string())).await.unwrap();
    timeout(DEADLINE, job.wait()).await.unwrap().unwrap();
    let mut results = job.read(Reading { from: 2990, follow: true }).await.unwrap();
    assert_eq!(results.next().await.unwrap().unwrap().index, 2990);
    assert_eq!(results.by_ref().count().await, 9);
    assert_eq!(results.summary().unwrap().done, 3000);
    let answer = bench.raw_get(&format!("/v1/jobs/{}/results?from=10&limit=2", job.id())).await;
    let lines: Vec<&str> = answer.lines().filter(|line| line.contains("\"index\"")).collect();
    assert!(
        matches!(lines.as_slice(), [first, last] if first.contains(":10,") && last.contains(":11,")),
        "{answer}"
    );
    assert!(lines.iter().zip([10, 11]).all(|(line, number)| line.contains(&format!("\"number\":{number},"))));
    let answer = bench.raw_get(&format!("/v1/jobs/{}/results?from=x", job.id())).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    let bench = Bench::holding().await;
    let job = bench.mesh.submit(&task(), ["a", "b"]).await.unwrap();
    let mut results = job.read(Reading { from: 0, follow: false }).await.unwrap();
    assert!(timeout(DEADLINE, results.next()).await.unwrap().is_none());
    let told = results.summary().unwrap();
    assert_eq!((told.tasks, told.done), (2, 0));
}

#[tokio::test]
async fn a_job_that_cant_be_kept_is_refused_and_leaves_nothing() {
    let bench = Bench::holding().await;
    let refusing = async {
        let seen = bench.wait_for(|seen| !seen.submitted.is_empty()).await;
        let reason = weft_core::Refusal::DiskLow;
        bench.handle.jobs().record(Event::Refused { job: seen.submitted[0], reason });
    };
    let task = task().level(Level::Disk).name("kept");
    let (refused, ()) = tokio::join!(bench.mesh.submit(&task, ["a"]), refusing);
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("too little room"), "{refused}");
    assert!(matches!(bench.mesh.job("kept").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_submission_that_waits_when_the_journal_fails_is_answered_at_once() {
    let bench = Bench::holding().await;
    let failing = async {
        bench.wait_for(|seen| !seen.submitted.is_empty()).await;
        bench.handle.jobs().note_journal_failed("the disk is gone");
    };
    let task = task().level(Level::Disk).name("kept");
    let (refused, ()) = tokio::join!(timeout(DEADLINE, bench.mesh.submit(&task, ["a"])), failing);
    let refused = refused.unwrap().unwrap_err().to_string();
    assert!(refused.contains("the disk is gone") && refused.contains("after the next start"), "{refused}");
    assert!(bench.seen.borrow().cancelled.is_empty(), "its records may be on the disk");
}

/// Inputs that come when they are sent.
fn sent_inputs() -> (mpsc::Sender<Input>, impl futures::Stream<Item = Input> + Send) {
    let (send, inputs) = mpsc::channel(4);
    (send, stream::unfold(inputs, async |mut inputs| Some((inputs.recv().await?, inputs))))
}

#[tokio::test]
async fn a_map_whose_inputs_are_refused_takes_no_more_and_ends_with_that_error() {
    let bench = Bench::start().await;
    let (send, inputs) = sent_inputs();
    send.try_send(Input::from("a")).unwrap();
    let mut results = bench.mesh.map(&task(), inputs).await.unwrap();
    assert_eq!(timeout(DEADLINE, results.next()).await.unwrap().unwrap().unwrap().index, 0);
    let job = bench.seen.borrow().submitted[0];
    let reason = weft_core::Refusal::DiskLow;
    bench.handle.jobs().record(Event::ExtensionRefused { job, tasks: 0, reason });
    // The disk has room again: this input would be given the place of one that was refused.
    let _refused_too = send.try_send(Input::from("c"));
    let ended = timeout(DEADLINE, results.next()).await.unwrap().unwrap().unwrap_err();
    let text = ended.to_string();
    assert!(text.contains("were not taken"), "{text}");
    assert_eq!((bench.settled().await, results.next().await.is_none()), (1, true));
    assert!(bench.handle.jobs().summary(job).unwrap().ended, "its engine is told that no more come");
}

#[tokio::test]
async fn a_submission_of_which_inputs_are_refused_is_refused() {
    let bench = Bench::start().await;
    for is_over in [true, false] {
        let (send, inputs) = sent_inputs();
        send.try_send(Input::from("a")).unwrap();
        let refusing = async {
            let jobs = bench.seen.borrow().submitted.len();
            let seen = bench.wait_for(|seen| seen.submitted.len() > jobs).await;
            let job = seen.submitted[jobs];
            poll_tasks(&bench, job, 1).await;
            let reason = weft_core::Refusal::DiskLow;
            bench.handle.jobs().record(if is_over {
                Event::JobEnded { job }
            } else {
                Event::ExtensionRefused { job, tasks: 0, reason }
            });
            send.try_send(Input::from("b")).unwrap();
        };
        let task = task();
        let (refused, ()) =
            tokio::join!(timeout(DEADLINE, bench.mesh.submit_stream(&task, inputs)), refusing);
        let text = refused.unwrap().unwrap_err().to_string();
        let reason = if is_over { "ended before all of its inputs came" } else { "were not taken" };
        assert!(text.contains(reason), "{text}");
    }
}

/// Waits until that many tasks of a job have ended.
async fn poll_tasks(bench: &Bench, job: JobId, least: u32) {
    let jobs = bench.handle.jobs();
    let ended = async {
        while jobs.summary(job).is_none_or(|summary| summary.done < least) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, ended).await.unwrap();
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn jobs_are_found_and_forgotten() {
    let bench = Bench::start().await;
    for (name, team) in [("first", "fonts"), ("second", "fonts"), ("third", "maps")] {
        let job = bench.mesh.submit(&task().name(name).label("team", team), ["x"]).await.unwrap();
        let ended = timeout(DEADLINE, job.wait()).await.unwrap().unwrap();
        // Jobs of one millisecond are in the order of their ids.
        while now_ms() <= ended.submitted_ms {
            tokio::task::yield_now().await;
        }
    }
    let names = |jobs: Vec<wire::Job>| jobs.into_iter().map(|job| job.name).collect::<Vec<_>>();
    let labels = vec![("team".into(), "fonts".into())];
    let fonts = JobFilter { labels, states: vec![JobState::Done], ..JobFilter::default() };
    assert_eq!(names(bench.mesh.list(&fonts).await.unwrap()), ["first", "second"]);
    let last = bench.mesh.list(&JobFilter { limit: Some(1), ..fonts.clone() }).await.unwrap();
    let before = last.first().map(wire::Position::of);
    assert_eq!(names(last), ["second"]);
    let page = bench.mesh.list(&JobFilter { before, limit: Some(1), ..fonts }).await.unwrap();
    assert_eq!(names(page), ["first"]);
    assert_eq!(names(bench.mesh.jobs().await.unwrap()), ["first", "second", "third"]);
    let refused =
        bench.mesh.list(&JobFilter { limit: Some(1001), ..JobFilter::default() }).await.unwrap_err();
    assert!(refused.to_string().contains("1 to 1000"), "{refused}");

    bench.mesh.forget("second").await.unwrap();
    assert!(matches!(bench.mesh.job("second").await, Err(Error::NotFound { .. })));
    let odd = "100% größe & more?";
    let job = bench.mesh.submit(&task().name(odd), ["x"]).await.unwrap();
    assert_eq!(bench.mesh.attach(odd).await.unwrap().id(), job.id());
    let refused = bench.mesh.submit(&task().name("cafe"), ["x"]).await.unwrap_err();
    assert!(refused.to_string().contains("looks like an id"), "{refused}");
    let holding = Bench::holding().await;
    let job = holding.mesh.submit(&task(), ["x"]).await.unwrap();
    for refused in [job.retry().await, job.forget().await] {
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_cancelled_job_ends() {
    let bench = Bench::holding().await;
    let mut results = bench.mesh.map_iter(&task(), ["a", "b"]).await.unwrap();
    bench.wait_for(|seen| seen.tasks == 2).await;
    results.cancel().await.unwrap();
    for _ in 0..2 {
        let result = timeout(DEADLINE, results.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(result.outcome, Outcome::Cancelled);
    }
    assert!(timeout(DEADLINE, results.next()).await.unwrap().is_none());
    assert!(bench.mesh.job(results.job()).await.unwrap().cancelled_by_user);
}

#[tokio::test]
async fn a_job_whose_submitter_is_gone_is_cancelled() {
    let bench = Bench::holding().await;
    let results = bench.mesh.map_iter(&task(), ["a", "b"]).await.unwrap();
    let job = results.job().to_owned();
    bench.wait_for(|seen| seen.tasks == 2).await;
    drop(results);
    let seen = bench.wait_for(|seen| !seen.cancelled.is_empty()).await;
    assert_eq!(seen.cancelled[0].to_string(), job);
}

#[tokio::test]
async fn an_input_that_cannot_be_read_ends_a_job_whose_results_nobody_takes() {
    let bench = Bench::holding().await;
    let inputs = [Input::from("fine"), Input::file("/no/such/file")];
    let failed = timeout(DEADLINE, bench.mesh.submit(&task(), inputs)).await.unwrap().unwrap_err();
    assert!(matches!(failed, Error::File { .. }), "{failed}");
    bench.wait_for(|seen| seen.programs.len() == seen.cancelled.len()).await;
}
