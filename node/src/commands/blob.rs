//! `weft blob`: bytes into the node's store, and out of it.

use std::path::{Path, PathBuf};

use weft_client::{Mesh, Output};

use super::interrupt::Interrupt;
use super::out::Out;
use super::{Problem, sink, spool};
use crate::cli::{BlobArgs, BlobWay};
use crate::render::{print, print_json};

/// Puts or gets.
pub(crate) async fn blob(mesh: &Mesh, args: BlobArgs) -> Result<u8, Problem> {
    match args.way {
        BlobWay::Put { file, json } => put(mesh, &file, json).await,
        BlobWay::Get { id, output, raw } => get(mesh, id, output, raw).await,
    }
    .map(|()| 0)
}

async fn put(mesh: &Mesh, file: &Path, json: bool) -> Result<(), Problem> {
    let blob = if file.as_os_str() == "-" {
        mesh.put_blob_of(spool::read_stdin(mesh.data_dir()).await?).await?
    } else {
        mesh.put_blob_file(file).await?
    };
    if json { print_json(&blob) } else { print(&format!("{}\n", blob.id)) }
}

async fn get(mesh: &Mesh, id: String, output: Option<PathBuf>, raw: bool) -> Result<(), Problem> {
    let interrupt = Interrupt::listen()?;
    let mut out = Out::stdout(None, raw);
    let copy = async {
        match output {
            // Its length is not known, and not needed.
            Some(path) => sink::write_output(mesh, &Output::Blob { id, bytes: 0 }, &path).await,
            None => sink::copy_blob(mesh, &id, &mut out).await,
        }
    };
    let copied = tokio::select! {
        copied = copy => copied,
        () = interrupt.came() => Err(Problem::Interrupted("interrupted; not all of the blob was copied".into())),
    };
    out.end(copied).await
}
