//! A step with its files found and read: what can be handed in as a job, and the hashes of what decides its results. Asks no node.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures::{Stream, StreamExt as _};
use glob::{MatchOptions, Pattern};
use weft_client::{Input, TaskDigest};

use super::super::Problem;
use super::super::draft::Draft;
use super::content::Content;
use super::file::{Flow, Inputs, Step};
use crate::cli::{Given, InputsArgs};

/// Inputs that are hashed at once.
const BATCH_MAX: usize = 256;
/// As a shell has it: a name that begins with a dot is matched by a pattern that begins with one, and a slash by a slash.
const AS_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A step that can be handed in.
#[derive(Debug)]
pub(crate) struct Ready<'a> {
    pub(crate) step: &'a Step,
    pub(crate) draft: Draft,
    pub(crate) content: Content,
    /// How many tasks it has, if that does not hang on another step.
    pub(crate) tasks: Option<u64>,
}

impl<'a> Ready<'a> {
    /// Reads all that a step reads.
    ///
    /// # Errors
    /// When a file is not there, or no task can be made of it.
    pub(crate) async fn read(flow: &Flow, step: &'a Step) -> Result<Self, Problem> {
        let named = |problem: Problem| flow.wrong(step, problem);
        let draft = drafted(flow, step)?;
        let TaskDigest { module, call, files, limits } =
            draft.task.digest().await.map_err(|error| named(error.into()))?;
        let (tasks, inputs) = match &step.takes {
            Inputs::None => (Some(1), [0; 32]),
            Inputs::EachResult(_) => (None, [0; 32]),
            Inputs::Gather(_) => (Some(1), [0; 32]),
            Inputs::Files(_) | Inputs::Dir(_) | Inputs::Lines(..) => {
                let (count, hash) = hashed(draft.inputs().map_err(named)?).await.map_err(named)?;
                (Some(count), hash)
            }
        };
        // Arguments with words in braces are in the inputs, and not in the task.
        let call = Content::with_texts(call, &step.args);
        let content = Content { module, call, limits, files, inputs };
        Ok(Self { step, draft, content, tasks })
    }
}

/// What a step says as `weft submit` has it, with its files found.
///
/// # Errors
/// As [`Ready::read`], of its module and its patterns.
pub(crate) fn drafted(flow: &Flow, step: &Step) -> Result<Draft, Problem> {
    let dir = flow.dir();
    let named = |text: String| flow.wrong(step, text);
    let mut task = step.flags.task.clone();
    for text in &step.files {
        task.input.extend(given(&dir, text).map_err(|text| named(format!("in: {text}")))?);
    }
    let mut inputs = InputsArgs {
        as_file: step.flags.as_file,
        jsonl: step.flags.jsonl,
        nul: step.flags.nul,
        ..InputsArgs::default()
    };
    let each = |text: String| named(format!("each: {text}"));
    match &step.takes {
        Inputs::None | Inputs::EachResult(_) | Inputs::Gather(_) => {}
        Inputs::Files(patterns) => {
            for pattern in patterns {
                inputs.each_file.extend(matching(&dir, pattern).map_err(each)?);
            }
        }
        Inputs::Dir(path) => inputs.each_file = files_in(&dir.join(path)).map_err(each)?,
        Inputs::Lines(path, _) if path.as_os_str() == OsStr::new("-") => {
            return Err(each(String::from("a flow reads files, not stdin: expected lines:FILE")));
        }
        Inputs::Lines(path, None) => inputs.each_line = Some(dir.join(path)),
        Inputs::Lines(path, Some(size)) => inputs.each_block = vec![size.into(), dir.join(path).into()],
    }
    Draft::of(&dir.join(&step.module), task, step.args.clone(), inputs)
        .map_err(|problem| flow.wrong(step, problem))
}

/// What a text of `in` names.
fn given(dir: &Path, text: &str) -> Result<Vec<Given>, String> {
    let Given { path, name } =
        Given::parse(text).map_err(|expected| format!("`{text}`: expected {expected}"))?;
    let is_one = !is_pattern(dir, &path);
    match name {
        // Words in braces are filled in for each task, so such a path is found later.
        None if !is_one => {
            let all = matching(dir, &path.to_string_lossy())?;
            Ok(all.into_iter().map(|path| Given { path, name: None }).collect())
        }
        Some(name) if !is_one => {
            Err(format!("`{text}`: a pattern may match several files, which can't all be {name}"))
        }
        name => Ok(vec![Given { path: dir.join(path), name }]),
    }
}

/// Whether it is a pattern, and no file of that very name is there.
fn is_pattern(dir: &Path, path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[']) && std::fs::symlink_metadata(dir.join(path)).is_err()
}

/// The files that match a pattern, in the order of their names; or the one that it names.
fn matching(dir: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if !is_pattern(dir, Path::new(pattern)) {
        return Ok(vec![dir.join(pattern)]);
    }
    let whole = match Path::new(pattern).is_absolute() || dir.as_os_str().is_empty() {
        true => pattern.to_owned(),
        false => format!("{}/{pattern}", Pattern::escape(&dir.to_string_lossy())),
    };
    let found = glob::glob_with(&whole, AS_A_SHELL)
        .map_err(|error| format!("`{pattern}` is no pattern: {} at its byte {}", error.msg, error.pos))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| {
            format!("`{pattern}`: cannot read {}: {}", error.path().display(), error.error())
        })?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(format!("no file matches `{pattern}`"));
    }
    files.sort();
    Ok(files)
}

/// The files of a directory, without those that begin with a dot and those of its directories, in the order of their names.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read the directory {}: {error}", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(format!("the directory {} has no files", dir.display()));
    }
    files.sort();
    Ok(files)
}

/// How many inputs there are, and the hash of all of them in order.
async fn hashed(inputs: impl Stream<Item = Input> + Send) -> Result<(u64, [u8; 32]), Problem> {
    let (mut count, mut all) = (0, blake3::Hasher::new());
    let mut batches = pin!(inputs.ready_chunks(BATCH_MAX));
    while let Some(batch) = batches.next().await {
        let each = tokio::task::spawn_blocking(move || {
            batch.iter().map(Input::digest).collect::<Result<Vec<_>, _>>()
        });
        let each = each
            .await
            .map_err(|error| Problem::Failed(format!("reading the inputs did not end: {error}")))?;
        for hash in each? {
            all.update(&hash);
            count += 1;
        }
    }
    Ok((count, *all.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::flow_in;
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn home() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("m.wasm"), MODULE).unwrap();
        for name in ["b.txt", "a.txt", ".hidden.txt", "c.csv"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        fs::create_dir(dir.path().join("d.txt")).unwrap();
        dir
    }

    async fn read(dir: &Path, keys: &str) -> Result<(Option<u64>, Content), String> {
        let flow = flow_in(dir, &format!("[step.x]\nmodule = 'm.wasm'\n{keys}"));
        let ready = Ready::read(&flow, &flow.steps[0]).await;
        ready.map(|ready| (ready.tasks, ready.content)).map_err(|problem| problem.to_string())
    }

    #[tokio::test]
    async fn patterns_match_as_in_a_shell() {
        let dir = home();
        let names = |found: Result<Vec<PathBuf>, String>| -> Vec<String> {
            found
                .unwrap()
                .iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(names(matching(dir.path(), "*.txt")), ["a.txt", "b.txt"]);
        assert_eq!(names(files_in(dir.path())), ["a.txt", "b.txt", "c.csv", "m.wasm"]);
        fs::write(dir.path().join("[a].txt"), "").unwrap();
        assert_eq!(names(matching(dir.path(), "[a].txt")), ["[a].txt"], "a file of that name is meant");
        assert_eq!(matching(dir.path(), "*.png").unwrap_err(), "no file matches `*.png`");
        assert!(matching(dir.path(), "a[").unwrap_err().contains("is no pattern"));
        assert!(given(dir.path(), "*.txt:/in/x").unwrap_err().contains("can't all be /in/x"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_with_the_step_and_its_line() {
        let dir = home();
        for (keys, expected) in [
            ("each = '*.png'", "line 3: step x: each: no file matches `*.png`"),
            ("each = 'none.txt'", "none.txt"),
            ("each = 'lines:none.txt'", "none.txt"),
            ("each = 'lines:-'", "not stdin"),
            ("in = 'none.txt'", "none.txt"),
            ("in = '*.png'", "in: no file matches"),
            ("module = 'none.wasm'", "duplicate key"),
        ] {
            let result = match keys.starts_with("module") {
                true => {
                    super::super::tests::flow_text(dir.path(), &format!("[step.x]\nmodule = 'm'\n{keys}"))
                        .map(drop)
                        .map_err(|problem| problem.to_string())
                }
                false => read(dir.path(), keys).await.map(drop),
            };
            let text = result.unwrap_err();
            assert!(text.contains(expected), "{keys}: {text}");
        }
    }

    #[tokio::test]
    async fn content_alone_decides() {
        let dir = home();
        let keys = "each = '*.txt'\nargs = ['a']";
        let (tasks, first) = read(dir.path(), keys).await.unwrap();
        assert_eq!(tasks, Some(2));
        fs::write(dir.path().join("a.txt"), "a.txt").unwrap();
        assert_eq!(read(dir.path(), keys).await.unwrap().1, first, "a new time is nothing new");
        let (_, more) = read(dir.path(), "each = '*.txt'\nargs = ['b']\nretries = 3").await.unwrap();
        assert_eq!(more, Content { call: more.call, ..first });
        assert_ne!(more.call, first.call);
        // With words in braces, the arguments are each task's own.
        let (_, own) = read(dir.path(), "each = '*.txt'\nargs = ['{name}']").await.unwrap();
        assert!(own.call != first.call && own.inputs != first.inputs);
        fs::write(dir.path().join("a.txt"), "other").unwrap();
        let (_, other) = read(dir.path(), keys).await.unwrap();
        assert_eq!(other, Content { inputs: other.inputs, ..first });
        assert_ne!(other.inputs, first.inputs);
    }
}
