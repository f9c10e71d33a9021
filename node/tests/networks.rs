//! Networks as they are: many interfaces, copied machines, IPv6 alone, multicast that is blocked, foreign meshes, paths
//! that swallow large packets. Nodes on network namespaces; each test says `skipped` and why where they can't be had,
//! which takes root, `ip` and `iptables`.
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

use std::time::Duration;

use lan::Lan;
use mesh::{meet_within, on_lan, start, words};
use support::{Host, eventually, mesh_key, module};

/// What people are told comes within this time.
const SOON: Duration = Duration::from_secs(60);

fn troubles(host: &Host) -> Vec<String> {
    let status = host.json(&["status", "--json"]);
    status["troubles"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn listens(host: &Host, address: &str) -> bool {
    host.json(&["status", "--json"])["listen"].as_array().unwrap().iter().any(|known| known == address)
}

/// Gives a host nine more addresses, none of which leads to another host.
fn add_addresses(lan: &Lan, host: usize) {
    for number in 1..=9 {
        let name = format!("vlan{number}");
        lan.ip(host, &["link", "add", &name, "type", "bridge"]);
        lan.ip(host, &["addr", "add", &format!("10.{}.{host}.{host}/24", 100 + number), "dev", &name]);
        lan.ip(host, &["link", "set", &name, "up"]);
    }
}

#[test]
fn hosts_with_many_addresses_meet_again_after_a_cable_was_pulled() {
    on_lan(2, |lan| {
        for host in lan.all() {
            // They sort before the one that leads to the other host, and lead nowhere.
            lan.ip(host, &["link", "set", "e0", "down"]);
            for number in 1..=9 {
                let name = format!("vlan{number}");
                lan.ip(host, &["link", "add", &name, "type", "bridge"]);
                lan.ip(
                    host,
                    &["addr", "add", &format!("10.{}.{host}.{host}/24", 100 + number), "dev", &name],
                );
                lan.ip(host, &["link", "set", &name, "up"]);
            }
            lan.ip(host, &["link", "set", "e0", "up"]);
        }
        let nodes = start(lan, |_| Vec::new());
        meet_within(&nodes, Duration::from_secs(15));
        for (host, other) in [(0, 2), (1, 1)] {
            let place = format!("/ip4/{}/", lan.address(other));
            eventually(SOON, "the address that works is written down, and first", || {
                let text = std::fs::read_to_string(nodes[host].0.path("peers")).unwrap_or_default();
                text.split(' ').nth(1).is_some_and(|first| first.starts_with(&place)).then_some(())
            });
        }
        lan.plug(2, "down");
        for (host, _) in &nodes {
            eventually(SOON, "each sees that the other is gone", || {
                host.connected().is_empty().then_some(())
            });
        }
        lan.plug(2, "up");
        meet_within(&nodes, SOON);
    });
}

#[test]
fn a_third_node_tells_where_it_reaches_the_others() {
    on_lan(3, |lan| {
        [2, 3].into_iter().for_each(|host| add_addresses(lan, host));
        let first = format!("{}:7117", lan.address(1));
        let nodes = start(lan, |number| match number {
            1 => words(&["--no-mdns"]),
            _ => words(&["--no-mdns", "--peer", &first]),
        });
        meet_within(&nodes, SOON);
    });
}

#[test]
fn a_copied_machine_is_reported_by_all_who_see_it() {
    on_lan(3, |lan| {
        let key = mesh_key();
        let hosts: Vec<_> = lan.all().map(|number| Host::inside(&lan.netns(number), &key)).collect();
        let third = hosts[0].node(&[]);
        let first = hosts[1].node(&[]);
        eventually(SOON, "they meet", || hosts[0].connected().contains(&first.id).then_some(()));
        std::fs::copy(hosts[1].path("identity.key"), hosts[2].path("identity.key")).unwrap();
        let second = hosts[2].node(&[]);
        assert_eq!(first.id, second.id);
        for node in [&first, &second] {
            node.process.wait_for("another node runs with this node's identity", SOON);
        }
        let text = third.process.wait_for("two nodes run with the identity", SOON);
        for host in [2, 3] {
            assert!(text.contains(&format!("/ip4/{}/", lan.address(host))), "{text}");
        }
        assert!(troubles(&hosts[0])[0].contains("identity.key"));
        assert!(third.process.said_times("it connected anew") <= 1);
    });
}

#[test]
fn nodes_of_an_ipv6_network_meet_by_default_and_by_address() {
    on_lan(3, |lan| {
        lan.all().for_each(|host| lan.turn_to_ipv6(host, true));
        let nodes = start(lan, |number| match number {
            // One that multicast does not reach comes by address.
            3 => words(&["--no-mdns", "--peer", "[fd77::1]:7117"]),
            _ => Vec::new(),
        });
        meet_within(&nodes, Duration::from_secs(15));
        nodes[0].0.runs_on(&nodes[1].1.id);
        nodes[1].0.runs_on(&nodes[2].1.id);
    });
}

#[test]
fn a_ticket_made_on_an_ipv6_network_leads_there() {
    on_lan(2, |lan| {
        lan.all().for_each(|host| lan.turn_to_ipv6(host, true));
        let (anna, bert) = (Host::bare(&lan.netns(1)), Host::bare(&lan.netns(2)));
        let made = anna.json(&["init", "--json"]);
        assert_eq!(made["addresses"][0], "[fd77::1]:7117", "{made}");
        let ticket = made["ticket"].as_str().unwrap();
        assert_eq!(bert.cli(&["join", ticket]).code, Some(0));
        let nodes = [anna.node(&["--no-mdns"]), bert.node(&["--no-mdns"])];
        eventually(SOON, "they meet", || anna.connected().contains(&nodes[1].id).then_some(()));
    });
}

#[test]
fn nodes_with_nothing_but_link_local_addresses_meet() {
    on_lan(3, |lan| {
        lan.all().for_each(|host| lan.turn_to_ipv6(host, false));
        let first = eventually(SOON, "it has an address", || lan.link_local(1));
        let peer = format!("[{first}%e0]:7117");
        let nodes = start(lan, |number| match number {
            3 => words(&["--no-mdns", "--peer", &peer]),
            _ => Vec::new(),
        });
        meet_within(&nodes, Duration::from_secs(30));
        nodes[0].0.runs_on(&nodes[1].1.id);
        nodes[1].0.runs_on(&nodes[2].1.id);
    });
}

/// They hear of each other's addresses of both families at once, and `--verify 3` finds three machines. That the first dial is
/// over IPv4 alone is shown in `node/net/src/book/tests.rs`: here IPv4 mostly wins where both are dialled, too.
#[test]
fn machines_of_a_network_with_both_families_have_a_vote_each() {
    on_lan(4, |lan| {
        for host in lan.all() {
            lan.turn_to_ipv6(host, false);
            lan.ip(host, &["addr", "add", &format!("{}/24", lan.address(host)), "dev", "e0"]);
            eventually(SOON, "it has both", || lan.link_local(host));
        }
        let nodes = start(lan, |number| words(&["--slots", if number == 1 { "0" } else { "1" }]));
        meet_within(&nodes, Duration::from_secs(10));
        let run = ["run", &module("echo"), "--fn", "upper", "--verify", "3", "--expires", "30s", "--json"];
        let ended = nodes[0].0.cli_with(&run, b"alike");
        assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
    });
}

#[test]
fn a_path_that_swallows_large_packets_is_named_until_it_does_no_more() {
    on_lan(2, |lan| {
        let nodes = start(lan, |number| words(&["--slots", if number == 1 { "0" } else { "1" }]));
        meet_within(&nodes, Duration::from_secs(5));
        lan.swallow_longer_than(2, 1000);
        // Its module and input go to the other host, or nowhere.
        let input = nodes[0].0.path("input");
        std::fs::write(&input, vec![b'x'; 1 << 20]).unwrap();
        let input = input.display().to_string();
        let map = nodes[0].0.spawn(&["map", &module("echo"), "--fn", "echo", "--each-file", &input]);
        let text = nodes[0].1.process.wait_for("get lost while small ones pass", SOON);
        assert!(text.contains(&format!("/ip4/{}/", lan.address(2))) && text.contains("mtu"), "{text}");
        assert_eq!(troubles(&nodes[0].0).len(), 1);
        assert!(nodes[0].0.cli(&["status"]).stdout.contains("large packets"));
        lan.heal(2);
        assert_eq!(map.finish(SOON).code, Some(0));
        eventually(SOON, "it is no trouble any more", || troubles(&nodes[0].0).is_empty().then_some(()));
        assert_eq!(nodes[0].1.process.said_times("get lost while small ones pass"), 1);
    });
}

#[test]
fn blocked_multicast_is_told_in_one_sentence() {
    on_lan(1, |lan: &Lan| {
        lan.drop_multicast(1);
        let nodes = start(lan, |_| Vec::new());
        let (host, node) = &nodes[0];
        let text = node.process.wait_for("multicast can't be sent on e0", SOON);
        assert!(text.contains("5353") && text.contains("--peer"), "{text}");
        lan.heal(1);
        eventually(SOON, "it is no trouble any more", || troubles(host).is_empty().then_some(()));
        // A dozen packets were refused meanwhile.
        assert_eq!(node.process.said_times("multicast"), 1);
        assert_eq!(node.process.said_times("ERROR"), 0);
    });
}

#[test]
fn status_forgets_an_address_that_is_gone() {
    on_lan(1, |lan| {
        let nodes = start(lan, |_| Vec::new());
        let host = &nodes[0].0;
        lan.ip(1, &["addr", "add", "10.77.0.101/24", "dev", "e0"]);
        let address = "/ip4/10.77.0.101/tcp/7117";
        eventually(SOON, "the new address is listened on", || listens(host, address).then_some(()));
        lan.ip(1, &["addr", "del", "10.77.0.101/24", "dev", "e0"]);
        eventually(SOON, "it is forgotten", || (!listens(host, address)).then_some(()));
        assert!(listens(host, "/ip4/10.77.0.1/tcp/7117"));
    });
}

#[test]
fn a_foreign_mesh_is_one_line() {
    on_lan(4, |lan| {
        let ours = Host::inside(&lan.netns(1), &mesh_key());
        let foreign = mesh_key();
        let others: Vec<_> = (2..=4).map(|number| Host::inside(&lan.netns(number), &foreign)).collect();
        let node = ours.node(&[]);
        let others: Vec<_> = others.iter().map(|host| host.node(&[])).collect();
        // Each of them has met ours, and so has ours each of them.
        for other in &others {
            other.process.wait_for("it belongs to another mesh", SOON);
        }
        node.process.wait_for("it belongs to another mesh", SOON);
        assert_eq!(node.process.said_times("no admission"), 1);
    });
}
