//! Results of a kept job as they come and as they are read afterwards: from memory and from the journal, the same.

use std::future::poll_fn;

use weft_core::input::Submission;
use weft_core::{Entry, Level, Outcome, Payload, Program};

use super::kept::{JOB, Life, meta, with_settings};
use super::*;
use crate::jobs::{JobSummary, Portion, TaskEnd};

const ECHO: &[u8] = include_bytes!("../../../../wasm-tasks/echo.wasm");
const TASKS: u32 = 300;
/// Small ones, so that there are several, some of which end amid a record.
const PORTION: Portion = Portion { results_max: 7, bytes: usize::MAX };

/// Hands in a job of tasks that call this function.
async fn submit(handle: &NodeHandle, function: &str, closed: bool) {
    let module = handle.store().put(ECHO).unwrap();
    let entry = Entry::Function(function.into());
    let program = Program { entry, ..Program::command(module, ECHO.len() as u64) };
    let inputs: Vec<_> = (0..TASKS).map(|n| Payload::inline(format!("input {n}").as_bytes())).collect();
    handle.jobs().create(JOB, meta(module, Level::Disk)).unwrap();
    handle.jobs().submitted(JOB, &inputs);
    if closed {
        handle.jobs().close(JOB);
    }
    let spec = Submission::new(JOB, Arc::new(program), inputs);
    let submission = Submission { level: Level::Disk, closed, ..spec };
    handle.command(Command::Submit(submission)).await.unwrap();
    handle.accepted(JOB).await.unwrap();
}

/// Reads to the end of the job as ends are told, all of them from memory.
async fn from_memory(handle: &NodeHandle, from: u64) -> (Vec<TaskEnd>, JobSummary) {
    let (mut all, mut next) = (Vec::new(), from);
    loop {
        poll_fn(|cx| handle.jobs().poll_told(cx, JOB, next)).await.unwrap();
        let told = handle.jobs().summary(JOB).unwrap().told;
        if told == next {
            return (all, handle.results(JOB, next, PORTION).await.unwrap().end.unwrap());
        }
        let part = handle.jobs().results(JOB, next, PORTION).expect("it was told a moment ago");
        next = part.next;
        all.extend(part.ends);
    }
}

/// Reads to the end of the job in the journal.
async fn from_the_journal(handle: &NodeHandle, from: u64) -> (Vec<TaskEnd>, JobSummary) {
    let (mut all, mut next) = (Vec::new(), from);
    loop {
        assert_eq!(handle.jobs().results(JOB, next, PORTION), None);
        let part = handle.results(JOB, next, PORTION).await.unwrap();
        next = part.next;
        all.extend(part.ends);
        if let Some(end) = part.end {
            return (all, end);
        }
    }
}

#[test]
fn results_are_the_same_as_they_come_and_afterwards_also_of_what_is_tried_again() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        let handle = &life.handle;
        let listener = handle.listen(JOB);
        submit(handle, "fail", true).await;
        let (early, ended) = from_memory(handle, 0).await;
        drop(listener);
        let (late, end) = from_the_journal(handle, 0).await;
        assert_eq!((early.len(), &early), (TASKS as usize, &late));
        assert!(early.iter().zip(0..).all(|(end, number)| end.number == Some(number)));
        assert_eq!((ended.told, ended.failed), (end.told, TASKS));
        let listener = handle.listen(JOB);
        handle.retry(JOB).await.unwrap();
        let (early, _) = from_memory(handle, u64::from(TASKS)).await;
        drop(listener);
        let (late, _) = from_the_journal(handle, 0).await;
        assert_eq!((early.len(), early), (TASKS as usize, late), "what was tried again is left out");
        life.end().await;
    });
}

#[test]
fn results_that_were_told_before_a_client_came_are_read_in_the_journal_and_then_as_they_come() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        let handle = &life.handle;
        submit(handle, "upper", false).await;
        poll_fn(|cx| handle.jobs().poll_told(cx, JOB, u64::from(TASKS) - 1)).await.unwrap();
        let listener = handle.listen(JOB);
        assert_eq!(handle.jobs().results(JOB, 0, PORTION), None, "nothing was kept for it");
        let inputs = vec![Payload::inline(b"one more"); 2];
        handle.jobs().submitted(JOB, &inputs);
        handle.command(Command::Extend { job: JOB, inputs }).await.unwrap();
        handle.jobs().close(JOB);
        handle.command(Command::Close { job: JOB }).await.unwrap();
        let (mut all, mut next) = (Vec::new(), 0);
        let end = loop {
            let part = handle.results(JOB, next, PORTION).await.unwrap();
            next = part.next;
            all.extend(part.ends);
            if let Some(end) = part.end {
                break end;
            }
        };
        let last = u64::from(TASKS) + 1;
        let again = handle.results_now(JOB, last, PORTION).await.unwrap();
        assert_eq!(again.ends.as_slice(), all.get(TASKS as usize + 1..).unwrap());
        drop(listener);
        let (late, _) = from_the_journal(handle, 0).await;
        assert_eq!((all.len() as u64, end.told, all), (end.told, u64::from(TASKS) + 2, late));
        life.end().await;
    });
}

#[test]
fn what_ends_with_its_job_is_told_the_same() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        let handle = &life.handle;
        let listener = handle.listen(JOB);
        submit(handle, "no such function", false).await;
        handle.cancel(JOB).await.unwrap();
        let (early, _) = from_memory(handle, 0).await;
        drop(listener);
        let (late, end) = from_the_journal(handle, 0).await;
        assert!(early.iter().any(|end| end.report.outcome == Outcome::Cancelled));
        assert_eq!((early.len(), early, end.cancelled_by_user), (TASKS as usize, late, true));
        life.end().await;
    });
}
