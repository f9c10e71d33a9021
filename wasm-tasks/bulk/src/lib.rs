//! Many bytes and little work, for measuring how bytes travel: `fold` turns any bytes into one number, `fill` one
//! number into many bytes.
#![deny(unsafe_op_in_unsafe_fn)]

/// Sum and rotation over words of eight bytes, little endian, the last one filled up with zeros; 16 hexadecimal
/// digits. Four sums side by side, so that memory is what it waits for.
fn fold(input: &[u8]) -> String {
    let mut sums = [0u64; 4];
    let mut blocks = input.chunks_exact(32);
    for block in &mut blocks {
        for (sum, bytes) in sums.iter_mut().zip(block.chunks_exact(8)) {
            *sum = mix(*sum, word(bytes));
        }
    }
    let mut total = input.len() as u64;
    for bytes in blocks.remainder().chunks(8) {
        total = mix(total, word(bytes));
    }
    format!("{:016x}", sums.iter().fold(total, |total, sum| mix(total, *sum)))
}

#[cfg(test)]
fn fill(input: &[u8]) -> Result<Vec<u8>, String> {
    let (bytes, seed) = parse(input)?;
    let mut output = Vec::with_capacity(bytes);
    fill_up(&mut output, bytes, seed);
    Ok(output)
}

fn parse(input: &[u8]) -> Result<(usize, u64), String> {
    let text = std::str::from_utf8(input).map_err(|error| error.to_string())?;
    let mut words = text.split_whitespace().map(|word| word.parse::<u64>().map_err(|error| error.to_string()));
    match (words.next(), words.next(), words.next()) {
        (Some(bytes), Some(seed), None) => Ok((bytes? as usize, seed?)),
        _ => Err(format!("expected `BYTES SEED`, got {:?}", text)),
    }
}

/// A page of words, again and again, each time with another number at its head.
fn fill_up(output: &mut Vec<u8>, bytes: usize, seed: u64) {
    let mut state = seed;
    let mut page = [0; 4096];
    for word in page.chunks_exact_mut(8) {
        state = state.wrapping_mul(0xd129_0d3a_98b5_4cfd).wrapping_add(0x9e37_79b9_7f4a_7c15);
        word.copy_from_slice(&state.to_le_bytes());
    }
    let end = output.len() + bytes;
    while output.len() < end {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        page[..8].copy_from_slice(&state.to_le_bytes());
        output.extend_from_slice(&page[..page.len().min(end - output.len())]);
    }
}

/// `fill` without a copy: the macro's functions give their bytes first and are tagged then, which costs as much as
/// this one does in all.
#[cfg(target_arch = "wasm32")]
mod door {
    use weft_guest::abi::{pack, TAG_ERROR, TAG_OK};

    #[no_mangle]
    unsafe extern "C" fn weft_fn_fill(address: u32, len: u32) -> u64 {
        // SAFETY: the host has written so many bytes there, into room that `weft_alloc` gave.
        let input = unsafe { std::slice::from_raw_parts(address as *const u8, len as usize) };
        let answer = std::mem::ManuallyDrop::new(match super::parse(input) {
            Ok((bytes, seed)) => {
                let mut answer = Vec::with_capacity(bytes + 1);
                answer.push(TAG_OK);
                super::fill_up(&mut answer, bytes, seed);
                answer
            }
            Err(error) => [&[TAG_ERROR], error.as_bytes()].concat(),
        });
        pack(answer.as_ptr() as u32, answer.len() as u32)
    }
}

fn mix(sum: u64, word: u64) -> u64 {
    sum.rotate_left(5).wrapping_add(word)
}

/// Up to eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

weft_guest::functions! { fold }

#[test]
fn every_byte_counts() {
    let bytes = fill(b"100 1").unwrap();
    assert_eq!(bytes.len(), 100);
    for place in 0..100 {
        let mut other = bytes.clone();
        other[place] ^= 1;
        assert_ne!(fold(&bytes), fold(&other), "byte {}", place);
    }
    assert_ne!(fold(b"\0"), fold(b"\0\0"));
}

#[test]
fn another_seed_fills_with_other_bytes() {
    assert_ne!(fill(b"64 1").unwrap(), fill(b"64 2").unwrap());
    assert!(fill(b"").is_err());
    assert!(fill(b"1 2 3").is_err());
}
