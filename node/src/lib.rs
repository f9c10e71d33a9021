//! The weft node: wiring, waiting, showing. Everything that decides is in `weft-core`.
//!
//! ```text
//!   api  --Request-->  node (the loop: select, apply)  --Effect-->  ports: net, slots, blobs, jobs
//!   jobs <--Event----'                                 <--Input--'
//! ```

pub mod api;
pub mod bench;
pub mod counts;
mod cpu;
pub mod demo;
pub mod embedded;
pub mod handle;
mod hosts;
pub mod jobs;
pub mod keeping;
pub mod node;
mod ports;
pub mod receipts;
mod record;
pub mod settings;
mod slots;
pub mod terminal;
pub mod text_module;
pub mod ticket;
