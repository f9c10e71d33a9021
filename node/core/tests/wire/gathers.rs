//! The part of the harness that makes inputs of results, as a driver does.

use std::collections::BTreeMap;

use weft_core::durable::LogRecord;
use weft_core::*;

use super::Mesh;
use super::disk::fold;

/// A node, the job that gathers with its epoch, and its parents.
pub(crate) type Asked = (usize, (JobId, u32), Vec<(JobId, u32)>);

impl Mesh {
    /// What answers that an input is to be made, unless the test does.
    pub(super) fn gather(&mut self, node: usize, asked: Effect) -> Option<Input> {
        let Effect::Gather { job, epoch, parents } = asked else { return None };
        if let Some(all) = &mut self.held_gathers {
            all.push((node, (job, epoch), parents));
            return None;
        }
        let gathered = self.gathered(node, &parents);
        Some(Input::Gathered { job, epoch, gathered })
    }

    /// All outputs of these jobs one behind the other, as a node's logs have them now.
    pub(crate) fn gathered(&self, node: usize, parents: &[(JobId, u32)]) -> Gathered {
        let mut bytes = Vec::new();
        for (parent, upto) in parents.iter().copied() {
            let log: Vec<LogRecord> = self.disks[node].log(parent).into_iter().take(upto as usize).collect();
            let mut outputs = BTreeMap::new();
            for kept in log.iter().flat_map(|record| record.ends().kept()) {
                let Payload::Inline(output) = &kept.report.output else { panic!("outputs are short here") };
                if kept.report.outcome == Outcome::Done {
                    outputs.insert(kept.index, output.to_vec());
                }
            }
            let Ok(job) = fold(log).into_restored() else { return Gathered::Missing(parent) };
            if !job.has_ended() {
                return Gathered::Missing(parent);
            }
            if outputs.len() < job.figures().tasks as usize {
                return Gathered::NotDone(parent);
            }
            bytes.extend(outputs.into_values().flatten());
        }
        Gathered::Input(Payload::inline(&bytes))
    }
}
