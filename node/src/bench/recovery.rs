//! Rows of recovery: how soon a mesh goes on after one of its nodes is gone, and after it is back. Part of [`Bench`], in a file
//! of its own for its theme.
//!
//! Each round kills or stops a node of a mesh that is there for this alone, and starts it again. What is measured has no floor
//! but the time of the work itself, which is taken off.

use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_client::{Level, Mesh, Task};

use super::direct::calibrate;
use super::durable::KEEPERS;
use super::local::{LocalMesh, OTHER};
use super::report::{Better, Rounds, Row};
use super::rows::{Bench, NOOP_WASM, SPIN_WASM, missing};
use super::{BenchError, blocking};

/// The node that jobs are submitted to, and another one.
const OWNER: usize = 0;
const WITNESS: usize = 1;
/// How long a task of a worker that is lost takes.
const TASK: Duration = Duration::from_millis(500);
/// When its worker is lost, from the submission: it runs by then.
const LOST_AFTER: Duration = Duration::from_millis(200);
/// How long a job may have no leader, or not the one that is waited for.
const LEADER_MAX: Duration = Duration::from_secs(60);
/// Between two questions who leads.
const PAUSE: Duration = Duration::from_millis(20);
/// Rounds that are begun for each that counts.
const TRIES_MAX: usize = 20;
/// A label that no node has: such tasks wait.
const NOWHERE: &str = "nowhere";

/// How a worker is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Its process is killed, and its connections close.
    Killed,
    /// Its process is stopped, and nothing is heard of it.
    Silent,
}

impl Bench<'_> {
    /// All of them, in order.
    pub(super) async fn recovery(&mut self) -> Result<Vec<Row>, BenchError> {
        let mut mesh = LocalMesh::start(KEEPERS, KEEPERS).await?;
        let mut rows = Vec::new();
        for loss in [Loss::Killed, Loss::Silent] {
            rows.push(self.lost_worker(&mut mesh, loss).await?);
        }
        rows.extend(self.lost_leader(&mut mesh).await?);
        Ok(rows)
    }

    /// From the loss of the worker that runs a task to its result from another one, without the time that the task takes.
    async fn lost_worker(&mut self, mesh: &mut LocalMesh, loss: Loss) -> Result<Row, BenchError> {
        let what = match loss {
            Loss::Killed => "a worker is killed: its task begins elsewhere",
            Loss::Silent => "a worker falls silent: its task begins elsewhere",
        };
        (self.tell)(what);
        let direct = self.spin.clone();
        let (iterations, _) = blocking(move || calibrate(&direct, TASK)).await?;
        let task = Task::function(SPIN_WASM, "spin").need(OTHER.0, OTHER.1);
        let client = mesh.client_of(OWNER)?;
        let mut rounds = Rounds::default();
        // A round in which the idle one of the two was lost says nothing, and half of them are such.
        for _ in 0..TRIES_MAX * self.sizes.rounds {
            if rounds.len() == self.sizes.rounds {
                return Ok(rounds.row(what, "ms", Better::Lower, ""));
            }
            let [first, input] = [(); 2].map(|()| Bytes::from((iterations + self.next()).to_string()));
            let alone = Instant::now();
            client.run(&task, first).await?.into_done()?;
            let alone = alone.elapsed();
            let losing = async {
                tokio::time::sleep(LOST_AFTER).await;
                let lost = Instant::now();
                mesh.lose(WITNESS, loss == Loss::Silent).map(|()| lost)
            };
            let (result, lost) = tokio::join!(client.run(&task, input), losing);
            let (result, took) = (result?, lost?.elapsed());
            if result.attempts > 1 {
                rounds.add((took.as_secs_f64() - alone.as_secs_f64()).max(0.0) * 1e3, None);
            }
            result.into_done()?;
            mesh.revive(WITNESS).await?;
        }
        Err(missing())
    }

    /// From the kill of the node that leads a job at level `mesh` to another one leading it; and from when it is started again to it
    /// leading.
    async fn lost_leader(&mut self, mesh: &mut LocalMesh) -> Result<[Row; 2], BenchError> {
        const GONE: &str = "an owner is killed: another node leads its job";
        const BACK: &str = "an owner is started again: it leads its job";
        (self.tell)(GONE);
        let task = Task::function(NOOP_WASM, "noop").need(NOWHERE, NOWHERE).level(Level::Mesh);
        let owner = mesh.id_of(OWNER)?;
        let inputs = self.sixteens(1);
        let job = kept(&mesh.client_of(OWNER)?, &task, &inputs).await?;
        let (mut gone, mut back) = (Rounds::default(), Rounds::default());
        for _ in 0..self.sizes.long_rounds {
            let killed = Instant::now();
            mesh.lose(OWNER, false)?;
            led(&mesh.client_of(WITNESS)?, &job, |leader| leader != owner && !leader.is_empty()).await?;
            gone.add(killed.elapsed().as_secs_f64() * 1e3, None);
            let started = Instant::now();
            mesh.revive(OWNER).await?;
            led(&mesh.client_of(OWNER)?, &job, |leader| leader == owner).await?;
            back.add(started.elapsed().as_secs_f64() * 1e3, None);
        }
        let row = |rounds: &Rounds, what| rounds.row(what, "ms", Better::Lower, "");
        Ok([row(&gone, GONE), row(&back, BACK)])
    }
}

/// Hands in a job at level `mesh`, as soon as three nodes can keep it: that a node is back is known before what it can keep.
async fn kept(client: &Mesh, task: &Task, inputs: &[Bytes]) -> Result<String, BenchError> {
    let until = Instant::now() + LEADER_MAX;
    loop {
        match client.submit(task, inputs.to_vec()).await {
            Ok(job) => return Ok(job.id().to_owned()),
            Err(error) if Instant::now() >= until => return Err(error.into()),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Waits until a node says that such a one leads a job.
async fn led(client: &Mesh, job: &str, is_wanted: impl Fn(&str) -> bool) -> Result<(), BenchError> {
    let until = Instant::now() + LEADER_MAX;
    while Instant::now() < until {
        // While none leads, a node may have no answer.
        if client.job(job).await.is_ok_and(|job| is_wanted(&job.leader.peer)) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(BenchError::Wrong(format!("no node led job {job} in time")))
}
