//! How light comes to the eye: sun with soft shadows, sky dimmed by what is near, and mirrors in mirrors.

use crate::scene::{Hit, Scene};
use crate::vector::{vec3, Vec3};

/// Mirrors in mirrors are followed this far.
const BOUNCES_MAX: u32 = 6;
/// Light that adds less than this is not followed.
const SHARE_MIN: f64 = 0.01;
const SUN: Vec3 = vec3(-0.565_685, 0.524_998, -0.635_910);
const SUNLIGHT: Vec3 = vec3(2.9, 2.45, 1.9);
/// Width of the sun, as seen: the softness of shadows.
const SUN_SIZE: f64 = 0.05;
/// Nothing farther away than this dims the sky.
const NEAR: f64 = 1.2;

/// Random numbers that depend on the pixel alone, never on the tile it is part of.
pub struct Random(u64);

impl Random {
    pub fn new(x: u32, y: u32) -> Self {
        let mut state = (u64::from(x) << 32 | u64::from(y)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(state | 1)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A point within the ball of radius one.
    fn in_ball(&mut self) -> Vec3 {
        loop {
            let point = vec3(self.unit(), self.unit(), self.unit()) * 2.0 - vec3(1.0, 1.0, 1.0);
            if point.dot(point) < 1.0 {
                return point;
            }
        }
    }
}

/// The light that comes to `from` out of the direction `towards`.
pub fn light_along(scene: &Scene, from: Vec3, towards: Vec3, random: &mut Random) -> Vec3 {
    let (mut from, mut towards) = (from, towards);
    let mut light = vec3(0.0, 0.0, 0.0);
    let mut share = vec3(1.0, 1.0, 1.0);
    for _ in 0..BOUNCES_MAX {
        let hit = match scene.hit(from, towards) {
            Some(hit) => hit,
            None => return light + share.filtered(sky(towards)),
        };
        let place = from + towards * hit.distance + hit.normal * 1e-6;
        let slant = -towards.dot(hit.normal);
        let mirror = hit.mirror + (1.0 - hit.mirror) * fifth_power(1.0 - slant.max(0.0));
        let haze = (hit.distance / 45.0).min(1.0);
        let own = lit(scene, place, &hit, random) * (1.0 - mirror);
        light = light + share.filtered(own.mixed(sky(vec3(towards.x, 0.02, towards.z)), haze * haze));
        share = share.filtered(hit.colour.mixed(vec3(1.0, 1.0, 1.0), 0.4)) * (mirror * (1.0 - haze * haze));
        if share.x.max(share.y).max(share.z) < SHARE_MIN {
            return light;
        }
        from = place;
        towards = (towards + hit.normal * (2.0 * slant)).unit();
    }
    light
}

/// What a surface itself sends out: sunlight where the sun reaches it, and skylight.
fn lit(scene: &Scene, place: Vec3, hit: &Hit, random: &mut Random) -> Vec3 {
    let to_sun = (SUN + random.in_ball() * SUN_SIZE).unit();
    let facing = hit.normal.dot(to_sun);
    let sun = if facing > 0.0 && !scene.is_blocked(place, to_sun, f64::INFINITY) { facing } else { 0.0 };
    let about = (hit.normal + random.in_ball() * 0.98).unit();
    let open = if scene.is_blocked(place, about, NEAR) { 0.25 } else { 1.0 };
    let above = 0.5 + 0.5 * hit.normal.y;
    let skylight = vec3(0.42, 0.36, 0.30).mixed(vec3(0.50, 0.62, 0.86), above) * (0.62 * open);
    hit.colour.filtered(SUNLIGHT * (sun * 0.75) + skylight)
}

fn sky(towards: Vec3) -> Vec3 {
    let height = towards.y.max(0.0);
    let fade = 1.0 - (1.0 - height) * (1.0 - height) * (1.0 - height);
    let blue = vec3(1.05, 0.80, 0.62).mixed(vec3(0.16, 0.32, 0.68), fade);
    let near_sun = towards.dot(SUN).max(0.0);
    let glow = fifth_power(near_sun);
    let disc = if near_sun > 1.0 - SUN_SIZE * SUN_SIZE / 2.0 { 8.0 } else { 0.0 };
    blue + vec3(0.34, 0.20, 0.08) * glow + vec3(1.0, 0.9, 0.7) * (fifth_power(fifth_power(fifth_power(glow))) * 1.5 + disc)
}

fn fifth_power(number: f64) -> f64 {
    let squared = number * number;
    squared * squared * number
}
