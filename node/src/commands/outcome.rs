//! One ended task for scripts and people: its JSON, its exit code, its text.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use weft_client::{LimitKind, Mesh, Outcome, Output, Recalled, Receipt, TaskResult, Usage, Verified};

use super::telling::telling;

/// Longest standard error that is looked through for a line to quote, in bytes.
const QUOTED_BYTES_MAX: u64 = 1 << 20;

/// A task's result, one JSON object.
#[derive(Debug, serde::Serialize)]
pub(crate) struct ResultLine<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    outcome: &'static str,
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    output: Data<'a>,
    errors: Data<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Data<'a>>,
    worker: Option<&'a str>,
    attempts: u32,
    memo: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    recalled: Option<Recalled>,
    wall_us: u64,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<&'a Verified>,
}

/// Bytes in JSON: text as a string, other bytes in base64, long ones by name.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Text(&'a str),
    Base64 { base64: String },
    Blob { blob: &'a str, bytes: u64 },
}

impl<'a> ResultLine<'a> {
    /// The line of this result.
    pub(crate) fn of(result: &'a TaskResult) -> Self {
        let TaskResult {
            number: _,
            index,
            outcome,
            output,
            errors,
            archive,
            worker,
            attempts,
            memo,
            recalled,
            usage,
            receipt,
            verified,
        } = result;
        Self {
            index: *index,
            input: None,
            outcome: outcome.word(),
            exit_code: result.exit_code(),
            reason: outcome.reason(),
            output: Data::of(output),
            errors: Data::of(errors),
            files: (archive.bytes_len() > 0).then(|| Data::of(archive)),
            worker: worker.as_deref(),
            attempts: *attempts,
            memo: *memo,
            recalled: *recalled,
            wall_us: usage.wall_us,
            usage: *usage,
            receipt: receipt.as_ref(),
            verified: verified.as_ref(),
        }
    }

    /// The same, with what the input is called.
    pub(crate) fn with_input(self, input: Option<&'a str>) -> Self {
        Self { input, ..self }
    }
}

impl<'a> Data<'a> {
    fn of(output: &'a Output) -> Self {
        match output {
            Output::Inline(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Self::Text(text),
                Err(_not_text) => Self::Base64 { base64: BASE64_STANDARD.encode(bytes) },
            },
            Output::Blob { id, bytes } => Self::Blob { blob: id, bytes: *bytes },
        }
    }
}

/// The exit code of `weft run`, see its help.
pub(crate) fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Done => 0,
        // The system's exit codes have one byte; a failure must not look like success.
        Outcome::Failed(_) => match outcome.exit_code().map(|code| u8::try_from(code & 0xff)) {
            Some(Ok(code @ 1..)) => code,
            Some(Ok(0) | Err(_)) | None => 1,
        },
        Outcome::Trapped { .. } => 126,
        Outcome::Limit { which, limit: _ } => match which {
            LimitKind::Time | LimitKind::Fuel => 124,
            LimitKind::Memory => 137,
            LimitKind::Output
            | LimitKind::Errors
            | LimitKind::Files
            | LimitKind::FilesCount
            | LimitKind::Other => super::EXIT_OWN,
        },
        Outcome::Invalid { .. } | Outcome::Lost { .. } | Outcome::Skipped { .. } => super::EXIT_OWN,
        Outcome::Expired { .. } => 124,
        Outcome::Cancelled => super::EXIT_INTERRUPTED,
    }
}

/// How a task ended, as text that follows its name.
pub(crate) fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done | Outcome::Failed(_) | Outcome::Trapped { .. } => outcome.to_string(),
        Outcome::Limit { which, limit } => match flag_of(*which) {
            Some(flag) => format!("was stopped, {limit}; see {flag}"),
            None => format!("was stopped, {limit}"),
        },
        Outcome::Invalid { reason } => format!("can't run: {reason}"),
        Outcome::Cancelled => String::from("was cancelled"),
        Outcome::Lost { reason } => format!("was lost: {reason}"),
        Outcome::Expired { reason } => format!("expired: {reason}"),
        Outcome::Skipped { reason } => format!("was skipped: {reason}"),
    }
}

/// The flag of `weft run` and `weft map` that moves this limit; the text of `Other` says what to do.
fn flag_of(limit: LimitKind) -> Option<&'static str> {
    match limit {
        LimitKind::Time => Some("--timeout"),
        LimitKind::Memory => Some("--memory"),
        LimitKind::Fuel => Some("--fuel"),
        LimitKind::Output => Some("--output-limit"),
        LimitKind::Errors => Some("--errors-limit"),
        LimitKind::Files => Some("--files-limit"),
        LimitKind::FilesCount => Some("--files-count"),
        LimitKind::Other => None,
    }
}

/// What to say about a task that did not end as done, with the line of its standard error that says why; `named` is its
/// input.
pub(crate) async fn complaint(mesh: &Mesh, result: &TaskResult, named: &str) -> String {
    let quote = match &result.errors {
        Output::Blob { id, bytes } if *bytes > QUOTED_BYTES_MAX => Some(format!("its stderr is blob {id}")),
        // The rest is reported without it.
        errors @ (Output::Inline(_) | Output::Blob { .. }) => {
            errors.fetch(mesh).await.ok().and_then(|bytes| telling(&bytes))
        }
    };
    let quote = quote.map(|text| format!(": {text}")).unwrap_or_default();
    format!("{named} {}{quote}", words(&result.outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_client::Failure;

    fn result(outcome: Outcome, output: &[u8], errors: &[u8]) -> TaskResult {
        TaskResult {
            number: None,
            index: 7,
            outcome,
            output: Output::Inline(output.to_vec().into()),
            errors: Output::Inline(errors.to_vec().into()),
            archive: Output::Inline(Vec::new().into()),
            worker: Some("ab".into()),
            attempts: 1,
            memo: false,
            recalled: None,
            usage: Usage { wall_us: 42, ..Usage::default() },
            receipt: None,
            verified: None,
        }
    }

    #[test]
    fn a_result_is_one_object() {
        let text = serde_json::to_string(&ResultLine::of(&result(Outcome::Done, b"hi\n", b"\xff"))).unwrap();
        let expected =
            r#"{"index":7,"outcome":"done","exit_code":0,"output":"hi\n","errors":{"base64":"/w=="},"#;
        let expected = format!(r#"{expected}"worker":"ab","attempts":1,"memo":false,"wall_us":42,"usage":"#);
        assert!(text.starts_with(&expected), "{text}");
    }

    #[test]
    fn exit_codes_are_as_promised() {
        let exit = |exit_code| Outcome::Failed(Failure::Exit { exit_code });
        let limit = |which| Outcome::Limit { which, limit: String::new() };
        assert_eq!(exit_code(&Outcome::Done), 0);
        assert_eq!(exit_code(&exit(3)), 3);
        assert_eq!(exit_code(&exit(256)), 1);
        assert_eq!(exit_code(&exit(-1)), 255);
        assert_eq!(exit_code(&limit(LimitKind::Time)), 124);
        assert_eq!(exit_code(&limit(LimitKind::Memory)), 137);
        assert_eq!(exit_code(&Outcome::Trapped { trap: String::new() }), 126);
        assert_eq!(exit_code(&Outcome::Expired { reason: String::new() }), 124);
        assert_eq!(exit_code(&Outcome::Invalid { reason: String::new() }), 125);
    }

    #[test]
    fn the_sentence_of_each_limit_names_a_flag_that_exists() {
        use clap::CommandFactory as _;
        let cli = crate::cli::Cli::command();
        for verb in ["run", "map"] {
            let verb = cli.get_subcommands().find(|found| found.get_name() == verb).unwrap();
            for which in LimitKind::ALL {
                let limit = Outcome::Limit { which, limit: "the bound".into() };
                let said = words(&limit);
                let Some((_, flag)) = said.split_once("; see --") else {
                    assert_eq!((which, said.as_str()), (LimitKind::Other, "was stopped, the bound"));
                    continue;
                };
                let mut flags = verb.get_arguments().filter_map(clap::Arg::get_long);
                assert!(flags.any(|found| found == flag), "{verb}: no --{flag}", verb = verb.get_name());
            }
        }
    }
}
