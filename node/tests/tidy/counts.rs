//! Counts of the source's small shape, directory by directory: what a reader stumbles over. Not a parser; plain text
//! that rustfmt has laid out is enough. Used by `tidy.rs`, which holds some of them, and printed by `.ci/counts`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The counts of one directory with all below it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Lines without tests.
    pub(crate) lines: usize,
    /// `else { return }`, `else { continue }` and `else { break }`.
    pub(crate) else_returns: usize,
    pub(crate) functions: usize,
    /// Functions with five or more parameters, `self` included.
    pub(crate) wide_functions: usize,
    /// Parameters that are tuples, by pattern or by type.
    pub(crate) tuple_parameters: usize,
    /// `assert!` and its kin, debug ones included.
    pub(crate) asserts: usize,
    /// Files that import each other, directly or by others, in groups.
    pub(crate) circles: Vec<Vec<String>>,
}

impl Counts {
    pub(crate) fn else_returns_per_1000(&self) -> f64 {
        1000.0 * self.else_returns as f64 / self.lines.max(1) as f64
    }

    pub(crate) fn wide_percent(&self) -> f64 {
        100.0 * self.wide_functions as f64 / self.functions.max(1) as f64
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = self.circles.iter().map(Vec::len).max().unwrap_or(0);
        write!(
            f,
            "{:>6} {:>10.1} {:>9} {:>6.1} % {:>7} {:>8} {:>14}",
            self.lines,
            self.else_returns_per_1000(),
            self.functions,
            self.wide_percent(),
            self.tuple_parameters,
            self.asserts,
            format!("{} ({largest})", self.circles.len()),
        )
    }
}

/// Counts a directory, or the files right in it if not `deep`.
pub(crate) fn count(dir: &Path, deep: bool) -> Counts {
    let mut counts = Counts::default();
    let mut sources = BTreeMap::new();
    for path in files(dir, deep) {
        let text = fs::read_to_string(&path).expect("a source file");
        let text = without_tests(&text);
        counts.lines += text.lines().count();
        let code = without_comments(&text);
        counts.else_returns += else_returns(&code);
        counts.asserts += code.matches("assert!(").count()
            + code.matches("assert_eq!(").count()
            + code.matches("assert_ne!(").count();
        for parameters in functions(&code) {
            counts.functions += 1;
            counts.wide_functions += usize::from(parameters.len() >= 5);
            counts.tuple_parameters += parameters.iter().filter(|one| is_tuple(one)).count();
        }
        let name = path.strip_prefix(dir).expect("below it").with_extension("").display().to_string();
        sources.insert(name.trim_end_matches("/mod").to_owned(), code);
    }
    counts.circles = circles(&sources, dir);
    counts
}

fn files(dir: &Path, deep: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && deep {
            found.extend(files(&path, deep));
        } else if path.extension().is_some_and(|end| end == "rs")
            && path.file_stem().is_some_and(|stem| stem != "tests")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn without_tests(text: &str) -> String {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn else_returns(code: &str) -> usize {
    let after = code.split("else {").skip(1).map(str::trim_start);
    after.filter(|rest| ["return", "continue", "break"].iter().any(|word| rest.starts_with(word))).count()
}

/// The parameters of each function.
#[expect(clippy::string_slice, reason = "each place is where an ASCII letter was found")]
fn functions(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        let named = code[at + 3..].starts_with(|letter: char| letter.is_alphabetic() || letter == '_');
        if named
            && before.is_none_or(|letter| letter.is_whitespace())
            && let Some(open) = opening(&code[at..])
        {
            found.push(parameters(&code[at + open + 1..]));
        }
    }
    found
}

/// Where the parameters of a function begin, behind its name and its generics.
fn opening(code: &str) -> Option<usize> {
    let mut depth = 0;
    let mut before = ' ';
    for (at, letter) in code.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            '(' if depth == 0 => return Some(at),
            '{' | ';' => return None,
            _ => {}
        }
        before = letter;
    }
    None
}

fn parameters(code: &str) -> Vec<String> {
    let (mut all, mut one, mut depth, mut before) = (Vec::new(), String::new(), 0, ' ');
    for letter in code.chars() {
        match letter {
            ')' if depth == 0 => break,
            ',' if depth == 0 => all.push(std::mem::take(&mut one)),
            _ => one.push(letter),
        }
        match letter {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        before = letter;
    }
    all.push(one);
    all.into_iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

fn is_tuple(parameter: &str) -> bool {
    let (pattern, kind) = parameter.split_once(": ").unwrap_or((parameter, ""));
    let kind = kind.trim_start_matches(['&', '\'', 'a', 'l', ' ']).trim_start_matches("mut ");
    pattern.starts_with('(') || (kind.starts_with('(') && !kind.starts_with("()"))
}

/// Groups of files that import each other.
fn circles(sources: &BTreeMap<String, String>, dir: &Path) -> Vec<Vec<String>> {
    let root = dir.components().next_back().map(|last| last.as_os_str().to_string_lossy().into_owned());
    let root = root.filter(|root| root != "src").unwrap_or_default();
    let reached = |from: &str| -> BTreeSet<String> {
        let code = sources.get(from).map_or("", String::as_str);
        imports(code, from, &root).into_iter().filter_map(|path| file_of(sources, &path)).collect()
    };
    let edges: BTreeMap<&String, BTreeSet<String>> = sources
        .keys()
        .map(|from| (from, reached(from).into_iter().filter(|to| to != from).collect()))
        .collect();
    let all: BTreeMap<&String, BTreeSet<String>> =
        sources.keys().map(|from| (from, closure(from, &edges))).collect();
    let mut groups: BTreeSet<Vec<String>> = BTreeSet::new();
    for (from, to) in &all {
        let group = to.iter().filter(|other| all.get(other).is_some_and(|back| back.contains(*from)));
        let mut group: Vec<String> = group.cloned().collect();
        group.sort();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

fn closure(from: &str, edges: &BTreeMap<&String, BTreeSet<String>>) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(next) = open.pop() {
        for to in edges.get(&next).into_iter().flatten() {
            if found.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    found
}

/// The module paths that a file imports, as far as they are below the root: `dispatch::credit::place`.
fn imports(code: &str, from: &str, root: &str) -> Vec<String> {
    let parents: Vec<&str> =
        if from == "mod" || from == "lib" { Vec::new() } else { from.split('/').collect() };
    let mut found = Vec::new();
    for statement in code.split(";\n") {
        let Some((_, path)) = statement.rsplit_once("use ").filter(|(before, _)| {
            before.is_empty()
                || before.ends_with('\n')
                || before.ends_with("pub(crate) ")
                || before.ends_with("pub(super) ")
        }) else {
            continue;
        };
        for path in expand(path) {
            let mut at = parents.clone();
            let mut rest = path.as_str();
            if let Some(below) = rest.strip_prefix("crate::") {
                at.clear();
                rest = below;
                if !root.is_empty() {
                    match rest.strip_prefix(&format!("{root}::")) {
                        Some(below) => rest = below,
                        None => continue,
                    }
                }
            } else if rest.starts_with("super::") {
                while let Some(above) = rest.strip_prefix("super::") {
                    at.pop();
                    rest = above;
                }
            }
            let below: Vec<&str> = at.into_iter().chain(rest.split("::")).collect();
            found.push(below.join("/"));
        }
    }
    found
}

/// One path for each name in braces.
fn expand(path: &str) -> Vec<String> {
    let path: String = path.split_whitespace().collect::<Vec<_>>().join(" ");
    match path.split_once('{') {
        None => vec![path.split(" as ").next().unwrap_or_default().to_owned()],
        Some((head, rest)) => {
            let rest = rest.trim_end_matches('}');
            let (mut all, mut one, mut depth) = (Vec::new(), String::new(), 0);
            for letter in rest.chars() {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                if letter == ',' && depth == 0 {
                    all.push(std::mem::take(&mut one));
                } else {
                    one.push(letter);
                }
            }
            all.push(one);
            let names = all.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
            names.flat_map(|name| expand(&format!("{head}{name}"))).collect()
        }
    }
}

/// The file that a path leads into: the longest part of it that is one.
fn file_of(sources: &BTreeMap<String, String>, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let longest = (1..=parts.len()).rev().map(|count| parts[..count].join("/"));
    let found = longest.into_iter().find(|name| sources.contains_key(name) && name != "self");
    found.or_else(|| sources.contains_key("mod").then(|| String::from("mod")))
}
