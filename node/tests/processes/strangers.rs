//! What does not belong here: outsiders, bytes that are no protocol, a data directory that a node has, or a copy of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Host, all_meet, eventually, mesh_key, turn};
use crate::{MEET, Mesh};

#[test]
fn outsiders_are_refused_with_a_reason() {
    let _turn = turn();
    let mut mesh = Mesh::start(1);
    let to = mesh.owner.1.address.clone();
    let strange = Host::new(&mesh_key());
    let stranger = strange.loopback_node(&["--peer", &to]);
    let line = stranger.process.wait_for("no admission", MEET);
    assert!(line.contains("another mesh"), "{line}");
    let keyless = Host::keyless();
    let keyless_node = keyless.loopback_node(&["--peer", &to]);
    let line = keyless_node.process.wait_for("no admission", MEET);
    assert!(line.contains("mesh key"), "{line}");
    let line = mesh.owner.1.process.wait_for("no admission", MEET);
    assert!(line.contains("mesh"), "{line}");
    for outsider in [&strange, &keyless] {
        assert_eq!(outsider.connected().len(), 0);
    }
    assert_eq!(mesh.owner.0.connected().len(), 1);
    mesh.owner.0.runs_on(&mesh.workers[0].1.id);
    assert!(mesh.owner.1.process.is_running());
}

#[test]
fn garbage_harms_nobody() {
    let _turn = turn();
    let mut mesh = Mesh::start(1);
    let (host, node) = &mut mesh.owner;
    let listen = node.address.trim_start_matches("/ip4/127.0.0.1/tcp/").parse::<u16>().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], listen));
    let api: Value = serde_json::from_slice(&std::fs::read(host.path("api.json")).unwrap()).unwrap();
    let api: SocketAddr = api["address"].as_str().unwrap().parse().unwrap();
    let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let words: [&[u8]; 5] = [b"", b"GET / HTTP/1.1\r\n\r\n", &[0; 4096], &[0xff; 4096], &noise];
    for word in words {
        shout(listen, word);
        shout(api, word);
    }
    let request = format!("GET /v1/status HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n\r\n");
    let answer = ask(api, request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let answer = ask(api, b"GET /v1/status HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert!(node.process.is_running());
    all_meet(&mesh.members(), MEET);
    mesh.owner.0.runs_on(&mesh.workers[0].1.id);
}

#[test]
fn one_data_directory_is_one_nodes() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let mut node = host.loopback_node(&[]);
    let second = host.cli(&["node", "--listen", "127.0.0.1:0", "--no-mdns"]);
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
    assert!(second.stderr.contains("already runs"), "{}", second.stderr);

    let copy = host.copied();
    let twin = copy.loopback_node(&["--peer", &node.address]);
    assert_eq!(twin.id, node.id);
    eventually(MEET, "one of the two names the other", || {
        [&node, &twin].iter().any(|node| node.process.said("this node's identity")).then_some(())
    });
    assert!(node.process.is_running());
    host.runs_on(&node.id);
}

/// Sends bytes, then nothing more, and waits until the other side closes.
fn shout(to: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(to);
    // It may close before it has heard all of it.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(std::net::Shutdown::Write));
    drop(stream.read_to_end(&mut Vec::new()));
}

/// Sends bytes and returns what comes back until the other side closes.
fn ask(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(to);
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}
