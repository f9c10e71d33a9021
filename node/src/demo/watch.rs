//! What one sees while the demo runs, on stderr: a bar for the job, and a line per node. On a terminal it is drawn
//! over itself; elsewhere it is a plain line a second.

use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use weft_core::snapshot::Snapshot;

use crate::embedded::EmbeddedMesh;
use crate::terminal::stderr_draws;

/// How often nodes are asked how they are.
const LOOK: Duration = Duration::from_millis(90);
/// How often a plain line is printed.
const PLAIN: Duration = Duration::from_secs(1);

/// One node as last seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeLook {
    pub(super) alive: bool,
    pub(super) slots: u32,
    pub(super) busy: u32,
    pub(super) bids: u64,
    pub(super) done: u64,
    pub(super) lost: u64,
}

/// The picture on stderr.
pub(super) struct Watch {
    bars: Option<Bars>,
    looked_at: Option<Instant>,
    printed_at: Option<Instant>,
    pub(super) nodes: Vec<NodeLook>,
    title: String,
    total: u64,
    done: u64,
}

struct Bars {
    all: MultiProgress,
    /// None before the first job.
    job: Option<ProgressBar>,
    nodes: Vec<ProgressBar>,
}

impl Watch {
    pub(super) fn new(nodes: usize) -> Self {
        let shown = stderr_draws();
        Self {
            bars: shown.then(|| Bars::new(nodes)),
            looked_at: None,
            printed_at: None,
            nodes: vec![NodeLook::default(); nodes],
            title: String::new(),
            total: 0,
            done: 0,
        }
    }

    /// A new job begins.
    pub(super) fn job(&mut self, title: &str, total: usize) {
        self.title = title.to_owned();
        self.total = total as u64;
        self.done = 0;
        self.printed_at = None;
        if let Some(bars) = &mut self.bars {
            bars.clear_job();
            let bar = bars.all.insert(0, job_bar(self.total));
            bar.set_message(self.title.clone());
            bars.job = Some(bar);
        }
    }

    /// One more task ended.
    pub(super) fn one_done(&mut self) {
        self.done += 1;
        if let Some(job) = self.bars.as_ref().and_then(|bars| bars.job.as_ref()) {
            job.set_position(self.done);
        }
    }

    /// A sentence for the reader, above the bars.
    pub(super) fn say(&self, text: &str) {
        // A stderr that is gone need not hear it.
        let write = || drop(writeln!(std::io::stderr(), "{text}"));
        match &self.bars {
            Some(bars) => bars.all.suspend(write),
            None => write(),
        }
    }

    /// Asks the nodes how they are, if it is time to.
    pub(super) async fn look(&mut self, mesh: &EmbeddedMesh) {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        self.look_now(mesh).await;
    }

    /// Asks the nodes how they are.
    pub(super) async fn look_now(&mut self, mesh: &EmbeddedMesh) {
        self.looked_at = Some(Instant::now());
        let mut owner = None;
        for (index, node) in mesh.nodes().iter().enumerate() {
            let seen = if node.is_alive() { node.handle().snapshot().await.ok() } else { None };
            let Some(look) = self.nodes.get_mut(index) else { continue };
            look.alive = seen.is_some();
            if let Some(seen) = &seen {
                look.slots = seen.capacity.slots;
                look.busy = seen.running.min(seen.capacity.slots);
                look.bids = seen.counters.bids_made;
                look.done = seen.counters.executed;
            }
            if index == 0 {
                owner = seen;
            }
        }
        if let Some(owner) = owner {
            self.note_losses(mesh, &owner);
        }
        self.draw();
    }

    /// What was lost with each node, as the owner of the jobs counts it.
    fn note_losses(&mut self, mesh: &EmbeddedMesh, owner: &Snapshot) {
        for (look, node) in self.nodes.iter_mut().zip(mesh.nodes()) {
            let peer = node.handle().info().peer;
            if let Some(view) = owner.peers.iter().find(|view| view.peer == peer) {
                look.lost = view.lost;
            }
        }
    }

    fn draw(&mut self) {
        if let Some(bars) = &self.bars {
            for (index, (look, bar)) in self.nodes.iter().zip(&bars.nodes).enumerate() {
                bar.set_message(line(index, look));
            }
            return;
        }
        if self.printed_at.is_some_and(|at| at.elapsed() < PLAIN) {
            return;
        }
        self.printed_at = Some(Instant::now());
        self.say(&plain_line(&self.title, self.done, self.total, &self.nodes));
    }

    /// Takes the bars away and leaves what the nodes did as plain lines.
    pub(super) fn finish(&mut self) {
        if let Some(mut bars) = self.bars.take() {
            bars.clear_job();
            bars.nodes.iter().for_each(ProgressBar::finish_and_clear);
        }
        for (index, look) in self.nodes.iter().enumerate() {
            self.say(&line(index, look));
        }
    }
}

impl Bars {
    fn new(nodes: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        let style = ProgressStyle::with_template("{msg}").expect("a fixed template");
        let nodes = (0..nodes).map(|_| all.add(ProgressBar::new(0).with_style(style.clone()))).collect();
        Self { all, job: None, nodes }
    }

    fn clear_job(&mut self) {
        if let Some(job) = self.job.take() {
            job.finish_and_clear();
            self.all.remove(&job);
        }
    }
}

fn job_bar(total: u64) -> ProgressBar {
    let template = "  {msg:<8} {bar:20} {pos}/{len} tasks, {rate}, {eta} to go";
    let style = ProgressStyle::with_template(template).expect("a fixed template").progress_chars("=> ");
    // A stream that can't be written shows no rate.
    let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        let _shown = write!(text, "{:.0}/s", state.per_sec());
    };
    let style = style.with_key("rate", rate);
    ProgressBar::new(total).with_style(style)
}

fn line(index: usize, look: &NodeLook) -> String {
    let NodeLook { alive, slots, busy, bids, done, lost } = look;
    let state = if *alive { format!("{busy} of {slots} slots busy") } else { "killed".to_owned() };
    format!("  node-{index}  {state:<18} {bids:>5} bids  {done:>5} done  {lost:>3} lost, run again")
}

/// All nodes in one line; what each did is said at the end.
fn plain_line(title: &str, done: u64, total: u64, nodes: &[NodeLook]) -> String {
    let alive = || nodes.iter().filter(|look| look.alive);
    let busy: u32 = alive().map(|look| look.busy).sum();
    let slots: u32 = alive().map(|look| look.slots).sum();
    let lost: u64 = nodes.iter().map(|look| look.lost).sum();
    let (up, all) = (alive().count(), nodes.len());
    format!("{title} {done} of {total} | {up} of {all} nodes up, {busy} of {slots} slots busy, {lost} lost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_has_room_on_a_narrow_screen_whatever_the_demo_is_told() {
        let look = NodeLook { alive: true, slots: 256, busy: 256, bids: 99_999, done: 65_536, lost: 256 };
        let mut nodes = vec![look; 32];
        nodes[3].alive = false;
        let text = plain_line("picture", 65_536, 65_536, &nodes);
        assert_eq!(text, "picture 65536 of 65536 | 31 of 32 nodes up, 7936 of 7936 slots busy, 8192 lost");
        assert!(text.len() <= 80, "{text}");
        assert!(line(31, &look).len() <= 80, "{}", line(31, &look));
    }
}
