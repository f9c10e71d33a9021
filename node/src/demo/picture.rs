//! The first job: a ray-traced picture, one task a tile, whose cost is as uneven as the scene.

use std::path::Path;

use bytes::Bytes;
use weft_core::{BlobId, Entry, Outcome, Payload, Program};
use weft_exec::{Given, Sandbox, Stop};

/// The function of the module.
pub(super) const FUNCTION: &str = "tile";
/// Side of a tile in pixels: its bytes travel inline.
const TILE: u32 = 40;

/// How the picture is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    columns: u32,
    rows: u32,
}

impl Plan {
    /// About `tiles` tiles, in two rows for every three columns, but at least 256.
    pub(super) fn of(tiles: u32) -> Self {
        let wanted = tiles.clamp(256, 65_536);
        let mut rows: u32 = 1;
        while rows * (rows * 3).div_ceil(2) < wanted {
            rows += 1;
        }
        Self { columns: wanted.div_ceil(rows), rows }
    }

    /// One input per tile, row by row: the guest's `x y w h width height`.
    pub(super) fn inputs(&self) -> Vec<Vec<u8>> {
        let (width, height) = self.size();
        let corners =
            (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| (column * TILE, row * TILE)));
        corners.map(|(x, y)| format!("{x} {y} {TILE} {TILE} {width} {height}").into_bytes()).collect()
    }

    /// Puts the tiles together and writes a PNG.
    pub(super) fn write(&self, tiles: &[Vec<u8>], path: &Path) -> std::io::Result<()> {
        let (width, height) = self.size();
        let mut pixels = Vec::new();
        for band in tiles.chunks(self.columns as usize) {
            for row in 0..TILE as usize {
                let bytes = TILE as usize * 3;
                for tile in band {
                    pixels.extend_from_slice(tile.get(row * bytes..(row + 1) * bytes).unwrap_or_default());
                }
            }
        }
        let file = std::io::BufWriter::new(std::fs::File::create(path)?);
        let mut encoder = png::Encoder::new(file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        Ok(writer.finish()?)
    }

    fn size(&self) -> (u32, u32) {
        (self.columns * TILE, self.rows * TILE)
    }
}

/// One tile without a mesh.
pub(super) fn direct(sandbox: &Sandbox, module: &'static [u8], input: &[u8]) -> Result<Vec<u8>, String> {
    let program = Program {
        entry: Entry::Function(FUNCTION.to_owned()),
        ..Program::command(BlobId::of(module), module.len() as u64)
    };
    let prepared =
        sandbox.prepare(&program, || Ok(Bytes::from_static(module))).map_err(|error| error.to_string())?;
    let task = program.task_id(&Payload::inline(input));
    let given = Given::input(Bytes::copy_from_slice(input));
    let finished = sandbox.run(&prepared, &program, task, given, &Stop::new(), None);
    if finished.outcome == Outcome::Done { Ok(finished.output) } else { Err(finished.outcome.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_at_least_the_wanted_tiles() {
        for wanted in [256, 300, 512, 600, 1000] {
            let tiles = Plan::of(wanted).inputs().len();
            assert!((wanted..wanted + 64).contains(&u32::try_from(tiles).unwrap()), "{wanted}: {tiles}");
        }
        assert!(Plan::of(1).inputs().len() >= 256);
    }
}
