//! Nodes that start, meet, come back, are forgotten, or have nothing to do.

use std::time::{Duration, Instant};

use crate::support::{Host, all_meet, eventually, mesh_key, module, turn};
use crate::{MEET, Mesh, field_of, memory_kib};

#[test]
fn three_nodes_meet_through_the_first() {
    let _turn = turn();
    let first = Host::keyless();
    let ticket = first.json(&["init", "--json", "--address", "127.0.0.1:9"]);
    let ticket = ticket["ticket"].as_str().unwrap();
    let a = first.loopback_node(&[]);
    let [second, third] = [(); 2].map(|()| {
        let host = Host::keyless();
        assert_eq!(host.cli(&["join", ticket]).code, Some(0));
        host
    });
    let b = second.loopback_node(&["--peer", &a.address]);
    let c = third.loopback_node(&["--peer", &a.address]);
    all_meet(&[(&first, &a), (&second, &b), (&third, &c)], MEET);
    for node in [&a, &b, &c] {
        second.runs_on(&node.id);
    }
}

#[test]
fn a_thousand_tasks_right_after_the_start_are_all_done() {
    let _turn = turn();
    let key = mesh_key();
    let other = Host::new(&key);
    let other_node = other.loopback_node(&[]);
    let host = Host::new(&key);
    let started = Instant::now();
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"];
    let peer = ["node", "--peer", &other_node.address];
    let node = host.spawn(&[&peer[..], &listen].concat());
    node.wait_for("node ", MEET);
    eprintln!("submitted {:?} after the start", started.elapsed());
    assert_thousand(&host);
    drop(node);

    let lone = Host::keyless();
    let node = lone.spawn(&[&["node"], &listen[..]].concat());
    node.wait_for("node ", MEET);
    assert_thousand(&lone);
}

#[track_caller]
fn assert_thousand(host: &Host) {
    let input: String = (0..1000).map(|i| format!("{i}\n")).collect();
    let map = ["map", &module("echo"), "--fn", "echo", "--each-line", "-"];
    let ended = host.cli_with(&map, input.as_bytes());
    assert_eq!((ended.code, ended.stdout), (Some(0), input), "{}", ended.stderr);
    eprintln!("1000 tasks took {:?}", ended.took);
}

#[test]
fn a_restarted_node_finds_those_it_met_before() {
    let _turn = turn();
    let key = mesh_key();
    let hosts = [(); 2].map(|()| Host::new(&key));
    let mut first = hosts[0].loopback_node(&[]);
    let mut second = hosts[1].loopback_node(&["--peer", &first.address]);
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second)], MEET);
    for host in &hosts {
        eventually(MEET, "the peer is written down", || {
            std::fs::read_to_string(host.path("peers")).ok().filter(|text| text.contains("/tcp/"))
        });
    }
    second.process.kill9();
    second = hosts[1].loopback_node(&[]);
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second)], MEET);
    hosts[1].runs_on(&first.id);
    // The other way round: its own address is a new one now, and it must be the one that dials.
    let told = second.address.clone();
    eventually(MEET, "the new address is written down", || {
        std::fs::read_to_string(hosts[0].path("peers")).ok().filter(|text| text.contains(&told))
    });
    first.process.kill9();
    first = hosts[0].loopback_node(&[]);
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second)], MEET);
    hosts[1].runs_on(&first.id);
}

#[test]
fn a_node_that_is_gone_is_forgotten_and_one_that_is_connected_is_not() {
    let _turn = turn();
    let mut mesh = Mesh::start(2);
    let gone = mesh.workers[0].1.id.clone();
    let listed = |host: &Host| {
        let peers = host.json(&["peers", "--json"]);
        peers.as_array().unwrap().iter().any(|peer| peer["peer"] == gone.as_str())
    };
    let written = |host: &Host| {
        let text = std::fs::read_to_string(host.path("peers")).unwrap_or_default();
        text.contains(gone.as_str())
    };
    let owner = &mesh.owner.0;
    eventually(MEET, "the peer is written down", || written(owner).then_some(()));

    let refused = owner.cli(&["peers", "--forget", &gone]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{}", refused.stderr);
    for words in ["is connected: only one that is gone can be forgotten", "stop its node first"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert!(owner.connected().contains(&gone) && written(owner));

    mesh.workers[0].1.process.kill9();
    eventually(MEET, "the owner sees it go", || (!owner.connected().contains(&gone)).then_some(()));
    assert!(listed(owner), "one that is gone is listed until it is forgotten");
    let forgot = owner.cli(&["peers", "--forget", &gone[..12]]);
    assert_eq!(forgot.code, Some(0), "{}", forgot.stderr);
    assert!(forgot.stderr.contains("forgot "), "{}", forgot.stderr);
    assert!(!listed(owner));
    let all = owner.cli(&["peers", "--all"]);
    assert!(!all.stdout.contains(&gone[..8]), "{}", all.stdout);
    eventually(MEET, "it is no longer written down", || (!written(owner)).then_some(()));
    let again = owner.cli(&["peers", "--forget", &gone]);
    assert_eq!(again.code, Some(1), "{}", again.stderr);

    // It is no enemy: when it comes back by itself, it is a peer as before.
    mesh.workers[0].1 = mesh.workers[0].0.loopback_node(&["--slots", "1", "--peer", &mesh.owner.1.address]);
    all_meet(&mesh.members(), MEET);
    mesh.owner.0.runs_on(&gone);
}

#[test]
fn idle_nodes_are_small_and_quiet() {
    let _turn = turn();
    let key = mesh_key();
    let hosts = [(); 3].map(|()| Host::new(&key));
    let first = hosts[0].loopback_node(&[]);
    let second = hosts[1].loopback_node(&["--peer", &first.address]);
    let third = hosts[2].loopback_node(&["--peer", &first.address]);
    let nodes = [&first, &second, &third];
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second), (&hosts[2], &third)], MEET);
    let before = nodes.map(|node| wakeups(node.process.pid()));
    // Nothing is waited for: this is the time over which is counted.
    let window = Duration::from_secs(5);
    std::thread::sleep(window);
    for (node, before) in nodes.into_iter().zip(before) {
        let pid = node.process.pid();
        let woken = wakeups(pid) - before;
        let [total_kib, own_kib] = ["VmRSS", "RssAnon"].map(|field| memory_kib(pid, field));
        let program_kib = program_kib(pid);
        eprintln!(
            "idle: woke {woken} times in {window:?}, {total_kib} KiB resident, {own_kib} KiB of them its own, {program_kib} KiB of \
             its program"
        );
        // How often it wakes is the node's own doing; how long that takes is the machine's, and of a benchmark.
        // A node of three wakes some 20 times a second: for beats, ticks and timers, and for what the others say.
        assert!(woken < 40 * window.as_secs(), "{woken} times awake in {window:?}");
        assert!(own_kib < 8 << 10, "{own_kib} KiB of its own");
        // How much of the program's file is mapped is the kernel's doing: for the same file it differs by a sixth, by how that came
        // into memory. The rest is the node's own, and files that it or a library maps.
        assert!(total_kib - program_kib < 12 << 10, "{total_kib} KiB, {program_kib} KiB of them its program");
    }
}

/// How much of its program's file a process has in memory, in KiB: what the kernel could read again from there.
fn program_kib(pid: u32) -> u64 {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let program = program.to_str().unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut is_program, mut kib) = (false, 0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap();
        match first {
            "Rss:" if is_program => kib += words.next().unwrap().parse::<u64>().unwrap(),
            "Anonymous:" if is_program => kib -= words.next().unwrap().parse::<u64>().unwrap(),
            // The first line of a mapping: its addresses, and at the end its file.
            _ if first.contains('-') => is_program = line.ends_with(program),
            _ => {}
        }
    }
    assert!(kib > 0, "no mapping of {program}");
    kib
}

/// How often the threads of a process have gone to sleep so far, which is how often something woke them.
fn wakeups(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses =
        threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
    statuses.map(|status| field_of(&status, "voluntary_ctxt_switches")).sum()
}
