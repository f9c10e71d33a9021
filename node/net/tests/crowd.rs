//! Tests of many connections, or many messages at once: no peer delays another one.

#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

mod common;

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use common::{Node, eventually, story};
use weft_core::{CallId, JobId, LeaseId, Message};
use weft_net::{NetEvent, peer_id_of};

/// Connections of one address that say nothing: as many as wanted, each made anew when it was closed.
struct Silent {
    port: u16,
    connections: Vec<TcpStream>,
}

impl Silent {
    fn keep(&mut self, count: usize) {
        self.connections.retain_mut(|connection| {
            matches!(connection.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
        });
        while self.connections.len() < count {
            let connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
            connection.set_nonblocking(true).unwrap();
            self.connections.push(connection);
        }
    }
}

#[test]
fn silent_connections_keep_no_member_out() {
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let port = alice.address().first().unwrap().rsplit('/').next().unwrap().parse().unwrap();
        let mut silent = Silent { port, connections: Vec::new() };
        silent.keep(300);
        let mut bob = Node::member(2, &alice.address()).await;
        let flood = async {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                silent.keep(300);
            }
        };
        tokio::select! {
            () = async { tokio::join!(bob.until_up(peer_id_of(&[1; 32])), alice.until_up(peer_id_of(&[2; 32]))); } => {}
            () = flood => {}
        }
    });
}

#[test]
fn who_says_too_much_waits_for_itself_and_for_nobody_else() {
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let mut bob = Node::member(2, &alice.address()).await;
        let mut carol = Node::member(3, &alice.address()).await;
        for node in [&mut bob, &mut carol] {
            node.until_up(alice.id).await;
        }
        eventually(|| (alice.net.connected().len() == 2).then_some(())).await;
        let lease = LeaseId { job: JobId(1), epoch: 0, index: 1, attempt: 1 };
        // Decoding may claim 4 MiB, and a lease is 24 bytes in memory.
        let long = Message::Ack(vec![lease; 170_000]);
        for _ in 0..20 {
            bob.net.send(alice.id, &long);
        }
        // Alice asks for nothing now. What she holds stops growing long before all has come.
        let full = eventually(|| Some(alice.waiting_bytes()).filter(|bytes| *bytes > 3 << 20)).await;
        let short = Message::Ack(vec![lease; 5_000]);
        carol.net.send(alice.id, &short);
        eventually(|| (alice.waiting_bytes() > full + 10_000).then_some(())).await;
        assert!(alice.waiting_bytes() < 5 << 20, "{}", alice.waiting_bytes());
        let mut before = 0;
        loop {
            match alice.next().await {
                NetEvent::Received { from, message } if from == carol.id => break assert_eq!(message, short),
                NetEvent::Received { from, .. } if from == bob.id => before += 1,
                _ => {}
            }
        }
        assert!(before <= 2, "peers take turns, and {before} long ones came first");
        for _ in before..20 {
            assert_eq!(alice.until_received().await, (bob.id, long.clone()));
        }
        bob.net.send(alice.id, &Message::Withdraw(CallId(7)));
        assert_eq!(alice.until_received().await.1, Message::Withdraw(CallId(7)));
        assert_eq!(alice.net.dropped() + bob.net.dropped() + carol.net.dropped(), 0);
    });
}
