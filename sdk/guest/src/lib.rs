//! Write weft function tasks in a few lines.
