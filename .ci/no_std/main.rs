//! A program without std that links the core and lets an engine decide something. That it compiles proves that neither
//! the core nor anything below it needs std: whatever did would bring a second panic handler. Built by `.ci/purity`.
#![no_std]
#![no_main]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use weft_core::{Engine, Input, MeshConfig, NodeConfig, PeerId, Time};

const ROOM: usize = 1 << 20;

/// Memory that is given out once and never taken back.
struct Bump {
    room: UnsafeCell<[u8; ROOM]>,
    next: AtomicUsize,
}

// SAFETY: every byte is handed out at most once.
unsafe impl Sync for Bump {}

// SAFETY: a block lies within the room, is aligned, and overlaps no other.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.room.get().cast::<u8>();
        let taken = self.next.fetch_add(layout.size() + layout.align(), Ordering::Relaxed);
        if taken + layout.size() + layout.align() > ROOM {
            return core::ptr::null_mut();
        }
        let block = start.wrapping_add(taken);
        block.wrapping_add(block.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static MEMORY: Bump = Bump { room: UnsafeCell::new([0; ROOM]), next: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_why: &PanicInfo<'_>) -> ! {
    loop {}
}

// What starts a program on this host; the core has no part in it.
#[link(name = "c")]
unsafe extern "C" {}

/// Named by the precompiled `alloc`, never called: nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// The same.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {}

/// Exit code 0 if an engine that hears of a peer has something to say.
#[unsafe(no_mangle)]
extern "C" fn main(_count: i32, _words: *const *const u8) -> i32 {
    let node = NodeConfig {
        name: "bare".into(),
        slots: 1,
        memory_bytes: 1 << 30,
        module_bytes: u64::MAX,
        store_bytes: u64::MAX,
        labels: alloc::vec::Vec::new(),
        class_min: weft_core::message::Class::Scavenger,
        disk: 0,
        boot: 1,
        owners: weft_core::Owners::All,
    };
    let mut engine = Engine::new(PeerId([1; 32]), MeshConfig::DEFAULT, node, [2; 32]);
    let said = engine.handle(Time(1), Input::PeerUp { peer: PeerId([2; 32]), boot: 3, host: weft_core::Host::Unknown }).count();
    i32::from(said == 0 && engine.next_wakeup().is_none())
}
