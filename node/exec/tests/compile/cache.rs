//! Compiled code on the disk: which is kept, which is taken, and which goes.

use super::*;

fn on_disk(dir: &Path) -> Compiler {
    let base = config(How::Here);
    compiler(CompilerConfig { cache_dir: Some(dir.to_owned()), quick_bytes: 1000, ..base })
}

fn cached(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

#[test]
fn the_disk_keeps_the_best_code() {
    let dir = tempfile::tempdir().unwrap();
    let module = large(60);
    let program = function(&module, "answer");
    let compiler = on_disk(dir.path());
    assert_eq!(ask(&compiler, &module, &program).unwrap().tier(), Tier::Baseline);
    wait_until("one file", || compiler.status().optimising == 0 && cached(dir.path()).len() == 1);
    drop(compiler);
    let compiler = on_disk(dir.path());
    let read: Read = Arc::new(|| panic!("the code is on disk"));
    let (tell, hear) = mpsc::channel();
    compiler.request(&program, OWNER, read, Box::new(move |result| tell.send(result).unwrap()));
    let code = hear.recv_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!(code.tier(), Tier::Optimised);
    assert_eq!((compiler.status().loaded, compiler.status().compiled), (1, 0));
    assert_eq!(run(&code, &program).len(), 4);
}

#[test]
fn a_file_of_another_module_is_not_taken_for_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (echo(), large(3));
    let (first, second) = (function(&one, "echo"), function(&two, "answer"));
    let made = on_disk(dir.path());
    made.code(&first, || Ok(Bytes::copy_from_slice(&one))).unwrap();
    let file = cached(dir.path()).remove(0);
    made.code(&second, || Ok(Bytes::copy_from_slice(&two))).unwrap();
    let other = cached(dir.path()).into_iter().find(|path| *path != file).unwrap();
    drop(made);
    // Both are genuine, but swapped.
    fs::copy(&file, &other).unwrap();
    let compiler = on_disk(dir.path());
    let code = compiler.code(&second, || Ok(Bytes::copy_from_slice(&two))).unwrap();
    assert_eq!((compiler.status().loaded, compiler.status().compiled), (0, 1));
    assert_eq!(run(&code, &second).len(), 4);
}

/// Not a test: it asks for the module in the cache that is its working directory, and may open only one file at once.
#[test]
#[ignore = "it is the child of another test"]
fn the_one_without_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::os::fd::AsRawFd;
    let compiler = on_disk(Path::new("."));
    let lowest = fs::File::open("/dev/null").unwrap();
    let current = u64::try_from(lowest.as_raw_fd()).unwrap() + 1;
    drop(lowest);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).unwrap();
    let module = echo();
    compiler.code(&function(&module, "echo"), || Ok(Bytes::from(module.clone()))).unwrap();
    assert_eq!((compiler.status().loaded, compiler.status().compiled), (0, 1), "the limit had no effect");
}

#[test]
fn code_that_can_not_be_read_for_a_while_stays_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let module = echo();
    on_disk(dir.path()).code(&function(&module, "echo"), || Ok(Bytes::from(module.clone()))).unwrap();
    let before = fs::read(&cached(dir.path())[0]).unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "cache::the_one_without_descriptors", "--test-threads=1"])
        .current_dir(dir.path())
        .status();
    assert!(status.unwrap().success());
    let after: Vec<Vec<u8>> = cached(dir.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(after, [before]);
}

#[test]
fn code_of_another_version_is_removed_and_other_files_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let stale = ["0123456789abcdef-old-old.cwasm", "6d6f64756c65-settings.cwasm", "7.tmp"];
    for name in stale {
        fs::write(dir.path().join(name), b"of an older node").unwrap();
    }
    fs::write(dir.path().join("README"), b"not ours").unwrap();
    drop(on_disk(dir.path()));
    for name in stale {
        assert!(!dir.path().join(name).exists(), "{name} is still there");
    }
    assert!(dir.path().join("README").exists());
}

#[test]
fn the_least_used_code_goes_when_there_is_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let modules: Vec<Vec<u8>> = (1..=6).map(|functions| large(functions * 20)).collect();
    let bytes: Vec<u64> = {
        let roomy = compiler(config(How::Here));
        let of = |module: &Vec<u8>| {
            roomy
                .code(&function(module, "answer"), || Ok(Bytes::copy_from_slice(module)))
                .unwrap()
                .bytes_len()
        };
        modules.iter().map(of).collect()
    };
    let room: u64 = bytes.iter().rev().take(2).sum::<u64>() + 10_000;
    let base = config(How::Here);
    let compiler = compiler(CompilerConfig {
        cache_dir: Some(dir.path().to_owned()),
        disk_bytes: room,
        memory_bytes: room,
        ..base
    });
    for module in &modules {
        compiler.code(&function(module, "answer"), || Ok(Bytes::copy_from_slice(module))).unwrap();
        let on_disk: u64 = cached(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(on_disk <= room && compiler.status().code_bytes <= room);
    }
    assert!(compiler.get(&function(&modules[5], "answer")).is_some(), "the last one stays");
    assert!(compiler.get(&function(&modules[0], "answer")).is_none(), "the first one is forgotten");
}
