//! The places that the disk of a draining node has among those that keep jobs, and the wait until other nodes have taken them.
//! `weft drain` asks.

use std::time::{Duration, Instant};

use weft_client::{JobFilter, Level, Mesh, api};
use weft_node::counts::counted;

use super::Problem;
use super::jobs::lacking;
use crate::render::say;

/// How often the node is asked for all of its jobs, which may be many.
const PAUSE: Duration = Duration::from_secs(3);
/// How long no place may be taken, though there is a node for it. Places go a minute or two after a node began to drain, but of a job
/// of which another node is away only once that one has been replaced, 10 minutes after it went.
const PATIENCE: Duration = Duration::from_secs(900);

/// What is on the disk of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    /// Jobs at level `mesh` that this disk keeps with two others.
    shared: u64,
    /// Those of them whose place there is a node for.
    movable: u64,
    /// Jobs at level `disk` that this node owns, and of which no other one has a copy.
    own: u64,
    /// Copies of jobs at level `disk` of other nodes.
    copies: u64,
}

impl Places {
    fn of(jobs: &[api::Job], peers: &[api::Peer], me: &str) -> Self {
        let sits = |job: &api::Job, peer: &str| job.keepers.iter().any(|keeper| keeper.peer == peer);
        let can_keep = |peer: &&api::Peer| peer.connected && peer.keeps && !peer.draining;
        // What is still handed in here stays until all of it has come.
        let is_fed_here = |job: &api::Job| job.open && job.leader.peer == me;
        let is_movable = |job: &&api::Job| {
            !is_fed_here(job) && peers.iter().filter(can_keep).any(|peer| !sits(job, &peer.peer))
        };
        let is_shared = |job: &&api::Job| job.level == Level::Mesh && sits(job, me);
        let is_disk = |job: &&api::Job| job.level == Level::Disk;
        let is_own = |job: &&api::Job| job.owner.peer == me && job.keepers.len() < 2;
        let is_copy = |job: &&api::Job| job.owner.peer != me && sits(job, me);
        let count = |jobs: usize| u64::try_from(jobs).unwrap_or(u64::MAX);
        Self {
            shared: count(jobs.iter().filter(is_shared).count()),
            movable: count(jobs.iter().filter(is_shared).filter(is_movable).count()),
            own: count(jobs.iter().filter(is_disk).filter(is_own).count()),
            copies: count(jobs.iter().filter(is_disk).filter(is_copy).count()),
        }
    }

    async fn ask(mesh: &Mesh, me: &str) -> Result<Self, Problem> {
        let jobs = mesh.list_all(&JobFilter::default()).await?;
        Ok(Self::of(&jobs, &mesh.peers().await?, me))
    }

    /// What is lost, or less safe, when this disk goes for good.
    fn left(self) -> impl Iterator<Item = String> {
        let told =
            |jobs: u64, what: &dyn Fn(String) -> String| (jobs > 0).then(|| what(counted(jobs, "job")));
        let shared = told(self.shared, &|jobs| {
            format!(
                "its disk still has a place in {jobs} at level mesh, which no other node can take now: when that disk goes, two nodes \
                 keep them"
            )
        });
        let own = told(self.own, &|jobs| {
            format!(
                "its disk alone has {jobs} at level disk: before it goes for good, wait for those that go on, and read or forget the \
                 others"
            )
        });
        let copies = told(self.copies, &|jobs| {
            format!("its disk has the copy of {jobs} of other nodes at level disk")
        });
        [shared, own, copies].into_iter().flatten()
    }
}

/// Says what is on the disk of a draining node and other nodes, or this one later, rely on.
pub(super) async fn tell(mesh: &Mesh, status: &api::Status) -> Result<(), Problem> {
    let places = Places::ask(mesh, &status.peer).await?;
    if places.movable > 0 {
        say(&format!(
            "its disk still has a place in {} at level mesh: before it goes for good, `weft drain --leave` waits until other nodes \
             have these",
            counted(places.movable, "job")
        ));
    }
    Places { shared: places.shared - places.movable, ..places }.left().for_each(|text| say(&text));
    Ok(())
}

/// Waits until other nodes have taken the places of a draining node that they can take; says what stays on its disk, and whether
/// something does.
pub(super) async fn leave(mesh: &Mesh, status: &api::Status) -> Result<bool, Problem> {
    let mut places = Places::ask(mesh, &status.peer).await?;
    if places.movable > 0 {
        let jobs = counted(places.movable, "job");
        say(&format!(
            "waits for other nodes to take its place in {jobs} at level mesh, which begins within two minutes"
        ));
    }
    let mut moved_at = Instant::now();
    while places.movable > 0 {
        let stays = |why: &str| {
            let jobs = counted(places.movable, "job");
            Problem::Failed(format!(
                "node {} still has its place in {jobs} at level mesh: {why}",
                status.name
            ))
        };
        if moved_at.elapsed() > PATIENCE {
            return Err(stays(
                "no other node took one for 15 minutes; see in `weft jobs` who keeps them, whether one of those is away, and whether \
                 the others have room",
            ));
        }
        tokio::time::sleep(PAUSE).await;
        if !mesh.status().await?.draining {
            return Err(stays("it was told to take tasks again"));
        }
        let now = Places::ask(mesh, &status.peer).await?;
        if now.movable < places.movable {
            moved_at = Instant::now();
        }
        places = now;
    }
    let missing = lacking(&mesh.status().await?.journal);
    missing.iter().for_each(|text| say(text));
    places.left().for_each(|text| say(&text));
    Ok(!missing.is_empty() || places != Places::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(level: Level, keepers: &[&str]) -> api::Job {
        let keepers: Vec<_> =
            keepers.iter().map(|peer| serde_json::json!({ "peer": peer, "name": peer })).collect();
        let job = serde_json::json!({
            "job": "a7c372edeab46585", "state": "done", "detached": true, "cancelled_by_user": false,
            "class": "batch", "module": "", "tasks": 9, "queued": 7, "leased": 0, "done": 2, "failed": 0,
            "cancelled": 0, "retried": 0, "elapsed_ms": 1, "level": level, "owner": keepers[0], "keepers": keepers,
        });
        serde_json::from_value(job).unwrap()
    }

    fn peer(name: &str, connected: bool, keeps: bool, draining: bool) -> api::Peer {
        let peer = serde_json::json!({
            "peer": name, "name": name, "connected": connected, "rtt_us": 0, "slots": 1, "free": 1, "memory_bytes": 1,
            "labels": {}, "backlog": 0, "draining": draining, "keeps": keeps, "leased": 0, "done": 0, "lost": 0,
        });
        serde_json::from_value(peer).unwrap()
    }

    #[test]
    fn a_place_is_waited_for_where_another_node_can_take_it() {
        let jobs = [
            job(Level::Mesh, &["a", "b", "c"]),
            job(Level::Mesh, &["b", "c", "d"]),
            job(Level::Disk, &["a"]),
            job(Level::Disk, &["a", "b"]),
            job(Level::Disk, &["b", "a"]),
        ];
        let three = [peer("b", true, true, false), peer("c", true, true, false)];
        let places = |more: &[api::Peer]| Places::of(&jobs, &[&three, more].concat(), "a");
        let alone = Places { shared: 1, movable: 0, own: 1, copies: 1 };
        assert_eq!(places(&[]), alone);
        assert_eq!(places(&[peer("d", true, true, false)]), Places { movable: 1, ..alone });
        for cannot in
            [peer("d", false, true, false), peer("d", true, false, false), peer("d", true, true, true)]
        {
            assert_eq!(places(&[cannot]), alone);
        }
        assert_eq!((alone.left().count(), Places::default().left().count()), (3, 0));
        let fed = api::Job { open: true, leader: jobs[0].keepers[0].clone(), ..jobs[0].clone() };
        assert_eq!(Places::of(&[fed], &[peer("d", true, true, false)], "a").movable, 0);
    }
}
