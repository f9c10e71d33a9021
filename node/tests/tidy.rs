//! What clippy can't check: who may depend on whom, who may name what, how long a file may be.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Production lines that one file may have. The list of exceptions only shrinks.
const LINES_MAX: usize = 400;
const LONGER: [(&str, usize); 1] = [("node/core/src/owner/mod.rs", 480)];

/// Every edge between our own crates; `dev` edges of tests are not architecture and not listed.
const EDGES: [(&str, &[&str]); 11] = [
    ("weft-core", &[]),
    ("weft-sim", &["weft-core"]),
    ("weft-experiments", &["weft-core", "weft-sim"]),
    ("weft-exec", &["weft-core"]),
    ("weft-blobs", &["weft-core"]),
    ("weft-net", &["weft-core"]),
    ("weft-node", &["weft-blobs", "weft-client", "weft-core", "weft-exec", "weft-net"]),
    ("weft-client", &[]),
    ("weft-sdk", &["weft-client", "weft-node"]),
    ("weft-guest", &[]),
    ("weft-examples", &["weft-sdk"]),
];

/// Crates whose name only one of ours may know.
const KEPT: [(&str, &str); 6] = [
    ("libp2p", "weft-net"),
    ("libp2p-stream", "weft-net"),
    ("wasmtime", "weft-exec"),
    ("wasmtime-wasi", "weft-exec"),
    ("axum", "weft-node"),
    ("clap", "weft-node"),
];

#[test]
fn crates_depend_one_way() {
    let found = dependencies();
    for (name, allowed) in EDGES {
        let ours: Vec<&str> =
            found[name].iter().map(String::as_str).filter(|dep| dep.starts_with("weft-")).collect();
        assert_eq!(ours, allowed, "the edges of {name}; see ARCHITECTURE.md before you change this table");
    }
    assert_eq!(found.len(), EDGES.len(), "a crate of the workspace is missing in this table");
}

#[test]
fn each_large_library_has_one_crate_that_names_it() {
    for (library, keeper) in KEPT {
        for (name, dependencies) in dependencies() {
            assert!(
                name == keeper || !dependencies.iter().any(|dep| dep == library),
                "{name} names {library}"
            );
        }
    }
}

#[test]
fn files_stay_readable() {
    for path in sources() {
        let shown = path.strip_prefix(root()).expect("below the root").display().to_string();
        let text = fs::read_to_string(&path).expect("a source file");
        let lines = text.split("\n#[cfg(test)]\nmod tests {").next().map_or(0, |part| part.lines().count());
        let most = LONGER.iter().find(|(name, _)| *name == shown).map_or(LINES_MAX, |(_, most)| *most);
        assert!(lines <= most, "{shown} has {lines} production lines, more than {most}: split it by role");
        assert!(text.starts_with("//!") || text.starts_with("// "), "{shown} does not say what it is");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("node/ is in the root").to_path_buf()
}

/// Production sources: everything below a `src` folder.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("node"), root().join("sdk"), root().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is_test = path
                .file_name()
                .is_some_and(|name| name == "tests" || name == "tests.rs" || name == "target");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if !is_test && path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Normal dependencies of each crate of the workspace, sorted.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages.iter().map(|package| (text(&package["name"]), normal(package))).collect()
}

fn normal(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().expect("a list of dependencies");
    let mut names: Vec<String> =
        all.iter().filter(|dep| dep["kind"].is_null()).map(|dep| text(&dep["name"])).collect();
    names.sort();
    names.dedup();
    names
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
