//! What a job is called, checked: a name that can't be taken for an id, and labels.

use std::collections::BTreeMap;

use weft_client::api::ErrorBody;

use super::error::ApiError;
use crate::jobs::Title;

/// Longest name of a job, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Most labels of a job.
const JOB_LABELS_MAX: usize = 32;
/// Longest name of a job's label, in bytes.
const LABEL_BYTES_MAX: usize = 64;
/// Longest value of a job's label, in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// Checks it.
pub(super) fn title(name: String, labels: Vec<(String, String)>) -> Result<Title, ApiError> {
    check_name(&name)?;
    if labels.len() > JOB_LABELS_MAX {
        let expected = format!("at most {JOB_LABELS_MAX}");
        return Err(ApiError::bad(format!("{} labels of one job", labels.len())).expected(expected));
    }
    let mut checked = BTreeMap::new();
    for (label, value) in labels {
        check_label(&label, &value)?;
        if checked.insert(label.clone(), value).is_some() {
            return Err(ApiError::bad(format!("label {label} is given twice")).expected("each label once"));
        }
    }
    Ok(Title { name, labels: checked })
}

/// Why no job can be called so, if none can.
#[must_use]
pub fn job_name_problem(name: &str) -> Option<String> {
    let ErrorBody { error, expected, help } = check_name(name).err()?.into_body();
    let parts = [Some(error), expected.map(|expected| format!("expected {expected}")), help];
    Some(parts.into_iter().flatten().collect::<Vec<String>>().join("; "))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let bad = |what: String| ApiError::bad(format!("a job's name {what}"));
    if name.len() > NAME_BYTES_MAX {
        let expected = format!("at most {NAME_BYTES_MAX}");
        return Err(bad(format!("of {} bytes", name.len())).expected(expected));
    }
    if name.chars().any(char::is_control) {
        return Err(bad(format!("with control characters, {name:?}")).expected("printable characters"));
    }
    if name.contains('/') || matches!(name, "." | "..") {
        return Err(bad(format!("{name:?}")).expected("a name without slashes, not . or .."));
    }
    if !name.is_empty() && is_like_an_id(name) {
        let help = "jobs are also found by the first digits of their ids";
        return Err(bad(format!("can't be {name:?}, which looks like an id"))
            .expected("a name with a letter from g to z, or of more than 16 characters")
            .help(help));
    }
    Ok(())
}

/// Whether a text can only mean a job's id or the beginning of one.
pub(super) fn is_like_an_id(text: &str) -> bool {
    text.len() <= 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn check_label(label: &str, value: &str) -> Result<(), ApiError> {
    for (what, text, most) in [("name", label, LABEL_BYTES_MAX), ("value", value, VALUE_BYTES_MAX)] {
        if text.len() > most {
            let text = format!("the {what} of a label of {} bytes", text.len());
            return Err(ApiError::bad(text).expected(format!("at most {most}")));
        }
        if text.chars().any(char::is_control) {
            let text = format!("the {what} of a label with control characters, {text:?}");
            return Err(ApiError::bad(text).expected("printable characters"));
        }
    }
    if label.is_empty() || label.contains('=') {
        return Err(ApiError::bad(format!("a label called {label:?}")).expected("a name without ="));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(name: &str, labels: &[(&str, &str)]) -> Result<Title, String> {
        let labels = labels.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect();
        title(name.into(), labels).map_err(|error| error.into_body().error)
    }

    #[test]
    fn a_name_cant_be_taken_for_an_id() {
        for name in ["", "friday", "face to face", "a7c372edeab46585a", "größe", "x-1.2"] {
            assert_eq!(taken(name, &[]).unwrap().name, name);
        }
        let long = "n".repeat(257);
        for name in ["a7c3", "FACE", "0", "a/b", "..", "tab\t", "\u{9b}31m", long.as_str()] {
            assert!(taken(name, &[]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_label_is_short_and_named_once() {
        let labels = taken("", &[("team", "fonts"), ("empty", "")]).unwrap().labels;
        assert_eq!(labels.len(), 2);
        let long = "v".repeat(257);
        for wrong in
            [("", "x"), ("a=b", "x"), ("a\n", "x"), ("a", "\u{7}"), ("a", &long), (long.as_str(), "")]
        {
            assert!(taken("", &[wrong]).is_err(), "{wrong:?}");
        }
        assert!(taken("", &[("a", "1"), ("a", "2")]).unwrap_err().contains("twice"));
        let many: Vec<String> = (0..33).map(|number| format!("l{number}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|label| (label.as_str(), "")).collect();
        assert!(taken("", &many).unwrap_err().contains("33 labels"));
    }
}
