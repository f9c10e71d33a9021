//! You will see `HELLO, MESH` and which node said it: one function task on the mesh of this machine's node.
//!
//! Start a node first (`weft node`), then `cargo run -p weft-examples --bin hello`.
#![expect(clippy::print_stdout, reason = "an example prints what you are to see")]

use weft_sdk::{Mesh, Task};

const ECHO: &[u8] = include_bytes!("../wasm-tasks/echo.wasm");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mesh = Mesh::connect().await?;
    let task = Task::function(ECHO.to_vec(), "upper");
    let result = mesh.run(&task, "hello, mesh").await?.into_done()?;
    let output = result.output_bytes(&mesh).await?;
    println!("{}", String::from_utf8_lossy(&output));
    println!("ran on {} in {} us", result.worker.as_deref().unwrap_or("no node"), result.usage.wall_us);
    Ok(())
}
