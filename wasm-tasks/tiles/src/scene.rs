//! What there is to see: three sphere flakes on a chequered floor under an evening sky.

use crate::vector::{vec3, Vec3};

pub struct Material {
    pub colour: Vec3,
    /// Share of light that is mirrored when looked at straight on.
    pub mirror: f64,
}

pub struct Sphere {
    pub centre: Vec3,
    pub radius: f64,
    pub material: Material,
    /// Square of the radius around everything that grows on this sphere.
    bound_squared: f64,
    /// The next sphere that does not grow on this one.
    skip_to: usize,
}

pub struct Hit {
    pub distance: f64,
    pub normal: Vec3,
    pub colour: Vec3,
    pub mirror: f64,
}

pub struct Scene {
    /// Parents before children, so that a ray that misses a family's bound skips all of it.
    spheres: Vec<Sphere>,
    right: Vec3,
    up: Vec3,
    forward: Vec3,
}

const CAMERA: Vec3 = vec3(-0.9, 1.75, -5.6);
const TARGET: Vec3 = vec3(0.05, 0.92, 0.0);
/// Half the picture's height at distance one.
const ZOOM: f64 = 0.36;
/// Where children sit on their parent: six around, three on top. Sines and cosines of 60 and 30 degrees.
const SEATS: [Vec3; 9] = [
    vec3(1.0, 0.0, 0.0),
    vec3(0.5, 0.0, 0.866_025_403_784),
    vec3(-0.5, 0.0, 0.866_025_403_784),
    vec3(-1.0, 0.0, 0.0),
    vec3(-0.5, 0.0, -0.866_025_403_784),
    vec3(0.5, 0.0, -0.866_025_403_784),
    vec3(0.433_012_701_892, 0.866_025_403_784, 0.25),
    vec3(-0.433_012_701_892, 0.866_025_403_784, 0.25),
    vec3(0.0, 0.866_025_403_784, -0.5),
];
const CHILD_SIZE: f64 = 1.0 / 3.0;
/// A flake of any depth stays within 1 + 2/3 + 2/9 + .. < 2 radii.
const FAMILY_SIZE: f64 = 2.0;
const DEPTH: u32 = 3;

impl Scene {
    pub fn new() -> Self {
        let forward = (TARGET - CAMERA).unit();
        let right = vec3(0.0, 1.0, 0.0).cross(forward).unit();
        let mut scene = Self { spheres: Vec::new(), right, up: forward.cross(right), forward };
        let up = vec3(0.08, 1.0, -0.12).unit();
        scene.grow(vec3(0.0, 1.0, 0.0), 1.0, up, vec3(1.0, 0.72, 0.32), DEPTH);
        scene.grow(vec3(-2.75, 0.62, 1.3), 0.62, up, vec3(0.30, 0.62, 0.86), DEPTH);
        scene.grow(vec3(2.35, 0.55, 0.7), 0.55, up, vec3(0.88, 0.30, 0.34), DEPTH);
        scene
    }

    pub fn camera(&self) -> Vec3 {
        CAMERA
    }

    /// The direction of a place in the picture; `up` runs from -1 to 1.
    pub fn view(&self, right: f64, up: f64) -> Vec3 {
        (self.forward + self.right * (right * ZOOM) + self.up * (up * ZOOM)).unit()
    }

    /// The first thing that a ray meets.
    pub fn hit(&self, from: Vec3, towards: Vec3) -> Option<Hit> {
        let mut nearest = f64::INFINITY;
        let mut found = None;
        self.meet(from, towards, |sphere, distance| {
            if distance < nearest {
                nearest = distance;
                found = Some(sphere);
            }
            false
        });
        let floor = -from.y / towards.y;
        if floor > 1e-6 && floor < nearest {
            return Some(floor_at(from + towards * floor, floor));
        }
        found.map(|sphere| Hit {
            distance: nearest,
            normal: (from + towards * nearest - sphere.centre) * (1.0 / sphere.radius),
            colour: sphere.material.colour,
            mirror: sphere.material.mirror,
        })
    }

    /// Whether any sphere stands in a ray's way.
    pub fn is_blocked(&self, from: Vec3, towards: Vec3, distance_max: f64) -> bool {
        self.meet(from, towards, |_, distance| distance < distance_max)
    }

    /// Shows `visit` every sphere that a ray meets, until it has seen enough. True if it has.
    fn meet<'a>(&'a self, from: Vec3, towards: Vec3, mut visit: impl FnMut(&'a Sphere, f64) -> bool) -> bool {
        let mut index = 0;
        while let Some(sphere) = self.spheres.get(index) {
            let to = sphere.centre - from;
            let along = to.dot(towards);
            let beside_squared = to.dot(to) - along * along;
            if beside_squared > sphere.bound_squared || (along < 0.0 && to.dot(to) > sphere.bound_squared) {
                index = sphere.skip_to;
                continue;
            }
            index += 1;
            let inside = sphere.radius * sphere.radius - beside_squared;
            if inside > 0.0 {
                let distance = along - inside.sqrt();
                if distance > 1e-6 && visit(sphere, distance) {
                    return true;
                }
            }
        }
        false
    }

    fn grow(&mut self, centre: Vec3, radius: f64, up: Vec3, colour: Vec3, depth: u32) {
        let at = self.spheres.len();
        let bound = if depth == 0 { radius } else { radius * FAMILY_SIZE };
        self.spheres.push(Sphere {
            centre,
            radius,
            material: Material { colour, mirror: if depth == DEPTH { 0.55 } else { 0.3 } },
            bound_squared: bound * bound,
            skip_to: 0,
        });
        if depth > 0 {
            let aside = if up.x.abs() < 0.6 { vec3(1.0, 0.0, 0.0) } else { vec3(0.0, 0.0, 1.0) };
            let right = up.cross(aside).unit();
            let ahead = right.cross(up);
            for (number, seat) in SEATS.iter().enumerate() {
                let outward = right * seat.x + up * seat.y + ahead * seat.z;
                let child = centre + outward * (radius * (1.0 + CHILD_SIZE));
                if child.y > radius * CHILD_SIZE {
                    self.grow(child, radius * CHILD_SIZE, outward, tinted(colour, number), depth - 1);
                }
            }
        }
        self.spheres[at].skip_to = self.spheres.len();
    }
}

/// Children are paler than their parent, every third one cooler.
fn tinted(colour: Vec3, number: usize) -> Vec3 {
    let tints = [vec3(0.96, 0.94, 0.90), vec3(0.95, 0.62, 0.38), vec3(0.45, 0.66, 0.80)];
    colour.mixed(tints[number % 3], 0.42)
}

fn floor_at(place: Vec3, distance: f64) -> Hit {
    let is_dark = (place.x.floor() as i64 + place.z.floor() as i64) & 1 == 0;
    let colour = if is_dark { vec3(0.10, 0.11, 0.14) } else { vec3(0.72, 0.70, 0.66) };
    // Far away the squares are smaller than a pixel.
    let haze = (distance / 60.0).min(1.0);
    Hit { distance, normal: vec3(0.0, 1.0, 0.0), colour: colour.mixed(vec3(0.42, 0.41, 0.42), haze), mirror: 0.12 }
}
