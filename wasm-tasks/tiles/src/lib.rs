//! A ray-traced picture, tile by tile: `tile` renders one rectangle of it, and the tiles of any tiling fit together
//! without a seam. Cheap where the sky is and many times dearer where mirrors see mirrors, as real work is.
//!
//! Input, as decimal text: `x y w h width height [samples]`, the tile's corner and size in pixels, the picture's
//! size, and optionally how many by how many rays a pixel gets (1 to 16, 2 if not said; the cost is its square).
//! Output: `w * h` pixels of three bytes, red, green, blue, row by row. `tile` needs no randomness but its own and
//! no function but square root, so that every machine renders the same bytes.

mod scene;
mod trace;
mod vector;

use scene::Scene;
use trace::Random;
use vector::{vec3, Vec3};

/// A tile has at most this many pixels, and a picture this width and height.
const TILE_PIXELS_MAX: u32 = 1 << 20;
const PICTURE_SIDE_MAX: u32 = 1 << 16;

struct Tile {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
    width: u32,
    height: u32,
    samples: u32,
}

fn tile(input: &[u8]) -> Result<Vec<u8>, String> {
    let tile = parse(input)?;
    let scene = Scene::new();
    let mut bytes = Vec::with_capacity((tile.w * tile.h * 3) as usize);
    for y in tile.y..tile.y + tile.h {
        for x in tile.x..tile.x + tile.w {
            bytes.extend_from_slice(&pixel(&scene, &tile, x, y).to_bytes());
        }
    }
    Ok(bytes)
}

fn parse(input: &[u8]) -> Result<Tile, String> {
    let text = std::str::from_utf8(input).map_err(|error| error.to_string())?;
    let numbers: Vec<u32> = text
        .split_whitespace()
        .map(|word| word.parse().map_err(|error| format!("{:?} is no number: {}", word, error)))
        .collect::<Result<_, String>>()?;
    let (x, y, w, h, width, height, samples) = match numbers[..] {
        [x, y, w, h, width, height] => (x, y, w, h, width, height, 2),
        [x, y, w, h, width, height, samples] => (x, y, w, h, width, height, samples),
        _ => return Err("expected \"x y w h width height [samples]\"".to_owned()),
    };
    let fits = |from: u32, len: u32, side: u32| len > 0 && from.checked_add(len).map_or(false, |end| end <= side);
    if width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX || !fits(x, w, width) || !fits(y, h, height) {
        return Err(format!("no tile of {}x{} at {},{} in a picture of {}x{}", w, h, x, y, width, height));
    }
    if w.checked_mul(h).map_or(true, |pixels| pixels > TILE_PIXELS_MAX) || !(1..=16).contains(&samples) {
        return Err(format!("too much at once: at most {} pixels and 16 samples", TILE_PIXELS_MAX));
    }
    Ok(Tile { x, y, w, h, width, height, samples })
}

/// The mean over a grid of rays, each jittered within its cell; gamma by square root.
fn pixel(scene: &Scene, tile: &Tile, x: u32, y: u32) -> Vec3 {
    let mut random = Random::new(x, y);
    let side = f64::from(tile.samples);
    let mut sum = vec3(0.0, 0.0, 0.0);
    for cell in 0..tile.samples * tile.samples {
        let (column, row) = (f64::from(cell % tile.samples), f64::from(cell / tile.samples));
        let px = f64::from(x) + (column + random.unit()) / side;
        let py = f64::from(y) + (row + random.unit()) / side;
        let right = (2.0 * px - f64::from(tile.width)) / f64::from(tile.height);
        let up = 1.0 - 2.0 * py / f64::from(tile.height);
        sum = sum + trace::light_along(scene, scene.camera(), scene.view(right, up), &mut random);
    }
    (sum * (1.0 / (side * side))).tone_mapped()
}

weft_guest::functions! { tile }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_together() {
        let whole = tile(b"96 64 8 2 256 128 1").unwrap();
        let left = tile(b"96 64 4 2 256 128 1").unwrap();
        let right = tile(b"100 64 4 2 256 128 1").unwrap();
        let rows: Vec<u8> = left.chunks(12).zip(right.chunks(12)).flat_map(|(l, r)| [l, r].concat()).collect();
        assert_eq!(whole, rows);
    }

    #[test]
    fn what_lies_outside_is_refused() {
        for wrong in ["", "0 0 1", "0 0 0 1 9 9", "9 0 1 1 9 9", "4294967295 0 1 1 9 9", "0 0 1 1 9 9 17", "a 0 1 1 9 9"] {
            assert!(tile(wrong.as_bytes()).is_err(), "{}", wrong);
        }
    }
}
