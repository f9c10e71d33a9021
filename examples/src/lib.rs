//! One idea a file; each first line says what you will see.
