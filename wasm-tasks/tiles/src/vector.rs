//! Points, directions and colours.

use std::ops::{Add, Mul, Sub};

#[derive(Clone, Copy)]
pub struct Vec3 {
    pub x: f64,
    pub y: f64,
    pub z: f64,
}

pub const fn vec3(x: f64, y: f64, z: f64) -> Vec3 {
    Vec3 { x, y, z }
}

impl Add for Vec3 {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vec3 {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f64> for Vec3 {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

impl Vec3 {
    pub fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub fn cross(self, other: Self) -> Self {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub fn unit(self) -> Self {
        self * (1.0 / self.dot(self).sqrt())
    }

    /// Each part with each: light of this colour on a thing of that colour.
    pub fn filtered(self, other: Self) -> Self {
        vec3(self.x * other.x, self.y * other.y, self.z * other.z)
    }

    pub fn mixed(self, other: Self, share: f64) -> Self {
        self * (1.0 - share) + other * share
    }

    /// Any brightness into 0..1, bright parts compressed, dark ones lifted as screens expect.
    pub fn tone_mapped(self) -> Self {
        let part = |light: f64| (light * (1.0 + light / 6.0) / (1.0 + light)).sqrt();
        vec3(part(self.x), part(self.y), part(self.z))
    }

    pub fn to_bytes(self) -> [u8; 3] {
        // `as` stops at 0 and 255.
        [self.x, self.y, self.z].map(|part| (part * 255.0 + 0.5) as u8)
    }
}
