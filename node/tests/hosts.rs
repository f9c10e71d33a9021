//! Nodes on machines of their own, which are network namespaces of this one: they find each other with and without
//! multicast, among other networks, and survive pulled cables, cuts and loss. Each test says `skipped` and why where
//! namespaces can't be had, which takes root, `ip` and `iptables`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it measured"
)]

#[path = "support/lan.rs"]
mod lan;
#[path = "support/mesh.rs"]
mod mesh;
mod support;

use std::time::{Duration, Instant};

use lan::Lan;
use mesh::{meet_within, members_of, on_lan, start, words};
use serde_json::Value;
use support::{Host, Node, Proc, VERB_DEADLINE, all_meet, assert_each_once, eventually, module};

/// The port of a node that was not given one.
const PORT: &str = "7117";
/// A map of some seconds' work has ended after this, whatever happened to the network.
const JOB: Duration = Duration::from_secs(90);

/// Flags for a mesh whose first host hands out work and whose others run one task at a time.
fn owner_first(lan: &Lan, number: usize) -> Vec<String> {
    let slots = if number == 1 { "0" } else { "1" };
    words(&["--slots", slots, "--peer", &format!("{}:{PORT}", lan.address(1))])
}

/// Starts a map on the first node, and waits until results flow and `worker` holds tasks.
#[track_caller]
fn map_under_way(nodes: &[(Host, Node)], worker: usize, count: usize, flags: &[&str]) -> Proc {
    let owner = &nodes[0].0;
    let map = owner.spin_map(&owner.spin_file(count, 50), flags);
    eventually(JOB, "results flow and the worker holds tasks", || {
        (map.lines_out() > 2 && owner.leased_to(&nodes[worker].1.id) > 0).then_some(())
    });
    map
}

#[track_caller]
fn settle(nodes: &[(Host, Node)], map: Proc, count: usize) {
    let ended = map.finish(JOB);
    eprintln!("{count} tasks took {:?}", ended.took);
    assert_each_once(&ended, count);
    assert_eq!(nodes[0].0.counter("committed"), count as u64);
}

#[test]
fn nodes_find_each_other_by_multicast_alone() {
    on_lan(3, |lan| {
        let nodes = start(lan, |_| Vec::new());
        meet_within(&nodes, Duration::from_secs(3));
        nodes[0].0.runs_on(&nodes[2].1.id);
    });
}

#[test]
fn a_dozen_nodes_share_a_job() {
    on_lan(12, |lan| {
        let nodes = start(lan, |number| words(&["--slots", if number == 1 { "0" } else { "1" }]));
        meet_within(&nodes, Duration::from_secs(10));
        let owner = &nodes[0].0;
        let map = owner.spin_map(&owner.spin_file(240, 10), &[]).finish(JOB);
        assert_each_once(&map, 240);
        let peers = owner.json(&["peers", "--json"]);
        let did: Vec<u64> =
            peers.as_array().unwrap().iter().map(|peer| peer["done"].as_u64().unwrap()).collect();
        eprintln!("240 tasks took {:?}; each did {did:?}", map.took);
        assert!(did.len() == 11 && did.iter().all(|done| *done > 0), "everybody had a part: {did:?}");
    });
}

#[test]
fn one_address_is_enough_where_multicast_is_dropped() {
    on_lan(4, |lan| {
        lan.all().for_each(|host| lan.drop_multicast(host));
        let first = format!("{}:{PORT}", lan.address(1));
        let nodes = start(lan, |number| if number == 1 { Vec::new() } else { words(&["--peer", &first]) });
        meet_within(&nodes, Duration::from_secs(5));
        nodes[3].0.runs_on(&nodes[2].1.id);
    });
}

#[test]
fn further_interfaces_confuse_nobody() {
    on_lan(5, |lan| {
        lan.network("f", 78).unwrap();
        for host in lan.all() {
            // As container engines leave them: the same address on every machine, and no node there.
            for (name, address) in [("docker0", "172.17.0.1/16"), ("br-0123456789ab", "172.18.0.1/16")] {
                lan.ip(host, &["link", "add", name, "type", "bridge"]);
                lan.ip(host, &["addr", "add", address, "dev", name]);
                lan.ip(host, &["link", "set", name, "up"]);
            }
            lan.ip(host, &["link", "add", "down0", "type", "bridge"]);
            lan.ip(host, &["addr", "add", &format!("10.79.0.{host}/24"), "dev", "down0"]);
            lan.watch_own_port(host, PORT);
        }
        let nodes = start(lan, |_| Vec::new());
        meet_within(&nodes, Duration::from_secs(3));
        nodes[0].0.runs_on(&nodes[1].1.id);
        for host in lan.all() {
            assert_eq!(lan.met(host), 0, "host {host} dialled itself");
        }
        for (_, node) in &nodes {
            assert!(!node.process.said("no admission"), "all who met belong together");
        }
    });
}

#[test]
fn a_pulled_cable_costs_no_result() {
    on_lan(3, |lan| {
        let nodes = start(lan, |number| owner_first(lan, number));
        meet_within(&nodes, Duration::from_secs(5));
        let map = map_under_way(&nodes, 2, 80, &["--no-backup"]);
        lan.plug(3, "down");
        settle(&nodes, map, 80);
        assert!(nodes[0].0.counter("lost") > 0, "it held tasks when the cable was pulled");
        eventually(VERB_DEADLINE, "the owner sees that the worker is gone", || {
            (!nodes[0].0.connected().contains(&nodes[2].1.id)).then_some(())
        });
        lan.plug(3, "up");
        let since = Instant::now();
        all_meet(&members_of(&nodes), Duration::from_secs(15));
        eprintln!("back {:?} after the cable", since.elapsed());
        nodes[0].0.runs_on(&nodes[2].1.id);
        assert_eq!(nodes[0].0.counter("committed"), 81);
    });
}

#[test]
fn a_result_finds_its_way_round_a_cut() {
    on_lan(3, |lan| {
        let nodes = start(lan, |number| owner_first(lan, number));
        meet_within(&nodes, Duration::from_secs(5));
        let (owner, worker) = (&nodes[0].0, &nodes[1].1);
        let steps = owner.path("steps");
        std::fs::write(&steps, "2000000000").unwrap();
        let (steps, need) = (steps.display().to_string(), format!("node={}", worker.id));
        let run = ["run", &module("spin"), "--fn", "spin", "--stdin", &steps, "--need", &need, "--json"];
        let run = owner.spawn(&run);
        eventually(JOB, "the worker runs the task", || (owner.leased_to(&worker.id) > 0).then_some(()));
        lan.cut(1, &lan.address(2));
        let ended = run.finish(JOB);
        eprintln!("home after {:?}", ended.took);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
        let result: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&result["outcome"], &result["attempts"]), (&Value::from("done"), &Value::from(1)));
        assert_eq!(result["worker"], worker.id);
        eprintln!("of which it ran {} ms", result["wall_us"].as_u64().unwrap() / 1000);
        assert!(owner.counter("gossiped_home") > 0);
        assert_eq!((owner.counter("committed"), owner.counter("lost")), (1, 0));
        eventually(JOB, "the worker hears that it may forget it", || {
            (nodes[1].0.json(&["status", "--json"])["undelivered"] == 0).then_some(())
        });
    });
}

#[test]
fn a_mesh_cut_in_two_works_on_in_both_halves_and_heals() {
    on_lan(4, |lan| {
        let nodes = start(lan, |_| words(&["--slots", "1", "--peer", &format!("{}:{PORT}", lan.address(1))]));
        meet_within(&nodes, Duration::from_secs(5));
        for (host, other) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
            lan.cut(host, &lan.address(other));
        }
        let split = |deadline| {
            for (host, node) in &nodes {
                eventually(deadline, "each sees its own half only", || {
                    (host.connected().len() == 1).then_some(())
                });
                assert!(!host.connected().contains(&node.id));
            }
        };
        split(Duration::from_secs(10));
        for (host, other) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
            nodes[host].0.runs_on(&nodes[other].1.id);
        }
        let map = nodes[3].0.spin_map(&nodes[3].0.spin_file(20, 20), &[]);
        assert_each_once(&map.finish(JOB), 20);
        [1, 2].into_iter().for_each(|host| lan.heal(host));
        let since = Instant::now();
        all_meet(&members_of(&nodes), Duration::from_secs(15));
        eprintln!("healed after {:?}", since.elapsed());
        nodes[0].0.runs_on(&nodes[3].1.id);
        nodes[2].0.runs_on(&nodes[1].1.id);
    });
}

#[test]
fn a_cut_in_one_direction_costs_no_result() {
    on_lan(3, |lan| {
        let nodes = start(lan, |number| owner_first(lan, number));
        meet_within(&nodes, Duration::from_secs(5));
        let map = map_under_way(&nodes, 2, 80, &[]);
        // The owner hears nothing from the worker, which hears the owner well.
        lan.iptables(1, &["-A", "INPUT", "-s", &lan.address(3), "-j", "DROP"]).unwrap();
        settle(&nodes, map, 80);
        lan.heal(1);
        all_meet(&members_of(&nodes), Duration::from_secs(15));
        nodes[0].0.runs_on(&nodes[2].1.id);
    });
}

#[test]
fn long_outputs_beyond_a_cut_come_all_the_same() {
    const FILES: usize = 300;
    on_lan(3, |lan| {
        let nodes = start(lan, |number| owner_first(lan, number));
        meet_within(&nodes, Duration::from_secs(5));
        let owner = &nodes[0].0;
        let text = |file: usize| format!("{file:07}\n").repeat(25_000);
        let files: Vec<String> = (0..FILES)
            .map(|file| {
                let path = owner.path(&format!("file-{file}"));
                std::fs::write(&path, text(file)).unwrap();
                path.display().to_string()
            })
            .collect();
        let out = owner.path("out");
        let out_word = out.display().to_string();
        let echo = module("echo");
        let mut map = vec!["map", &echo, "--fn", "echo", "--out", &out_word, "--each-file"];
        map.extend(files.iter().map(String::as_str));
        let map = owner.spawn(&map);
        eventually(JOB, "outputs come from both", || {
            let peers = owner.json(&["peers", "--json"]);
            peers.as_array().unwrap().iter().all(|peer| peer["done"] != 0).then_some(())
        });
        lan.cut(1, &lan.address(3));
        eprintln!("{} of {FILES} files were there at the cut", std::fs::read_dir(&out).unwrap().count());
        let ended = map.finish(JOB);
        eprintln!("{FILES} files took {:?}", ended.took);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for file in 0..FILES {
            let path = out.join(format!("file-{file}"));
            assert!(std::fs::read_to_string(path).unwrap() == text(file), "file {file}");
        }
    });
}

#[test]
fn a_result_waits_out_an_outage() {
    on_lan(2, |lan| {
        let nodes = start(lan, |number| owner_first(lan, number));
        meet_within(&nodes, Duration::from_secs(5));
        let (owner, worker) = (&nodes[0].0, &nodes[1]);
        let need = format!("node={}", worker.1.id);
        let file = owner.spin_file(4, 300);
        let map = ["map", &module("spin"), "--fn", "spin", "--each-line", &file, "--need", &need, "--json"];
        let map = owner.spawn(&map);
        eventually(JOB, "the worker runs tasks", || (owner.leased_to(&worker.1.id) > 0).then_some(()));
        lan.cut(1, &lan.address(2));
        let since = Instant::now();
        eventually(JOB, "it ended something and can't tell", || {
            let status = worker.0.json(&["status", "--json"]);
            let told = status["undelivered"] != 0 && since.elapsed() > Duration::from_secs(8);
            told.then_some(())
        });
        lan.heal(1);
        settle(&nodes, map, 4);
    });
}

#[test]
fn a_node_that_starts_unplugged_is_found_when_it_is_plugged_in() {
    on_lan(3, |lan| {
        lan.plug(3, "down");
        let nodes = start(lan, |_| Vec::new());
        lan.plug(3, "up");
        // A query goes out every fifteen seconds at the latest.
        meet_within(&nodes, Duration::from_secs(20));
        nodes[0].0.runs_on(&nodes[2].1.id);
    });
}

#[test]
fn a_node_whose_address_changes_comes_back() {
    on_lan(3, |lan| {
        let nodes = start(lan, |_| Vec::new());
        meet_within(&nodes, Duration::from_secs(3));
        lan.ip(3, &["addr", "del", "10.77.0.3/24", "dev", "e0"]);
        eventually(JOB, "the others see that it is gone", || {
            (nodes[0].0.connected().len() == 1 && nodes[1].0.connected().len() == 1).then_some(())
        });
        lan.ip(3, &["addr", "add", "10.77.0.103/24", "dev", "e0"]);
        meet_within(&nodes, Duration::from_secs(20));
        nodes[0].0.runs_on(&nodes[2].1.id);
    });
}

#[test]
fn after_a_power_cut_everybody_finds_those_it_met_before() {
    on_lan(4, |lan| {
        lan.all().for_each(|host| lan.drop_multicast(host));
        let mut nodes = start(lan, |number| owner_first(lan, number));
        meet_within(&nodes, Duration::from_secs(5));
        for (host, _) in &nodes {
            eventually(VERB_DEADLINE, "all peers are written down", || {
                let text = std::fs::read_to_string(host.path("peers")).unwrap_or_default();
                (text.matches("/tcp/").count() >= 3).then_some(())
            });
        }
        nodes.iter_mut().for_each(|(_, node)| node.process.kill9());
        // The one whose address all were given stays off.
        let (_first, rest) = nodes.split_first_mut().unwrap();
        rest.iter_mut().for_each(|(host, node)| *node = host.node(&[]));
        let since = Instant::now();
        all_meet(&members_of(rest), Duration::from_secs(5));
        eprintln!("all met {:?} after the last start", since.elapsed());
        rest[0].0.runs_on(&rest[2].1.id);
    });
}

#[test]
fn a_lossy_link_slows_a_job_and_loses_nothing() {
    on_lan(3, |lan| {
        let nodes = start(lan, |number| owner_first(lan, number));
        meet_within(&nodes, Duration::from_secs(5));
        lan.lose(3, "0.2");
        let map = map_under_way(&nodes, 2, 60, &[]);
        settle(&nodes, map, 60);
        assert!(lan.met(3) > 0, "something was lost");
        eprintln!("{} packets were lost", lan.met(3));
        assert_eq!(nodes[0].0.counter("differing"), 0);
    });
}
