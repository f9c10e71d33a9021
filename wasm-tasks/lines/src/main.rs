//! A plain WASI command, written as for any other machine: counts the lines, words and bytes of stdin like `wc`.
//!
//! `lines [--lines] [--words] [--bytes]` prints those that are named, or all three. The environment variable
//! `LABEL`, if set, is printed after them. Exit code 2 for an argument that it does not know, 1 if it cannot read.

use std::io::{self, BufRead, Write};
use std::process::exit;

#[derive(Default)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for argument in &wanted {
        if !["--lines", "--words", "--bytes"].contains(&argument.as_str()) {
            eprintln!("lines: unknown argument {:?}; usage: lines [--lines] [--words] [--bytes] < TEXT", argument);
            exit(2);
        }
    }
    let counts = count(io::stdin().lock()).unwrap_or_else(|error| {
        eprintln!("lines: cannot read stdin: {}", error);
        exit(1);
    });
    if let Err(error) = writeln!(io::stdout(), "{}", show(&counts, &wanted)) {
        eprintln!("lines: cannot write: {}", error);
        exit(1);
    }
}

fn count(mut input: impl BufRead) -> io::Result<Counts> {
    let mut counts = Counts::default();
    let mut in_word = false;
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(counts);
        }
        for byte in bytes {
            counts.lines += u64::from(*byte == b'\n');
            let is_space = byte.is_ascii_whitespace() || *byte == 0x0b;
            counts.words += u64::from(!is_space && !in_word);
            in_word = !is_space;
        }
        let len = bytes.len();
        counts.bytes += len as u64;
        input.consume(len);
    }
}

fn show(counts: &Counts, wanted: &[String]) -> String {
    let all = [("--lines", counts.lines), ("--words", counts.words), ("--bytes", counts.bytes)];
    let mut columns: Vec<String> = all
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|argument| argument == name))
        .map(|(_, number)| number.to_string())
        .collect();
    columns.extend(std::env::var("LABEL"));
    columns.join(" ")
}
