//! The loop's part of jobs that are handed in to be kept: whether the bytes that they name are here, and whether the disk has room.
//! What happens to a job that is kept already is in `kept`.

use weft_core::input::Submission;
use weft_core::{BlobId, Command, Event, Input, Level, Payload, Refusal};

use super::Node;

/// The blobs that a command names: program, files, inputs.
struct Named {
    blobs: Vec<BlobId>,
}

impl Named {
    fn by(command: &Command) -> Self {
        let (program, inputs): (_, &[Payload]) = if let Command::Submit(spec) = command {
            (Some(&spec.program), &spec.inputs)
        } else if let Command::Extend { inputs, .. } | Command::ExtendEnded { inputs, .. } = command {
            (None, inputs)
        } else {
            (None, &[])
        };
        let program = program.into_iter().flat_map(|program| [Some(program.module), program.files.blob()]);
        Self { blobs: program.chain(inputs.iter().map(Payload::blob)).flatten().collect() }
    }
}

impl Node {
    /// Whether a command hands in tasks of a job that is kept.
    pub(super) fn is_about_kept(&self, command: &Command) -> bool {
        if let Command::Submit(spec) = command {
            return spec.level != Level::Memory;
        }
        matches!(command, Command::Extend { job, .. } | Command::ExtendEnded { job, .. }
            if self.handle.jobs().is_journalled(*job))
    }

    /// A job is to be kept, or to have more tasks. It is refused where bytes that it names are not here: it could never run.
    /// What is here is pinned from the look to the engine's own pin.
    pub(super) fn hand_in(&mut self, command: Command) {
        let named = Named::by(&command);
        let store = self.handle.store().clone();
        named.blobs.iter().for_each(|blob| store.pin(*blob));
        match named.blobs.iter().find(|blob| !store.has(**blob)) {
            None => {
                if matches!(command, Command::Submit(_)) {
                    self.look_at_room();
                }
                self.apply(Input::Command(command));
            }
            Some(blob) => self.refuse(command, *blob),
        }
        named.blobs.iter().for_each(|blob| store.unpin(*blob));
    }

    /// Refuses a job, or more tasks of one; then it gets no others, which would take the places of those.
    fn refuse(&mut self, command: Command, blob: BlobId) {
        let reason = Refusal::BlobMissing { blob };
        if let Command::Submit(Submission { job, .. }) = command {
            self.handle.jobs().record(Event::Refused { job, reason });
        } else if let Command::Extend { job, inputs } | Command::ExtendEnded { job, inputs, .. } = command {
            let tasks = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
            self.handle.jobs().record(Event::ExtensionRefused { job, tasks, reason });
            self.apply(Input::Command(Command::Close { job }));
        }
    }

    /// Before a job is submitted that is to be kept: whether the disk has room for it.
    fn look_at_room(&mut self) {
        if let Some(keeper) = self.ports.keeper() {
            keeper.look_at_room();
        }
        self.on_news();
    }
}
