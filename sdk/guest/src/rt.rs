//! What the macros expand to; not for people, and free to change.

use crate::abi::{TAG_ERROR, TAG_OK};
use crate::IntoAnswer;

/// Tag and bytes, as the host reads them.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer(Vec<u8>);

impl Answer {
    /// The bytes for the host.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Puts the tag before what a function gave.
pub fn answer(given: impl IntoAnswer) -> Answer {
    let (tag, bytes) = match given.into_answer() {
        Ok(output) => (TAG_OK, output),
        Err(error) => (TAG_ERROR, error.into_bytes()),
    };
    let mut tagged = Vec::with_capacity(bytes.len() + 1);
    tagged.push(tag);
    tagged.extend_from_slice(&bytes);
    Answer(tagged)
}

/// Room for the input, never freed: the instance ends with the call.
#[cfg(target_arch = "wasm32")]
pub fn alloc(len: u32) -> u32 {
    let mut room = std::mem::ManuallyDrop::new(Vec::<u8>::with_capacity(len as usize));
    room.as_mut_ptr() as u32
}

/// Runs a function on an input that the host has written.
///
/// # Safety
/// `len` bytes at `address` must be initialised, and must not change afterwards.
#[cfg(target_arch = "wasm32")]
pub unsafe fn call(address: u32, len: u32, function: fn(&[u8]) -> Answer) -> u64 {
    // SAFETY: as the caller promises; `alloc` gives no null addresses.
    let input = unsafe { std::slice::from_raw_parts(address as *const u8, len as usize) };
    let answer = std::mem::ManuallyDrop::new(function(input).0);
    crate::abi::pack(answer.as_ptr() as u32, answer.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_carry_their_tag() {
        assert_eq!(answer("yes").as_bytes(), b"\0yes");
        assert_eq!(answer(vec![7u8]).as_bytes(), [TAG_OK, 7]);
        assert_eq!(answer(()).as_bytes(), [TAG_OK]);
        assert_eq!(answer(Ok::<_, String>("yes".to_owned())).as_bytes(), b"\0yes");
        assert_eq!(answer(Err::<(), _>("no")).as_bytes(), b"\x01no");
        assert_eq!(answer(Ok::<_, String>(Err::<(), _>(5))).as_bytes(), b"\x015");
    }

    #[test]
    fn addresses_survive_packing() {
        for (address, len) in [(0, 0), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX), (65_536, 17)] {
            assert_eq!(crate::abi::unpack(crate::abi::pack(address, len)), (address, len));
        }
    }
}
