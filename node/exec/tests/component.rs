//! Components: preview 2 commands, made of preview 1 ones by the usual adapter, and by hand.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use support::{command, command_echo, component_of, run, sandbox};
use weft_core::{Failure, Outcome, Program};

#[test]
fn a_component_sees_input_arguments_and_environment_and_its_exit_code_counts() {
    let sandbox = sandbox();
    for (code, outcome) in [(0, Outcome::Done), (3, Outcome::Failed(Failure::Exit(3)))] {
        let module = component_of(&command_echo(code));
        let program = Program {
            args: vec!["one".into(), "two".into()],
            env: vec![("KEY".into(), "value".into())],
            ..command(&module)
        };
        let finished = run(&sandbox, &module, &program, b"hello, ");
        assert_eq!(finished.outcome, outcome);
        assert_eq!(String::from_utf8_lossy(&finished.output), "hello, main.wasm\0one\0two\0KEY=value\0");
        assert_eq!(finished.errors, b"heck");
    }
}
