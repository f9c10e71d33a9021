//! How a node drains, and leaves that is told to end: it takes no work any more, gives back what has not begun, has other nodes lead the
//! jobs that they keep with it, and lets what runs for others end, for the time of `--grace`; then it gives that back, too. The engine decides; this waits, and says what
//! happens. What the node's own jobs lose is told afterwards, in [`super::ending`].

use std::time::{Duration, Instant};

use weft_core::snapshot::Owed;
use weft_core::{Command, Input};

use super::{Broken, Ending, Flow, Node, Notice};

/// How long a node that leaves waits for owners to acknowledge their results, once it runs nothing for them.
const DELIVERED_MAX: Duration = Duration::from_secs(10);
/// How long it waits for the nodes that it asked to lead its jobs. Where they do not, they notice that it is gone.
const HANDED_OVER_MAX: Duration = Duration::from_secs(5);

impl Node {
    /// Lets work of others end, then ends. If the handle asks again meanwhile, what runs is given back and nothing is waited
    /// for.
    ///
    /// # Errors
    /// As [`Self::run_until`].
    pub(super) async fn leave(mut self) -> Result<Ending, Broken> {
        self.handle.note_stopping();
        let before = self.engine.owed();
        self.give_back();
        let after = self.engine.owed();
        self.hand_over(after.jobs).await?;
        self.finish_runs(after).await?;
        self.finish_deliveries().await?;
        Ok(self.end(before != Owed::default()).await)
    }

    /// Takes no new work, or takes it again; says so, as the one who asked may be another user than the node's.
    pub(super) fn drain(&mut self, on: bool) {
        // What is so already is not said again.
        if self.engine.snapshot().capacity.draining != on {
            self.say(String::from(if on {
                "takes no new tasks, and has other nodes lead its jobs at level mesh; `weft drain --off` ends that"
            } else {
                "takes new tasks again"
            }));
        }
        if on {
            return self.give_back();
        }
        self.apply(Input::Command(Command::Drain(false)));
    }

    /// Gives back what has not begun.
    fn give_back(&mut self) {
        let before = self.engine.owed().tasks;
        self.apply(Input::Command(Command::Drain(true)));
        let tasks = before.saturating_sub(self.engine.owed().tasks);
        if tasks > 0 {
            let (tasks, were) = counted(
                tasks,
                "task of others that had not begun is",
                "tasks of others that had not begun are",
            );
            self.say(format!("{tasks} {were} given back"));
        }
    }

    /// Waits until other nodes lead the jobs that they were asked to lead.
    async fn hand_over(&mut self, asked: u32) -> Result<(), Broken> {
        self.wait_until(Instant::now() + HANDED_OVER_MAX, |owed| owed.jobs == 0).await?;
        let left = self.engine.owed().jobs;
        let handed = asked.saturating_sub(left);
        if handed > 0 {
            // One that ends meanwhile is led by no node.
            let (jobs, are) = counted(
                handed,
                "job at level mesh is led by another node now, or has ended",
                "jobs at level mesh are led by other nodes now, or have ended",
            );
            self.say(format!("{jobs} {are}"));
        }
        if left > 0 && !self.handle.is_stopping_at_once() {
            let (jobs, are) = counted(left, "job at level mesh is", "jobs at level mesh are");
            let waited = seconds(HANDED_OVER_MAX);
            self.say(format!(
                "{jobs} {are} not led by another node within {waited}: those that keep them notice that this node is gone"
            ));
        }
        Ok(())
    }

    /// Waits until nothing runs for others, and gives back what still does when its time is over.
    async fn finish_runs(&mut self, owed: Owed) -> Result<(), Broken> {
        if owed.tasks > 0 && !self.grace.is_zero() {
            let (tasks, run) = counted(owed.tasks, "task of others runs", "tasks of others run");
            let grace = seconds(self.grace);
            self.say(format!(
                "{tasks} {run}: this node ends as soon as none does, in {grace} at most; told to end again, it ends at once"
            ));
        }
        let until = Instant::now() + self.grace;
        self.wait_until(until, |owed| owed.tasks == 0).await?;
        let left = self.engine.owed().tasks;
        if left > 0 {
            self.apply(Input::Command(Command::GiveBack));
            let (tasks, are) = counted(left, "task of others is", "tasks of others are");
            let at_once = self.grace.is_zero() || self.handle.is_stopping_at_once();
            let after = if at_once { String::new() } else { format!(" after {}", seconds(self.grace)) };
            self.say(format!("{tasks} {are} stopped{after} and given back"));
        }
        Ok(())
    }

    /// Waits until owners have acknowledged their results.
    async fn finish_deliveries(&mut self) -> Result<(), Broken> {
        self.wait_until(Instant::now() + DELIVERED_MAX, |owed| owed.outcomes == 0).await?;
        let left = self.engine.owed().outcomes;
        if left > 0 && !self.handle.is_stopping_at_once() {
            let (results, were) = counted(left, "result was", "results were");
            let waited = seconds(DELIVERED_MAX);
            self.say(format!(
                "{results} {were} not acknowledged within {waited}: their owners have them computed again"
            ));
        }
        Ok(())
    }

    /// Runs the loop until this holds of what is owed, or the time is over, or the handle asks for the end at once.
    async fn wait_until(&mut self, until: Instant, holds: impl Fn(Owed) -> bool) -> Result<(), Broken> {
        let handle = self.handle.clone();
        let mut over = std::pin::pin!(async move {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = handle.stopped_at_once() => {}
            }
        });
        while !holds(self.engine.owed()) {
            let step = self.select(over.as_mut()).await;
            match self.on_step(step)? {
                Flow::On => {}
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    fn say(&self, text: String) {
        self.notice(Notice::Leaving(text));
    }
}

/// A count, and the words for it.
fn counted(count: u32, one: &'static str, many: &'static str) -> (u32, &'static str) {
    (count, if count == 1 { one } else { many })
}

fn seconds(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_as_it_was_given() {
        let said = |ms| seconds(Duration::from_millis(ms));
        assert_eq!([said(10_000), said(1500), said(0)], ["10 s", "1500 ms", "0 s"]);
    }
}
