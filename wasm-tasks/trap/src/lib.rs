//! Ends badly, in as many ways as there are: `panic`, `unreachable`, `overflow` (the stack),
//! `wild` (reads where no memory is). For tests of what becomes of a task that traps.

fn panic(input: &[u8]) -> Vec<u8> {
    panic!("asked to: {}", String::from_utf8_lossy(input));
}

fn unreachable(_: &[u8]) {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable()
}

fn overflow(input: &[u8]) -> Vec<u8> {
    vec![deeper(input.len() as u32 + 1)]
}

/// Never meets its end before the stack does, and needs its frame after the call, so that no loop can replace it.
fn deeper(depth: u32) -> u8 {
    let mut frame = [0u8; 256];
    let place = frame.as_mut_ptr();
    // SAFETY: within the frame; volatile, so that the frame is really there before and after the call.
    unsafe { std::ptr::write_volatile(place, depth as u8) };
    if depth == 0 {
        return 0;
    }
    let below = deeper(depth.wrapping_add(1) | 1);
    // SAFETY: as above.
    below.wrapping_mul(3) ^ unsafe { std::ptr::read_volatile(place) }
}

fn wild(_: &[u8]) -> Vec<u8> {
    #[cfg(target_arch = "wasm32")]
    {
        // SAFETY: none; 4 GiB less 16 bytes is beyond any memory that a task is given, and that is the point.
        let byte = unsafe { core::ptr::read_volatile(0xffff_fff0 as *const u8) };
        return vec![byte];
    }
    #[cfg(not(target_arch = "wasm32"))]
    Vec::new()
}

weft_guest::functions! { panic, unreachable, overflow, wild }
