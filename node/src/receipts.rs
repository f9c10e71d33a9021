//! Receipts between the core's words and the API's: what a worker signed, shown so that people can read it, and
//! checked by every holder, wherever it came from. A receipt proves that the node of that key stated this; not that it is
//! true.

use weft_client::api;
use weft_core::receipt::{BATCH_MAX, PATH_MAX, signed_bytes};
use weft_core::{BlobId, Outcome, Profile, Proof, Receipt, Usage};

/// Longest encoded statement that is passed on, in bytes: with its proof, twice that fits into a frame.
const STATEMENT_BYTES_MAX: usize = 28 * 1024;
/// Longest words about an outcome, in bytes; the statement has all.
const WORDS_BYTES_MAX: usize = 1024;

/// Why a receipt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// A part of it is not what it should be.
    #[error("{part} is not {expected}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// What is written for people differs from what was signed.
    #[error("{part} is {shown}, but the statement says {stated}")]
    Altered {
        /// Which part.
        part: &'static str,
        /// What is written.
        shown: String,
        /// What was stated.
        stated: String,
    },
    /// The signature is not the worker's, or not for this statement.
    #[error("the signature is not that of node {worker} for this statement")]
    Forged {
        /// The node that is said to have signed.
        worker: String,
    },
}

/// A receipt for the API; `None` when it is too long to be passed on.
#[must_use]
pub fn show(receipt: &Receipt, proof: &Proof) -> Option<api::Receipt> {
    let statement = encode(receipt);
    if statement.len() > STATEMENT_BYTES_MAX || proof.path.len() > PATH_MAX {
        return None;
    }
    let Receipt { task, module, profile, outcome, output, errors, files, usage, worker } = receipt;
    let Proof { index, count, path, signature } = proof;
    Some(api::Receipt {
        task: task.to_string(),
        module: module.to_string(),
        profile: profile_out(*profile),
        outcome: words(outcome),
        output: output.to_string(),
        errors: errors.to_string(),
        files: files.to_string(),
        usage: usage_out(*usage),
        worker: worker.to_string(),
        statement: hex(&statement),
        proof: api::Proof {
            index: *index,
            count: *count,
            path: path.iter().map(|hash| hex(hash)).collect(),
            signature: hex(signature),
        },
    })
}

/// Checks everything that a receipt says, and returns what was signed.
///
/// # Errors
/// When any part of it is not what the worker signed.
pub fn check(given: &api::Receipt) -> Result<Receipt, ReceiptError> {
    let malformed = |part, expected| ReceiptError::Malformed { part, expected };
    let statement = unhex(&given.statement, STATEMENT_BYTES_MAX);
    let statement = statement.ok_or_else(|| malformed("statement", "hexadecimal text of fit length"))?;
    let receipt = decode(&statement).ok_or_else(|| malformed("statement", "statement of a worker"))?;
    let proof = proof_in(&given.proof)?;
    let forged = || ReceiptError::Forged { worker: receipt.worker.to_string() };
    let root = proof.root(receipt.leaf()).ok_or_else(forged)?;
    if !weft_net::is_signed_by(receipt.worker, &signed_bytes(root), &proof.signature) {
        return Err(forged());
    }
    compare(given, &receipt, &proof)?;
    Ok(receipt)
}

/// What people read must be what was signed.
fn compare(given: &api::Receipt, receipt: &Receipt, proof: &Proof) -> Result<(), ReceiptError> {
    let stated =
        show(receipt, proof).ok_or(ReceiptError::Malformed { part: "statement", expected: "short one" })?;
    let usage = |usage: &api::Usage| format!("{usage:?}");
    let profile = |profile: api::Profile| format!("{profile:?}").to_lowercase();
    let parts = [
        ("task", given.task.clone(), stated.task),
        ("module", given.module.clone(), stated.module),
        ("profile", profile(given.profile), profile(stated.profile)),
        ("outcome", given.outcome.clone(), stated.outcome),
        ("output", given.output.clone(), stated.output),
        ("errors", given.errors.clone(), stated.errors),
        ("files", given.files.clone(), stated.files),
        ("usage", usage(&given.usage), usage(&stated.usage)),
        ("worker", given.worker.clone(), stated.worker),
    ];
    match parts.into_iter().find(|(_, shown, stated)| shown != stated) {
        None => Ok(()),
        Some((part, shown, stated)) => Err(ReceiptError::Altered { part, shown, stated }),
    }
}

/// Whether these bytes are the output, or another part, that the receipt names.
#[must_use]
pub fn is_hash_of(hash: &str, bytes: &[u8]) -> bool {
    BlobId::of(bytes).to_string() == hash
}

fn encode(receipt: &Receipt) -> Vec<u8> {
    bincode::encode_to_vec(receipt, bincode::config::standard()).expect("plain data always encodes")
}

/// The statement, if these bytes are one and nothing else.
fn decode(bytes: &[u8]) -> Option<Receipt> {
    let config = bincode::config::standard().with_limit::<{ 8 * STATEMENT_BYTES_MAX }>();
    let (receipt, used) = bincode::decode_from_slice::<Receipt, _>(bytes, config).ok()?;
    (used == bytes.len() && encode(&receipt) == bytes).then_some(receipt)
}

fn proof_in(given: &api::Proof) -> Result<Proof, ReceiptError> {
    let api::Proof { index, count, path, signature } = given;
    let malformed = |part, expected| ReceiptError::Malformed { part, expected };
    if path.len() > PATH_MAX || usize::try_from(*count).map_or(true, |count| count > BATCH_MAX) {
        return Err(malformed("proof", "proof of fit length"));
    }
    let hash = |text: &String| unhex(text, 32).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let path = path.iter().map(hash).collect::<Option<_>>();
    let path = path.ok_or_else(|| malformed("proof.path", "list of hashes"))?;
    let signature = unhex(signature, 64).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let signature =
        signature.ok_or_else(|| malformed("proof.signature", "text of 128 hexadecimal digits"))?;
    Ok(Proof { index: *index, count: *count, path, signature })
}

/// An outcome as the API says it, bounded in length.
#[must_use]
pub fn words(outcome: &Outcome) -> String {
    let mut text = outcome.to_string();
    text.truncate(text.floor_char_boundary(WORDS_BYTES_MAX));
    text
}

/// The API's word for a profile.
#[must_use]
pub fn profile_out(profile: Profile) -> api::Profile {
    match profile {
        Profile::Pure => api::Profile::Pure,
        Profile::Portable => api::Profile::Portable,
        Profile::Impure => api::Profile::Impure,
    }
}

/// The API's words for what an attempt used.
#[must_use]
pub fn usage_out(usage: Usage) -> api::Usage {
    let Usage { wall_us, cpu_us, compile_us, queue_us, memory_bytes, fuel, in_bytes, out_bytes } = usage;
    api::Usage { wall_us, cpu_us, compile_us, queue_us, memory_bytes, fuel, in_bytes, out_bytes }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every text");
        text
    })
}

/// At most `most` bytes of lower-case hexadecimal.
fn unhex(text: &str, most: usize) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() > most {
        return None;
    }
    let digit = |letter: u8| match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::receipt::tree;
    use weft_core::{Failure, PeerId, TaskId};

    const SECRET: [u8; 32] = [7; 32];

    fn receipt(number: u8, worker: PeerId) -> Receipt {
        Receipt {
            task: TaskId([number; 32]),
            module: BlobId::of(b"module"),
            profile: Profile::Pure,
            outcome: Outcome::Failed(Failure::Error("no such key".into())),
            output: BlobId::of(b"out"),
            errors: BlobId::of(b""),
            files: BlobId::of(b""),
            usage: Usage { wall_us: 42, fuel: Some(7), ..Usage::default() },
            worker,
        }
    }

    fn shown() -> Vec<api::Receipt> {
        let receipts: Vec<Receipt> =
            (0..5).map(|number| receipt(number, weft_net::peer_id_of(&SECRET))).collect();
        let leaves: Vec<[u8; 32]> = receipts.iter().map(Receipt::leaf).collect();
        let (root, paths) = tree(&leaves);
        let signature = weft_net::Signer::new(&SECRET).sign(&signed_bytes(root));
        let all = receipts.iter().zip(paths).enumerate();
        all.map(|(index, (receipt, path))| {
            let proof = Proof { index: u32::try_from(index).unwrap(), count: 5, path, signature };
            show(receipt, &proof).unwrap()
        })
        .collect()
    }

    #[test]
    fn a_receipt_can_be_checked_without_a_node() {
        for (number, shown) in shown().iter().enumerate() {
            let stated = check(shown).unwrap();
            assert_eq!(stated.task, TaskId([u8::try_from(number).unwrap(); 32]));
            assert_eq!(shown.outcome, "failed: no such key");
        }
    }

    #[test]
    fn any_changed_letter_is_found() {
        let good = serde_json::to_string(&shown()[1]).unwrap();
        let mut checked = 0;
        for place in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[place] = match bytes[place] {
                b'0' => b'1',
                b'a'..=b'z' | b'0'..=b'9' => bytes[place] - 1,
                _ => continue,
            };
            let Ok(changed) = serde_json::from_slice::<api::Receipt>(&bytes) else { continue };
            assert!(
                check(&changed).is_err(),
                "a change at {place} passes: {}",
                String::from_utf8_lossy(&bytes)
            );
            checked += 1;
        }
        assert!(checked > 1000, "only {checked} changes were looked at");
    }

    #[test]
    fn a_receipt_of_another_worker_is_none() {
        let mut all = shown();
        let mut other = receipt(1, weft_net::peer_id_of(&[8; 32]));
        other.usage.wall_us = 1;
        let proof = proof_in(&all.remove(1).proof).unwrap();
        let text = check(&show(&other, &proof).unwrap()).unwrap_err().to_string();
        assert!(text.contains("is not that of node"), "{text}");
    }
}
