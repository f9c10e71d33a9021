//! Requests of one member to another.

#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

mod common;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use common::{Node, duo, eventually, story};
use futures::{StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};
use weft_net::{
    ASK_STALL, ApiBody, ApiHead, ApiReply, ApiRequest, AskError, Asked, REQUEST_BODY_BYTES_MAX, peer_id_of,
};

/// Bounds of the answerer, as `docs/limits.md` has them.
const ANSWERS_A_PEER_MAX: usize = 64;

fn get(target: &str) -> ApiRequest {
    ApiRequest { method: String::from("GET"), target: target.to_owned(), ..ApiRequest::default() }
}

fn head(status: u16) -> ApiHead {
    ApiHead { status, headers: vec![(String::from("content-type"), String::from("text/plain"))] }
}

fn body_of(bytes: &'static [u8]) -> ApiBody {
    Box::pin(stream::iter([Ok(Bytes::from_static(bytes))]))
}

/// Answers each request of a node by `answer`, until the node is dropped.
fn serve(node: &mut Node, mut answer: impl FnMut(Asked) + 'static) {
    let mut asked = node.net.asked().unwrap();
    assert!(node.net.asked().is_none());
    tokio::task::spawn_local(async move {
        while let Some(question) = asked.recv().await {
            answer(question);
        }
    });
}

fn echo(question: Asked) {
    let Asked { from, request, reply } = question;
    let text = format!("{from} {} {} {}", request.method, request.target, request.accept);
    let body: ApiBody = Box::pin(stream::iter([Ok(Bytes::from(text)), Ok(Bytes::from(request.body))]));
    drop(reply.send(ApiReply { head: head(200), body }));
}

#[test]
fn a_request_is_answered_and_the_answerer_knows_who_asked() {
    story(async {
        let (mut alice, bob) = duo().await;
        serve(&mut alice, echo);
        let body = vec![7; REQUEST_BODY_BYTES_MAX];
        let request =
            ApiRequest { accept: String::from("x/y"), body: body.clone(), ..get("/v1/jobs/a?from=1") };
        let answer = bob.net.asker().ask(alice.id, &request).await.unwrap();
        assert_eq!(answer.head, head(200));
        let whole = answer.whole(2 * REQUEST_BODY_BYTES_MAX).await.unwrap();
        let expected = [format!("{} GET /v1/jobs/a?from=1 x/y", bob.id).into_bytes(), body].concat();
        assert!(whole == expected, "what came back is what was sent");
        // No more than the asker wants is kept.
        let answer = bob.net.asker().ask(alice.id, &request).await.unwrap();
        assert!(matches!(answer.whole(1000).await, Err(AskError::Broken(_))));
        // Longer than may be: it is not even sent.
        let long = ApiRequest { body: vec![0; REQUEST_BODY_BYTES_MAX + (64 << 10)], ..get("/") };
        assert!(matches!(bob.net.asker().ask(alice.id, &long).await, Err(AskError::Broken(_))));
    });
}

#[test]
fn a_body_comes_as_it_is_made_and_a_quiet_one_is_waited_for() {
    story(async {
        let (mut alice, bob) = duo().await;
        let (parts, taken) = mpsc::channel::<io::Result<Bytes>>(4);
        let mut taken = Some(taken);
        serve(&mut alice, move |question| {
            let parts =
                stream::unfold(taken.take().unwrap(), async |mut parts| Some((parts.recv().await?, parts)));
            drop(question.reply.send(ApiReply { head: head(200), body: Box::pin(parts) }));
        });
        let mut answer = bob.net.asker().ask(alice.id, &get("/")).await.unwrap();
        parts.send(Ok(Bytes::from_static(b"one"))).await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), &b"one"[..]);
        // Longer than an answerer may be silent.
        let quiet = async {
            tokio::time::sleep(ASK_STALL + Duration::from_secs(2)).await;
            parts.send(Ok(Bytes::from(vec![2; 200_000]))).await.unwrap();
        };
        let (chunk, ()) = tokio::join!(answer.chunk(), quiet);
        let mut length = chunk.unwrap().unwrap().len();
        while length < 200_000 {
            length += answer.chunk().await.unwrap().unwrap().len();
        }
        assert_eq!(length, 200_000);
        // A body that breaks off is not taken for a whole one.
        parts.send(Err(io::ErrorKind::Other.into())).await.unwrap();
        assert!(matches!(answer.chunk().await, Err(AskError::Broken(_))));
    });
}

#[test]
fn an_asker_that_goes_away_ends_the_answer() {
    story(async {
        let (mut alice, bob) = duo().await;
        let (dropped, mut gone) = oneshot::channel::<()>();
        let mut dropped = Some(dropped);
        serve(&mut alice, move |question| {
            let holds = dropped.take().unwrap();
            let never = stream::pending().map(move |part| {
                let _holds = &holds;
                part
            });
            drop(question.reply.send(ApiReply { head: head(200), body: Box::pin(never) }));
        });
        let answer = bob.net.asker().ask(alice.id, &get("/")).await.unwrap();
        assert!(gone.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop(answer);
        let ended =
            eventually(|| gone.try_recv().err().filter(|e| *e == oneshot::error::TryRecvError::Closed));
        ended.await;
    });
}

#[test]
fn one_peer_has_no_more_than_its_places_and_gets_them_back() {
    story(async {
        let (mut alice, mut bob) = duo().await;
        let mut carol = Node::member(3, &alice.address()).await;
        tokio::join!(carol.until_up(alice.id), alice.until_up(peer_id_of(&[3; 32])));
        bob.until_up(carol.id).await;
        let (kept, mut held) = mpsc::channel(ANSWERS_A_PEER_MAX);
        serve(&mut alice, move |question| {
            if question.request.target == "/now" {
                echo(question);
            } else {
                kept.try_send(question.reply).unwrap();
            }
        });
        let asker = bob.net.asker();
        let asking: Vec<_> = (0..ANSWERS_A_PEER_MAX)
            .map(|_| {
                let (asker, alice) = (asker.clone(), alice.id);
                tokio::task::spawn_local(async move {
                    asker.ask(alice, &get("/later")).await.map(|answer| answer.head)
                })
            })
            .collect();
        let mut replies = Vec::new();
        for _ in 0..ANSWERS_A_PEER_MAX {
            replies.push(held.recv().await.unwrap());
        }
        assert_eq!(asker.ask(alice.id, &get("/now")).await.unwrap_err(), AskError::Busy);
        assert_eq!(
            carol.net.asker().ask(alice.id, &get("/now")).await.unwrap().head,
            head(200),
            "it is another"
        );
        for reply in replies {
            drop(reply.send(ApiReply { head: head(404), body: body_of(b"no") }));
        }
        for asked in asking {
            assert_eq!(asked.await.unwrap().unwrap(), head(404));
        }
        // The places are free again once the answers were read or given up.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while asker.ask(alice.id, &get("/now")).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the places stay taken");
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn who_is_not_there_or_gives_no_answer_is_an_error() {
    story(async {
        let (mut alice, bob) = duo().await;
        serve(&mut alice, drop);
        let asker = bob.net.asker();
        assert_eq!(
            asker.ask(alice.id, &get("/")).await.unwrap_err(),
            AskError::Busy,
            "its node did not answer"
        );
        assert_eq!(asker.ask(peer_id_of(&[9; 32]), &get("/")).await.unwrap_err(), AskError::NotConnected);
        assert_eq!(asker.connected(), [alice.id]);
    });
}
