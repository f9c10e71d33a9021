//! The task of `run` and `map`, from the command line. Looks at the module first, so that a wrong file is refused before
//! anything is sent; text becomes binary here, for nodes take binary only.

use std::io::{self, Read as _};
use std::path::Path;

use weft_client::{Module, Recall, Task};
use weft_node::text_module::{self, TEXT_BYTES_MAX};

use super::Problem;
use crate::cli::{Given, PolicyArgs, TaskArgs};

/// What to run, as the command line says it.
pub(crate) fn task_of(module: &Path, given: TaskArgs, args: Vec<String>) -> Result<Task, Problem> {
    let file = module_of(module)?;
    let TaskArgs {
        function,
        env,
        timeout,
        memory,
        input,
        files_limit,
        files_count,
        output_limit,
        errors_limit,
        fuel,
        portable,
        impure,
        class,
        memo,
        no_memo,
        need,
        slots,
        retries,
        policy,
    } = given;
    if function.is_some() && !(args.is_empty() && env.is_empty() && input.is_empty()) {
        let text = "--fn calls a function, which takes only its input: arguments, --env and --input are for commands";
        return Err(Problem::Usage(text.into()));
    }
    let task = match function {
        Some(name) => Task::function(file, name),
        None => Task::command(file).args(args),
    };
    let task = env.into_iter().fold(task, |task, (name, value)| task.env(name, value));
    let task = need.into_iter().fold(task, |task, (name, value)| task.need(name, value));
    let task = input.into_iter().fold(task, |task, Given { path, name }| match name {
        Some(name) => task.file_as(path, name),
        None => task.file(path),
    });
    let task = or(task, timeout, Task::timeout);
    let task = or(task, memory, Task::memory_bytes);
    let task = or(task, files_limit, Task::files_bytes);
    let task = or(task, files_count, Task::files_count);
    let task = or(task, output_limit, Task::output_bytes);
    let task = or(task, errors_limit, Task::errors_bytes);
    let task = or(task, fuel, Task::fuel);
    let task = or(task, class, Task::class);
    let task = or(task, slots, Task::slots);
    let task = or(task, retries, Task::retries);
    let task = treated(task, policy);
    let task = or(task, memo.or(no_memo.then_some(Recall::Off)), Task::memo);
    Ok(match (portable, impure) {
        (_, true) => task.impure(),
        (true, false) => task.portable(),
        (false, false) => task,
    })
}

/// The task with what `policy` says about when, how often and how surely.
fn treated(task: Task, policy: PolicyArgs) -> Task {
    let PolicyArgs {
        not_before,
        deadline,
        expires,
        backoff,
        give_up,
        max_failures,
        verify,
        after,
        even_if_failed,
        no_backup,
    } = policy;
    let task = after.into_iter().fold(task, Task::after);
    let task = if even_if_failed { task.even_if_failed() } else { task };
    let task = or(task, not_before, Task::not_before);
    let task = or(task, deadline, Task::deadline);
    let task = or(task, expires, Task::expires);
    let task = or(task, backoff, |task, (first, most)| task.backoff(first, most));
    let task = or(task, give_up, Task::give_up);
    let task = or(task, max_failures, Task::max_failures);
    or(task, verify, Task::verify).backups(!no_backup)
}

fn or<T>(task: Task, given: Option<T>, set: impl FnOnce(Task, T) -> Task) -> Task {
    match given {
        Some(value) => set(task, value),
        None => task,
    }
}

/// The module of that file: itself, or what its text means.
fn module_of(path: &Path) -> Result<Module, Problem> {
    let unreadable = |source| Problem::File { action: "read the module", path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mut head = Vec::with_capacity(8);
    file.by_ref().take(8).read_to_end(&mut head).map_err(unreadable)?;
    if head.starts_with(b"\0asm") {
        return Ok(Module::file(path));
    }
    if let Some(text) = text_of(&head, file).map_err(unreadable)? {
        return binary(&text, path).map(Module::from);
    }
    let path = path.display();
    let text = match head.as_slice() {
        [] => format!("{path} is empty, not a WebAssembly module"),
        other => format!(
            "{path} is not a WebAssembly module: it begins with \"{}\" instead of \"\\0asm\", and is not WebAssembly text; \
             compile the program for wasm32-wasip1 or wasm32-wasip2 and pass the .wasm file",
            other.escape_ascii()
        ),
    };
    Err(Problem::Failed(text))
}

/// The rest of a file that may be WebAssembly text, which begins with a parenthesis or a comment.
fn text_of(head: &[u8], rest: impl io::Read) -> io::Result<Option<String>> {
    let is_blank = !head.is_empty() && head.iter().all(u8::is_ascii_whitespace);
    if !is_blank && !text_module::may_begin(head) {
        return Ok(None);
    }
    let mut text = head.to_vec();
    rest.take(TEXT_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {} MiB as text", TEXT_BYTES_MAX >> 20)));
    }
    let text = String::from_utf8(text).ok();
    // What has neither a module nor a component in it is some other program's text.
    Ok(text.filter(|text| text.contains('(')))
}

fn binary(text: &str, path: &Path) -> Result<Vec<u8>, Problem> {
    text_module::binary(text).map_err(|error| Problem::Failed(format!("{}:{error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unwrap_in_result, reason = "a test may panic")]
    fn taken(bytes: &[u8]) -> Result<Module, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.wat");
        std::fs::write(&path, bytes).unwrap();
        module_of(&path).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_file_that_is_no_module_is_refused_by_its_first_bytes() {
        assert!(matches!(taken(b"\0asm\x01\0\0\0"), Ok(Module::File(_))));
        assert!(taken(b"\x7fELF\x02").unwrap_err().contains("begins with \"\\x7fELF\\x02\""));
        assert!(taken(b"").unwrap_err().contains("is empty"));
    }

    #[test]
    fn text_becomes_binary() {
        for text in ["(module)", "  ;; a comment\n (module)", "(; another ;) (component)"] {
            let module = taken(text.as_bytes());
            let Ok(Module::Bytes(bytes)) = &module else { panic!("{text}: {module:?}") };
            assert!(bytes.starts_with(b"\0asm"), "{text}");
        }
        let text = taken(b"(module\n  (funk))").unwrap_err();
        assert!(text.contains("m.wat:2:4: ") && !text.contains('\n'), "{text}");
    }
}
