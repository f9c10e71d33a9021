//! The log of this node's engine, as a debugging aid: what it was told, what it answered, in a file that
//! `weft-sim replay` hands to a fresh engine. The loop gives frames away and never waits: a thread of its own writes
//! them. A log that grows too large, or a disk that is too slow, ends the log and not the node.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use weft_core::log::{End, Header, StepDraft, encode_end, encode_header};
use weft_core::{Effect, Input, Time};

/// Longest log, in bytes; the record that would pass it is not written.
const LOG_BYTES_MAX: u64 = 1 << 30;
/// Bytes that may wait for the disk; one more record ends the log.
const QUEUED_BYTES_MAX: usize = 64 << 20;

/// What a node keeps so that its engine can be recorded from the first input on.
#[derive(Debug)]
pub(crate) struct Recorder {
    header: Header,
    writer: Option<Writer>,
}

/// The way to the thread that writes.
#[derive(Debug)]
struct Writer {
    frames: mpsc::Sender<Vec<u8>>,
    /// Bytes that were given away and are not written yet.
    queued: Arc<AtomicUsize>,
    bytes: u64,
    thread: JoinHandle<io::Result<()>>,
}

impl Recorder {
    /// Records nothing yet.
    pub(crate) fn new(header: Header) -> Self {
        Self { header, writer: None }
    }

    /// Begins a new file, which only this user may read. To be called before the engine's first input.
    pub(crate) fn start(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let (frames, written) = mpsc::channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let ours = Arc::clone(&queued);
        let thread = std::thread::Builder::new()
            .name("weft-record".into())
            .spawn(move || write_frames(file, &written, &ours))?;
        let mut writer = Writer { frames, queued, bytes: 0, thread };
        writer.give(encode_header(&self.header));
        self.writer = Some(writer);
        Ok(())
    }

    /// Writes down the engine's next input, if a record was asked for.
    pub(crate) fn draft(&self, now: Time, input: &Input) -> Option<StepDraft> {
        self.writer.as_ref().map(|_| StepDraft::new(now, input))
    }

    /// Writes down what it answered.
    pub(crate) fn finish(&mut self, draft: StepDraft, effects: &[Effect]) {
        let Some(writer) = &mut self.writer else { return };
        match draft.finish(effects) {
            Some(frame) if writer.bytes.saturating_add(frame.len() as u64) <= LOG_BYTES_MAX => {
                if writer.queued.load(Ordering::Relaxed).saturating_add(frame.len()) > QUEUED_BYTES_MAX {
                    self.end(End::Behind);
                } else if !writer.give(frame) {
                    self.end(End::Stopped);
                }
            }
            Some(_) | None => self.end(End::Full),
        }
    }

    /// Ends the log: at once where the node goes on, and with everything on disk where it stops.
    fn end(&mut self, why: End) {
        let Some(Writer { frames, thread, .. }) = self.writer.take() else { return };
        // A thread that is gone has an error to tell.
        let _gone = frames.send(encode_end(why));
        drop(frames);
        if why != End::Stopped {
            tracing::warn!("the record of this node's engine ends here: {why}");
        } else {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the record of this node's engine could not be written");
                }
                Err(panic) => drop(weft_net::of_task("the thread that writes the record", panic.as_ref())),
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end(End::Stopped);
    }
}

impl Writer {
    /// Whether the thread still takes frames.
    fn give(&mut self, frame: Vec<u8>) -> bool {
        self.bytes += frame.len() as u64;
        self.queued.fetch_add(frame.len(), Ordering::Relaxed);
        self.frames.send(frame).is_ok()
    }
}

/// Writes until its sender is gone. What was written survives a kill of the process: nothing is held back while
/// there is nothing to do.
fn write_frames(file: File, frames: &mpsc::Receiver<Vec<u8>>, queued: &AtomicUsize) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    while let Ok(frame) = frames.recv() {
        let mut next = Some(frame);
        while let Some(frame) = next {
            out.write_all(&frame)?;
            queued.fetch_sub(frame.len(), Ordering::Relaxed);
            next = frames.try_recv().ok();
        }
        out.flush()?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use weft_core::log::{LogError, Reader, Record};
    use weft_core::{MeshConfig, NodeConfig, PeerId};

    use super::*;

    fn header() -> Header {
        let node = NodeConfig {
            name: "a".into(),
            slots: 1,
            memory_bytes: 1,
            module_bytes: u64::MAX,
            store_bytes: u64::MAX,
            labels: Vec::new(),
            class_min: weft_core::message::Class::Scavenger,
            disk: 0,
            boot: 1,
            owners: weft_core::Owners::All,
        };
        Header { version: "1".into(), me: PeerId([1; 32]), mesh: MeshConfig::DEFAULT, node, seed: [2; 32] }
    }

    #[expect(clippy::unwrap_in_result, reason = "a file that can't be read fails the test")]
    fn records(path: &Path) -> Result<Vec<Record>, LogError> {
        let bytes = std::fs::read(path).unwrap();
        let (read, mut reader) = Reader::open(&bytes)?;
        assert_eq!(read, header());
        let mut all = Vec::new();
        while let Some(record) = reader.read()? {
            all.push(record);
        }
        Ok(all)
    }

    #[test]
    fn a_record_is_on_disk_when_its_node_has_stopped_and_no_file_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let mut recorder = Recorder::new(header());
        assert!(recorder.draft(Time(1), &Input::Wake).is_none(), "no record was asked for");
        recorder.start(&path).unwrap();
        for at in 0..3 {
            let draft = recorder.draft(Time(at), &Input::Wake).unwrap();
            recorder.finish(draft, &[]);
        }
        drop(recorder);
        let all = records(&path).unwrap();
        assert_eq!((all.len(), all.last()), (4, Some(&Record::End(End::Stopped))));
        assert_eq!(Recorder::new(header()).start(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_is_too_long_ends_the_record_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let mut recorder = Recorder::new(header());
        recorder.start(&path).unwrap();
        let draft = recorder.draft(Time(0), &Input::Wake).unwrap();
        recorder.finish(draft, &[Effect::Stash(Arc::from(vec![0; weft_core::log::RECORD_BYTES_MAX]))]);
        assert!(recorder.draft(Time(1), &Input::Wake).is_none());
        drop(recorder);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while records(&path).is_ok_and(|all| all.is_empty()) {
            assert!(std::time::Instant::now() < deadline, "the thread writes what it was given");
            std::thread::yield_now();
        }
        assert_eq!(records(&path).unwrap(), [Record::End(End::Full)]);
    }
}
