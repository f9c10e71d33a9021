//! From a module's bytes to its code.

pub(crate) mod work;
