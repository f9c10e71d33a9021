//! `wasi:clocks` and `wasi:random` on the run's [`World`](crate::world::World): virtual and seeded for a pure task,
//! real for an impure one.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use weft_core::Limit;

use crate::component::convert::datetime;
use crate::component::table::{Entry, Wait};
use crate::end::End;
use crate::guest::Guest;
use crate::world::CLOCK_STEP_NS;

/// Most random bytes of one call; programs ask for a few dozen.
const RANDOM_BYTES_MAX: usize = 1 << 20;

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.world.monotonic_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(CLOCK_STEP_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.keep(Entry::Wait(Wait::Until(when)))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let when = self.world.monotonic_ns().saturating_add(duration);
        self.keep(Entry::Wait(Wait::Until(when)))
    }
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(self.world.wall_ns()))
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(CLOCK_STEP_NS))
    }
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_word()
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_word()
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_word()?, self.random_word()?))
    }
}

impl Guest {
    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= RANDOM_BYTES_MAX) else {
            let text =
                format!("randomness: asked for {len} bytes in one call, the limit is {RANDOM_BYTES_MAX}");
            return Err(self.end(End::Limit(Limit::Other(text))));
        };
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn random_word(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        self.world.fill(bytes).map_err(|error| self.end(End::Host(format!("no randomness: {error}"))))
    }
}
