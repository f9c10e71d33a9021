//! A WASI command that ends as it is told: `exit [CODE]` writes a line to stdout and one to stderr, then exits with
//! CODE (0 if there is none, 2 if it is no number).

fn main() {
    let code = match std::env::args().nth(1) {
        None => 0,
        Some(text) => text.parse().unwrap_or_else(|_| {
            eprintln!("exit: {:?} is no exit code", text);
            2
        }),
    };
    println!("this is stdout");
    eprintln!("this is stderr: exiting with {}", code);
    std::process::exit(code);
}
