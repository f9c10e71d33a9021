//! Runs one untrusted WebAssembly task in wasmtime.
