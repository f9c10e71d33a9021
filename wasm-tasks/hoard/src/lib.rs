//! Takes memory and uses it: `hoard` takes as many MiB as its input says in decimal, or all there is if it says
//! nothing. Returns the number of MiB it got; it does not fail when memory runs out, the limit is the host's.

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;

fn hoard(input: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(input);
    let wanted = match text.trim() {
        "" => usize::MAX,
        number => number.parse().map_err(|error| format!("expected a number of MiB, got {:?}: {}", number, error))?,
    };
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() < wanted {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(MIB).is_err() || held.try_reserve(1).is_err() {
            break;
        }
        piece.resize(MIB, 0);
        touch(&mut piece);
        held.push(piece);
    }
    Ok(held.len().to_string())
}

/// Writes to every page, so that the memory is really taken.
fn touch(piece: &mut [u8]) {
    for page in piece.chunks_mut(PAGE) {
        // SAFETY: a plain reference; volatile, so that it really happens.
        unsafe { std::ptr::write_volatile(&mut page[0], 1) };
    }
}

weft_guest::functions! { hoard }

#[test]
fn takes_what_it_is_told() {
    assert_eq!(hoard(b"3\n").as_deref(), Ok("3"));
    assert!(hoard(b"much").is_err());
}
