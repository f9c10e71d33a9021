//! You will see a file `picture.png` grow on your disk: a ray-traced scene, rendered a tile a task by the mesh.
//!
//! Start a node first (`weft node`), then `cargo run -p weft-examples --bin picture -- [FILE]`.
#![expect(clippy::print_stdout, reason = "an example prints what you are to see")]

use futures::StreamExt;
use weft_sdk::{Mesh, Task};

const TILES: &[u8] = include_bytes!("../wasm-tasks/tiles.wasm");
const COLUMNS: u32 = 15;
const ROWS: u32 = 10;
const SIDE: u32 = 32;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "picture.png".to_owned());
    let mesh = Mesh::connect().await?;
    let (width, height) = (COLUMNS * SIDE, ROWS * SIDE);
    let corner = |index: u32| (index % COLUMNS * SIDE, index / COLUMNS * SIDE);
    let inputs = (0..COLUMNS * ROWS).map(move |index| {
        let (x, y) = corner(index);
        format!("{x} {y} {SIDE} {SIDE} {width} {height}")
    });
    let mut pixels = vec![0; (width * height * 3) as usize];
    let mut results = mesh.map_iter(&Task::function(TILES.to_vec(), "tile"), inputs).await?;
    let mut done = 0;
    while let Some(result) = results.next().await {
        let result = result?.into_done()?;
        let tile = result.output_bytes(&mesh).await?;
        let (x, y) = corner(result.index);
        for (row, line) in (y..).zip(tile.chunks((SIDE * 3) as usize)) {
            let start = ((row * width + x) * 3) as usize;
            if let Some(place) = pixels.get_mut(start..start + line.len()) {
                place.copy_from_slice(line);
            }
        }
        done += 1;
    }
    let mut encoder = png::Encoder::new(std::fs::File::create(&path)?, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    println!("{done} tiles, {width} x {height} pixels, in {path}");
    Ok(())
}
