//! The window of a connection: what was published and is not yet acknowledged.

use crate::disorder::Flaw;

/// A message that was sent and is not yet answered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    /// When it was meant to go out, nanoseconds on the engine's clock.
    pub(crate) intended_ns: u64,
    /// Its number on the connection.
    pub(crate) sequence: u64,
    /// When it was measured, by a clock that is right, milliseconds since the epoch.
    pub(crate) measured_ms: i64,
    /// The time its payload names, milliseconds since the epoch.
    pub(crate) stamp_ms: i64,
    /// What is wrong with it, on purpose.
    pub(crate) flaw: Flaw,
}

/// A publish on its way.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// What it is.
    pub(crate) sent: Sent,
    /// Where it stands.
    pub(crate) stage: Stage,
    /// The whole packet, kept only where it may have to be sent again.
    pub(crate) packet: Option<Box<[u8]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Free,
    /// PUBLISH sent.
    Published,
    /// PUBREC came, PUBREL sent (QoS 2).
    Released,
}

/// Slots by packet identifier: slot `i` is packet `i + 1`. Identifiers go round instead of being reused at once,
/// so that a server which confuses two is found out.
#[derive(Debug)]
pub(crate) struct Flight {
    slots: Vec<Slot>,
    next: usize,
    used: usize,
    limit: usize,
}

impl Flight {
    /// A window of `limit` publishes.
    pub(crate) fn new(limit: u16) -> Self {
        let empty = Slot { sent: Sent::default(), stage: Stage::Free, packet: None };
        Self { slots: vec![empty; usize::from(limit)], next: 0, used: 0, limit: usize::from(limit) }
    }

    /// Narrows the window to what the server takes (Receive Maximum).
    pub(crate) fn narrow(&mut self, receive_maximum: u16) {
        self.limit = self.slots.len().min(usize::from(receive_maximum));
    }

    pub(crate) fn has_room(&self) -> bool {
        self.used < self.limit
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The packet identifier that [`Flight::fill`] will take. Only when there is room.
    pub(crate) fn free_id(&mut self) -> u16 {
        while self.slots[self.next].stage != Stage::Free {
            self.next = (self.next + 1) % self.slots.len();
        }
        self.next as u16 + 1
    }

    /// Puts a publish into the free slot.
    pub(crate) fn fill(&mut self, slot: Slot) {
        debug_assert!(slot.stage != Stage::Free);
        self.slots[self.next] = slot;
        self.next = (self.next + 1) % self.slots.len();
        self.used += 1;
    }

    /// The publish of a packet identifier, if one is on its way under it.
    pub(crate) fn get(&mut self, packet_id: u16) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(usize::from(packet_id).checked_sub(1)?)?;
        (slot.stage != Stage::Free).then_some(slot)
    }

    /// Frees the slot of a packet identifier that [`Flight::get`] found.
    pub(crate) fn free(&mut self, packet_id: u16) {
        let slot = &mut self.slots[usize::from(packet_id) - 1];
        slot.stage = Stage::Free;
        slot.packet = None;
        self.used -= 1;
    }

    /// What is on its way, with packet identifiers, oldest first.
    pub(crate) fn in_order(&self) -> Vec<(u16, &Slot)> {
        let taken = self.slots.iter().enumerate().filter(|(_, slot)| slot.stage != Stage::Free);
        let mut all: Vec<_> = taken.map(|(index, slot)| (index as u16 + 1, slot)).collect();
        all.sort_by_key(|(_, slot)| slot.sent.sequence);
        all
    }

    /// What is on its way counts from a later time.
    pub(crate) fn postpone(&mut self, until_ns: u64) {
        for slot in &mut self.slots {
            slot.sent.intended_ns = slot.sent.intended_ns.max(until_ns);
        }
    }

    /// Frees the slots of publishes that are not to be sent again; returns how many.
    pub(crate) fn give_up(&mut self, flaw: Flaw) -> u64 {
        let mut freed = 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.stage != Stage::Free && slot.sent.flaw == flaw) {
            slot.stage = Stage::Free;
            slot.packet = None;
            freed += 1;
        }
        self.used -= freed as usize;
        freed
    }

    /// Forgets everything on its way.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.stage = Stage::Free;
            slot.packet = None;
        }
        self.used = 0;
    }
}
