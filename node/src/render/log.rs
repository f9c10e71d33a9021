//! Where words and the log go: standard error, as long as that takes lines. A line that can't be written, because the
//! disk is full or the reader of the pipe is gone, is lost; it never stops the program. A node writes behind its own
//! back, so that a reader that has stopped does not hold it up either.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for the thread that writes; beyond it the newest is lost, and counted.
const LINES_MAX: usize = 4096;
/// How long the end of the program waits for lines that are not written yet.
const END_MAX: Duration = Duration::from_secs(1);

static BEHIND: OnceLock<SyncSender<Line>> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);

/// A filter of log lines: levels, for all lines or those of one target.
pub(crate) fn log_filter(text: &str) -> Result<Targets, String> {
    let wrong = |why: String| format!("a filter such as info or weft_node=debug: {why}");
    if text.contains(['[', '{']) {
        return Err(wrong(String::from("spans and fields are not filtered by")));
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.join(",").parse().map_err(|error: ParseError| wrong(error.to_string()))
}

/// What the thread is given.
enum Line {
    Text(Vec<u8>),
    /// Everything before it was written.
    Flushed(SyncSender<()>),
}

/// From now on a thread of its own writes to standard error, and nothing else waits for it.
pub(crate) fn write_behind() {
    let (sender, lines) = sync_channel(LINES_MAX);
    let thread = std::thread::Builder::new().name("weft-stderr".into());
    let started = thread.spawn(move || write_lines(&lines, &mut io::stderr(), &LOST));
    match started {
        Ok(_never_ends) => drop(BEHIND.set(sender)),
        Err(error) => {
            tracing::warn!(%error, "no thread for standard error: who reads it can hold the node up");
        }
    }
}

/// Waits until what was said is written, at most a second.
pub(crate) fn flush() {
    let Some(behind) = BEHIND.get() else { return };
    let (sender, flushed) = sync_channel(1);
    if behind.try_send(Line::Flushed(sender)).is_ok() {
        // Written, or blocked: the error can't be reported anywhere.
        let _written = flushed.recv_timeout(END_MAX);
    }
}

fn write_lines(lines: &Receiver<Line>, out: &mut impl Write, lost: &AtomicU64) {
    while let Ok(line) = lines.recv() {
        match line {
            Line::Text(bytes) => drop(out.write_all(&bytes)),
            Line::Flushed(sender) => drop(sender.try_send(())),
        }
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            drop(writeln!(out, "weft: {count} lines were lost here: standard error was blocked"));
        }
    }
}

/// Makes writers to standard error that never fail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// A writer whose failures are swallowed. tracing-subscriber answers a failed write with `eprintln!`, which panics when
/// standard error is what failed.
impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match BEHIND.get() {
            Some(behind) if behind.try_send(Line::Text(bytes.to_vec())).is_err() => {
                LOST.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) => {}
            None => drop(io::stderr().write_all(bytes)),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe without a reader, or a full disk, for this many writes.
    struct Broken(usize, Vec<u8>);

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 > 0 {
                self.0 -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_filter_of_log_lines_is_a_list_of_levels_and_targets_with_blanks_or_without() {
        let targets = |text: &str| log_filter(text).unwrap();
        assert_eq!(targets("info, weft_net=debug,"), targets("info,weft_net=debug"));
        assert!(targets("info,weft_net=debug").would_enable("weft_net", &tracing::Level::DEBUG));
        assert!(!targets("info,weft_net=debug").would_enable("weft_core", &tracing::Level::DEBUG));
        for wrong in ["a=b=c", "weft_node[task]=debug", "{job}=debug"] {
            assert!(log_filter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_those_behind_it_are_not() {
        let (sender, lines) = sync_channel(4);
        for text in ["one\n", "two\n"] {
            sender.send(Line::Text(text.into())).unwrap();
        }
        let (flushed, done) = sync_channel(1);
        sender.send(Line::Flushed(flushed)).unwrap();
        drop(sender);
        let mut out = Broken(1, Vec::new());
        write_lines(&lines, &mut out, &AtomicU64::new(3));
        done.recv().unwrap();
        let said = String::from_utf8(out.1).unwrap();
        assert_eq!(said, "weft: 3 lines were lost here: standard error was blocked\ntwo\n");
    }
}
