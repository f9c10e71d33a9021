//! Prints the counts of `node/tests/tidy/counts.rs` for each directory of the core and of the executor.
#[path = "../node/tests/tidy/counts.rs"]
mod counts;

use std::path::Path;

fn main() {
    println!("{:<28}{}", "directory", counts::HEAD);
    for name in std::env::args().skip(1) {
        let dir = Path::new(&name);
        let counts = counts::count(dir, true);
        println!("{name:<28}{counts}");
        for circle in &counts.circles {
            println!("{:<28}  circle: {}", "", circle.join(", "));
        }
    }
}
