//! A mesh with a node on each host of a LAN.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::time::{Duration, Instant};

use crate::lan::{Lan, Skipped};
use crate::support::{Host, Node, all_meet, mesh_key, turn};

/// Runs a test's story on a LAN of that many hosts, or says why not.
#[track_caller]
pub fn on_lan(hosts: usize, story: impl FnOnce(&Lan)) {
    let _turn = turn();
    match Lan::new(hosts) {
        Ok(lan) => story(&lan),
        Err(why) => skip(&why),
    }
}

pub fn skip(why: &Skipped) {
    eprintln!("skipped: {why}");
}

/// A node for each host, with one mesh key; `args` gives each its flags.
pub fn start(lan: &Lan, args: impl Fn(usize) -> Vec<String>) -> Vec<(Host, Node)> {
    let key = mesh_key();
    let start = |number: usize| {
        let host = Host::inside(&lan.netns(number), &key);
        let args = args(number);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let node = host.node(&args);
        (host, node)
    };
    lan.all().map(start).collect()
}

pub fn members_of(nodes: &[(Host, Node)]) -> Vec<(&Host, &Node)> {
    nodes.iter().map(|(host, node)| (host, node)).collect()
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[track_caller]
pub fn meet_within(nodes: &[(Host, Node)], deadline: Duration) {
    let since = Instant::now();
    all_meet(&members_of(nodes), deadline);
    eprintln!("all met {:?} after the last start", since.elapsed());
}
