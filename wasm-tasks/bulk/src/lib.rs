//! Many bytes and little work, for measuring how bytes travel: `fold` turns any bytes into one number, `fill` one
//! number into many bytes.

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

/// `BYTES SEED` as text; gives so many bytes, other ones for another seed.
fn fill(input: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(input).map_err(|error| error.to_string())?;
    let mut words = text.split_whitespace().map(|word| word.parse::<u64>().map_err(|error| error.to_string()));
    let (bytes, seed) = match (words.next(), words.next(), words.next()) {
        (Some(bytes), Some(seed), None) => (bytes? as usize, seed?),
        _ => return Err(format!("expected `BYTES SEED`, got {:?}", text)),
    };
    let mut output = vec![0; bytes];
    let mut state = seed;
    for chunk in output.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    Ok(output)
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

weft_guest::functions! { fold, fill }

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
