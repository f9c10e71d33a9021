//! The floor of everything that computes: the same function in the same sandbox, called in a loop on bare threads of
//! this process. No queue, no node, no network.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::{BlobId, Entry, Fault, Limits, Payload, Profile, Program, TaskId};
use weft_exec::{Given, Prepared, Sandbox, Stop};

use super::BenchError;
use super::report::median;

/// Room for a guest's stack.
const STACK_BYTES: usize = 8 << 20;

/// One function, ready to be called.
#[derive(Clone)]
pub(super) struct Direct {
    sandbox: Sandbox,
    program: Arc<Program>,
    prepared: Arc<Prepared>,
}

impl Direct {
    pub(super) fn new(sandbox: &Sandbox, module: &'static [u8], function: &str) -> Result<Self, BenchError> {
        let program = Program {
            module: BlobId::of(module),
            module_bytes: module.len() as u64,
            entry: Entry::Function(function.to_owned()),
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        };
        let prepared = sandbox.prepare(&program, || Ok(Bytes::from_static(module)));
        let prepared = prepared.map_err(|error| BenchError::Floor(error.to_string()))?;
        Ok(Self { sandbox: sandbox.clone(), program: Arc::new(program), prepared })
    }

    /// How long `threads` threads take for all these inputs together.
    pub(super) fn time_all(&self, inputs: &[Bytes], threads: usize) -> Result<Duration, BenchError> {
        let next = AtomicUsize::new(0);
        let serve = || {
            while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.call(input.clone())?;
            }
            Ok(())
        };
        let started = Instant::now();
        on_threads(threads, &serve)?;
        Ok(started.elapsed())
    }

    /// How long each call takes, one after the other, in microseconds.
    pub(super) fn time_each(&self, input: &Bytes, calls: usize) -> Result<Vec<f64>, BenchError> {
        on_thread(|| {
            let mut took = Vec::with_capacity(calls);
            for _ in 0..calls {
                let started = Instant::now();
                self.call(input.clone())?;
                took.push(started.elapsed().as_secs_f64() * 1e6);
            }
            Ok(took)
        })
    }

    /// What the function gives for one input.
    pub(super) fn output(&self, input: &Bytes) -> Result<Vec<u8>, BenchError> {
        on_thread(|| self.call(input.clone()))
    }

    fn call(&self, input: Bytes) -> Result<Vec<u8>, BenchError> {
        let given = Given::input(input);
        let stop = Stop::new();
        let finished = self.sandbox.run(&self.prepared, &self.program, TaskId([0; 32]), given, &stop, None);
        match finished.outcome.fault() {
            Fault::None => Ok(finished.output),
            Fault::Task | Fault::Program | Fault::Worker | Fault::Disk | Fault::Owner => {
                Err(BenchError::Floor(finished.outcome.to_string()))
            }
        }
    }
}

/// Runs something on a thread with room for a guest.
fn on_thread<T: Send>(serve: impl Fn() -> Result<T, BenchError> + Sync) -> Result<T, BenchError> {
    let mut given = on_threads(1, &serve)?;
    given.pop().ok_or_else(|| BenchError::Floor(String::from("no thread ran")))
}

fn on_threads<T: Send>(
    threads: usize,
    serve: &(impl Fn() -> Result<T, BenchError> + Sync),
) -> Result<Vec<T>, BenchError> {
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, serve);
        let started: Vec<_> = (0..threads).map(start).collect::<io::Result<_>>()?;
        let panicked = |_| Err(BenchError::Floor(String::from("a thread panicked")));
        started.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    })
}

/// How many iterations of `spin` take that long on one core, and how long a call of them really takes.
pub(super) fn calibrate(spin: &Direct, wanted: Duration) -> Result<(u64, Duration), BenchError> {
    let wanted_us = wanted.as_secs_f64() * 1e6;
    let calls = if wanted < Duration::from_millis(20) { 41 } else { 5 };
    let mut iterations = 100_000_u64;
    let mut took_us = 0.0;
    // The first guess is spoilt by what starts up, and every further one is closer.
    for _ in 0..3 {
        iterations = if took_us > 0.0 { scale(iterations, wanted_us / took_us) } else { iterations };
        took_us = median(&spin.time_each(&Bytes::from(iterations.to_string()), calls)?);
    }
    Ok((iterations, Duration::from_secs_f64(took_us / 1e6)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a number of iterations, good to three digits"
)]
fn scale(iterations: u64, by: f64) -> u64 {
    (iterations as f64 * by) as u64
}
