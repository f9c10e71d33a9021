//! A WASI command that works on files, written as for any other machine.
//!
//! `files upper [TURNS]` copies everything under `/in` into `/out`, with ASCII letters in capitals, and prints each
//! path; before that it counts to TURNS, for those who want it to take a while.
//! `files count N` makes N files in `/tmp` and prints how many it could. `files say TEXT` prints TEXT and then works
//! for ever, for those who want to see output before its end. Exit code 2 for wrong arguments, 1 if it cannot work.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::{AtomicU32, Ordering};

/// Work that nobody may leave out.
static TURNS: AtomicU32 = AtomicU32::new(0);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["upper"] => upper(Path::new("/in"), Path::new("/out")),
        ["upper", turns] => turn(turns).and_then(|()| upper(Path::new("/in"), Path::new("/out"))),
        ["count", count] => make(count),
        ["say", text] => say(text),
        _ => {
            eprintln!("usage: files upper [TURNS] | count N | say TEXT");
            exit(2);
        }
    };
    if let Err(error) = done {
        eprintln!("files: {}", error);
        exit(1);
    }
}

fn upper(from: &Path, to: &Path) -> io::Result<()> {
    let mut found: Vec<PathBuf> = fs::read_dir(from)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    found.sort();
    for path in found {
        let copy = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            fs::create_dir(&copy)?;
            upper(&path, &copy)?;
        } else {
            fs::write(&copy, fs::read(&path)?.to_ascii_uppercase())?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

fn make(count: &str) -> io::Result<()> {
    let count: u32 = count.parse().map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause))?;
    for number in 0..count {
        fs::write(format!("/tmp/{}", number), "x")?;
    }
    println!("{}", count);
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    println!("{}", text);
    io::stdout().flush()?;
    loop {
        TURNS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Works for a while.
fn turn(turns: &str) -> io::Result<()> {
    let turns: u32 = turns.parse().map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause))?;
    let mut state = turns | 1;
    for _ in 0..turns {
        // Nothing short gives the same.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
    }
    TURNS.store(state, Ordering::Relaxed);
    if TURNS.load(Ordering::Relaxed) == 0 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
}
