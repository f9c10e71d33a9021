//! Submit wasm tasks to a weft mesh.
