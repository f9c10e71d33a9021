//! A plain WASI command that joins the results of many tasks: adds up tables that it finds as files.
//!
//! `tally [N]` reads every file of /in, in each line of which is a word, a tab and a number; adds the numbers of each word; and prints
//! the N greatest sums, or all, greatest first, words of the same sum in their order. Directories are read through. Exit code 2 for a
//! wrong argument, 1 for a file that can't be read or has another line in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::exit;

fn main() {
    let most = match std::env::args().nth(1).map(|text| text.parse()) {
        None => usize::MAX,
        Some(Ok(most)) => most,
        Some(Err(_)) => {
            eprintln!("tally: expected a number; usage: tally [N]");
            exit(2);
        }
    };
    let mut sums = BTreeMap::new();
    let done = files(Path::new("/in")).and_then(|files| files.iter().try_for_each(|path| add(path, &mut sums)));
    if let Err(error) = done.and_then(|()| show(sums, most)) {
        eprintln!("tally: {}", error);
        exit(1);
    }
}

/// The files of a directory and of those in it, in the order of their names.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let mut all = Vec::new();
    for path in entries {
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path);
        }
    }
    Ok(all)
}

/// Adds the table of a file.
fn add(path: &Path, sums: &mut BTreeMap<String, u64>) -> io::Result<()> {
    for (number, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let line = line?;
        let parsed = line.split_once('\t').and_then(|(word, count)| Some((word, count.parse::<u64>().ok()?)));
        match parsed {
            Some((word, count)) => match sums.get_mut(word) {
                Some(sum) => *sum += count,
                None => drop(sums.insert(word.to_owned(), count)),
            },
            None => {
                let text = format!("{}, line {}: expected a word, a tab and a number", path.display(), number + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
    }
    Ok(())
}

/// Prints the greatest sums.
fn show(sums: BTreeMap<String, u64>, most: usize) -> io::Result<()> {
    let mut sums: Vec<(String, u64)> = sums.into_iter().collect();
    // Words are in their order already, and a stable sort leaves them so.
    sums.sort_by(|(_, a), (_, b)| b.cmp(a));
    let mut out = BufWriter::new(io::stdout());
    for (word, sum) in sums.into_iter().take(most) {
        writeln!(out, "{}\t{}", word, sum)?;
    }
    out.flush()
}
