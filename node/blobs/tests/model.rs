//! The store against a naive model of it: what is here, in which order it would go, and what may be refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use weft_blobs::{Durability, Error, Quota, Store};
use weft_core::BlobId;

const BLOCK: u64 = 4096;
const QUOTA: u64 = 12 * BLOCK;

#[derive(Clone, Debug)]
enum Action {
    Put(u8, Durability),
    Read(u8),
    Arrive(u8, Durability),
    Get(u8),
    Open(u8),
    Pin(u8),
    Unpin(u8),
}

fn action() -> impl Strategy<Value = Action> {
    let which = 0u8..12;
    let durability = prop_oneof![4 => Just(Durability::Cached), 1 => Just(Durability::Durable)];
    prop_oneof![
        3 => (which.clone(), durability.clone()).prop_map(|(n, d)| Action::Put(n, d)),
        1 => which.clone().prop_map(Action::Read),
        2 => (which.clone(), durability).prop_map(|(n, d)| Action::Arrive(n, d)),
        3 => which.clone().prop_map(Action::Get),
        1 => which.clone().prop_map(Action::Open),
        1 => which.clone().prop_map(Action::Pin),
        1 => which.prop_map(Action::Unpin),
    ]
}

/// Lengths around block borders, and a few blobs of several blocks.
fn content(number: u8) -> Vec<u8> {
    let len = match number % 4 {
        0 => usize::from(number),
        1 => 4096,
        2 => 4097,
        _ => 2 * 4096 + 1,
    };
    vec![number; len]
}

fn charge(number: u8) -> u64 {
    u64::try_from(content(number).len()).unwrap().div_ceil(BLOCK).max(1) * BLOCK
}

/// What should be here, oldest first.
#[derive(Default)]
struct Model {
    order: Vec<u8>,
    pins: BTreeMap<u8, u32>,
}

impl Model {
    fn bytes(&self) -> u64 {
        self.order.iter().map(|number| charge(*number)).sum()
    }

    fn pinned(&self) -> u64 {
        self.order.iter().filter(|number| self.pins.contains_key(number)).map(|number| charge(*number)).sum()
    }

    fn touch(&mut self, number: u8) -> bool {
        let here = self.order.iter().position(|other| *other == number);
        here.map(|at| self.order.remove(at)).map(|number| self.order.push(number)).is_some()
    }

    /// Room for one more write, as every write needs it; false if there is none to be made.
    fn make_room(&mut self, wanted: u64) -> bool {
        if self.pinned() + wanted > QUOTA {
            return false;
        }
        while self.bytes() + wanted > QUOTA {
            let victim = self.order.iter().position(|number| !self.pins.contains_key(number)).unwrap();
            self.order.remove(victim);
        }
        true
    }

    /// A write that sets room aside whether or not the blob is here already.
    fn write(&mut self, number: u8) -> bool {
        if !self.make_room(charge(number)) {
            return false;
        }
        if !self.touch(number) {
            self.order.push(number);
        }
        true
    }

    /// A write that makes room block by block: what went for the first ones stays gone when a later one is refused.
    fn arrive(&mut self, number: u8) -> bool {
        (1..charge(number) / BLOCK).all(|blocks| self.make_room(blocks * BLOCK)) && self.write(number)
    }

    fn put(&mut self, number: u8) -> bool {
        self.touch(number) || self.write(number)
    }
}

fn stored(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(Error::Full { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn apply(store: &Store, model: &mut Model, action: &Action) {
    match *action {
        Action::Put(number, durability) => {
            let put = store.put_with(&content(number), durability).map(drop);
            assert_eq!(stored(put), model.put(number));
        }
        Action::Read(number) => {
            let bytes = content(number);
            let read = store.put_reader(bytes.as_slice(), 1 << 20, Durability::Cached).map(drop);
            // Room is made as bytes come: what went for the first of them stays gone when the rest is refused.
            assert_eq!(stored(read), model.make_room(BLOCK) && model.write(number));
        }
        Action::Arrive(number, durability) => {
            let bytes = content(number);
            let arrived = store.incoming(BlobId::of(&bytes), bytes.len() as u64).and_then(|mut incoming| {
                bytes.chunks(1000).try_for_each(|chunk| incoming.write(chunk))?;
                incoming.finish(durability)
            });
            assert_eq!(stored(arrived), model.arrive(number));
        }
        Action::Get(number) => {
            let expected = model.touch(number).then(|| content(number));
            let got = store.get(BlobId::of(&content(number))).unwrap();
            assert_eq!(got.map(Vec::from), expected);
        }
        Action::Open(number) => {
            let expected = model.touch(number).then(|| content(number).len() as u64);
            let opened = store.open_read(BlobId::of(&content(number))).unwrap();
            assert_eq!(opened.map(|(len, _)| len), expected);
        }
        Action::Pin(number) => {
            *model.pins.entry(number).or_insert(0) += 1;
            store.pin(BlobId::of(&content(number)));
        }
        Action::Unpin(number) => {
            store.unpin(BlobId::of(&content(number)));
            if let Some(count) = model.pins.get_mut(&number) {
                *count -= 1;
            }
            model.pins.retain(|_, count| *count > 0);
        }
    }
}

fn check(store: &Store, model: &Model) {
    let usage = store.usage();
    assert_eq!((usage.blobs, usage.bytes), (model.order.len(), model.bytes()));
    assert_eq!((usage.pinned, usage.reserved), (model.pinned(), 0));
    for number in 0..12 {
        let bytes = content(number);
        let expected = model.order.contains(&number).then_some(bytes.len() as u64);
        assert_eq!(store.len(BlobId::of(&bytes)), expected, "blob {number}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(actions in vec(action(), 1..80)) {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path(), Quota { bytes: QUOTA }).unwrap();
        let mut model = Model::default();
        for action in &actions {
            apply(&store, &mut model, action);
            check(&store, &model);
        }
        // The next store on this directory finds the same blobs.
        drop(store);
        let store = Store::open(dir.path(), Quota { bytes: QUOTA }).unwrap();
        model.pins.clear();
        check(&store, &model);
        for number in model.order {
            prop_assert_eq!(store.get(BlobId::of(&content(number))).unwrap().map(Vec::from), Some(content(number)));
        }
    }
}
