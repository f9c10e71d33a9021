//! The binary `weft` from outside: its words, its exit codes, its files. `offline` needs no node, the others run real ones
//! on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod disk;
mod kept;
mod live;
mod logs;
mod machine;
mod maps;
mod offline;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// `weft --data-dir DIR ARGS..`, with no settings from outside.
fn weft(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.env_clear().env("HOME", dir).arg("--data-dir").arg(dir).args(args).stdin(Stdio::null());
    command
}

/// Runs it to its end, with that stdin.
fn run_with(mut command: Command, stdin: &[u8]) -> Said {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // Who does not read its stdin closes it, which is no fault of the test.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    let said = finish(child);
    writer.join().unwrap();
    said
}

/// Runs it to its end, without stdin.
fn run(dir: &Path, args: &[&str]) -> Said {
    finish(weft(dir, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Waits for its end, at most until the deadline.
fn finish(child: Child) -> Said {
    let id = child.id();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match ended.recv_timeout(DEADLINE) {
        Ok(output) => Said::from(output.unwrap()),
        Err(_late) => {
            kill(id, "KILL");
            panic!("weft did not end within {DEADLINE:?}");
        }
    }
}

/// Asks until there is an answer, at most until the deadline.
fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask() {
            Some(answer) => return answer,
            None => assert!(Instant::now() < deadline, "no answer within {DEADLINE:?}"),
        }
    }
}

fn kill(id: u32, signal: &str) {
    Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status().unwrap();
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
    raw: Vec<u8>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            raw: output.stdout,
        }
    }
}

impl Said {
    /// It ended well.
    #[track_caller]
    fn well(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// It ended with that code, nothing on stdout, and one line on stderr that holds all of that.
    #[track_caller]
    fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        assert_eq!(self.err.trim_end().lines().count(), 1, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing in {self:?}");
        }
        self
    }

    /// The parser refused it, for want of that flag.
    #[track_caller]
    fn refused_with_usage(self, flag: &str) -> Self {
        assert!(self.code == 125 && self.out.is_empty() && self.err.contains(flag), "{self:?}");
        self
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    fn json_lines(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A module of the tasks that come with weft.
fn module(name: &str) -> String {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wasm-tasks").join(name).with_extension("wasm");
    path.to_str().unwrap().to_owned()
}
