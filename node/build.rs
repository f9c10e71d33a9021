//! Prepares the `weft` binary: packs the demo's text, which makes it three megabytes smaller, and has the linker keep one copy of
//! functions that are the same.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by variables")]

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Where the text is, from this package's directory.
const TEXT: &str = "../examples/data/shakespeare.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={TEXT}");
    pack()?;
    if folds_same_functions() {
        println!("cargo::rustc-link-arg-bin=weft=-Wl,--icf=all");
    }
    Ok(())
}

/// The text, as the demo unpacks it.
fn pack() -> Result<(), Box<dyn Error>> {
    let out_dir = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let packed = File::create(Path::new(&out_dir).join("shakespeare.txt.z"))?;
    let mut packed = ZlibEncoder::new(packed, Compression::best());
    packed.write_all(&fs::read(TEXT)?)?;
    packed.finish()?;
    Ok(())
}

/// Whether the linker is the one that comes with Rust for this target: others may not know the argument. Also for the program that
/// tests start: what is mapped of it counts as a node's memory.
fn folds_same_functions() -> bool {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    let is_target = is("TARGET", "x86_64-unknown-linux-gnu");
    let has_own_linker = env::var_os("RUSTC_LINKER").is_some();
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    is_target && !has_own_linker && !flags.contains("link")
}
