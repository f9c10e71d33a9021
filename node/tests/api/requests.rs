//! Requests as they are: names, rights, garbage, JSON, blobs, the status.

use weft_client::{Error, Mesh, Module, Output, Task, api as wire, frames};

use super::bench::{Bench, task};

#[tokio::test]
async fn unknown_names_are_not_found() {
    let bench = Bench::start().await;
    for name in ["0123456789abcdef", "0123", "../status", ""] {
        assert!(matches!(bench.mesh.job(name).await, Err(Error::NotFound { .. })), "{name}");
    }
    assert!(matches!(bench.mesh.cancel("0123").await, Err(Error::NotFound { .. })));
    let blob = "ab".repeat(32);
    assert!(matches!(bench.mesh.get_blob(&blob).await, Err(Error::NotFound { .. })));
    let missing = Task::command(Module::blob(blob));
    assert!(matches!(bench.mesh.run(&missing, "").await, Err(Error::NotFound { what: "module", .. })));
    let Bench { address, token, .. } = &bench;
    let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    let answer = bench.raw(&format!("GET /v1/jobs/zz HTTP/1.1\r\n{head}")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("{\"error\":\"no job zz\""), "{answer}");
}

#[tokio::test]
async fn strangers_are_refused() {
    let bench = Bench::start().await;
    let Bench { address, token, .. } = &bench;
    let cases = [
        ("401", format!("host: {address}\r\nauthorization: Bearer {}\r\n", "0".repeat(64))),
        ("401", format!("host: {address}\r\n")),
        ("403", format!("host: evil.example\r\nauthorization: Bearer {token}\r\n")),
        (
            "403",
            format!("host: {address}\r\norigin: http://evil.example\r\nauthorization: Bearer {token}\r\n"),
        ),
        ("200", format!("host: {address}\r\norigin: http://{address}\r\nauthorization: Bearer {token}\r\n")),
    ];
    for (status, headers) in cases {
        let answer =
            bench.raw(&format!("GET /v1/status HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers} {answer}");
    }
    let path = bench.dir.path().join("other");
    std::fs::create_dir(&path).unwrap();
    let endpoint = wire::Endpoint { address: address.clone(), token: "0".repeat(64), pid: 1 };
    std::fs::write(path.join("api.json"), serde_json::to_vec(&endpoint).unwrap()).unwrap();
    let stranger = Mesh::connect_in(&path).await.unwrap();
    assert!(matches!(stranger.status().await, Err(Error::Unauthorized { .. })));
    let nowhere = Mesh::connect_in(&path.join("none")).await.unwrap_err();
    assert!(nowhere.to_string().contains("start one with `weft node --data-dir"), "{nowhere}");
}

#[tokio::test]
async fn garbage_frames_are_refused() {
    let bench = Bench::start().await;
    for body in ["\u{1}\0\0\0\u{7f}", "garbage!", "\0\0\0", ""] {
        let answer = bench.raw_post("/v1/jobs", frames::CONTENT_TYPE, body).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{body:?} {answer}");
    }
    let answer = bench.raw_post("/v1/jobs", "text/plain", "x").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    assert!(bench.seen.borrow().programs.is_empty(), "nothing of it reached the node");
}

#[tokio::test]
async fn blobs_go_and_come() {
    let bench = Bench::start().await;
    let bytes: Vec<u8> = (0..20 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let file = bench.dir.path().join("big");
    std::fs::write(&file, &bytes).unwrap();
    let blob = bench.mesh.put_blob_file(&file).await.unwrap();
    assert_eq!((blob.bytes, blob.id.as_str()), (20 << 20, blake3::hash(&bytes).to_hex().as_str()));
    assert!(bench.mesh.has_blob(&blob.id).await.unwrap());
    assert!(bench.mesh.get_blob(&blob.id).await.unwrap() == bytes);
    assert_eq!(bench.mesh.put_blob(bytes.clone()).await.unwrap(), blob);
    // A long input travels as a blob, and its echo comes back as one.
    let long = bytes[..100_000].to_vec();
    let result = bench.mesh.run(&task(), long.clone()).await.unwrap();
    assert!(matches!(result.output, Output::Blob { bytes: 100_000, .. }));
    assert!(result.output_bytes(&bench.mesh).await.unwrap() == long);
    let missing = bench.mesh.put_blob_file(&bench.dir.path().join("none")).await;
    assert!(matches!(missing, Err(Error::File { .. })));
}

#[tokio::test]
async fn json_in_and_lines_out() {
    let bench = Bench::start().await;
    let body = r#"{"wasm_base64": "AGFzbQ==", "function": "f", "limits": {"wall_ms": 9}, "needs": {"gpu": "yes"},
        "class": "interactive", "inputs": ["text", {"base64": "/w=="}]}"#;
    let answer = bench.raw_post("/v1/jobs", "application/json", body).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let lines: Vec<wire::ResultLine> = answer
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{answer}");
    assert_eq!((lines[0].outcome.as_str(), lines[0].exit_code), ("done", Some(0)));
    assert_eq!(lines[0].output, wire::Value::Text(String::from("text")));
    assert_eq!(lines[1].output, wire::Value::Base64 { base64: String::from("/w==") });

    for wrong in ["{", r#"{"inputs": []}"#, r#"{"wasm_base64": "AA==", "inputs": [], "no": 1}"#] {
        let answer = bench.raw_post("/v1/jobs", "application/json", wrong).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{wrong} {answer}");
    }
}

#[tokio::test]
async fn the_node_says_how_things_stand() {
    let bench = Bench::holding().await;
    assert_eq!(bench.mesh.status().await.unwrap().name, "echo");
    assert_eq!(bench.mesh.peers().await.unwrap(), []);
    let results = bench.mesh.map_iter(&task(), ["a"]).await.unwrap();
    bench.wait_for(|seen| seen.tasks == 1).await;
    let why = bench.mesh.why(results.job().get(..10).unwrap(), None).await.unwrap();
    assert_eq!((why.index, why.task), (0, wire::TaskState::Queued { before: 3 }));
    assert_eq!(
        (why.responses[0].name.as_str(), &why.responses[0].response),
        ("echo", &wire::Response::Bid { slots: 2 })
    );
    let beyond = bench.mesh.why(results.job(), Some(9)).await.unwrap_err().to_string();
    assert!(beyond.contains("no task 9 in job") && beyond.contains("it has 1, counted from 0"), "{beyond}");
    let Bench { address, token, .. } = &bench;
    let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    let answer = bench.raw(&format!("GET /metrics HTTP/1.1\r\n{head}")).await;
    assert!(answer.contains("\nweft_calls_total 0\n"), "{answer}");
}

#[tokio::test]
async fn a_blob_that_another_program_removed_is_told_of_until_it_is_here_again() {
    let bench = Bench::start().await;
    let (store, needed) = (bench.handle.store(), vec![7; 3 << 20]);
    let blob = store.put(&needed).unwrap();
    store.pin(blob);
    std::fs::remove_dir_all(bench.dir.path().join("blobs")).unwrap();
    assert!(store.open_read(blob).unwrap().is_none());
    let vanished = async || bench.mesh.status().await.unwrap().store.vanished;
    assert_eq!(vanished().await, 1);
    // What succeeds afterwards does not hide it.
    bench.mesh.put_blob(b"another".as_slice()).await.unwrap();
    bench.handle.info().store_fault.set(None);
    assert_eq!(vanished().await, 1);
    store.put(&needed).unwrap();
    assert_eq!(vanished().await, 0);
}

#[tokio::test]
async fn what_another_program_removed_is_sent_again() {
    let bench = Bench::start().await;
    let bytes = vec![9; 200_000];
    let blob = bench.mesh.put_blob(bytes.clone()).await.unwrap();
    std::fs::remove_dir_all(bench.dir.path().join("blobs")).unwrap();
    assert_eq!(bench.mesh.put_blob(bytes.clone()).await.unwrap(), blob);
    assert_eq!(bench.mesh.get_blob(&blob.id).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_json_job_has_files_profile_and_limits() {
    let bench = Bench::start().await;
    let blob = bench.mesh.put_blob("from the store").await.unwrap().id;
    let body = format!(
        r#"{{"wasm_base64": "AGFzbQ==", "profile": "portable", "memo": false, "limits": {{"files": 3, "files_bytes": 4}},
        "inputs": ["x"], "files": [{{"path": "a", "text": "one"}}, {{"path": "/in/d/b", "base64": "/w=="}},
        {{"path": "c", "blob": "{blob}"}}]}}"#
    );
    let answer = bench.raw_post("/v1/jobs", "application/json", &body).await;
    let line: wire::ResultLine =
        serde_json::from_str(answer.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    assert!(!line.memo && line.receipt.is_none());
    let program = bench.wait_for(|seen| seen.programs.len() == 1).await.programs[0].clone();
    assert_eq!(program.profile, weft_core::Profile::Portable);
    assert_eq!((program.limits.files, program.limits.files_bytes), (3, 4));
    let weft_core::Payload::Inline(tar) = program.files else { panic!("it is short") };
    let files = weft_client::Files::parse(&tar.to_vec().into()).unwrap();
    let seen: Vec<(&str, &[u8])> = files.iter().map(|file| (file.path.as_str(), &file.bytes[..])).collect();
    assert_eq!(seen, [("a", b"one".as_slice()), ("c", b"from the store"), ("d/b", b"\xff")]);
    for wrong in
        [r#"{"path": "../a", "text": ""}"#, r#"{"path": "a"}"#, r#"{"path": "a", "text": "", "blob": ""}"#]
    {
        let body = format!(r#"{{"wasm_base64": "AGFzbQ==", "inputs": [], "files": [{wrong}]}}"#);
        let answer = bench.raw_post("/v1/jobs", "application/json", &body).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{wrong}: {answer}");
    }
}

#[tokio::test]
async fn a_module_may_come_as_text() {
    let bench = Bench::start().await;
    let blob = bench.mesh.put_blob(" (module)").await.unwrap().id;
    for module in
        [r#""wat": "(module)""#, r#""wasm_base64": "KG1vZHVsZSk=""#, &format!(r#""module": "{blob}""#)]
    {
        let answer = bench
            .raw_post("/v1/jobs", "application/json", &format!(r#"{{{module}, "inputs": ["x"]}}"#))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{module} {answer}");
    }
    let programs = bench.wait_for(|seen| seen.programs.len() == 3).await.programs;
    assert!(programs.iter().all(|program| program.module == programs[0].module && program.module_bytes == 8));
    let answer =
        bench.raw_post("/v1/jobs", "application/json", r#"{"wat": "(module\n (funk))", "inputs": []}"#).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("the module's text, 2:3: "), "{answer}");
}

#[tokio::test]
async fn a_head_of_more_than_it_may_have_is_refused() {
    let bench = Bench::start().await;
    let Bench { address, token, .. } = &bench;
    for (length, status) in [(60 << 10, "200"), (70 << 10, "431"), (200 << 10, "431")] {
        let long = "x".repeat(length);
        let head = format!(
            "host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\nx: {long}\r\n\r\n"
        );
        let answer = bench.raw(&format!("GET /v1/status HTTP/1.1\r\n{head}")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{length}: {}",
            answer.lines().next().unwrap()
        );
    }
}
