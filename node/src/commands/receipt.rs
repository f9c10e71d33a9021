//! Receipts for people: shown with a result, and checked by their holders, without a node.

use std::io::{self, Read as _};
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use weft_client::{Output, Receipt, TaskResult, Verified};
use weft_node::receipts;
use weft_node::terminal::visible;

use super::Problem;
use crate::cli::{ReceiptArgs, ReceiptWay};
use crate::render::{bytes, micros, print, say, short};

/// Longest file of receipts that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// `weft receipt`.
pub(crate) fn receipt(args: ReceiptArgs) -> Result<u8, Problem> {
    match args.way {
        ReceiptWay::Check { file } => check_file(&file).map(|()| 0),
    }
}

/// Checks the receipt that came with a result, against the result too, and shows it unless it is in the data.
pub(crate) fn of_result(result: &TaskResult, json: bool) -> Result<(), Problem> {
    let Some(receipt) = &result.receipt else {
        let text = "there is no receipt: no worker ran the task to an end that could be signed";
        return Err(Problem::Failed(text.into()));
    };
    let wrong = |text: String| Problem::Failed(format!("the receipt is wrong: {text}"));
    receipts::check(receipt).map_err(|error| wrong(error.to_string()))?;
    let parts = [
        ("output", &result.output, &receipt.output),
        ("errors", &result.errors, &receipt.errors),
        ("files", &result.archive, &receipt.files),
    ];
    for (part, output, hash) in parts {
        let same = match output {
            Output::Inline(bytes) => receipts::is_hash_of(hash, bytes),
            Output::Blob { id, .. } => id == hash,
        };
        if !same {
            return Err(wrong(format!("it is about other {part} than came")));
        }
    }
    if !json {
        lines(receipt).iter().for_each(|line| say(line));
        result.verified.iter().flat_map(of_several).for_each(|line| say(&line));
    }
    Ok(())
}

/// The nodes that a result of `--verify` rests on: what this node found, besides what a worker signed.
fn of_several(verified: &Verified) -> Vec<String> {
    let Verified { agreed, differed } = verified;
    let mut lines = vec![format!("not signed, found by your node: {} nodes computed the same", agreed.len())];
    lines.extend(agreed.iter().map(|node| format!("  agreed: node {node}")));
    lines.extend(differed.iter().map(|node| format!("  differed: node {node}")));
    lines
}

/// A note on the nodes that computed another result than the one that counts; `None` where there are none.
pub(crate) fn contradiction(result: &TaskResult) -> Option<String> {
    let Verified { agreed, differed } = result.verified.as_ref()?;
    let who: Vec<String> = differed.iter().map(|node| short(node)).collect();
    let nodes = if who.len() == 1 { "node" } else { "nodes" };
    let text = || format!("{} nodes computed this; {nodes} {} something else", agreed.len(), who.join(", "));
    (!who.is_empty()).then(text)
}

fn lines(receipt: &Receipt) -> Vec<String> {
    let Receipt {
        task,
        module,
        profile,
        outcome,
        output,
        errors: _,
        files: _,
        usage,
        worker,
        statement: _,
        proof,
    } = receipt;
    let fuel = usage.fuel.map_or(String::from("not metered"), |fuel| fuel.to_string());
    vec![
        format!("receipt of task {task}"),
        format!("  module {module}, {profile:?}, {outcome}").to_lowercase(),
        format!("  output {output}"),
        format!(
            "  ran {}, processor {}, compiled {}, queued {}",
            micros(usage.wall_us),
            micros(usage.cpu_us),
            micros(usage.compile_us),
            micros(usage.queue_us)
        ),
        format!(
            "  memory {}, in {}, out {}, fuel {fuel}",
            bytes(usage.memory_bytes),
            bytes(usage.in_bytes),
            bytes(usage.out_bytes)
        ),
        format!("  signed by node {worker}, {} of {} in its batch: checked", proof.index + 1, proof.count),
    ]
}

fn check_file(path: &Path) -> Result<(), Problem> {
    let unreadable = |source| Problem::File { action: "read", path: path.to_owned(), source };
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(unreadable)?;
    let mut count = 0;
    for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        count += 1;
        let value = value.map_err(|error| failed(path, count, &error.to_string()))?;
        let receipt = check_value(&value).map_err(|error| failed(path, count, &error))?;
        let Receipt { task, outcome, worker, usage, .. } = receipt;
        print(&format!(
            "good: task {} {} on node {} in {}\n",
            visible(&short(&task)),
            visible(&outcome),
            visible(&short(&worker)),
            micros(usage.wall_us)
        ))?;
    }
    if count == 0 {
        return Err(failed(path, 1, "there is none"));
    }
    Ok(())
}

fn failed(path: &Path, number: u32, reason: &str) -> Problem {
    Problem::Failed(format!("{}, receipt {number}: {reason}", path.display()))
}

/// Checks a bare receipt, or a result with one, whose other words must agree with it.
fn check_value(value: &Value) -> Result<Receipt, String> {
    let bare = value.get("receipt").unwrap_or(value);
    let receipt: Receipt =
        serde_json::from_value(bare.clone()).map_err(|error| format!("it is not a receipt: {error}"))?;
    let stated = receipts::check(&receipt).map_err(|error| error.to_string())?;
    if value.get("receipt").is_none() {
        return Ok(receipt);
    }
    let nothing = Value::String(String::new());
    let part = |name: &str, hash: &str| {
        let given = value.get(name).unwrap_or(&nothing);
        if is_of(given, hash) { Ok(()) } else { Err(format!("its {name} is not the one given with it")) }
    };
    part("output", &receipt.output)?;
    part("errors", &receipt.errors)?;
    part("files", &receipt.files)?;
    let usage = serde_json::to_value(receipt.usage).map_err(|error| error.to_string())?;
    let words = [
        ("outcome", Value::from(stated.outcome.word())),
        ("worker", Value::from(receipt.worker.clone())),
        ("wall_us", Value::from(receipt.usage.wall_us)),
        ("usage", usage),
    ];
    match words.iter().find(|(name, word)| value.get(name).is_some_and(|given| given != word)) {
        None => Ok(receipt),
        Some((name, word)) => Err(format!("it states the {name} {word}, which is not the one given with it")),
    }
}

/// Whether bytes in JSON are those of that name.
fn is_of(given: &Value, hash: &str) -> bool {
    if let Some(text) = given.as_str() {
        return receipts::is_hash_of(hash, text.as_bytes());
    }
    if let Some(text) = given.get("base64").and_then(Value::as_str) {
        return BASE64_STANDARD.decode(text).is_ok_and(|bytes| receipts::is_hash_of(hash, &bytes));
    }
    given.get("blob").and_then(Value::as_str) == Some(hash)
}

#[cfg(test)]
mod tests {
    use weft_client::{Outcome, Usage};

    use super::*;

    #[test]
    fn nodes_that_differed_are_named() {
        let id = |digit: &str| digit.repeat(64);
        let empty = || Output::Inline(Vec::new().into());
        let result = |differed: &[&str]| TaskResult {
            number: None,
            index: 0,
            outcome: Outcome::Done,
            output: empty(),
            errors: empty(),
            archive: empty(),
            worker: Some(id("a")),
            attempts: 3,
            memo: false,
            recalled: None,
            usage: Usage::default(),
            receipt: None,
            verified: Some(Verified {
                agreed: vec![id("a"), id("b")],
                differed: differed.iter().map(|digit| id(digit)).collect(),
            }),
        };
        assert_eq!(contradiction(&result(&[])), None);
        let one = contradiction(&result(&["c"])).unwrap();
        assert_eq!(one, "2 nodes computed this; node cccccccc something else");
        let two = contradiction(&result(&["c", "d"])).unwrap();
        assert_eq!(two, "2 nodes computed this; nodes cccccccc, dddddddd something else");
        let lines = result(&["c"]).verified.iter().flat_map(of_several).collect::<Vec<_>>();
        assert_eq!(lines.last(), Some(&format!("  differed: node {}", id("c"))));
        assert_eq!(lines.len(), 4);
    }
}
