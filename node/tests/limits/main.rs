//! `docs/limits.md` and `docs/protocol.md` against the source: each constant that they name has the value that they
//! give, each constant with `MAX` in its name is on the page of limits or excepted here, and each message of the wire
//! is listed under its number.
//!
//! A constant is written in code form as `FILE: NAME = VALUE`, or `FILE: Type::NAME.field = VALUE` for a field of a
//! constant structure. FILE is below the last folder that the page named by "Paths are below `FOLDER`", or below the
//! root. VALUE is a number (`65,536`), a size (`64 KiB`), a time (`5 s`), or the source's own words.
#![expect(clippy::panic, reason = "a test may panic")]

mod expression;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use expression::{Quantity, evaluate, nanos_per, parse_quantity, words};

/// Constants that are no bound for a user to know: file or folder, name (`*` for all of them), and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("node/src/bench/", "*", "the benchmark's own patience"),
    ("node/exec/src/compile/compilation.rs", "PANIC_MAX", "length of an error text"),
    ("node/net/src/caught.rs", "TEXT_MAX", "length of an error text"),
    (
        "node/src/settings/quantity.rs",
        "DECIMALS_MAX",
        "digits that a number of the user may have; it is refused",
    ),
    ("node/exec/src/text.rs", "*", "length of an error text"),
    ("node/exec/src/run.rs", "ERROR_TEXT_MAX", "length of an error text; the whole is in stderr"),
    ("node/exec/src/vfs/archive.rs", "QUOTED_MAX", "length of an error text"),
    ("node/src/commands/telling.rs", "QUOTE_MAX", "length of an error text"),
    ("node/exec/src/pool/front.rs", "ROUNDS_MAX", "rounds of one turn; the next turn goes on"),
    ("node/exec/src/slot/page.rs", "TRIES_MAX", "tries of a compare-and-swap; an honest peer needs two"),
];

/// A constant as a page names it.
#[derive(Debug, PartialEq, Eq)]
struct Claim {
    /// Line of the page, from 1.
    line: usize,
    /// File, from the root.
    path: String,
    /// `NAME`, or `Type::NAME.field`.
    name: String,
    value: String,
}

/// Production sources by their path from the root.
type Sources = BTreeMap<String, String>;

#[test]
fn each_constant_on_the_pages_has_the_value_that_they_give() {
    let sources = sources();
    for page in ["docs/limits.md", "docs/protocol.md"] {
        let claims = claims(&read(&root().join(page)));
        assert!(claims.len() > 10, "{page} names only {} constants: was its form changed?", claims.len());
        let wrong: Vec<String> = claims
            .iter()
            .filter_map(|claim| check(claim, &sources).err().map(|e| complaint(page, claim, &e)))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn each_bound_of_the_source_is_on_the_page_of_limits() {
    let missing = missing(&claims(&read(&root().join("docs/limits.md"))), &sources());
    assert!(
        missing.is_empty(),
        "add these to docs/limits.md with what happens beyond them, or to EXCEPTIONS with a reason:\n{}",
        missing.join("\n")
    );
}

#[test]
fn each_exception_still_excepts_something() {
    let all = bounds(&sources());
    for (place, name, _) in EXCEPTIONS {
        assert!(all.iter().any(|bound| excepts(place, name, bound)), "{place}: {name} is not there any more");
    }
}

#[test]
fn each_message_is_on_the_page_of_the_protocol_under_its_number() {
    let page = read(&root().join("docs/protocol.md"));
    let (messages, gossip) = page.split_once("Gossip is soft state").expect("a section about gossip");
    let between = "Between the nodes that keep a job";
    let (messages, custody) = messages.split_once(between).expect("a section about jobs at level mesh");
    let sources = sources();
    for (part, path, name) in [
        (messages, "node/core/src/message.rs", "Message"),
        (custody, "node/core/src/custody/message.rs", "CustodyMessage"),
        (gossip, "node/core/src/message/gossip.rs", "Gossip"),
    ] {
        let listed: Vec<String> = part.lines().filter_map(numbered_row).collect();
        let numbered = variants(&sources[path], name);
        let expected: Vec<String> =
            numbered.iter().enumerate().map(|(number, variant)| format!("{number} {variant}")).collect();
        assert_eq!(listed, expected, "docs/protocol.md does not list the variants of {name} in their order");
    }
}

#[test]
fn a_wrong_value_a_lost_constant_and_a_missing_row_are_found() {
    let source = "/// Doc.\npub const A_MAX: usize = 4 * B;\nconst B: usize = 1 << 4;\nconst WAIT_MAX: Duration = Duration::from_secs(5);\n\
                  impl Limits {\n    pub const MAX: Self = Self {\n        wall_ms: 60 * 1000,\n    };\n}\n";
    let sources = Sources::from([(String::from("x/a.rs"), String::from(source))]);
    let page = "Paths are below `x`.\n| a | `a.rs: A_MAX = 64` | `a.rs: WAIT_MAX = 5 s` | `a.rs: Limits::MAX.wall_ms = 1 min` |";
    let check_all = |page: &str| -> Vec<String> {
        claims(page).iter().filter_map(|claim| check(claim, &sources).err()).collect()
    };
    assert_eq!(check_all(page), Vec::<String>::new());
    assert_eq!(missing(&claims(page), &sources), Vec::<String>::new());

    for (right, wrong) in
        [("= 64", "= 63"), ("= 5 s", "= 5 ms"), ("= 5 s", "= 5"), ("1 min", "2 min"), ("A_MAX", "C_MAX")]
    {
        let page = page.replace(right, wrong);
        assert_eq!(check_all(&page).len(), 1, "{page}");
    }
    let less = page.replace("`a.rs: A_MAX = 64`", "");
    assert_eq!(missing(&claims(&less), &sources), ["x/a.rs: A_MAX = 4 * B"]);
    let less = page.replace("`a.rs: Limits::MAX.wall_ms = 1 min`", "");
    assert_eq!(missing(&claims(&less), &sources).len(), 1);
}

fn complaint(page: &str, claim: &Claim, error: &str) -> String {
    format!("{page}, line {}: {}: {} = {}: {error}", claim.line, claim.path, claim.name, claim.value)
}

/// The constants that a page names.
fn claims(page: &str) -> Vec<Claim> {
    let mut folder = String::new();
    let mut found = Vec::new();
    for (index, line) in page.lines().enumerate() {
        if let Some((_, rest)) = line.split_once("Paths are below `") {
            folder = rest.split('`').next().map_or_else(String::new, |name| format!("{name}/"));
        }
        for code in line.split('`').skip(1).step_by(2) {
            let Some((file, rest)) = code.split_once(".rs: ") else { continue };
            let Some((name, value)) = rest.split_once(" = ") else { continue };
            found.push(Claim {
                line: index + 1,
                path: format!("{folder}{file}.rs"),
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
    }
    found
}

/// Whether the source has that constant with that value; an error says what it has.
fn check(claim: &Claim, sources: &Sources) -> Result<(), String> {
    let text = sources.get(&claim.path).ok_or("there is no such source file")?;
    let expression = expression_of(text, &claim.name).ok_or("there is no such constant")?;
    if squeezed(&expression) == squeezed(&claim.value) {
        return Ok(());
    }
    let differs = || format!("the source says {expression}");
    let said = parse_quantity(&claim.value).ok_or_else(differs)?;
    let resolve = |name: &str| resolve(name, text, sources);
    let is = evaluate(&expression, &resolve).ok_or_else(|| format!("can't evaluate {expression}"))?;
    let is = match (is, said) {
        // A plain number whose name tells its unit.
        (Quantity::Number(number), Quantity::Nanos(_)) => words(&claim.name)
            .filter(|word| ["ns", "us", "ms", "s"].contains(&word.as_str()))
            .find_map(|word| nanos_per(&word))
            .map_or(is, |unit| Quantity::Nanos(number * unit)),
        (is, _) => is,
    };
    if is == said { Ok(()) } else { Err(differs()) }
}

/// The expression of a constant by the name that another one's expression uses: of its own file, of the module that the
/// name says, or of any other where all agree.
fn resolve(name: &str, text: &str, sources: &Sources) -> Option<String> {
    let module = name.rsplit("::").nth(1).map(|module| format!("/{module}.rs"));
    let last = match name.rsplit_once("::") {
        Some((path, last)) if last.contains('.') => {
            let type_name = path.rsplit("::").next().unwrap_or(path);
            format!("{type_name}::{last}")
        }
        Some((_, last)) => last.to_owned(),
        None => name.to_owned(),
    };
    let of_module = || {
        let module = module.as_deref()?;
        sources
            .iter()
            .filter(|(path, _)| path.ends_with(module))
            .find_map(|(_, text)| expression_of(text, &last))
    };
    expression_of(text, &last).or_else(of_module).or_else(|| {
        let mut elsewhere: Vec<String> =
            sources.values().filter_map(|text| expression_of(text, &last)).collect();
        elsewhere.dedup();
        if elsewhere.len() == 1 { elsewhere.pop() } else { None }
    })
}

/// The expression of `NAME`, or of `Type::NAME.field`, in a source.
fn expression_of(text: &str, name: &str) -> Option<String> {
    let Some((type_name, rest)) = name.split_once("::") else {
        return initialiser(text, name);
    };
    let (constant, field) = rest.split_once('.')?;
    let header = format!("impl {type_name} {{");
    let bodies = text.split(&header).skip(1).map(|block| block.split("\n}\n").next().unwrap_or(block));
    let structure = bodies.filter_map(|body| initialiser(body, constant)).next()?;
    let (_, value) = structure.split_once(&format!(" {field}: "))?;
    value.split([',', '}']).next().map(|value| value.trim().to_owned())
}

/// The text between `=` and `;` of that constant, on one line.
fn initialiser(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("const {name}: "))?;
    let (_, rest) = rest.split_once('=')?;
    let mut depth = 0_i32;
    let end = rest.char_indices().find(|(_, letter)| {
        match letter {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        depth == 0 && *letter == ';'
    });
    let expression = rest.get(..end?.0)?;
    Some(expression.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Every constant with `MAX` among the words of its name: path and name.
fn bounds(sources: &Sources) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, text) in sources {
        for line in text.lines() {
            let line = line.trim_start();
            let line = line
                .strip_prefix("pub ")
                .or_else(|| {
                    line.split_once(") ").filter(|(scope, _)| scope.starts_with("pub(")).map(|(_, rest)| rest)
                })
                .unwrap_or(line);
            let Some((name, _)) = line.strip_prefix("const ").and_then(|rest| rest.split_once(':')) else {
                continue;
            };
            if words(name).any(|word| word == "max") {
                found.push((path.clone(), name.to_owned()));
            }
        }
    }
    found
}

/// The bounds that neither the page nor an exception names.
fn missing(claims: &[Claim], sources: &Sources) -> Vec<String> {
    let named = |(path, name): &(String, String)| {
        claims.iter().any(|claim| {
            let constant = claim.name.rsplit("::").next().unwrap_or(&claim.name);
            claim.path == *path && constant.split('.').next() == Some(name)
        })
    };
    let excepted =
        |bound: &(String, String)| EXCEPTIONS.iter().any(|(place, name, _)| excepts(place, name, bound));
    let all = bounds(sources).into_iter().filter(|bound| !named(bound) && !excepted(bound));
    all.map(|(path, name)| {
        let value = initialiser(&sources[&path], &name).unwrap_or_default();
        format!("{path}: {name} = {value}")
    })
    .collect()
}

fn excepts(place: &str, name: &str, (path, constant): &(String, String)) -> bool {
    let here = if place.ends_with('/') { path.starts_with(place) } else { path == place };
    here && (name == "*" || name == constant)
}

/// `| 3 | `Name` | ..` as `3 Name`.
fn numbered_row(line: &str) -> Option<String> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let number: u32 = cells.next()?.parse().ok()?;
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    Some(format!("{number} {name}"))
}

/// The variants of an enum in their order: lines of its body with four spaces and a capital.
fn variants(text: &str, name: &str) -> Vec<String> {
    let (_, rest) = text.split_once(&format!("pub enum {name} {{")).expect("the enum");
    let body = rest.split("\n}\n").next().unwrap_or(rest);
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()));
    names.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("node/ is in the root").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Production sources of the node and the client: below a `src` folder, without tests, and without the simulator,
/// which has no users to protect.
fn sources() -> Sources {
    let mut found = Sources::new();
    let mut folders = vec![root().join("node"), root().join("sdk")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let shown = path.strip_prefix(root()).expect("below the root").display().to_string();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if ["tests", "tests.rs", "target", "benches"].contains(&name) || shown == "node/sim" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if shown.contains("/src/") && shown.ends_with(".rs") {
                let text = read(&path);
                let production = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(&text).to_owned();
                found.insert(shown, production);
            }
        }
    }
    found
}
