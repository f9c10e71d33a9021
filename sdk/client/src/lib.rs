//! The client of a weft node: submit wasm tasks, take their results, ask how things stand.
//!
//! It speaks to the node on this machine over loopback HTTP (see [`api`] and [`frames`] for the words) and knows
//! nothing of the mesh behind it. It is not a node: without one running, [`Mesh::connect`] says how to start one.
//!
//! ```no_run
//! use weft_client::{Mesh, Module, Task};
//!
//! # async fn example() -> Result<(), weft_client::Error> {
//! let mesh = Mesh::connect().await?;
//! let task = Task::command(Module::file("word_count.wasm")).arg("--lines");
//! let result = mesh.run(&task, "one\ntwo\n").await?.into_done()?;
//! println!("{}", String::from_utf8_lossy(&result.output_bytes(&mesh).await?));
//! # Ok(())
//! # }
//! ```

mod again;
pub mod api;
mod archive;
mod blobs;
mod digest;
mod error;
mod files;
pub mod frames;
mod http;
mod input;
mod job;
mod jobs;
mod kept;
mod map;
mod measured;
mod mesh;
mod pack;
mod parcel;
mod patience;
mod prepare;
mod pump;
mod rest;
mod result;
mod task;
mod told;
mod treated;
mod watch;

pub use api::{
    Backoff, BlobRef, Class, Event, EventFilter, Events, Failure, JobFilter, JobState, Level, LimitKind,
    Missed, Outcome, Policy, Profile, Recall, Recalled, Receipt, Stream, Usage, Verified,
};
pub use archive::Archive;
pub use digest::TaskDigest;
pub use error::Error;
pub use files::{Existing, Files, OutFile};
pub use input::{FilePart, Input};
pub use job::{Job, Reading};
pub use map::Map;
pub use mesh::{Mesh, default_data_dir};
pub use parcel::Parcel;
pub use result::{Output, TaskResult};
pub use task::{Module, Task};
pub use told::{Printed, Told};
pub use watch::Watched;
