//! Inputs as they travel: short ones inside a frame, long ones as blobs of the node, files read, parcels packed.

use crate::api::BlobRef;
use crate::error::Error;
use crate::frames::{self, Payload};
use crate::input::Input;
use crate::mesh::Mesh;
use crate::pack::{self, Packed};
use crate::parcel::Parcel;
use crate::result::parse_id;

impl Mesh {
    /// Makes an input of a task fit to travel. One that takes parcels gets one in any case; another gets none.
    pub(crate) async fn prepare_for(&self, takes_parcels: bool, input: Input) -> Result<Payload, Error> {
        let input = match (takes_parcels, input) {
            (false, Input::Parcel(_)) => {
                return Err(Error::refused("a parcel for a task that takes none", "Task::parcels"));
            }
            (false, other) | (true, other @ (Input::Parcel(_) | Input::Missing { .. })) => other,
            (true, stdin) => Parcel::new(stdin).into(),
        };
        self.prepare(input).await
    }

    /// Makes an input fit to travel: what is long becomes a blob of the node.
    pub(crate) async fn prepare(&self, input: Input) -> Result<Payload, Error> {
        match input {
            Input::Bytes(bytes) if bytes.len() <= frames::INLINE_BYTES_MAX => {
                Ok(Payload::Inline((*bytes).into()))
            }
            Input::Parcel(parcel) if parcel.is_short() => self.prepare_packed(parcel.pack()?).await,
            Input::Parcel(parcel) => self.prepare_packed(pack::by_thread(move || parcel.pack()).await?).await,
            other @ (Input::Bytes(_)
            | Input::File(_)
            | Input::Blob { .. }
            | Input::Part(_)
            | Input::Missing { .. }) => payload(self.put_blob_of(other).await?),
        }
    }

    pub(crate) async fn prepare_packed(&self, packed: Packed) -> Result<Payload, Error> {
        match packed {
            Packed::Input(input) => Box::pin(self.prepare(input)).await,
            Packed::Spooled(part) => payload(self.put_blob_part(part).await?),
        }
    }

    /// Stores an input's bytes in the node's store, wherever they are.
    ///
    /// # Errors
    /// As [`Mesh::put_blob_file`]; [`Error::NoInput`] when it is none, or a parcel.
    pub async fn put_blob_of(&self, input: Input) -> Result<BlobRef, Error> {
        match input {
            Input::Bytes(bytes) => self.put_blob(bytes).await,
            Input::File(path) => self.put_blob_file(&path).await,
            Input::Blob { id, bytes } => Ok(BlobRef { id, bytes }),
            Input::Part(part) => self.put_blob_part(part).await,
            Input::Missing { reason } => Err(Error::NoInput { reason }),
            Input::Parcel(_) => {
                Err(Error::NoInput { reason: String::from("a parcel is the input of a task only") })
            }
        }
    }
}

fn payload(blob: BlobRef) -> Result<Payload, Error> {
    Ok(Payload::Blob { id: parse_id(&blob.id)?, bytes: blob.bytes })
}
