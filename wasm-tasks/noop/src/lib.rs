//! A task that does nothing: what remains is what the mesh costs. Also the ABI by hand, without weft-guest.
#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Where inputs go, which nobody reads.
static mut ROOM: [u8; 16 * 1024] = [0; 16 * 1024];
/// Tag 0 (an output follows) and no output.
static ANSWER: [u8; 1] = [0];

/// Room for `len` bytes; traps beyond 16 KiB.
#[no_mangle]
pub extern "C" fn weft_alloc(len: u32) -> u32 {
    if len > 16 * 1024 {
        core::arch::wasm32::unreachable();
    }
    // SAFETY: only the address is taken, and one thread runs here.
    unsafe { core::ptr::addr_of_mut!(ROOM) as u32 }
}

/// Answers with no bytes.
#[no_mangle]
pub extern "C" fn weft_fn_noop(_address: u32, _len: u32) -> u64 {
    (ANSWER.as_ptr() as u64) << 32 | 1
}
