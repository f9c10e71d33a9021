//! Where the log goes: standard error, as long as that takes lines. A line that can't be written, because the disk is
//! full or the reader of the pipe is gone, is lost; it never stops the program.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// Makes writers to standard error that never fail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Unfailing<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Unfailing(io::stderr())
    }
}

/// A writer whose failures are swallowed. tracing-subscriber answers a failed write with `eprintln!`, which panics when
/// standard error is what failed.
#[derive(Debug)]
pub(crate) struct Unfailing<W>(W);

impl<W: Write> Write for Unfailing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        drop(self.0.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        drop(self.0.flush());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe without a reader, or a full disk.
    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_without_an_error() {
        let mut writer = Unfailing(Broken);
        assert_eq!(writer.write(b"a line\n").unwrap(), 7);
        writer.flush().unwrap();
        let mut kept = Vec::new();
        Unfailing(&mut kept).write_all(b"a line\n").unwrap();
        assert_eq!(kept, b"a line\n");
    }
}
