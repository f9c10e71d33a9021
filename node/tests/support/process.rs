//! One child process: its stdout and stderr are read by threads line by line, so that it never blocks on us and a
//! test can wait for a line. It is killed and reaped when dropped, and then shows what it said if a test failed.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// Lines of a failed test's process that are shown.
const SHOWN_MAX: usize = 60;

/// How a process ended, and everything that it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// A running process.
pub struct Proc {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
    started: Instant,
}

impl Proc {
    /// Starts it and gives it `stdin`.
    pub fn start(command: Command, name: &str, stdin: &[u8]) -> Self {
        let (process, mut pipe) = Self::start_open(command, name);
        let stdin = stdin.to_vec();
        // Who does not read its stdin does not keep us.
        std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        process
    }

    /// Starts it; what it reads is written as the test goes on.
    pub fn start_open(mut command: Command, name: &str) -> (Self, ChildStdin) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pipe = child.stdin.take().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        (Self { name: name.to_owned(), child, stdout, stderr, started: Instant::now() }, pipe)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of stderr that contains `pattern`, from the first line on, and returns it.
    #[track_caller]
    pub fn wait_for(&self, pattern: &str, deadline: Duration) -> String {
        match self.stderr.wait_for(pattern, deadline) {
            Some(line) => line,
            None => panic!("`{}` did not say {pattern:?} within {deadline:?}", self.name),
        }
    }

    /// Whether a line of stderr contains `pattern`.
    pub fn said(&self, pattern: &str) -> bool {
        self.stderr.text().lines().any(|line| line.contains(pattern))
    }

    /// How many lines of stderr contain `pattern` so far.
    pub fn said_times(&self, pattern: &str) -> usize {
        self.stderr.text().lines().filter(|line| line.contains(pattern)).count()
    }

    /// How many lines came on stdout so far.
    pub fn lines_out(&self) -> usize {
        self.stdout.text().lines().count()
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill9(&mut self) {
        drop(self.child.kill());
        self.child.wait().unwrap();
    }

    /// SIGSTOP: it stops, and its connections stay open.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGINT: what Ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM: what a service manager sends.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGCONT.
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self, deadline: Duration) -> Ended {
        let what = format!("`{}` ends; so far {} lines on stdout", self.name, self.lines_out());
        let status = eventually(deadline, &what, || self.child.try_wait().unwrap());
        self.ended(status)
    }

    /// Waits for its end, however long that takes, as long as lines come on stdout; `pause` is the longest between two.
    #[track_caller]
    pub fn finish_while_lines_come(mut self, pause: Duration) -> Ended {
        let mut lines = 0;
        loop {
            let what = format!("`{}` says more than {lines} lines on stdout, or ends", self.name);
            let ended = eventually(pause, &what, || {
                let ended = self.child.try_wait().unwrap();
                (ended.is_some() || self.lines_out() > lines).then_some(ended)
            });
            match ended {
                Some(status) => return self.ended(status),
                None => lines = self.lines_out(),
            }
        }
    }

    fn ended(mut self, status: ExitStatus) -> Ended {
        let took = self.started.elapsed();
        Ended { code: status.code(), stdout: self.stdout.join(), stderr: self.stderr.join(), took }
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let said = self.stderr.text();
            let skipped = said.lines().count().saturating_sub(SHOWN_MAX);
            eprintln!("--- weft {}, {} lines out, on stderr:", self.name, self.lines_out());
            said.lines().skip(skipped).for_each(|line| eprintln!("    {line}"));
        }
    }
}

/// What one pipe brought.
struct Lines {
    shared: Arc<(Mutex<Gathered>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Gathered {
    text: String,
    ended: bool,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Gathered::default()), Condvar::new()));
        let ours = Arc::clone(&shared);
        let reader = std::thread::spawn(move || gather(pipe, &ours));
        Self { shared, reader: Some(reader) }
    }

    /// Whole lines so far, and a last part of one at the end.
    fn text(&self) -> String {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    fn wait_for(&self, pattern: &str, deadline: Duration) -> Option<String> {
        let until = Instant::now() + deadline;
        let (gathered, news) = &*self.shared;
        let mut gathered = gathered.lock().unwrap();
        loop {
            if let Some(line) = gathered.text.lines().find(|line| line.contains(pattern)) {
                return Some(line.to_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            if gathered.ended || left.is_zero() {
                return None;
            }
            gathered = news.wait_timeout(gathered, left).unwrap().0;
        }
    }

    /// Everything, once the process has ended.
    fn join(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}

fn gather(pipe: impl Read, shared: &(Mutex<Gathered>, Condvar)) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = pipe.read_until(b'\n', &mut line).unwrap_or(0);
        let mut gathered = shared.0.lock().unwrap();
        gathered.text.push_str(&String::from_utf8_lossy(&line));
        gathered.ended = read == 0;
        shared.1.notify_all();
        if gathered.ended {
            return;
        }
    }
}
