//! `docs/http.md` against a running node: every example gives what the page says, every route is on it, and every field
//! that the examples show. Needs `bash`, `curl` and `jq`; says that it skips without them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic, and says what it skips"
)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Host, turn};

const PAGE: &str = include_str!("../../docs/http.md");
const ROUTES: &str = include_str!("../src/api/routes.rs");

/// A command of the page, and the lines that it prints.
struct Example {
    command: String,
    output: Vec<String>,
}

/// What a script needs before the first command, and the commands in their order.
fn examples() -> (String, Vec<Example>) {
    let (mut functions, mut examples) = (String::new(), Vec::<Example>::new());
    let mut block = "";
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix("```") {
            Some(kind) => block = kind,
            None if block == "bash" => writeln!(functions, "{line}").unwrap(),
            None if block == "console" => match line.strip_prefix("$ ") {
                Some(command) => {
                    let command = whole_command(command, &mut lines);
                    examples.push(Example { command, output: Vec::new() });
                }
                None => examples.last_mut().expect("output behind a command").output.push(line.to_owned()),
            },
            None => {}
        }
    }
    (functions, examples)
}

/// A command with the lines of its here-document, if it has one.
fn whole_command<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut command = format!("{first}\n");
    let mut is_open = first.contains("<<'END'");
    while is_open {
        let line = lines.next().unwrap();
        writeln!(command, "{line}").unwrap();
        is_open = line != "END";
    }
    command
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Runs all commands in one shell; what each of them printed.
fn run(host: &Host, functions: &str, examples: &[Example]) -> Vec<String> {
    let mut script = functions.to_owned();
    for example in examples {
        writeln!(script, "{}printf '\\x1e'", example.command).unwrap();
    }
    let data_dir = host.path("");
    let wasm = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("wasm-tasks");
    let work = tempfile::tempdir().unwrap();
    // The commands take a few seconds; the bound ends a shell that waits for something that does not come.
    let ended = Command::new("timeout")
        .args(["120", "bash", "-c", &script])
        .env("WEFT_DATA_DIR", data_dir)
        .env("WASM_TASKS", wasm)
        .current_dir(work.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(errors.is_empty(), "{errors}");
    String::from_utf8(ended.stdout).unwrap().split('\x1e').map(String::from).collect()
}

/// Whether two values have the same fields with the same kinds of values; of a list the first element counts.
fn same_shape(page: &Value, real: &Value) -> bool {
    match (page, real) {
        (Value::Object(page), Value::Object(real)) => {
            page.keys().eq(real.keys()) && page.iter().all(|(key, value)| same_shape(value, &real[key]))
        }
        (Value::Array(page), Value::Array(real)) => match (page.first(), real.first()) {
            (Some(page), Some(real)) => same_shape(page, real),
            (page, real) => page.is_none() == real.is_none(),
        },
        _ => std::mem::discriminant(page) == std::mem::discriminant(real),
    }
}

/// Whether a line is what the page says: the same, or JSON of the same shape with the same outcome and output.
fn is_as_told(page: &str, real: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok().filter(|value| value.is_object());
    let (Some(page_value), Some(real_value)) = (parse(page), parse(real)) else { return page == real };
    let told = ["name", "outcome", "output", "error", "state", "done", "cancelled", "draining", "stopping"];
    same_shape(&page_value, &real_value) && told.iter().all(|key| page_value.get(key) == real_value.get(key))
}

#[test]
fn every_example_of_the_page_gives_what_it_says() {
    if let Some(missing) = ["bash", "curl", "jq"].iter().find(|program| !has(program)) {
        eprintln!("skipped: there is no {missing} here");
        return;
    }
    let _turn = turn();
    let host = Host::keyless();
    let _node = host.loopback_node(&["--name", "anna", "--slots", "2"]);
    let (functions, examples) = examples();
    assert!(examples.len() > 20, "the page has examples");
    let outputs = run(&host, &functions, &examples);
    assert_eq!(outputs.len(), examples.len() + 1, "{outputs:#?}");
    for (example, output) in examples.iter().zip(&outputs) {
        let lines: Vec<&str> = output.lines().collect();
        let Example { command, output: told } = example;
        assert_eq!(lines.len(), told.len(), "$ {command}{output}");
        for (page, real) in told.iter().zip(lines) {
            assert!(is_as_told(page, real), "$ {command}the page: {page}\nthe node: {real}");
        }
    }
}

#[test]
fn every_route_is_on_the_page() {
    let routes: Vec<&str> =
        ROUTES.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(routes.len() >= 12, "{routes:?}");
    for route in routes {
        assert!(PAGE.contains(route), "{route} is not on docs/http.md");
    }
}

#[test]
fn every_field_of_the_examples_is_explained() {
    let (_functions, examples) = examples();
    let explained = |field: &str| PAGE.contains(&format!("`{field}`"));
    for line in examples.iter().flat_map(|example| &example.output) {
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else { continue };
        for field in fields.keys() {
            // What a node is called needs no words.
            let plain = [
                "name",
                "version",
                "data_dir",
                "listen",
                "uptime_ms",
                "peer",
                "job",
                "id",
                "bytes",
                "stopping",
            ];
            let job = [
                "detached",
                "cancelled_by_user",
                "class",
                "module",
                "elapsed_ms",
                "task",
                "index",
                "deadline_missed",
            ];
            let node =
                ["slots", "free", "memory_bytes", "memo", "draining", "peers_connected", "jobs_unfinished"];
            let known = plain.iter().chain(&job).chain(&node).any(|known| known == field);
            assert!(known || explained(field), "`{field}` of {line} is not explained");
        }
    }
}
