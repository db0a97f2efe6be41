//! Readers that wait at the tail. Kept under the same lock as the tail, so that no wake-up is missed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::task::Waker;

use crate::partitions::SlotSet;

/// Who waits, and for which partitions.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    parked: BTreeMap<ReaderId, Parked>,
    next_id: u64,
}

#[derive(Debug)]
struct Parked {
    wants: SlotSet,
    waker: Waker,
}

/// Tells readers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReaderId(u64);

impl Waiters {
    pub(crate) fn enter(&mut self) -> ReaderId {
        self.next_id += 1;
        ReaderId(self.next_id)
    }

    /// Parks a reader until one of the partitions has something new. A reader waits once.
    pub(crate) fn park(&mut self, reader: ReaderId, wants: &SlotSet, waker: &Waker) {
        match self.parked.entry(reader) {
            Entry::Occupied(mut parked) => parked.get_mut().waker.clone_from(waker),
            Entry::Vacant(place) => drop(place.insert(Parked { wants: wants.clone(), waker: waker.clone() })),
        }
    }

    pub(crate) fn leave(&mut self, reader: ReaderId) {
        self.parked.remove(&reader);
    }

    /// Takes out the wakers of those whom news in `fresh` concerns; to be called once the lock is released.
    pub(crate) fn concerned(&mut self, fresh: &SlotSet, wakers: &mut Vec<Waker>) {
        let concerned = self.parked.extract_if(.., |_, parked| parked.wants.intersects(fresh));
        wakers.extend(concerned.map(|(_, parked)| parked.waker));
    }

    /// Takes out everybody's waker.
    pub(crate) fn everyone(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(std::mem::take(&mut self.parked).into_values().map(|parked| parked.waker));
    }
}
