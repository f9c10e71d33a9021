//! `wasi:io`: errors, pollables and streams. Nothing here blocks but a poll of timers only, and that is the run's own
//! sleep, which its time limit and its `Stop` end.
//!
//! The host of wasmtime-wasi runs a tokio runtime, which a confined slot must not start. All streams are in memory, so
//! none is needed.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::error;

use crate::component::open::READ_BYTES_MAX;
use crate::component::resources::unknown;
use crate::component::table::{Entry, HANDLES_MAX, Input, Output, Wait};
use crate::end::End;
use crate::guest::Guest;

/// Bytes that an output stream accepts in one write.
const PERMIT_BYTES: u64 = 64 << 10;
/// Most bytes of the `-and-flush` calls, by their definition.
const FLUSHED_BYTES_MAX: u64 = 4096;

impl error::Host for Guest {}

impl error::HostError for Guest {
    fn to_debug_string(&mut self, error: Resource<IoError>) -> wasmtime::Result<String> {
        Ok(format!("{:?}", self.error_code(&error)?))
    }

    fn drop(&mut self, error: Resource<IoError>) -> wasmtime::Result<()> {
        self.release(&error)
    }
}

impl poll::Host for Guest {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(wasmtime::Error::msg("a poll of an empty list"));
        }
        if pollables.len() > HANDLES_MAX {
            return Err(self.end(End::Limit(super::table::too_many())));
        }
        let waits: Vec<u64> =
            pollables.iter().map(|one| Ok(self.wait(one)?.at())).collect::<wasmtime::Result<_>>()?;
        let first = waits.iter().copied().min().unwrap_or(0);
        let now = self.sleep_until(first)?;
        let ready = (0u32..).zip(waits).filter(|(_, at)| *at <= now).map(|(index, _)| index);
        Ok(ready.collect())
    }
}

impl poll::HostPollable for Guest {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let at = self.wait(&pollable)?.at();
        // The reading advances a virtual clock, so that a guest that polls in a loop ends.
        Ok(at <= self.world.monotonic_ns())
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let at = self.wait(&pollable)?.at();
        self.sleep_until(at).map(drop)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.release(&pollable)
    }
}

impl streams::Host for Guest {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(error) => {
                let code = error.downcast::<ErrorCode>()?;
                Ok(streams::StreamError::LastOperationFailed(self.keep(Entry::Error(code))?))
            }
            StreamError::Trap(error) => Err(error),
        }
    }
}

impl streams::HostInputStream for Guest {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        self.read_stream(&stream, len)
    }

    fn blocking_read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        self.read_stream(&stream, len)
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        Ok(self.read_stream(&stream, len)?.len() as u64)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        Ok(self.read_stream(&stream, len)?.len() as u64)
    }

    fn subscribe(&mut self, _: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.keep(Entry::Wait(Wait::Ready))
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.release(&stream)
    }
}

impl streams::HostOutputStream for Guest {
    fn check_write(&mut self, _: Resource<DynOutputStream>) -> StreamResult<u64> {
        Ok(PERMIT_BYTES)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.write_stream(&stream, &bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        bounded(bytes.len() as u64, FLUSHED_BYTES_MAX)?;
        self.write_stream(&stream, &bytes)
    }

    fn flush(&mut self, _: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_flush(&mut self, _: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn subscribe(&mut self, _: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.keep(Entry::Wait(Wait::Ready))
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        let len = bounded(len, PERMIT_BYTES)?;
        self.write_stream(&stream, &vec![0; len])
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        let len = bounded(len, FLUSHED_BYTES_MAX)?;
        self.write_stream(&stream, &vec![0; len])
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let bytes = self.read_stream(&from, len.min(PERMIT_BYTES))?;
        self.write_stream(&to, &bytes)?;
        Ok(bytes.len() as u64)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        streams::HostOutputStream::splice(self, to, from, len)
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.release(&stream)
    }
}

impl Guest {
    /// Why an operation of a stream failed.
    pub(crate) fn error_code(&mut self, error: &Resource<IoError>) -> wasmtime::Result<ErrorCode> {
        match self.component_state()?.table.get(error) {
            Some(Entry::Error(code)) => Ok(*code),
            Some(_) | None => Err(unknown()),
        }
    }

    /// Advances the position of a file's stream.
    fn move_cursor<T: 'static>(&mut self, stream: &Resource<T>, by: usize) -> StreamResult<()> {
        let state = self.component_state().map_err(StreamError::Trap)?;
        match state.table.get_mut(stream) {
            Some(Entry::Input(Input::File(cursor)) | Entry::Output(Output::File(cursor))) => {
                cursor.advance(by);
                Ok(())
            }
            Some(_) | None => Err(StreamError::Trap(unknown())),
        }
    }

    fn wait(&mut self, pollable: &Resource<DynPollable>) -> wasmtime::Result<Wait> {
        match self.component_state()?.table.get(pollable) {
            Some(Entry::Wait(wait)) => Ok(*wait),
            Some(_) | None => Err(unknown()),
        }
    }

    /// Sleeps until this time of the monotonic clock, and returns the time then.
    fn sleep_until(&mut self, instant_ns: u64) -> wasmtime::Result<u64> {
        let now = self.world.monotonic_ns();
        self.sleep(instant_ns.saturating_sub(now)).map_err(|end| self.end(end))?;
        Ok(now.max(instant_ns))
    }

    fn read_stream(&mut self, stream: &Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
        let state = self.component_state().map_err(StreamError::Trap)?;
        match state.table.get(stream) {
            Some(Entry::Input(Input::Stdin)) => state.read_stdin(len),
            Some(Entry::Input(Input::File(cursor))) => {
                let cursor = *cursor;
                let bytes = self.read_cursor(cursor, len)?;
                self.move_cursor(stream, bytes.len())?;
                Ok(bytes)
            }
            Some(_) | None => Err(StreamError::Trap(unknown())),
        }
    }

    fn write_stream(&mut self, stream: &Resource<DynOutputStream>, bytes: &[u8]) -> StreamResult<()> {
        let state = self.component_state().map_err(StreamError::Trap)?;
        let sink = match state.table.get(stream) {
            Some(Entry::Output(Output::Stdout)) => &state.output,
            Some(Entry::Output(Output::Stderr)) => &state.errors,
            Some(Entry::Output(Output::File(cursor))) => {
                let cursor = *cursor;
                self.write_cursor(cursor, bytes)?;
                return self.move_cursor(stream, bytes.len());
            }
            Some(_) | None => return Err(StreamError::Trap(unknown())),
        };
        sink.push(bytes).map_err(|limit| StreamError::Trap(self.end(End::Limit(limit))))
    }
}

fn bounded(len: u64, max: u64) -> StreamResult<usize> {
    let bounded = usize::try_from(len).ok().filter(|_| len <= max);
    bounded.ok_or_else(|| StreamError::trap(&format!("a write of {len} bytes at once, the limit is {max}")))
}
