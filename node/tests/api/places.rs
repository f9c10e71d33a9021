//! Places for connections and uploads: who waits, and who is kept out.

use std::sync::Arc;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weft_client::{Input, Mesh, Outcome};
use weft_node::api;

use super::bench::{Bench, DEADLINE, task};

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let bench = Bench::start().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(&bench.address).await.unwrap());
    }
    assert_eq!(timeout(DEADLINE, bench.mesh.status()).await.unwrap().unwrap().name, "echo");
    let fresh = Mesh::connect_in(bench.dir.path()).await.unwrap();
    assert_eq!(timeout(DEADLINE, fresh.jobs()).await.unwrap().unwrap(), []);
    // The oldest of them was closed for the later ones, and one that has the token was not.
    let closed = timeout(DEADLINE, silent[0].read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    bench.mesh.status().await.unwrap();
}

#[tokio::test]
async fn clients_that_wait_leave_room_to_look_and_to_cancel() {
    let bench = Bench::holding().await;
    let mut waiting = Vec::new();
    for _ in 0..300 {
        let mesh = Mesh::connect_in(bench.dir.path()).await.unwrap();
        waiting.push(timeout(DEADLINE, mesh.map_iter(&task(), ["x"])).await.unwrap().unwrap());
    }
    let fresh = Mesh::connect_in(bench.dir.path()).await.unwrap();
    assert_eq!(timeout(DEADLINE, fresh.jobs()).await.unwrap().unwrap().len(), 300);
    timeout(DEADLINE, fresh.status()).await.unwrap().unwrap();
    timeout(DEADLINE, fresh.cancel(waiting[0].job())).await.unwrap().unwrap();
    let ended = timeout(DEADLINE, waiting[0].next()).await.unwrap().unwrap().unwrap();
    assert_eq!(ended.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let listener = api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let _published = api::publish(dir.path(), &listener).unwrap();
    // The kernel takes its connections, and they are not read.
    let mesh = Mesh::connect_in(dir.path()).await.unwrap();
    let error = timeout(DEADLINE, mesh.status()).await.expect("the client gives up by itself").unwrap_err();
    assert!(error.to_string().contains("no answer within 20 s"), "{error}");
}

#[tokio::test]
async fn slow_uploads_wait_for_each_other_and_none_is_refused() {
    let bench = Bench::start().await;
    let Bench { address, token, .. } = &bench;
    let head = format!(
        "PUT /v1/blobs HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-length: 20000\r\n\r\n"
    );
    let mut uploads = Vec::new();
    for number in 0..260_u32 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&number.to_le_bytes().repeat(2500)).await.unwrap();
        uploads.push((number, stream));
    }
    timeout(DEADLINE, bench.mesh.status()).await.unwrap().unwrap();
    for (number, mut stream) in uploads {
        stream.write_all(&number.to_le_bytes().repeat(2500)).await.unwrap();
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{number}: {answer}");
    }
}

/// An upload may wait for minutes; the result of a task, which is a download, must not wait for that.
#[tokio::test]
async fn uploads_that_wait_take_no_place_of_a_download() {
    let bench = Bench::start().await;
    let blob = bench.mesh.put_blob("the result").await.unwrap();
    let Bench { address, token, .. } = &bench;
    let head = format!(
        "PUT /v1/blobs HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-length: 9\r\n\r\n"
    );
    // None of them ends. So the first answer is that to one for which there is no place.
    let mut uploads = JoinSet::new();
    for _ in 0..800 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        uploads.spawn(async move {
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            (answer, stream)
        });
    }
    let (answer, _) = timeout(DEADLINE, uploads.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    let got = timeout(DEADLINE, bench.mesh.get_blob(&blob.id)).await.unwrap().unwrap();
    assert_eq!(got, "the result");
    // One that sends all of its body before it reads learns why it was refused, not that the connection broke.
    let long = format!("{}{}", head.replace("length: 9\r", "length: 4000000\r"), "x".repeat(4_000_000));
    let answer = bench.raw(&long).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("at most"), "{answer}");
}

#[expect(clippy::disallowed_methods, reason = "the runtime of this test ends with it")]
#[tokio::test]
async fn a_node_without_room_for_a_blob_is_asked_again_and_gets_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let listener = api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let _published = api::publish(dir.path(), &listener).unwrap();
    let bytes: Vec<u8> = (0..9 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let id = blake3::hash(&bytes).to_hex().to_string();
    let file = dir.path().join("big");
    std::fs::write(&file, &bytes).unwrap();
    // It refuses every other request before it has read the body, which it drops.
    let busy = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (asked, kept) = (Arc::clone(&busy), bytes.clone());
    let answer = move |request: hyper::Request<hyper::body::Incoming>| {
        let (number, kept) = (asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed), kept.clone());
        async move {
            let answer = |status: u16, body: Vec<u8>| {
                let body = http_body_util::Full::new(bytes::Bytes::from(body));
                Ok::<_, hyper::Error>(hyper::Response::builder().status(status).body(body).unwrap())
            };
            if number % 2 == 0 {
                tokio::spawn(http_body_util::BodyExt::collect(request.into_body()));
                return answer(503, br#"{"error": "no room"}"#.to_vec());
            }
            if request.method() == hyper::Method::GET {
                return answer(200, kept);
            }
            let body = http_body_util::BodyExt::collect(request.into_body()).await?.to_bytes();
            let id = blake3::hash(&body).to_hex();
            answer(201, format!(r#"{{"id": "{id}", "bytes": {}}}"#, body.len()).into_bytes())
        }
    };
    let mut served = JoinSet::new();
    served.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let http = hyper::server::conn::http1::Builder::new();
            let service = hyper::service::service_fn(answer.clone());
            tokio::spawn(http.serve_connection(hyper_util::rt::TokioIo::new(stream), service));
        }
    });
    let mesh = Mesh::connect_in(dir.path()).await.unwrap();
    let put = timeout(DEADLINE, mesh.put_blob_file(&file)).await.unwrap().unwrap();
    assert_eq!((put.id.as_str(), put.bytes), (id.as_str(), 9 << 20));
    let part = weft_client::FilePart::new(Arc::new(std::fs::File::open(&file).unwrap()), "part", 0, 9 << 20);
    assert_eq!(timeout(DEADLINE, mesh.put_blob_of(Input::Part(part))).await.unwrap().unwrap(), put);
    assert!(timeout(DEADLINE, mesh.get_blob(&id)).await.unwrap().unwrap() == bytes);
    assert_eq!(busy.load(std::sync::atomic::Ordering::Relaxed), 6, "each was asked twice");
}
