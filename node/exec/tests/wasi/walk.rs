//! An ordinary program of files: walks `/in`, copies it to `/out` in upper case, appends, renames, removes, and prints
//! what it sees. Built as `corners.rs` is; `walk.txt` is what it prints under `wasmtime run`.
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;

fn walk(dir: &Path, depth: usize, out: &mut Vec<String>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let meta = entry.metadata()?;
        let kind = if meta.is_dir() { "dir" } else { "file" };
        let len = if meta.is_dir() { 0 } else { meta.len() };
        out.push(format!("{}{} {kind} {len}", "  ".repeat(depth), entry.file_name().to_string_lossy()));
        if meta.is_dir() {
            walk(&entry.path(), depth + 1, out)?;
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mut seen = Vec::new();
    walk(Path::new("/in"), 0, &mut seen)?;
    println!("{}", seen.join("\n"));

    fs::create_dir_all("/out/copy/sub")?;
    for name in ["notes.txt", "sub/deep.txt"] {
        let text = fs::read_to_string(Path::new("/in").join(name))?;
        fs::write(Path::new("/out/copy").join(name), text.to_uppercase())?;
    }
    println!("copied {} bytes", fs::copy("/in/notes.txt", "/tmp/notes")?);
    let mut log = OpenOptions::new().append(true).create(true).open("/out/log")?;
    for line in io::BufReader::new(fs::File::open("/tmp/notes")?).lines() {
        writeln!(log, "saw {}", line?)?;
    }
    drop(log);
    fs::rename("/out/log", "/out/copy/log.txt")?;
    let mut file = OpenOptions::new().read(true).write(true).open("/out/copy/log.txt")?;
    file.seek(SeekFrom::End(-4))?;
    let mut tail = String::new();
    file.read_to_string(&mut tail)?;
    println!("tail {tail:?}");
    file.set_len(7)?;
    file.seek(SeekFrom::Start(10))?;
    file.write_all(b"gap")?;
    println!("{:?}", fs::read("/out/copy/log.txt")?);

    // Many files, listed over several pages while they are removed.
    fs::create_dir("/tmp/many")?;
    for n in 0..500 {
        fs::write(format!("/tmp/many/file-number-{n:04}"), n.to_string())?;
    }
    println!("{} files", fs::read_dir("/tmp/many")?.count());
    if std::env::args().any(|arg| arg == "page-by-page") {
        // The plain runtime counts entries anew for each page, and so fails here with "directory not empty".
        fs::remove_dir_all("/tmp/many")?;
    } else {
        for entry in fs::read_dir("/tmp/many")?.collect::<Vec<_>>() {
            fs::remove_file(entry?.path())?;
        }
        fs::remove_dir("/tmp/many")?;
    }
    println!("gone: {}", fs::metadata("/tmp/many").is_err());

    for path in ["/in/notes.txt/x", "/nope", "/out/../../etc", "/tmp", "relative", "tmp/notes"] {
        match fs::File::open(path).and_then(|mut file| file.read_to_string(&mut String::new())) {
            Ok(bytes) => println!("{path}: {bytes} bytes"),
            Err(error) => println!("{path}: {error}"),
        }
    }
    seen.clear();
    walk(Path::new("/out"), 0, &mut seen)?;
    println!("{}", seen.join("\n"));
    Ok(())
}
