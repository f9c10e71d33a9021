//! What clippy can't check: which crate may depend on which, which one may name a library, how long a file may be, and
//! that the pages are short, plain, and point to files that exist.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "tidy/counts.rs"]
mod counts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Production lines that one file may have. The list of exceptions only shrinks.
const LINES_MAX: usize = 400;
const LONGER: [(&str, usize); 0] = [];

/// Every edge between our own crates; `dev` edges of tests are not architecture and not listed.
const EDGES: [(&str, &[&str]); 12] = [
    ("weft-core", &[]),
    ("weft-sim", &["weft-core"]),
    ("weft-experiments", &["weft-core", "weft-sim"]),
    ("weft-exec", &["weft-core"]),
    ("weft-blobs", &["weft-core"]),
    ("weft-journal", &["weft-core"]),
    ("weft-net", &["weft-core"]),
    ("weft-node", &["weft-blobs", "weft-client", "weft-core", "weft-exec", "weft-journal", "weft-net"]),
    ("weft-client", &[]),
    ("weft-sdk", &["weft-client", "weft-node"]),
    ("weft-guest", &[]),
    ("weft-examples", &["weft-sdk"]),
];

/// Crates whose name only one of ours may know.
const KEPT: [(&str, &str); 7] = [
    ("libp2p", "weft-net"),
    ("libp2p-stream", "weft-net"),
    ("wasmtime", "weft-exec"),
    ("wasmtime-wasi", "weft-exec"),
    ("rusqlite", "weft-journal"),
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
fn releases_of_our_crates_have_lines_of_their_own_and_check_for_overflow() {
    let manifest: toml::Table = toml::from_str(&read(&root().join("Cargo.toml"))).expect("a table");
    let packages = &manifest["profile"]["release"]["package"];
    let without: Vec<String> = dependencies()
        .into_keys()
        .filter(|name| {
            let line = |key| packages.get(name).and_then(|package| package.get(key));
            line("overflow-checks").and_then(toml::Value::as_bool) != Some(true)
                || line("opt-level").is_none()
        })
        .collect();
    assert!(
        without.is_empty(),
        "[profile.release.package] of {without:?} has no `overflow-checks = true` or no `opt-level`"
    );
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

/// Directories in which no file imports another one in a circle, no parameter is a tuple, few functions have many
/// parameters, and few branches return from what can't happen. The list only grows.
const UNTANGLED: [&str; 3] = ["node/core/src/owner", "node/core/src/policy", "node/core/src/worker"];

#[test]
fn a_directory_that_was_untangled_stays_so() {
    for name in UNTANGLED {
        let found = counts::count(&root().join(name), true);
        assert!(found.circles.is_empty(), "{name}: these files import each other: {:?}", found.circles);
        assert_eq!(found.tuple_parameters, 0, "{name}: a tuple in a signature is a struct that wants a name");
        let (returns, wide) = (found.else_returns_per_1000(), found.wide_percent());
        assert!(returns < 6.0, "{name}: {returns:.1} else-returns in 1,000 lines; assert what can't happen");
        assert!(wide < 6.0, "{name}: {wide:.1} % of the functions have five or more parameters");
    }
}

/// Crates in which no file imports another one in a circle. The list only grows.
const WITHOUT_CIRCLES: [&str; 5] =
    ["node/blobs/src", "node/core/src", "node/exec/src", "node/journal/src", "node/net/src"];

#[test]
fn no_files_of_a_crate_that_was_untangled_import_each_other_in_a_circle() {
    for name in WITHOUT_CIRCLES {
        let found = counts::count(&root().join(name), true);
        assert!(found.circles.is_empty(), "{name}: these files import each other: {:?}", found.circles);
    }
}

#[test]
fn a_circle_and_a_tuple_are_found() {
    let one = "use super::two::{a, b};\nfn f(x: u8, (a, b): (u8, u8)) { let Some(x) = y else { return }; }\n";
    let two = "use crate::owner::one::f;\nfn g<T: Fn(u8) -> u8>(&self, a: T, b: [u8; 2], c: u8, d: u8) { assert!(true) }\n";
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = temporary.path().join("owner");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("one.rs"), one).expect("a file");
    fs::write(dir.join("two.rs"), two).expect("a file");
    let found = counts::count(&dir, true);
    assert_eq!(found.circles, [["one", "two"]]);
    assert_eq!((found.functions, found.wide_functions, found.tuple_parameters), (2, 1, 1));
    assert_eq!((found.else_returns, found.asserts, found.lines), (1, 1, 4));
}

#[test]
fn the_first_pages_stay_short() {
    for (page, lines_max, words_max) in [("README.md", 200, 1200), ("ARCHITECTURE.md", usize::MAX, 2800)] {
        let text = read(&root().join(page));
        let (lines, words) = (text.lines().count(), text.split_whitespace().count());
        assert!(lines <= lines_max, "{page} has {lines} lines, more than {lines_max}: move details to docs/");
        assert!(words <= words_max, "{page} has {words} words, more than {words_max}: move details to docs/");
    }
}

#[test]
fn links_between_pages_lead_to_files_and_headings_that_exist() {
    let mut broken = Vec::new();
    for page in files("md") {
        let text = read(&page);
        for link in links(&text) {
            if let Err(why) = follow(&page, &text, link) {
                broken.push(format!("{}: ({link}): {why}", shown(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn sources_that_are_named_can_be_opened() {
    let pages: Vec<String> = files("md").iter().map(|page| shown(page)).collect();
    let mut dangling = Vec::new();
    for path in files("md").into_iter().chain(files("rs")) {
        if path.ends_with(file!()) {
            continue;
        }
        for (index, line) in read(&path).lines().enumerate() {
            if let Some(what) = dangling_source(line, &pages) {
                dangling.push(format!("{}, line {}: {what}", shown(&path), index + 1));
            }
        }
    }
    assert!(dangling.is_empty(), "readers can't open these sources:\n{}", dangling.join("\n"));
}

#[test]
fn tests_that_a_page_names_are_there() {
    let mut named = 0;
    for page in files("md") {
        let text = read(&page);
        for quoted in text.split('`') {
            // Constants, which are checked elsewhere, have capitals and a value.
            let Some((path, test)) = quoted.split_once(".rs: ") else { continue };
            if !path.contains("/tests/")
                || !test.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
            {
                continue;
            }
            let source = read(&root().join(format!("{path}.rs")));
            let is_there = source.contains(&format!("#[test]\nfn {test}("));
            assert!(is_there, "{}: {path}.rs has no test {test}", shown(&page));
            named += 1;
        }
    }
    assert!(named > 5, "docs/jobs.md names tests: was their form changed?");
}

#[test]
fn pages_are_in_plain_words() {
    let plain = files("md").into_iter().filter(|page| PLAIN.iter().any(|part| shown(page).starts_with(part)));
    let found: Vec<String> = plain.flat_map(|page| riddles(&shown(&page), &read(&page), str::trim)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn comments_are_in_plain_words() {
    let plain = |path: &PathBuf| PLAIN.iter().any(|place| path.starts_with(root().join(place)));
    let sources = files("rs").into_iter().filter(plain);
    let found: Vec<String> = sources.flat_map(|path| riddles(&shown(&path), &read(&path), comment)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_riddle_in_a_comment_is_found_and_a_name_in_code_is_not() {
    let text = format!(
        "//! Whoever calls.\nlet stands = \"nobody\"; {} So many bytes.\n/// Withstands a load.\n",
        "//"
    );
    let expected = [
        "a.rs, line 1: `whoever`: write the node, the owner, the caller",
        "a.rs, line 2: `so many`: write the number, this many",
    ];
    assert_eq!(riddles("a.rs", &text, comment), expected);
}

#[test]
fn a_broken_link_and_a_dangling_source_are_found() {
    let page = root().join("README.md");
    let text = "# A page\n[a](CHANGELOG.md) [b](docs/none.md#x) [c](#a-page) [d](#b-page) [e](https://example.com/x)\n";
    let broken: Vec<&str> = links(text).filter(|link| follow(&page, text, link).is_err()).collect();
    assert_eq!(broken, ["docs/none.md#x", "#b-page"]);

    let pages = [String::from("docs/limits.md")];
    for line in [
        "(anchors 9.3: two)",
        "see design, part 4",
        "as structure.md says",
        "../shared/x",
        "part 2.4 of the anchors",
    ] {
        assert!(dangling_source(line, &pages).is_some(), "{line}");
    }
    for line in ["see docs/limits.md and `limits.md`", "the best anchor", "designed in part"] {
        assert_eq!(dangling_source(line, &pages), None, "{line}");
    }
}

/// Words that leave open who or what is meant, and what to write instead.
const RIDDLES: &[(&str, &str)] = &[
    ("whoever", "the node, the owner, the caller"),
    ("somebody", "a node, a user, another process"),
    ("nobody", "no node, no owner"),
    ("anybody", "any node, every node, every holder of the key"),
    ("everybody", "all nodes, all callers"),
    ("beside", "next to, besides"),
    ("stands", "is, waits, lasts"),
    ("so many", "the number, this many"),
    ("so often", "how often"),
    ("is no good", "is invalid: expected ..."),
    ("in vain", "without effect"),
    ("stranger's", "untrusted"),
];

/// Pages, and sources whose comments are free of these. A list that only grows.
const PLAIN: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/",
    "node/blobs/",
    "node/core/",
    "node/exec/",
    "node/journal/",
    "node/net/",
    "node/sim/",
    "node/src/",
    "node/tests/",
    "sdk/",
    "examples/",
];

/// The riddles of a text, each with its place; `part` takes the part of a line that counts. A name such as `no_riddle` is
/// one word.
fn riddles(name: &str, text: &str, part: fn(&str) -> &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = part(line).to_lowercase();
        let words: Vec<&str> = line
            .split(|letter: char| !letter.is_alphanumeric() && !"'_".contains(letter))
            .filter(|word| !word.is_empty())
            .collect();
        let line = format!(" {} ", words.join(" "));
        for (riddle, instead) in RIDDLES {
            if line.contains(&format!(" {riddle} ")) {
                found.push(format!("{name}, line {}: `{riddle}`: write {instead}", index + 1));
            }
        }
    }
    found
}

/// The comment of a line of source; empty if it has none.
fn comment(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("//") { line } else { line.split_once(" // ").map_or("", |(_, comment)| comment) }
}

/// Sources outside of this repository that only their authors had.
const CLOSED_SOURCES: &[&str] =
    &["../shared", "design, part", "design part", "(anchors", "of the anchors", "anchors for scheduling"];

/// What a line names that its reader can't open.
fn dangling_source(line: &str, pages: &[String]) -> Option<String> {
    let lower = line.to_lowercase();
    let closed = CLOSED_SOURCES.iter().find(|source| lower.contains(**source)).map(ToString::to_string);
    let numbered =
        lower.split("anchors ").skip(1).any(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()));
    let page = line
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || "._-/".contains(letter)))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.ends_with(".md") && !word.starts_with('/'))
        .find(|word| {
            let name = word.rsplit('/').next().unwrap_or(word);
            !pages.iter().any(|page| page == name || page.ends_with(&format!("/{name}")))
        });
    closed.or_else(|| numbered.then(|| String::from("anchors by number"))).or_else(|| page.map(String::from))
}

/// Targets of the links of a page, code left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split(')').next()))
}

/// Whether a link of a page leads somewhere; links to other sites are not followed.
fn follow(page: &Path, text: &str, link: &str) -> Result<(), String> {
    if link.contains("://") {
        return Ok(());
    }
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let target = page.parent().expect("a folder").join(file);
    if !file.is_empty() && !target.exists() {
        return Err(String::from("there is no such file"));
    }
    let Some(heading) = heading else { return Ok(()) };
    let text = if file.is_empty() { text.to_owned() } else { read(&target) };
    let found = text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == heading);
    if found { Ok(()) } else { Err(String::from("there is no such heading")) }
}

/// A heading as a link names it: lower case, hyphens for spaces, no punctuation.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// Files of the repository with that ending; what was built or belongs to a run is left out.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                let skipped = name.starts_with('.')
                    || ["target", "__fuzz__", "weft-demo", "experiments"].contains(&name);
                if !skipped || shown(&path) == "node/sim/experiments" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
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
