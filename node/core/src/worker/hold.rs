//! From an award to a task that can run: known results are answered, what is lacking is brought here, and what can't be
//! had is said.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::bids::decline;
use super::outbox::Sealed;
use super::{Fetching, Held, Offer, Stage, Worker, window};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BlobId, PeerId, RunId};
use crate::input::Fetched;
use crate::message::{Grant, Reason};
use crate::owner::blobs_with_lengths;
use crate::policy::order::AGE_US;
use crate::task::{Outcome, Program, Recall, Report};

/// How long no work is taken after a blob found no room, in milliseconds.
const NO_ROOM_MS: u64 = 5000;
/// Modules remembered as present; beyond it the memory is cleared, which costs one look into the store each.
const PRESENT_MAX: usize = 1024;

impl Worker {
    pub(super) fn hold(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, offer: &Offer, grant: Grant) {
        let Grant { lease, input } = grant;
        if self.has(owner, lease) {
            offer.ahead.iter().for_each(|_| self.standings.leave(owner, ctx.now));
            return;
        }
        let recalls = offer.terms.memo != Recall::Off && offer.program.is_pure() && !ctx.memo.is_empty();
        let task = recalls.then(|| offer.key.task_id(&input));
        let known = task.and_then(|task| ctx.memo.recall_own(task));
        if let Some(report) = known.as_ref().filter(|report| report.blobs().next().is_none()) {
            let sealed = Sealed { report: report.clone(), memo: Some(ctx.me), leaf: None };
            ctx.counters.answered += 1;
            self.outbox.put(ctx, owner, lease, sealed);
            offer.ahead.iter().for_each(|_| self.standings.leave(owner, ctx.now));
            return;
        }
        let estimate_us = offer.ahead.unwrap_or_else(|| self.services.estimate_us(owner, lease.job));
        let run = RunId(self.next_run);
        self.next_run += 1;
        let width = offer.width;
        let long = width > 1 || !window::is_short(estimate_us, 0);
        let slot_us = u64::from(estimate_us) * u64::from(width);
        let held = Held {
            owner,
            lease,
            program: Arc::clone(&offer.program),
            key: offer.key,
            terms: offer.terms,
            class: offer.class,
            width,
            estimate_us,
            ran_us: None,
            ages_at: None,
            age_left_us: AGE_US,
            ready_turn: 0,
            task,
            input,
            known: known.map(Box::new),
            stage: Stage::Ready,
            compiling: false,
            awarded_at: ctx.now,
            handed_at: ctx.now,
            paused_at: ctx.now,
            queue_us: 0,
            printed: 0,
            ahead: offer.ahead,
            long,
        };
        ctx.emit(Effect::Pin(held.program.module));
        ctx.pin(&held.program.files);
        ctx.pin(&held.input);
        self.held_slots += width;
        self.held_by.add(held.class, width);
        self.long_by.add(held.class, if long { width } else { 0 });
        self.work_by.add(held.class, slot_us);
        self.shares.charge(owner, slot_us);
        self.runs.insert(run, Box::new(held));
        self.leases.insert((owner, lease), run);
        self.gather(ctx, run);
    }

    /// Has brought here what a task lacks; a task that lacks nothing is ready.
    fn gather(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        if self.runs.get(&run).is_some_and(|held| self.is_whole(held)) {
            self.make_ready(ctx.now, run);
            return;
        }
        let Some(held) = self.runs.get_mut(&run) else { return };
        let (from, lacking): (PeerId, Vec<(BlobId, u64)>) = match held.known.as_deref() {
            Some(report) => (ctx.me, blobs_with_lengths(report).into_iter().collect()),
            None => (held.owner, held.needs().difference(&self.present).copied().collect()),
        };
        held.stage = Stage::Fetching(u8::try_from(lacking.len()).unwrap_or(u8::MAX));
        if lacking.is_empty() {
            self.make_ready(ctx.now, run);
            return;
        }
        for (blob, bytes) in lacking {
            self.await_blob(ctx, blob, from, (run, bytes));
        }
    }

    /// Has a blob fetched for a run that was told this length; if it is on its way already, the run waits too.
    fn await_blob(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, from: PeerId, waits: (RunId, u64)) {
        let (_, bytes) = waits;
        let fetching = self.fetching.entry(blob).or_insert_with(|| {
            ctx.emit(Effect::Fetch { blob, from: alloc::vec![from], bytes: Some(bytes) });
            Fetching { from, bytes, waiting: Vec::new() }
        });
        fetching.waiting.push(waits);
    }

    /// Whether a task lacks nothing: the rule for short ones, whose module has been here since the first.
    fn is_whole(&self, held: &Held) -> bool {
        let Program { module, module_bytes, files, .. } = &*held.program;
        let payloads = [files, &held.input].into_iter();
        let blobs = payloads.filter_map(|payload| Some((payload.blob()?, payload.bytes_len())));
        let mut needs = core::iter::once((*module, *module_bytes)).chain(blobs);
        held.known.is_none() && needs.all(|need| self.present.contains(&need))
    }

    /// Forgets a run, and what it rested on.
    pub(super) fn drop_run(&mut self, ctx: &mut Ctx<'_>, run: RunId) -> Option<Box<Held>> {
        self.stop_ageing(run, ctx.now);
        let held = self.runs.remove(&run)?;
        if held.ahead.is_some() {
            self.standings.leave(held.owner, ctx.now);
        }
        self.held_slots -= held.width;
        self.held_by.sub(held.class, held.width);
        self.long_by.sub(held.class, held.long_slots());
        if held.long {
            self.given.on_long_ended(ctx.now);
        }
        self.work_by.sub(held.class, held.slot_us());
        // What it kept others from counts, and not only what it used.
        let took_us = held.took_us(ctx.now).saturating_mul(u64::from(held.width));
        self.shares.settle(held.owner, held.slot_us(), took_us);
        ctx.emit(Effect::Unpin(held.program.module));
        ctx.unpin(&held.program.files);
        ctx.unpin(&held.input);
        Some(held)
    }

    pub(crate) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, fetched: Fetched) {
        let Some(Fetching { from: asked, bytes, waiting }) = self.fetching.remove(&blob) else { return };
        let mut others: Vec<(RunId, u64)> = Vec::new();
        for (run, told) in waiting {
            let Some(held) = self.runs.get_mut(&run) else { continue };
            let Stage::Fetching(missing) = held.stage else { continue };
            if told != bytes {
                others.push((run, told));
            } else if fetched == Fetched::Here {
                self.on_here(ctx, run, (blob, bytes), missing);
            } else if held.known.is_some() {
                self.run_after_all(ctx, run);
            } else if fetched == Fetched::NoRoom {
                self.finish_without_room(ctx, run, alloc::format!("the worker has none for blob {blob}"));
            } else if held.owner == asked {
                let text = match fetched {
                    Fetched::Wrong => alloc::format!("the worker was sent something else than blob {blob}"),
                    Fetched::Here | Fetched::Missing | Fetched::NoRoom => {
                        alloc::format!("the worker could not fetch blob {blob}")
                    }
                };
                self.finish(ctx, run, Report::bare(Outcome::Lost(text)).into());
            } else {
                others.push((run, told));
            }
        }
        // What one owner could not give, another may; and who was told another length has no answer yet. A task that
        // was looked for again meanwhile may wait for it already.
        for (run, told) in others {
            let Some(held) = self.runs.get(&run) else { continue };
            let from = held.known.as_ref().map_or(held.owner, |_| ctx.me);
            self.await_blob(ctx, blob, from, (run, told));
        }
    }

    /// This node has no room for what a task needs or left: its owner is told, and no work is taken for a while. A full
    /// disk is no fault of a task or a node, so that it is no lost attempt.
    pub(super) fn finish_without_room(&mut self, ctx: &mut Ctx<'_>, run: RunId, text: String) {
        self.finish(ctx, run, Report::bare(Outcome::NoRoom(text)).into());
        if self.no_room_until.replace(ctx.now.plus_ms(NO_ROOM_MS)).is_none() {
            for (owner, call) in self.calls.keys() {
                decline(ctx, *owner, *call, Reason::NoRoom, Some(1000));
            }
        }
    }

    /// Whether it takes work at all.
    pub(super) fn takes_work(&self) -> bool {
        !self.draining && self.no_room_until.is_none()
    }

    /// One blob that a task lacked is here.
    fn on_here(&mut self, ctx: &mut Ctx<'_>, run: RunId, here: (BlobId, u64), missing: u8) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        let (blob, _) = here;
        if held.program.module == blob || held.program.files.blob() == Some(blob) {
            if self.present.len() >= PRESENT_MAX {
                self.present.clear();
            }
            self.present.insert(here);
        }
        if missing > 1 {
            held.stage = Stage::Fetching(missing - 1);
        } else if let Some(report) = held.known.take() {
            ctx.counters.answered += 1;
            self.finish(ctx, run, Sealed { report: *report, memo: Some(ctx.me), leaf: None });
        } else {
            self.make_ready(ctx.now, run);
        }
    }

    /// What a known result rests on can't be had: it is forgotten, and the task runs like any other.
    fn run_after_all(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        for fetching in self.fetching.values_mut() {
            fetching.waiting.retain(|(waits, _)| *waits != run);
        }
        let Some(held) = self.runs.get_mut(&run) else { return };
        held.known = None;
        held.task.into_iter().for_each(|task| ctx.memo.drop_known(task));
        self.gather(ctx, run);
    }

    pub(super) fn finish(&mut self, ctx: &mut Ctx<'_>, run: RunId, sealed: Sealed) {
        let Some(held) = self.drop_run(ctx, run) else { return };
        self.leases.remove(&(held.owner, held.lease));
        if held.owner == ctx.me && sealed.is_plain() {
            self.outbox.put_own(held.lease, sealed);
        } else {
            self.outbox.put(ctx, held.owner, held.lease, sealed);
        }
    }
}
