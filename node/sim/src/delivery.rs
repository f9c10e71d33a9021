//! What the model notes of an input before the engine handles it: commands of users, and what peers sent, as far as the
//! checks after the step need it.

use weft_core::message::Message;
use weft_core::{Command, Gossip, Input, JobId, LeaseId, PeerId};

use crate::coverage::Coverage;
use crate::host::HostId;
use crate::ports::{award_in, leases_awarded};
use crate::reference::Fact;
use crate::world::World;

impl World {
    pub(crate) fn note_input(&mut self, id: HostId, input: &Input) {
        self.facts.clear();
        let now = self.now();
        self.reference.ledger.on_input(self.hosts[id.0].peer, now, input);
        let host = &mut self.hosts[id.0];
        match input {
            Input::Command(command) => {
                let refuses = host.disk_low || host.journal_failed;
                let refused = matches!(command, Command::Extend { job, .. }
                    if refuses && self.reference.kept.is_kept(*job));
                if !refused {
                    self.reference.on_command(id, now, command, &self.catalog);
                }
                host.keep_blobs(command);
                host.on_drain(command);
            }
            Input::PeerUp { peer, boot, host: place } => {
                host.places.insert(*peer, *place);
                let before = host.boots.insert(*peer, *boot).filter(|before| before != boot);
                self.facts.extend(before.map(|_| Fact::Restarted(*peer)));
                host.closed.remove(peer);
            }
            Input::PeerDown { peer, closed } => {
                host.places.remove(peer);
                host.closed.remove(peer);
                host.closed.extend(closed.then_some((*peer, now)));
            }
            Input::Received { from, message } => self.note_message(id, *from, message),
            Input::Heard { origin, gossip: Gossip::Ack { leases, .. } } => {
                self.facts.push(Fact::Excused { owner: *origin, leases: leases.clone() });
            }
            Input::Heard { origin, gossip: Gossip::Outcome { delivery, .. } } => {
                host.owed.on_outcome(*origin, delivery.lease);
                let now = host.local(now);
                self.reference.mesh.on_named(host, now, std::iter::once(delivery.lease));
            }
            Input::Heard { gossip: Gossip::Renew { leases, .. }, .. } => {
                let now = host.local(now);
                self.reference.mesh.on_named(host, now, leases.iter().map(|range| range.first));
            }
            Input::DiskLow(low) => host.disk_low = *low,
            Input::JournalFailed => host.journal_failed = true,
            Input::Rtt { .. }
            | Input::Heard { .. }
            | Input::Ran(_)
            | Input::Printed { .. }
            | Input::Signed { .. }
            | Input::Fetched { .. }
            | Input::Wake
            | Input::Compiling { .. }
            | Input::Mesh { .. }
            | Input::Persisted { .. }
            | Input::Restore(_)
            | Input::RestoreKept { .. }
            | Input::RestoreGone { .. }
            | Input::BlobLost { .. }
            | Input::LogRead { .. }
            | Input::Gathered { .. }
            | Input::Recalled { .. }
            | Input::Remembered(_)
            | Input::Retained(_) => {}
        }
    }

    fn note_message(&mut self, id: HostId, from: PeerId, message: &Message) {
        let host = &mut self.hosts[id.0];
        if let Message::Cell(word) = message {
            host.credit_model.on_heard(host.peer, from, word);
        }
        if award_in(message).is_some() || matches!(message, Message::Assign(_)) {
            host.vain = 0;
        }
        if let Message::Call(call) = message {
            host.last_call = self.peers.get(&from).map(|owner| (*owner, call.call));
        }
        if let Message::Credit(credit) | Message::Ended { credit, .. } = message {
            host.last_credit = self.peers.get(&from).map(|worker| (*worker, *credit));
        }
        self.note_led(id, message);
        let now = self.hosts[id.0].local(self.now());
        let host = &mut self.hosts[id.0];
        if let Message::Ack(leases) | Message::Cancel(leases) = message {
            self.facts.push(Fact::Excused { owner: from, leases: leases.clone() });
        }
        if let Message::Assign(place) = message {
            self.facts.push(Fact::Excused { owner: from, leases: place.acks.clone() });
        }
        if let Message::Outcome(all) | Message::Ended { all, .. } = message {
            all.iter().for_each(|delivery| host.owed.on_outcome(from, delivery.lease));
            let leases = all.iter().map(|delivery| delivery.lease);
            self.reference.mesh.on_named(host, now, leases);
        }
        if let Message::Renew(ranges) = message {
            self.reference.mesh.on_named(host, now, ranges.iter().map(|range| range.first));
        }
        if let Message::Refuse { leases } | Message::Stopped { leases } | Message::GivenBack { leases } =
            message
        {
            self.facts.push(Fact::Parted { worker: from, leases: leases.clone() });
        }
        if let Message::GivenBack { leases } = message {
            let before = host.audit.as_ref().and_then(|audit| audit.blamed.get(&from).copied());
            let (leases, before) = (leases.clone(), before.unwrap_or(0));
            self.facts.push(Fact::GivenBack { worker: from, leases, before });
        }
    }

    /// A worker learns of a later epoch of a kept job: what it holds of earlier ones may go, or be the next leader's.
    fn note_led(&mut self, id: HostId, message: &Message) {
        let grants = leases_awarded(message).into_iter().map(|lease| (lease.job, lease.epoch));
        let led =
            if let Message::Lead(all) | Message::AskHolding(all) = message { all.as_slice() } else { &[] };
        let known: Vec<(JobId, u32)> = led.iter().copied().chain(grants).collect();
        if known.is_empty() {
            return;
        }
        let older = |lease: &LeaseId| {
            let later = |(job, epoch): &(JobId, u32)| *job == lease.job && *epoch > lease.epoch;
            lease.epoch > 0 && known.iter().any(later)
        };
        let audit = self.hosts[id.0].audit.as_ref();
        let held = audit.into_iter().flat_map(|audit| audit.held.iter().chain(&audit.kept));
        let gone = held.filter(|(_, lease)| older(lease));
        let gone: Vec<Fact> =
            gone.map(|(owner, lease)| Fact::Excused { owner: *owner, leases: vec![*lease] }).collect();
        self.facts.extend(gone);
    }

    /// What happened so far, counted by name.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let mut coverage = self.coverage.clone();
        let live = self.hosts.iter().filter_map(|host| host.engine.as_ref());
        live.for_each(|engine| coverage.on_life_ended(&engine.snapshot().counters));
        coverage
    }
}
