//! `echo` gives its input back, `upper` in capitals, and `fail` as an error: the smallest tour of the ABI.

fn echo(input: &[u8]) -> Vec<u8> {
    input.to_vec()
}

/// Capitals for ASCII letters, everything else as it is.
fn upper(input: &[u8]) -> Vec<u8> {
    input.to_ascii_uppercase()
}

/// Fails, always; the input is the reason.
fn fail(input: &[u8]) -> Result<(), String> {
    Err(String::from_utf8_lossy(input).into_owned())
}

weft_guest::functions! { echo, upper, fail }

#[test]
fn capitals() {
    assert_eq!(upper(b"weft 1"), b"WEFT 1");
}
