//! WebAssembly as text (`.wat`): nodes take binary modules only, so text becomes binary where it comes in, from a file
//! or by the API.

/// Longest module as text, in bytes.
pub const TEXT_BYTES_MAX: u64 = 256 << 20;

/// Whether bytes that begin so may be a module as text: it begins with a parenthesis or a comment.
#[must_use]
pub fn may_begin(head: &[u8]) -> bool {
    matches!(head.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'(' | b';'))
}

/// The binary module or component that the text means.
///
/// # Errors
/// In one line: what was wrong, behind the line and column where, such as `2:4: expected ..`.
pub fn binary(text: &str) -> Result<Vec<u8>, String> {
    wat::parse_str(text).map_err(|error| {
        // The message has the line and a picture of it below; the first line and the place are enough.
        let whole = error.to_string();
        let place = whole.lines().find_map(|line| line.split_once("--> ")).map(|(_, place)| place.trim());
        let place = place.and_then(|place| place.split_once(':')).map(|(_, place)| format!("{place}: "));
        let what = whole.lines().next().unwrap_or("it does not parse");
        format!("{}{what}", place.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_binary_and_a_mistake_has_its_place() {
        for text in ["(module)", "  ;; a comment\n (module)", "(; another ;) (component)"] {
            assert!(may_begin(text.as_bytes()), "{text}");
            assert!(binary(text).unwrap().starts_with(b"\0asm"), "{text}");
        }
        let text = binary("(module\n  (funk))").unwrap_err();
        assert!(text.starts_with("2:4: ") && !text.contains('\n'), "{text}");
        assert!(!may_begin(b"\0asm") && !may_begin(b"#!/bin/sh") && !may_begin(b""));
    }
}
