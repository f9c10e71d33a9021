//! Counting words, the map-reduce everybody knows: `map` turns a piece of text into a table of words, `reduce`
//! merges tables that were put one after the other, and may merge its own outputs again.
//!
//! A table has a line `word<TAB>count` per word, sorted by word, so that the same text gives the same bytes. A word
//! is a run of letters and digits with apostrophes inside it, in small letters; bytes that are not UTF-8 end a word.

use std::collections::HashMap;
use std::fmt::Write;

fn map(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for run in text.split(|c: char| !c.is_alphanumeric() && c != '\'') {
        let word = run.trim_matches('\'');
        if !word.is_empty() {
            *counts.entry(word).or_insert(0) += 1;
        }
    }
    table(counts)
}

fn reduce(tables: &[u8]) -> Result<String, String> {
    let tables = std::str::from_utf8(tables).map_err(|error| error.to_string())?;
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for (number, line) in (1..).zip(tables.lines()) {
        let (word, count) = parse(line).ok_or_else(|| format!("line {} is not `word<TAB>count`", number))?;
        let total = counts.entry(word).or_insert(0);
        *total = total.checked_add(count).ok_or_else(|| format!("line {}: more than 2^64 words", number))?;
    }
    Ok(table(counts))
}

fn parse(line: &str) -> Option<(&str, u64)> {
    let (word, count) = line.split_once('\t')?;
    Some((word, count.parse().ok()?))
}

fn table(counts: HashMap<&str, u64>) -> String {
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_unstable();
    let mut table = String::new();
    for (word, count) in sorted {
        writeln!(table, "{}\t{}", word, count).expect("a string takes everything");
    }
    table
}

weft_guest::functions! { map, reduce }

#[test]
fn words_are_counted_and_tables_merged() {
    let one = map(b"To be, or not to be: 'tis Hamlet's.");
    assert_eq!(one, "be\t2\nhamlet's\t1\nnot\t1\nor\t1\ntis\t1\nto\t2\n");
    let both = one + &map(b"be quick");
    assert!(reduce(both.as_bytes()).unwrap().starts_with("be\t3\n"));
    assert!(reduce(b"be\n").unwrap_err().contains("line 1"));
}
