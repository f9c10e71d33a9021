//! scratch
use bytes::Bytes;
use weft_core::*;
use weft_exec::*;
fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap();
    let module = std::fs::read(&path).unwrap();
    let program = Program { module: BlobId::of(&module), module_bytes: module.len() as u64, entry: Entry::Command,
        args: args.collect(), env: vec![("KEY".into(), "value".into())], files: Payload::empty(), profile: Profile::Pure,
        limits: Limits { wall_ms: 60_000, memory_bytes: 1 << 30, ..Limits::DEFAULT } };
    let sandbox = Sandbox::new(SandboxConfig { cache_dir: Some("/tmp/cpy/cache".into()), ..SandboxConfig::default() }).unwrap();
    let files = std::fs::read("/tmp/cpy/in.tar").unwrap_or_default();
    for n in 0..4 {
        let t = std::time::Instant::now();
        let prepared = match sandbox.prepare(&program, || Ok(Bytes::from(module.clone()))) { Ok(p) => p, Err(e) => { println!("{e}"); return } };
        let took = t.elapsed();
        let given = Given { input: Bytes::from_static(b"hello in"), files: Bytes::from(files.clone()) };
        let f = sandbox.run(&prepared, &program, program.task_id(&Payload::inline(b"hello in")), given, &Stop::new(), None);
        if n == 0 { println!("{}\n--\n{}", String::from_utf8_lossy(&f.output), String::from_utf8_lossy(&f.errors)); }
        println!("{:?} prepare {took:?} out {} {:?} files {} {:?} usage {:?}", f.outcome, f.output.len(), BlobId::of(&f.output), f.files.len(), BlobId::of(&f.files), f.usage);
    }
}
