//! Prints the counts of `node/tests/tidy/counts.rs` for each directory of the core and of the executor.
#[path = "../node/tests/tidy/counts.rs"]
mod counts;

use std::path::Path;

/// The head of the table.
const HEAD: &str = " lines else/1,000 functions 5+ param  tuples  asserts circles (most)";

fn main() {
    println!("{:<28}{}", "directory", HEAD);
    for name in std::env::args().skip(1) {
        let dir = Path::new(&name);
        let counts = counts::count(dir, true);
        println!("{name:<28}{counts}");
        for circle in &counts.circles {
            println!("{:<28}  circle: {}", "", circle.join(", "));
        }
    }
}
