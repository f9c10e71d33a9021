//! You will see the ten commonest words of the files that you name (or of Shakespeare's works), counted by the mesh.
//!
//! Start a node first (`weft node`), then `cargo run -p weft-examples --bin map_reduce -- FILE..`. One map task a file
//! or piece of it; the tables are merged by reduce tasks, sixteen at a time, until one is left.
#![expect(clippy::print_stdout, reason = "an example prints what you are to see")]

use futures::StreamExt;
use weft_sdk::{Mesh, Task};

const WORD_COUNT: &[u8] = include_bytes!("../wasm-tasks/word-count.wasm");
const PIECE_BYTES: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        files.push(concat!(env!("CARGO_MANIFEST_DIR"), "/data/shakespeare.txt").to_owned());
    }
    let mut pieces = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        pieces.extend(cut(&text));
    }
    let mesh = Mesh::connect().await?;
    println!("{} files in {} pieces", files.len(), pieces.len());
    let mut tables = all(&mesh, &Task::function(WORD_COUNT.to_vec(), "map"), pieces).await?;
    let reduce = Task::function(WORD_COUNT.to_vec(), "reduce");
    while tables.len() > 1 {
        tables = all(&mesh, &reduce, tables.chunks(16).map(<[Vec<u8>]>::concat).collect()).await?;
    }
    let table = String::from_utf8(tables.pop().unwrap_or_default())?;
    let mut words: Vec<(u64, &str)> = table.lines().filter_map(entry).collect();
    words.sort_unstable_by(|a, b| b.cmp(a));
    for (count, word) in words.iter().take(10) {
        println!("{count:>8} {word}");
    }
    Ok(())
}

/// Runs one task per input and gives the outputs in the order of the inputs.
async fn all(mesh: &Mesh, task: &Task, inputs: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, weft_sdk::Error> {
    let mut outputs = vec![Vec::new(); inputs.len()];
    let mut results = mesh.map_iter(task, inputs).await?;
    while let Some(result) = results.next().await {
        let result = result?.into_done()?;
        let output = result.output_bytes(mesh).await?;
        if let Some(place) = outputs.get_mut(result.index as usize) {
            *place = output.to_vec();
        }
    }
    Ok(outputs)
}

fn cut(text: &str) -> Vec<Vec<u8>> {
    let mut pieces = vec![Vec::new()];
    for line in text.split_inclusive('\n') {
        if pieces.last().is_some_and(|piece| piece.len() >= PIECE_BYTES) {
            pieces.push(Vec::new());
        }
        pieces.last_mut().expect("there is one").extend_from_slice(line.as_bytes());
    }
    pieces
}

fn entry(line: &str) -> Option<(u64, &str)> {
    let (word, count) = line.split_once('\t')?;
    Some((count.parse().ok()?, word))
}
