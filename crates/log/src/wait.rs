//! Readers that wait at the tail. Kept under the same lock as the tail, so that no wake-up is missed.

use std::task::Waker;

use crate::partitions::SlotSet;

/// Who waits, and for which partitions.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    parked: Vec<Parked>,
    next_id: u64,
}

#[derive(Debug)]
struct Parked {
    reader: ReaderId,
    wants: SlotSet,
    waker: Waker,
}

/// Tells readers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderId(u64);

impl Waiters {
    pub(crate) fn enter(&mut self) -> ReaderId {
        self.next_id += 1;
        ReaderId(self.next_id)
    }

    /// Parks a reader until one of the partitions has something new. A reader waits once.
    pub(crate) fn park(&mut self, reader: ReaderId, wants: &SlotSet, waker: &Waker) {
        match self.parked.iter_mut().find(|parked| parked.reader == reader) {
            Some(parked) => parked.waker.clone_from(waker),
            None => self.parked.push(Parked { reader, wants: wants.clone(), waker: waker.clone() }),
        }
    }

    pub(crate) fn leave(&mut self, reader: ReaderId) {
        self.parked.retain(|parked| parked.reader != reader);
    }

    /// Takes out the wakers of those whom news in `fresh` concerns; to be called once the lock is released.
    pub(crate) fn concerned(&mut self, fresh: &SlotSet, wakers: &mut Vec<Waker>) {
        let concerned = self.parked.extract_if(.., |parked| parked.wants.intersects(fresh));
        wakers.extend(concerned.map(|parked| parked.waker));
    }

    /// Takes out everybody's waker.
    pub(crate) fn everyone(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.parked.drain(..).map(|parked| parked.waker));
    }
}
