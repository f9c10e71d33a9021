//! Backup copies of the last tasks: the sort of the `MapReduce` paper with stragglers and killed machines, and a cluster
//! with slow nodes. Both as models, next to values that an independent simulator measured (the anchors); then weft's
//! engines on a mesh with slow nodes.

use std::collections::BTreeMap;

use super::lan::mesh::LeanMesh;
use super::plot::{Axis, Plot};
use super::report::{Report, Table};
use super::trace::Distinct;
use crate::trace::Draw as _;
use weft_sim::Chance;

/// Start of the sort's reduce phase, in seconds.
const START_S: f64 = 60.0;
/// The number of reduce slots.
const SLOTS: usize = 1700;
/// The number of reduce tasks.
const REDUCES: usize = 4000;
/// When 200 machines die, in seconds.
const KILLED_S: f64 = 250.0;
/// Marks the event at which the lost slots come back, which is no task's end.
const NOBODY: usize = usize::MAX;

/// The result of a model's run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backups {
    /// When the last task ended, in seconds.
    pub seconds: f64,
    /// The number of copies that were begun.
    pub copies: usize,
    /// Slot time of useless attempts divided by slot time of the others.
    pub extra: f64,
    /// When each task ended, in seconds.
    pub ends: Vec<f64>,
}

/// The sort: reduces on 1,700 slots, some of them slow; with `copies` of all running tasks when 95 % are done; with 200
/// slots lost for half a minute if machines are `killed`.
#[must_use]
pub fn sort(backups: bool, killed: bool, seed: u64) -> Backups {
    let mut chance = Chance::new(seed, "sort");
    let usual: Vec<f64> = (0..REDUCES).map(|task| reduce_s(task, &mut chance)).collect();
    let mut takes = usual.clone();
    let mut drawn = Vec::new();
    Distinct::new(600).draw(&mut chance, 5, &mut drawn);
    for place in drawn {
        takes[REDUCES - 600 + place as usize] *= 3.6;
    }
    let mut sort = Sort { free: SLOTS, ..Sort::default() };
    sort.fill(START_S, &takes);
    let mut struck = !killed;
    let mut copied_at = None;
    let mut result = Backups::default();
    let mut done = vec![false; REDUCES];
    while result.ends.len() < REDUCES {
        if !struck && sort.ends.next_at().is_some_and(|at| at >= KILLED_S) {
            struck = true;
            sort.strike(&mut chance);
            continue;
        }
        let Some((at, task)) = sort.ends.next() else { break };
        if task == NOBODY {
            sort.free += 200;
        } else {
            sort.free += 1;
            if !std::mem::replace(&mut done[task], true) {
                result.ends.push(at);
                result.extra += copied_at.map_or(0.0, |copied| at - copied);
            }
        }
        sort.fill(at, &takes);
        if backups && copied_at.is_none() && result.ends.len() * 100 >= REDUCES * 95 {
            copied_at = Some(at);
            for task in (0..REDUCES).filter(|task| !done[*task]) {
                result.copies += 1;
                // A copy runs at the usual pace.
                sort.ends.at(at + usual[task], task);
            }
        }
    }
    result.seconds = result.ends.last().copied().unwrap_or(0.0);
    result.extra /= takes.iter().sum::<f64>();
    result
}

fn reduce_s(task: usize, chance: &mut Chance) -> f64 {
    if task < SLOTS { 195.0 + 235.0 * chance.unit() } else { lognormal(chance, 170.0, 0.2) }
}

fn lognormal(chance: &mut Chance, mean: f64, sigma: f64) -> f64 {
    (mean.ln() - sigma * sigma / 2.0 + sigma * chance.normal()).exp()
}

/// The ends of tasks, ordered by time.
#[derive(Debug, Default)]
struct Ends {
    order: BTreeMap<(u64, u64), usize>,
    planned: u64,
}

impl Ends {
    fn at(&mut self, seconds: f64, task: usize) {
        self.planned += 1;
        self.order.insert(((seconds * 1e6) as u64, self.planned), task);
    }

    fn next_at(&self) -> Option<f64> {
        self.order.keys().next().map(|(at, _)| *at as f64 / 1e6)
    }

    fn next(&mut self) -> Option<(f64, usize)> {
        let ((at, _), task) = self.order.pop_first()?;
        Some((at as f64 / 1e6, task))
    }
}

#[derive(Debug, Default)]
struct Sort {
    free: usize,
    next: usize,
    /// Tasks that were killed and wait again.
    again: Vec<usize>,
    ends: Ends,
}

impl Sort {
    fn fill(&mut self, now: f64, takes: &[f64]) {
        while self.free > 0 {
            let again = self.again.pop();
            let Some(task) = again.or_else(|| Some(self.next).filter(|next| *next < REDUCES)) else { return };
            self.next += usize::from(again.is_none());
            self.free -= 1;
            self.ends.at(now + takes[task], task);
        }
    }

    /// 200 running tasks are lost with their slots, which come back half a minute later.
    fn strike(&mut self, chance: &mut Chance) {
        let mut running: Vec<(u64, u64)> = self.ends.order.keys().copied().collect();
        for _ in 0..200.min(running.len()) {
            let key = running.swap_remove(chance.index(running.len()));
            self.again.extend(self.ends.order.remove(&key));
        }
        self.ends.at(KILLED_S + 30.0, NOBODY);
    }
}

/// When a slow node's task gets a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Never.
    Never,
    /// All running tasks when 95 % are done.
    AtTheEnd,
    /// Tasks of the slowest quarter, those with the longest expected remaining time first, at most a tenth of all.
    Late,
    /// The same, if a copy is expected to end much sooner.
    LateIfItHelps,
}

/// 1,000 nodes of one slot, of which 20 are ten times slower; one task of about 15 s for each.
#[must_use]
pub fn slow_nodes(rule: Rule, seed: u64) -> Backups {
    const NODES: usize = 1000;
    const TICK_S: f64 = 0.5;
    let mut chance = Chance::new(seed, "slow nodes");
    let size: Vec<f64> = (0..NODES).map(|_| lognormal(&mut chance, 15.0, 0.1)).collect();
    let slow = |node: usize| if node.is_multiple_of(50) { 10.0 } else { 1.0 };
    let takes: Vec<f64> = (0..NODES).map(|node| size[node] * slow(node)).collect();
    let mut copy: Vec<Option<(f64, f64)>> = vec![None; NODES];
    let mut ends: Vec<Option<f64>> = vec![None; NODES];
    let mut free = 0;
    let mut result = Backups::default();
    let mut now = 0.0;
    while result.ends.len() < NODES {
        now += TICK_S;
        for task in 0..NODES {
            let copied = copy[task].map_or(f64::MAX, |(_, ends)| ends);
            if ends[task].is_none() && takes[task].min(copied) <= now {
                ends[task] = Some(now);
                result.ends.push(now);
                // A slow node is given no copy.
                free += usize::from(slow(task) < 2.0) + usize::from(copy[task].is_some());
                result.extra +=
                    copy[task].map_or(0.0, |(began, _)| if copied < takes[task] { now } else { now - began });
            }
        }
        for task in wanted(rule, now, &takes, &copy, &ends) {
            if free == 0 {
                break;
            }
            free -= 1;
            result.copies += 1;
            copy[task] = Some((now, now + size[task]));
        }
    }
    result.seconds = now;
    result.extra /= size.iter().sum::<f64>();
    result
}

/// Tasks that should have a copy, the most urgent first.
fn wanted(
    rule: Rule,
    now: f64,
    takes: &[f64],
    copy: &[Option<(f64, f64)>],
    ends: &[Option<f64>],
) -> Vec<usize> {
    let done = ends.iter().flatten().count();
    let left = |task: usize| takes[task] - now;
    let mut running: Vec<usize> =
        (0..takes.len()).filter(|task| ends[*task].is_none() && copy[*task].is_none()).collect();
    running.sort_by(|one, other| left(*other).total_cmp(&left(*one)));
    let mut by_pace: Vec<f64> = takes.to_vec();
    by_pace.sort_by(f64::total_cmp);
    let slowest_quarter = by_pace[takes.len() * 3 / 4];
    let room = (takes.len() / 10).saturating_sub(copy.iter().flatten().count());
    match rule {
        Rule::Never => Vec::new(),
        Rule::AtTheEnd if done * 100 >= takes.len() * 95 => running,
        Rule::AtTheEnd => Vec::new(),
        Rule::Late | Rule::LateIfItHelps => {
            running.retain(|task| takes[*task] >= slowest_quarter);
            if rule == Rule::LateIfItHelps {
                // The duration of a new attempt is known from tasks that ended.
                running.retain(|task| done > 0 && left(*task) > 1.5 * 15.0);
            }
            running.truncate(room);
            running
        }
    }
}

/// Weft's engines: nodes of one slot, of which 2 % are ten times slower, and one task of about 15 s for each. Returns
/// when the last task ended, in seconds, and the number of executions.
#[must_use]
pub fn weft_slow_nodes(nodes: usize, backups: bool, seed: u64) -> Option<(f64, u64)> {
    let mut chance = Chance::new(seed, "weft slow nodes");
    // The first node has no slots.
    let slots: Vec<u32> = std::iter::once(0).chain(std::iter::repeat_n(1, nodes)).collect();
    let mut mesh = LeanMesh::with_slots(&slots, 100, seed);
    for node in (1..=nodes).filter(|node| node % 50 == 1) {
        mesh.slow(node, 10);
    }
    let services: Vec<u32> = (0..nodes).map(|_| (lognormal(&mut chance, 15.0, 0.1) * 1e6) as u32).collect();
    mesh.submit(1_000_000, 0, &services, |job| job.policy.backups = backups);
    let ended = mesh.run(nodes, 1_000_000_000);
    let last = mesh.responses.iter().map(|(_, took)| *took).max()?;
    ended.then_some((last as f64 / 1e6, mesh.executions))
}

/// The experiment `backup`.
#[must_use]
pub fn experiment(quick: bool) -> Report {
    let mut report = Report::default();
    let seeds = if quick { 1..=3 } else { 1..=10 };
    report.say(&format!("MapReduce's sort as a model, mean of seeds {seeds:?}"));
    let mut table = Table::new(&["run", "s", "/ with copies", "copies", "extra work", "anchor s"]);
    let mut plot = Plot::new("Reduces of the sort", Axis::linear("s"), Axis::linear("ended, %"));
    let kinds = [
        ("with copies", true, false, 885.0),
        ("without", false, false, 1266.0),
        ("200 killed", true, true, 911.0),
    ];
    let mut base = 0.0;
    for (name, backups, killed, anchor) in kinds {
        let runs: Vec<Backups> = seeds.clone().map(|seed| sort(backups, killed, seed)).collect();
        let mean = |of: fn(&Backups) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        let seconds = mean(|run| run.seconds);
        base = if base == 0.0 { seconds } else { base };
        table.row(vec![
            name.into(),
            format!("{seconds:.0}"),
            format!("{:.2}", seconds / base),
            format!("{:.0}", mean(|run| run.copies as f64)),
            format!("{:.1} %", 100.0 * mean(|run| run.extra)),
            format!("{anchor:.0}"),
        ]);
        plot.cumulative(name, runs[0].ends.clone());
    }
    report.say(&table);
    report.plot("backup-sort.svg", plot);
    slow_report(&mut report, quick);
    report
}

fn slow_report(report: &mut Report, quick: bool) {
    report.say(&"\n1,000 nodes of one slot, 20 of them ten times slower, as a model, seed 1");
    let mut table = Table::new(&["rule", "s", "copies", "extra work", "anchor s", "copies"]);
    let mut plot = Plot::new("Tasks on slow nodes", Axis::linear("s"), Axis::linear("ended, %"));
    let rules = [
        ("no copies", Rule::Never, 185.5, "-"),
        ("at 95 %", Rule::AtTheEnd, 37.5, "39"),
        ("LATE", Rule::Late, 30.0, "100"),
        ("LATE if it helps", Rule::LateIfItHelps, 30.0, "20"),
    ];
    for (name, rule, anchor, copies) in rules {
        let run = slow_nodes(rule, 1);
        table.row(vec![
            name.into(),
            format!("{:.1}", run.seconds),
            run.copies.to_string(),
            format!("{:.1} %", 100.0 * run.extra),
            format!("{anchor:.1}"),
            copies.into(),
        ]);
        plot.cumulative(name, run.ends);
    }
    report.say(&table);
    report.plot("backup-slow.svg", plot);
    let nodes = if quick { 50 } else { 100 };
    report.say(&format!("\nWeft's engines, {nodes} nodes of one slot, 2 % of them ten times slower, seed 1"));
    let mut table = Table::new(&["job's policy", "s", "executions"]);
    for (name, backups) in [("backups off", false), ("backups on", true)] {
        let (seconds, executions) = weft_slow_nodes(nodes, backups, 1).unwrap_or((f64::NAN, 0));
        table.row(vec![name.into(), format!("{seconds:.1}"), executions.to_string()]);
    }
    report.say(&table);
}
