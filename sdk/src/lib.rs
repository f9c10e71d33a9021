//! Submit wasm tasks to a weft mesh.
//!
//! A program speaks to the node on its own machine (`weft node` starts one), and the node finds nodes with room. The
//! same module, input and limits give the same bytes on every node.
//!
//! One task:
//!
//! ```no_run
//! use weft_sdk::{Mesh, Module, Task};
//!
//! # async fn example() -> Result<(), weft_sdk::Error> {
//! let mesh = Mesh::connect().await?;
//! let count = Task::command(Module::file("word_count.wasm")).arg("--lines");
//! let result = mesh.run(&count, "one\ntwo\n").await?.into_done()?;
//! println!("{}", String::from_utf8_lossy(&result.output_bytes(&mesh).await?));
//! # Ok(())
//! # }
//! ```
//!
//! One task per input, as many as there are; results come as the tasks end:
//!
//! ```no_run
//! use futures::StreamExt;
//! use weft_sdk::{Mesh, Module, Task};
//!
//! # async fn example() -> Result<(), weft_sdk::Error> {
//! let mesh = Mesh::connect().await?;
//! let square = Task::function(Module::file("square.wasm"), "square").retries(2);
//! let inputs = (0..1_000_000u64).map(|n| n.to_le_bytes().to_vec());
//! let mut results = mesh.map_iter(&square, inputs).await?;
//! while let Some(result) = results.next().await {
//!     let result = result?;
//!     println!("{}: {}", result.index, result.outcome);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A job that goes on without this program:
//!
//! ```no_run
//! use weft_sdk::{Class, Input, Mesh, Module, Task};
//!
//! # async fn example() -> Result<(), weft_sdk::Error> {
//! let mesh = Mesh::connect().await?;
//! let render = Task::command(Module::file("render.wasm")).class(Class::Scavenger);
//! let job = mesh.submit(&render, ["a.obj", "b.obj"].map(Input::file)).await?;
//! println!("{}: see `weft jobs`", job.id());
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    feature = "embedded",
    doc = r#"
A whole mesh inside the program, for tests and demos (feature `embedded`):

```no_run
use weft_sdk::{Embedded, Mesh, Module, Task};

# async fn example() -> Result<(), Box<dyn std::error::Error>> {
let mesh = Mesh::embedded(3).await?;
let task = Task::function(Module::file("square.wasm"), "square");
mesh.run(&task, "7").await?.into_done()?;
# Ok(())
# }
```
"#
)]

#[cfg(feature = "embedded")]
mod embedded;

#[cfg(feature = "embedded")]
pub use embedded::{Embedded, EmbeddedError, EmbeddedMesh};
pub use weft_client::*;
