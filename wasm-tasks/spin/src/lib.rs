//! Burns time, a known amount of it: `spin` takes a number of iterations as decimal text and returns a checksum of
//! all of them, `forever` never returns. For tests of scheduling, limits and cancelling.
//!
//! An iteration is one step of a xorshift generator: a chain of six instructions that no compiler can shorten and
//! no processor can overlap, about 2 ns on a machine of 3 GHz. So 500 000 iterations take about a millisecond.

fn spin(input: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(input).map_err(|error| error.to_string())?.trim();
    let iterations: u64 =
        text.parse().map_err(|error| format!("expected a number of iterations, got {:?}: {}", text, error))?;
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..iterations {
        state = step(state);
    }
    Ok(format!("{:016x}", state))
}

fn forever(_: &[u8]) -> String {
    let mut state = 1u64;
    // A xorshift state is never zero, which the compiler does not know.
    while state != 0 {
        state = step(state);
    }
    format!("{:016x}", state)
}

fn step(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ state << 17
}

weft_guest::functions! { spin, forever }

#[test]
fn known_checksums() {
    assert_eq!(spin(b"0").as_deref(), Ok("9e3779b97f4a7c15"));
    assert_ne!(spin(b"1000"), spin(b"1001"));
    assert!(spin(b"soon").unwrap_err().contains("soon"));
}
