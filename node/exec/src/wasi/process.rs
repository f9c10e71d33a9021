//! Arguments, environment, randomness, exit, and calls without an effect here: signals, yielding, sockets.

use wasmtime::{Caller, Linker};

use super::abi::Errno;
use super::call::{Call, calls};
use super::fail::Answer;
use super::ram::{Ram, Word};
use super::version::Version;
use crate::end::End;
use crate::guest::Guest;

/// A command's first argument, its own name.
const PROGRAM_NAME: &str = "main.wasm";
/// Random bytes between two checks of the watch.
const RANDOM_CHUNK_BYTES: usize = 64 << 10;

pub(super) fn link(linker: &mut Linker<Guest>, version: Version) -> wasmtime::Result<()> {
    calls! { linker, version,
        args_get(list: u32, texts: u32);
        args_sizes_get(count: u32, bytes: u32);
        environ_get(list: u32, texts: u32);
        environ_sizes_get(count: u32, bytes: u32);
        random_get(address: u32, len: u32);
        proc_raise(signal: u32);
        sched_yield();
        sock_recv(fd: u32, list: u32, count: u32, flags: u32, len_out: u32, flags_out: u32);
        sock_send(fd: u32, list: u32, count: u32, flags: u32, out: u32);
        sock_shutdown(fd: u32, how: u32);
    }
    if version == Version::Preview1 {
        calls! { linker, version,
            sock_accept(fd: u32, flags: u32, out: u32);
        }
    }
    linker.func_wrap(
        version.module(),
        "proc_exit",
        |mut caller: Caller<'_, Guest>, code: i32| -> wasmtime::Result<()> {
            Err(caller.data_mut().end(End::Exit(code)))
        },
    )?;
    Ok(())
}

impl Call<'_> {
    fn args_get(&mut self, list: Word, texts: Word) -> Answer {
        let wasi = self.guest.wasi.as_ref();
        let args = wasi.map(|wasi| wasi.args.iter().map(String::as_bytes)).into_iter().flatten();
        let all = std::iter::once(PROGRAM_NAME.as_bytes()).chain(args);
        let mut writer = Texts { list, at: texts };
        for text in all {
            writer.put(&mut self.ram, &[text, b"\0"])?;
        }
        Ok(())
    }

    fn args_sizes_get(&mut self, count: Word, bytes: Word) -> Answer {
        let args = &self.wasi().args;
        let len = args.iter().map(|arg| arg.len() + 1).sum::<usize>() + PROGRAM_NAME.len() + 1;
        let number = args.len() + 1;
        self.ram.put_len(count, number)?;
        self.ram.put_len(bytes, len)
    }

    fn environ_get(&mut self, list: Word, texts: Word) -> Answer {
        let mut writer = Texts { list, at: texts };
        for (key, value) in self.guest.wasi.iter().flat_map(|wasi| &wasi.env) {
            writer.put(&mut self.ram, &[key.as_bytes(), b"=", value.as_bytes(), b"\0"])?;
        }
        Ok(())
    }

    fn environ_sizes_get(&mut self, count: Word, bytes: Word) -> Answer {
        let env = &self.wasi().env;
        let len = env.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
        let number = env.len();
        self.ram.put_len(count, number)?;
        self.ram.put_len(bytes, len)
    }

    fn random_get(&mut self, address: Word, len: Word) -> Answer {
        let span = self.ram.span(address, len)?;
        for chunk in self.ram.bytes_mut(span)?.chunks_mut(RANDOM_CHUNK_BYTES) {
            self.guest.world.fill(chunk).map_err(|_no_randomness| Errno::IO)?;
            if chunk.len() == RANDOM_CHUNK_BYTES {
                self.guest.watch.look()?;
            }
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "a call like the others")]
    fn proc_raise(&mut self, _signal: Word) -> Answer {
        Err(Errno::NOTSUP.into())
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "a call like the others")]
    fn sched_yield(&mut self) -> Answer {
        Ok(())
    }

    fn sock_accept(&mut self, fd: Word, _flags: Word, _out: Word) -> Answer {
        self.no_socket(fd)
    }

    fn sock_recv(
        &mut self,
        fd: Word,
        _list: Word,
        _count: Word,
        _flags: Word,
        _len_out: Word,
        _flags_out: Word,
    ) -> Answer {
        self.no_socket(fd)
    }

    fn sock_send(&mut self, fd: Word, _list: Word, _count: Word, _flags: Word, _out: Word) -> Answer {
        self.no_socket(fd)
    }

    fn sock_shutdown(&mut self, fd: Word, _how: Word) -> Answer {
        self.no_socket(fd)
    }

    /// No open descriptor is a socket.
    fn no_socket(&mut self, fd: Word) -> Answer {
        self.wasi().table.get(fd)?;
        Err(Errno::NOTSUP.into())
    }
}

/// Writes texts one after the other, and a list of where each begins.
struct Texts {
    list: Word,
    at: Word,
}

impl Texts {
    fn put(&mut self, ram: &mut Ram<'_>, parts: &[&[u8]]) -> Answer {
        ram.put_u32(self.list, self.at)?;
        self.list = self.list.checked_add(4).ok_or(Errno::OVERFLOW)?;
        for part in parts {
            ram.put(self.at, part)?;
            let len = Word::try_from(part.len())?;
            self.at = self.at.checked_add(len).ok_or(Errno::OVERFLOW)?;
        }
        Ok(())
    }
}
