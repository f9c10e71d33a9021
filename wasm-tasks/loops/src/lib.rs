//! Loops to measure the sandbox with, each bound by something else: `mandelbrot` by floats, `sha256` by integers in a
//! chain, `collatz` by branches, `matmul` by vectors, `sieve` by memory. Input: a size as decimal text; output: a
//! checksum. The benchmark of the sandbox runs the same source natively.

mod work;

fn sized(input: &[u8], work: fn(u32) -> u64) -> Result<String, String> {
    let text = std::str::from_utf8(input).map_err(|error| error.to_string())?.trim();
    let size = text.parse().map_err(|error| format!("expected a size, got {:?}: {}", text, error))?;
    Ok(work(size).to_string())
}

fn mandelbrot(input: &[u8]) -> Result<String, String> {
    sized(input, work::mandelbrot)
}

fn sha256(input: &[u8]) -> Result<String, String> {
    sized(input, work::sha256)
}

fn collatz(input: &[u8]) -> Result<String, String> {
    sized(input, work::collatz)
}

fn matmul(input: &[u8]) -> Result<String, String> {
    sized(input, work::matmul)
}

fn sieve(input: &[u8]) -> Result<String, String> {
    sized(input, work::sieve)
}

weft_guest::functions! { mandelbrot, sha256, collatz, matmul, sieve }

#[test]
fn known_answers() {
    assert_eq!(sieve(b"100").as_deref(), Ok("25"));
    // 1 takes none, 2 one, 3 seven.
    assert_eq!(collatz(b"4").as_deref(), Ok("8"));
    assert_eq!(work::mandelbrot(0), 0);
    assert!(matmul(b"big").unwrap_err().contains("big"));
}
