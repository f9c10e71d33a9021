//! What the command line of `weft map` and `weft submit` says about inputs, looked at as far as that costs no work.

use super::Problem;
use super::choice::Choice;
use super::feed::{self, Source};
use super::plan::{Plan, Planned};
use super::records::{Ends, Opened, RECORD_BYTES_MAX};
use super::template::Word;
use crate::cli::InputsArgs;

/// Inputs before the directory for outputs is open.
pub(crate) enum Inputs {
    Stream(Source),
    Files(Vec<Planned>),
}

/// What the command line says about inputs, looked at as far as that costs no work.
pub(crate) fn inputs_of(given: InputsArgs, plan: &Plan) -> Result<(Inputs, Choice), Problem> {
    let InputsArgs { each_line, each_file, each_block, as_file: _, jsonl, nul, shuf, limit } = given;
    let choice = Choice { shuf, limit };
    let ends = match (jsonl, nul) {
        (_, true) => Ends::Nul,
        (true, false) => Ends::JsonLine,
        (false, false) => Ends::Line,
    };
    let (path, block) = match (each_line, each_block.as_slice()) {
        (Some(path), _) => (path, None),
        (None, [size, path]) => (path.into(), Some(block_bytes(size)?)),
        (None, _) => return Ok((Inputs::Files(plan.of_files(feed::files(each_file)?)?), choice)),
    };
    if block.is_some() && plan.has(Word::Line) {
        return Err(Problem::Usage(String::from(
            "a block has no {line}; {index} is its number, {name} the file's name",
        )));
    }
    let opened = Opened::open(path)?;
    let bytes_total = opened.bytes_total;
    if let Some(bytes) = block.filter(|bytes| bytes_total.is_none() && *bytes > RECORD_BYTES_MAX as u64) {
        return Err(Problem::Usage(format!(
            "--each-block: a block of {bytes} bytes from {}, which is not a plain file, would have to be kept in memory; \
             at most {} MiB",
            opened.name.display(),
            RECORD_BYTES_MAX >> 20
        )));
    }
    Ok((Inputs::Stream(Source::Stream(opened.items(ends, block), bytes_total)), choice))
}

fn block_bytes(size: &std::ffi::OsStr) -> Result<u64, Problem> {
    let parsed = weft_node::settings::parse_bytes(&size.to_string_lossy());
    let bytes = parsed.map_err(|error| {
        Problem::Usage(format!(
            "`--each-block`: invalid value `{}`: expected {error}, and then a file, as in 16MiB big.log",
            size.display()
        ))
    })?;
    if bytes == 0 {
        return Err(Problem::Usage(String::from("--each-block: a block of no bytes; such as 16MiB")));
    }
    Ok(bytes)
}
