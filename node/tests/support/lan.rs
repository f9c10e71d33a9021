//! Several machines on one: namespaces with network cards on a switch that is a namespace itself, so that nothing of
//! this machine's own network is touched. All of it goes when the [`Lan`] is dropped, also when its test fails.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "a part of the support for tests, of which each file uses its own"
)]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, geteuid, kill_process};

/// Why the tests can't be done here.
pub type Skipped = String;

/// Hosts 1, 2, .. with an interface `e0` and the address 10.77.0.N on one switch. They have no IPv6 unless a test asks for
/// it, so that what cuts IPv4 cuts all.
pub struct Lan {
    prefix: String,
    hosts: usize,
}

impl Lan {
    /// Builds it, unless this machine does not let us.
    pub fn new(hosts: usize) -> Result<Self, Skipped> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !geteuid().is_root() {
            return Err(String::from("network namespaces need root"));
        }
        sweep()?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let lan = Self { prefix: format!("weft-{}-{number}", std::process::id()), hosts };
        lan.build()?;
        Ok(lan)
    }

    fn build(&self) -> Result<(), Skipped> {
        ip(&["netns", "add", &self.switch()])?;
        for host in self.all() {
            ip(&["netns", "add", &self.netns(host)])?;
            for which in ["all", "default"] {
                self.set_ipv6(host, which, false)?;
            }
            ip(&["-n", &self.netns(host), "link", "set", "lo", "up"])?;
        }
        self.network("e", 77)?;
        // Asked for once here, so that no test finds out in its middle.
        self.iptables(1, &["-L", "INPUT", "-n"])
    }

    fn set_ipv6(&self, host: usize, which: &str, on: bool) -> Result<(), Skipped> {
        let word = format!("net.ipv6.conf.{which}.disable_ipv6={}", i32::from(!on));
        let netns = self.netns(host);
        ip(&["netns", "exec", &netns, "sysctl", "-qw", &word]).map(drop)
    }

    /// Takes IPv4 from a host's `e0` and gives it IPv6: a link-local address, and `fd77::N` if that is wanted.
    #[track_caller]
    pub fn turn_to_ipv6(&self, host: usize, unique_local: bool) {
        self.ip(host, &["addr", "flush", "dev", "e0"]);
        ["all", "default", "e0"].into_iter().for_each(|which| self.set_ipv6(host, which, true).unwrap());
        // The link-local address comes with the interface.
        ["down", "up"].into_iter().for_each(|state| self.ip(host, &["link", "set", "e0", state]));
        if unique_local {
            self.ip(host, &["addr", "add", &format!("fd77::{host}/64"), "dev", "e0", "nodad"]);
        }
    }

    /// The link-local address of a host's `e0`, once others may use it.
    pub fn link_local(&self, host: usize) -> Option<String> {
        let shown =
            ip(&["-n", &self.netns(host), "-6", "-o", "addr", "show", "dev", "e0", "scope", "link"]).unwrap();
        let settled = shown.lines().find(|line| !line.contains("tentative"))?;
        let address = settled.split_whitespace().find(|word| word.starts_with("fe80:"))?;
        address.split('/').next().map(String::from)
    }

    /// Silently drops packets to a host that are longer than this many bytes.
    #[track_caller]
    pub fn swallow_longer_than(&self, host: usize, bytes: u32) {
        let lengths = format!("{}:65535", bytes + 1);
        self.iptables(host, &["-A", "INPUT", "-m", "length", "--length", &lengths, "-j", "DROP"]).unwrap();
    }

    /// Gives every host one more interface, `NAME0` with 10.NET.0.N, on a switch of its own.
    pub fn network(&self, name: &str, net: u8) -> Result<(), Skipped> {
        let switch = self.switch();
        let bridge = format!("br-{name}");
        ip(&["-n", &switch, "link", "add", &bridge, "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", &bridge, "up"])?;
        for host in self.all() {
            let (netns, far, near) = (self.netns(host), format!("{name}{host}"), format!("{name}0"));
            let address = format!("10.{net}.0.{host}/24");
            ip(&[
                "-n", &switch, "link", "add", &far, "type", "veth", "peer", "name", &near, "netns", &netns,
            ])?;
            ip(&["-n", &switch, "link", "set", &far, "master", &bridge, "up"])?;
            ip(&["-n", &netns, "addr", "add", &address, "dev", &near])?;
            ip(&["-n", &netns, "link", "set", &near, "up"])?;
        }
        Ok(())
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    /// All hosts' numbers.
    pub fn all(&self) -> impl Iterator<Item = usize> + use<> {
        1..=self.hosts
    }

    /// The namespace of a host.
    pub fn netns(&self, host: usize) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// The address of a host's `e0`.
    pub fn address(&self, host: usize) -> String {
        format!("10.77.0.{host}")
    }

    /// `ip` inside a host.
    #[track_caller]
    pub fn ip(&self, host: usize, words: &[&str]) {
        let netns = self.netns(host);
        ip(&[&["-n", netns.as_str()], words].concat()).unwrap();
    }

    /// `iptables` inside a host.
    pub fn iptables(&self, host: usize, words: &[&str]) -> Result<(), Skipped> {
        let netns = self.netns(host);
        ip(&[&["netns", "exec", &netns, "iptables", "-w"], words].concat()).map(drop)
    }

    /// Drops what a host is told, and what it tells, by `whom` (words of iptables after `-s` and `-d`).
    #[track_caller]
    pub fn cut(&self, host: usize, whom: &str) {
        self.iptables(host, &["-A", "INPUT", "-s", whom, "-j", "DROP"]).unwrap();
        self.iptables(host, &["-A", "OUTPUT", "-d", whom, "-j", "DROP"]).unwrap();
    }

    /// Lets everything pass a host again.
    #[track_caller]
    pub fn heal(&self, host: usize) {
        self.iptables(host, &["-F"]).unwrap();
    }

    /// No multicast passes this host, neither way.
    #[track_caller]
    pub fn drop_multicast(&self, host: usize) {
        for chain in ["INPUT", "OUTPUT"] {
            self.iptables(host, &["-A", chain, "-d", "224.0.0.0/4", "-j", "DROP"]).unwrap();
            self.iptables(host, &["-A", chain, "-p", "udp", "--dport", "5353", "-j", "DROP"]).unwrap();
        }
    }

    /// Pulls the cable of a host's `e0` out of the switch, or puts it back.
    #[track_caller]
    pub fn plug(&self, host: usize, state: &str) {
        ip(&["-n", &self.switch(), "link", "set", &format!("e{host}"), state]).unwrap();
    }

    /// Counts, from now on, the connections that a host makes to a port of its own.
    #[track_caller]
    pub fn watch_own_port(&self, host: usize, port: &str) {
        let rule = ["-A", "INPUT", "-i", "lo", "-p", "tcp", "--syn", "--dport", port, "-j", "ACCEPT"];
        self.iptables(host, &rule).unwrap();
    }

    /// Loses a part of what comes to a host, at random.
    #[track_caller]
    pub fn lose(&self, host: usize, part: &str) {
        let rule = ["-A", "INPUT", "-i", "e0", "-m", "statistic", "--mode", "random", "--probability", part];
        self.iptables(host, &[&rule[..], &["-j", "DROP"]].concat()).unwrap();
    }

    /// Packets that the first rule for a host's input has met, whichever that is.
    #[track_caller]
    pub fn met(&self, host: usize) -> u64 {
        let netns = self.netns(host);
        let list = ip(&["netns", "exec", &netns, "iptables", "-w", "-nvxL", "INPUT"]).unwrap();
        // Two lines of headings, then the rules, which begin with the number.
        let rule = list.lines().nth(2).unwrap();
        rule.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let hosts = self.all().map(|host| self.netns(host));
        for netns in hosts.chain([self.switch()]) {
            // What was never made can't be removed, which is as good.
            drop(ip(&["netns", "del", &netns]));
        }
    }
}

/// Removes what test runs left that were killed before they could tidy up, nodes included.
fn sweep() -> Result<(), Skipped> {
    for line in ip(&["netns", "list"])?.lines() {
        let netns = line.split(' ').next().unwrap_or_default();
        let run = netns.strip_prefix("weft-").and_then(|rest| rest.split('-').next());
        let is_left = run.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if is_left {
            let pids = ip(&["netns", "pids", netns])?;
            let pids = pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
            // One that has just ended by itself is as good.
            pids.for_each(|pid| kill_process(pid, Signal::KILL).unwrap_or_default());
            ip(&["netns", "del", netns])?;
        }
    }
    Ok(())
}

/// Runs `ip`; the error is its own words.
fn ip(words: &[&str]) -> Result<String, Skipped> {
    let ran = Command::new("ip").args(words).output().map_err(|error| format!("ip: {error}"))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&ran.stderr).trim()))
}
