//! The words of `weft blob`.

use std::path::PathBuf;

/// Flags of `weft blob`.
#[derive(Debug, clap::Args)]
pub(crate) struct BlobArgs {
    /// The verb.
    #[command(subcommand)]
    pub(crate) way: BlobWay,
}

/// The verbs of `weft blob`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BlobWay {
    /// Store a file and print its name.
    Put {
        /// The file; `-` is stdin.
        file: PathBuf,
        /// Print {"id", "bytes"} instead of the bare name.
        #[arg(long)]
        json: bool,
    },
    /// Write a blob to stdout, or into a file.
    Get {
        /// The blob's name, 64 hexadecimal digits.
        id: String,
        /// Write into FILE instead, completely or not at all.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// On a terminal, print the bytes as they are instead of making control characters visible.
        #[arg(long)]
        raw: bool,
    },
}
