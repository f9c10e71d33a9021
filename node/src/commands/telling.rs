//! Which line of a task's stderr says what went wrong. The last one seldom does: runtimes end with advice, with a trace
//! of calls, or with the place in the source.

/// Longest quote, in characters.
const QUOTE_MAX: usize = 300;

/// The line that tells, in one line of at most 300 characters; `None` when there is nothing but space.
pub(crate) fn telling(errors: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(errors);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
    let found = rust_panic(&lines)
        .or_else(|| go_panic(&lines))
        .or_else(|| python_error(&lines))
        .or_else(|| cpp_exception(&lines))
        .or_else(|| error_line(&lines))
        .or_else(|| last_line(&lines))?;
    let mut letters = found.trim().chars();
    let mut quote: String = letters.by_ref().take(QUOTE_MAX).collect();
    if letters.next().is_some() {
        quote.push_str("..");
    }
    Some(quote)
}

/// `thread 'main' panicked at src/main.rs:3:5:` and the message in the lines below it, until Rust's own note.
fn rust_panic(lines: &[&str]) -> Option<String> {
    let at = lines.iter().position(|line| line.starts_with("thread ") && line.contains(" panicked at "))?;
    let (_, place) = lines.get(at)?.split_once(" panicked at ")?;
    let Some(place) = place.strip_suffix(':') else {
        // Before Rust 1.73: the message in quotes, then the place.
        return Some(format!("panicked at {place}"));
    };
    let message = lines.iter().skip(at + 1).take_while(|line| !is_after_panic(line));
    let message: Vec<&str> = message.map(|line| line.trim()).collect();
    Some(format!("panicked at {place}: {}", message.join(" ")))
}

fn is_after_panic(line: &str) -> bool {
    ["note: ", "stack backtrace:", "thread "].iter().any(|start| line.starts_with(start))
}

fn go_panic(lines: &[&str]) -> Option<String> {
    let is_one = |line: &&&str| ["panic: ", "fatal error: "].iter().any(|start| line.starts_with(start));
    lines.iter().find(is_one).map(|line| String::from(*line))
}

/// The first line behind the last trace that is not part of it.
fn python_error(lines: &[&str]) -> Option<String> {
    let at = lines.iter().rposition(|line| line.starts_with("Traceback (most recent call last)"))?;
    lines.iter().skip(at + 1).find(|line| !line.starts_with([' ', '\t'])).map(|line| String::from(*line))
}

/// `terminate called after throwing an instance of 'std::runtime_error'`, and what it says below.
fn cpp_exception(lines: &[&str]) -> Option<String> {
    let says = lines.iter().find_map(|line| line.trim().strip_prefix("what():")).map(str::trim);
    let thrown = lines.iter().find_map(|line| {
        let (_, class) = line.split_once("terminate called after throwing an instance of ")?;
        Some(class.trim_matches(['\'', '"']))
    });
    match (thrown, says) {
        (Some(class), Some(says)) => Some(format!("{class}: {says}")),
        (Some(text), None) | (None, Some(text)) => Some(text.to_owned()),
        (None, None) => None,
    }
}

/// The last line that calls itself an error: `error: ..`, `prog: fatal error: ..`, `TypeError: ..`,
/// `Exception in thread "main" ..`, `Assertion failed: ..`.
fn error_line(lines: &[&str]) -> Option<String> {
    let is_one = |line: &&&str| {
        let line = line.trim_start();
        let word = line.split([':', ' ']).next().unwrap_or_default();
        let is_class = line.get(word.len()..).is_some_and(|rest| rest.starts_with(':'))
            && (word.ends_with("Error") || word.ends_with("Exception"));
        let lower = line.to_ascii_lowercase();
        is_class
            || ["error:", "fatal:", "fatal error:", "uncaught ", "unhandled exception", "exception in thread"]
                .iter()
                .any(|start| lower.starts_with(start))
            || [": error: ", ": fatal error: ", "error: addresssanitizer", "assertion failed"]
                .iter()
                .any(|word| lower.contains(word))
    };
    lines.iter().rfind(is_one).map(|line| String::from(*line))
}

/// The last line that is neither part of a trace nor advice.
fn last_line(lines: &[&str]) -> Option<String> {
    let is_of_a_trace = |line: &str| {
        let trimmed = line.trim_start();
        let is_indented = trimmed.len() < line.len();
        is_indented && ["at ", "from ", "in "].iter().any(|start| trimmed.starts_with(start))
            || ["note: ", "exit status "].iter().any(|start| line.starts_with(start))
    };
    let telling = lines.iter().rfind(|line| !is_of_a_trace(line)).or(lines.last());
    telling.map(|line| String::from(*line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_what_went_wrong_is_found() {
        let cases = [
            // Rust, since 1.73 and before, with a message of two lines, and with a backtrace.
            (
                "reading\n\nthread 'main' (1) panicked at src/main.rs:3:5:\nrecord 17 is broken\nnote: run with \
                 `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
                "panicked at src/main.rs:3:5: record 17 is broken",
            ),
            (
                "thread 'main' panicked at 'no such key', src/main.rs:3:5\nnote: run with `RUST_BACKTRACE=1`\n",
                "panicked at 'no such key', src/main.rs:3:5",
            ),
            (
                "thread 'main' panicked at src/a.rs:1:2:\nassertion `left == right` failed\n  left: 1\n right: 2\n\
                 stack backtrace:\n   0: rust_begin_unwind\n",
                "panicked at src/a.rs:1:2: assertion `left == right` failed left: 1 right: 2",
            ),
            ("Error: ParseIntError { kind: InvalidDigit }\n", "Error: ParseIntError { kind: InvalidDigit }"),
            // Go.
            (
                "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\n\
                 main.main()\n\t/src/main.go:7 +0x1b\nexit status 2\n",
                "panic: runtime error: index out of range [5] with length 3",
            ),
            (
                "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\n\
                 main.main()\n\t/src/main.go:5 +0x2\n",
                "fatal error: all goroutines are asleep - deadlock!",
            ),
            // Python: a chain of errors, and one whose message has a second line.
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nKeyError: 'x'\n\n\
                 During handling of the above exception, another exception occurred:\n\n\
                 Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    int('ten')\n\
                 ValueError: invalid literal for int() with base 10: 'ten'\nsee the manual\n",
                "ValueError: invalid literal for int() with base 10: 'ten'",
            ),
            // C++, C, sanitizers.
            (
                "terminate called after throwing an instance of 'std::runtime_error'\n  what():  no such mesh\n",
                "std::runtime_error: no such mesh",
            ),
            ("Assertion failed: n > 0 (main.c: main: 12)\n", "Assertion failed: n > 0 (main.c: main: 12)"),
            (
                "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x10\n    #0 0x1 in main a.c:3\n",
                "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x10",
            ),
            // JavaScript, Java, C#, Ruby: the trace comes last.
            (
                "TypeError: not a function\n    at f (a.js:1)\n    at <eval> (a.js:9)\n",
                "TypeError: not a function",
            ),
            (
                "Exception in thread \"main\" java.lang.IllegalStateException: late\n\tat Main.main(Main.java:3)\n",
                "Exception in thread \"main\" java.lang.IllegalStateException: late",
            ),
            (
                "a.rb:1:in `f': boom (RuntimeError)\n\tfrom a.rb:4:in `<main>'\n",
                "a.rb:1:in `f': boom (RuntimeError)",
            ),
            // Tools.
            ("conv: error: bad header\nusage: conv FILE\n", "conv: error: bad header"),
            ("warming up\nno such key\n\n", "no such key"),
            ("note: all is well\n", "note: all is well"),
        ];
        for (errors, expected) in cases {
            assert_eq!(telling(errors.as_bytes()).as_deref(), Some(expected), "{errors}");
        }
        assert_eq!(telling(b" \n\n"), None);
        assert_eq!(telling(b"\xff is bad").as_deref(), Some("\u{fffd} is bad"));
        let long = telling("x".repeat(4000).as_bytes()).unwrap();
        assert_eq!(long.len(), QUOTE_MAX + 2);
    }
}
