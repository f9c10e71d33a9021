//! The macro in a crate of its own, as users have it; natively it exports nothing and checks the types.

mod deep {
    pub(crate) fn twice(input: &[u8]) -> Vec<u8> {
        [input, input].concat()
    }
}

fn shout(input: &[u8]) -> Result<String, std::str::Utf8Error> {
    Ok(std::str::from_utf8(input)?.to_uppercase())
}

fn nothing(_: &[u8]) {}

weft_guest::functions! {
    shout,
    nothing,
    double => deep::twice,
    size => |input: &[u8]| input.len().to_string(),
}

#[test]
fn functions_stay_plain_functions() {
    assert_eq!(shout(b"weft").ok().as_deref(), Some("WEFT"));
    assert!(shout(&[0xff]).is_err());
    assert_eq!(deep::twice(b"ab"), b"abab");
    nothing(b"");
}

#[test]
fn errors_become_text() {
    let answer = weft_guest::rt::answer(shout(&[0xff]));
    assert_eq!(answer.as_bytes().first(), Some(&weft_guest::abi::TAG_ERROR));
    assert!(String::from_utf8_lossy(answer.as_bytes()).contains("invalid utf-8"));
}

#[cfg(feature = "serde")]
#[test]
fn typed_functions_say_what_is_wrong_with_their_input() {
    let add = weft_guest::json(|(a, b): (u32, u32)| a.checked_add(b).ok_or("too big"));
    assert_eq!(add(b"[1, 2]"), Ok(b"3".to_vec()));
    assert_eq!(add(b"[4294967295, 1]"), Err("too big".to_owned()));
    let error = add(b"[1]").err().unwrap_or_default();
    assert!(error.starts_with("the input is not as expected"), "{}", error);
}
