//! Tasks, their inputs, files and what they print.

use std::time::Duration;

use futures::StreamExt;
use weft_client::{Error, Existing, Input, Parcel, Told};

use super::bench::{Bench, task};

#[tokio::test]
async fn a_task_runs() {
    let bench = Bench::start().await;
    let task = task().arg("-v").env("A", "b").timeout(Duration::from_secs(2)).memory_bytes(1 << 20);
    for text in ["hello", ""] {
        let result = bench.mesh.run(&task, text).await.unwrap().into_done().unwrap();
        assert_eq!(result.output_bytes(&bench.mesh).await.unwrap(), text.as_bytes());
        assert_eq!((result.index, result.attempts, result.exit_code()), (0, 1, Some(0)));
        assert_eq!(result.worker.as_deref(), Some("07".repeat(32).as_str()));
    }
    let program = bench.wait_for(|seen| seen.programs.len() == 2).await.programs[1].clone();
    assert_eq!(program.module_bytes, 34);
    assert_eq!((program.args, program.env), (vec!["-v".into()], vec![("A".into(), "b".into())]));
    assert_eq!((program.limits.wall_ms, program.limits.memory_bytes), (2000, 1 << 20));
}

#[tokio::test]
async fn files_go_in_and_come_back() {
    let bench = Bench::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    // One archive that travels in the frame, and one that is uploaded.
    for length in [10, 100_000] {
        std::fs::write(dir.path().join("d/a"), vec![b'a'; length]).unwrap();
        let task = task().file(dir.path().join("d")).file_bytes("/in/b", "bee");
        for _ in 0..2 {
            let result = bench.mesh.run(&task, "").await.unwrap();
            let files = result.files(&bench.mesh).await.unwrap();
            let seen: Vec<(&str, usize)> =
                files.iter().map(|file| (file.path.as_str(), file.bytes.len())).collect();
            assert_eq!(seen, [("b", 3), ("d/a", length)]);
            let out = dir.path().join(format!("out-{length}"));
            assert_eq!(result.unpack(&bench.mesh, &out, Existing::Replace).await.unwrap(), 2);
            assert_eq!(std::fs::read(out.join("b")).unwrap(), b"bee");
        }
    }
    let none = bench.mesh.run(&task(), "").await.unwrap();
    assert!(none.files(&bench.mesh).await.unwrap().is_empty());
    let task = task().file(dir.path().join("missing"));
    assert!(matches!(bench.mesh.run(&task, "").await.unwrap_err(), Error::File { .. }));
}

#[tokio::test]
async fn an_archive_that_the_node_lacks_is_refused() {
    let bench = Bench::start().await;
    let task = task().files_archive(Input::Blob { id: "0".repeat(64), bytes: 512 });
    let error = bench.mesh.run(&task, "").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let short = bench.mesh.put_blob("short").await.unwrap();
    let task = self::task().files_archive(Input::Blob { id: short.id, bytes: 512 });
    let error = bench.mesh.run(&task, "").await.unwrap_err();
    assert!(error.to_string().contains("expected 5 bytes"), "{error}");
}

#[tokio::test]
async fn an_input_that_cant_be_had_costs_its_own_task_only() {
    let bench = Bench::start().await;
    let missing = || Input::Missing { reason: String::from("it is gone") };
    let inputs = [Input::from("a"), Input::file("/nonexistent/x"), missing(), Input::from("b"), missing()];
    let results = bench.mesh.map_iter(&task(), inputs).await.unwrap();
    let mut results: Vec<_> = results.map(Result::unwrap).collect().await;
    results.sort_by_key(|result| result.index);
    let words: Vec<String> = results.iter().map(|result| result.outcome.to_string()).collect();
    assert_eq!(words.len(), 5);
    assert!(results[0].is_done() && results[3].is_done(), "{words:?}");
    assert_eq!(results[3].output_bytes(&bench.mesh).await.unwrap(), "b");
    assert!(words[1].contains("cannot read /nonexistent/x") && words[2].contains("it is gone"), "{words:?}");
}

#[tokio::test]
async fn a_task_that_takes_parcels_gets_them_and_no_other_does() {
    let bench = Bench::start().await;
    let error = bench.mesh.run(&task(), Parcel::new("x")).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains("Task::parcels"), "{error}");
    let parcels = task().parcels();
    for input in [Input::from("x"), Parcel::new("x").into()] {
        let output = bench.mesh.run(&parcels, input).await.unwrap().output_bytes(&bench.mesh).await.unwrap();
        assert!(output.starts_with(b"x") && output.ends_with(b"weftprc1"), "{output:?}");
    }
    let seen = bench.wait_for(|seen| seen.programs.len() >= 2).await;
    assert!(seen.programs.iter().all(|program| program.entry == weft_core::Entry::Parcel));
}

#[tokio::test]
async fn what_a_task_prints_is_told_before_its_result_where_it_is_asked_for() {
    let bench = Bench::start().await;
    let mut told = bench.mesh.map_iter(&task().streamed(), ["x"]).await.unwrap();
    let Some(Ok(Told::Printed(printed))) = told.next_told().await else {
        panic!("expected what was printed")
    };
    assert_eq!((printed.offset, &printed.bytes[..]), (0, b"working".as_slice()));
    assert!(matches!(told.next_told().await, Some(Ok(Told::Ended(_)))));
    assert!(told.next_told().await.is_none());
    let mut plain = bench.mesh.map_iter(&task(), ["x"]).await.unwrap();
    assert!(matches!(plain.next_told().await, Some(Ok(Told::Ended(_)))));
}
