//! The store with a cold tier against the memory store: whatever comes, with moves, failures and crashes between.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use penstock_series::{Error, Memory, Parquet, SeriesReader, SeriesRemove, SeriesWriter, WriteBatch};
use record::{DeviceId, Timestamp};

use super::{Place, at_once, copy_dir, late, move_all};
use crate::conformance::ALWAYS;
use crate::parquet::store::{DEVICES, World, compare, held, small, tenants};
use crate::stores::merge_all;

struct Play {
    what: String,
    place: Place,
    world: World,
    model: Memory,
    store: Option<Parquet>,
    batches: Vec<WriteBatch>,
    /// Days that have passed for the cold tier.
    day: i64,
    /// What was seen of each kind, so that a test that does nothing is noticed.
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    moved: usize,
    failed_moves: usize,
    failed_reads: usize,
    failed_writes: usize,
    erased: u64,
    images: usize,
}

impl Play {
    fn new(seed: u64) -> Self {
        let place = Place::new(small(), seed.is_multiple_of(2));
        let store = Some(place.open());
        let (world, model) = (World::new(seed), Memory::new());
        let what = format!("seed {seed}");
        Self { what, place, world, model, store, batches: Vec::new(), day: 0, seen: Seen::default() }
    }

    fn store(&self) -> &Parquet {
        self.store.as_ref().unwrap()
    }

    fn write(&mut self) {
        let batch = self.world.batch(self.batches.len() as u64);
        if self.world.random.one_in(4) {
            // A batch that needs the cold tier while it is away is refused as a whole, and taken later.
            self.place.faults.no_get.store(true, Ordering::Relaxed);
            let tried = self.store().write(&batch);
            self.place.faults.mend();
            match tried {
                Err(Error::Database { place, .. }) => {
                    assert!(place.starts_with("memory:///bucket/store="), "{}: {place}", self.what);
                    self.seen.failed_writes += 1;
                }
                Ok(written) => {
                    assert_eq!(written, self.model.write(&batch).unwrap(), "{}", self.what);
                    self.batches.push(batch);
                    return;
                }
                Err(other) => panic!("{}: {other}", self.what),
            }
        }
        let written = self.model.write(&batch).unwrap();
        assert_eq!(self.store().write(&batch).unwrap(), written, "{}", self.what);
        assert_eq!(held(self.store(), &batch), held(&self.model, &batch), "{}", self.what);
        self.batches.push(batch);
    }

    fn open_again(&mut self) {
        drop(self.store.take());
        self.store = Some(self.place.open());
    }

    fn merge(&mut self) {
        let quiet = if self.world.random.one_in(2) { i64::MAX } else { self.world.now_ms };
        self.store().maintain(quiet).unwrap();
    }

    /// Moves, and leaves a copy of the data directory as a crash before or after an upload would.
    fn move_and_crash(&mut self) {
        self.day += 1;
        let images = Arc::new(Mutex::new(Vec::new()));
        let (data, kept) = (self.place.data(), Arc::clone(&images));
        let skip = self.world.random.below(6) as usize;
        let seen = Mutex::new(0);
        let hook = move |_: &str| {
            let mut seen = seen.lock().unwrap();
            *seen += 1;
            if *seen % 6 == skip && kept.lock().unwrap().len() < 2 {
                let image = tempfile::tempdir().unwrap();
                copy_dir(&data, image.path());
                kept.lock().unwrap().push(image);
            }
        };
        *self.place.faults.around_put.lock().unwrap() = Some(Box::new(hook));
        self.seen.moved += move_all(self.store(), self.day);
        *self.place.faults.around_put.lock().unwrap() = None;
        for image in images.lock().unwrap().drain(..) {
            let opened = self.place.open_at(image.path());
            compare(&opened, &self.model, &format!("{}: a crash while moving", self.what));
            self.seen.images += 1;
        }
    }

    fn move_in_vain(&mut self) {
        self.day += 1;
        let faults = &self.place.faults;
        let fault = if self.world.random.one_in(2) { &faults.no_put } else { &faults.no_put_answer };
        fault.store(true, Ordering::Relaxed);
        let before = self.store().cold_count();
        let tried = self.store().tier(late(self.day), &at_once());
        faults.mend();
        assert_eq!(self.store().cold_count(), before, "{}", self.what);
        match tried {
            Err(Error::Database { place, .. }) => {
                assert!(place.starts_with("memory:///bucket/store="), "{}: {place}", self.what);
                self.seen.failed_moves += 1;
            }
            Ok(_) => {}
            Err(other) => panic!("{}: {other}", self.what),
        }
    }

    fn ask_in_vain(&mut self) {
        self.open_again();
        self.place.faults.no_get.store(true, Ordering::Relaxed);
        for tenant in tenants() {
            for device in DEVICES {
                let device = DeviceId::parse(device).unwrap();
                self.store().latest(&tenant, &device).unwrap();
                let metric = "m1".parse_metric();
                match self.store().points(&tenant, &device, &metric, ALWAYS, &mut |_| true) {
                    Ok(()) => {}
                    Err(Error::Database { .. }) => self.seen.failed_reads += 1,
                    Err(other) => panic!("{}: {other}", self.what),
                }
            }
        }
        self.place.faults.mend();
    }

    fn erase(&mut self) {
        let tenant = &tenants()[self.world.random.below(2) as usize];
        let device = DeviceId::parse(DEVICES[self.world.random.below(4) as usize]).unwrap();
        let at = Timestamp::from_millis(self.world.now_ms).unwrap();
        let in_vain = self.world.random.one_in(2);
        self.place.faults.no_delete.store(in_vain, Ordering::Relaxed);
        let removed = self.store().erase(tenant, &device, "asked", at).unwrap();
        self.place.faults.mend();
        let expected = self.model.erase(tenant, &device, "asked", at).unwrap();
        assert_eq!(removed.removed, expected.removed, "{}", self.what);
        self.seen.erased += removed.removed.readings;
    }

    fn step(&mut self) {
        match self.world.random.below(16) {
            0..6 => self.write(),
            6..8 => self.store().roll().unwrap(),
            8 => self.merge(),
            9 => self.open_again(),
            10 => self.move_and_crash(),
            11 => self.seen.moved += move_all(self.store(), self.day),
            12 => self.move_in_vain(),
            13 => self.ask_in_vain(),
            14 => {
                // A reader that is still there when the process is gone: the local file is not removed.
                let snapshot = penstock_series::SeriesScan::snapshot(self.store(), &tenants()[0]).unwrap();
                self.day += 1;
                self.seen.moved += move_all(self.store(), self.day);
                std::mem::forget(snapshot);
                self.open_again();
            }
            _ => self.erase(),
        }
    }
}

trait Parse {
    fn parse_metric(&self) -> record::MetricName;
}

impl Parse for str {
    fn parse_metric(&self) -> record::MetricName {
        record::MetricName::parse(self).unwrap()
    }
}

#[test]
fn a_store_with_a_cold_tier_says_what_the_memory_store_says() {
    let mut all = Seen::default();
    for seed in 0..4 {
        let mut play = Play::new(seed);
        for step in 0..90 {
            play.what = format!("seed {seed} step {step}");
            play.step();
            if step % 30 == 29 {
                compare(play.store(), &play.model, &play.what);
            }
        }
        play.store().roll().unwrap();
        merge_all(play.store());
        play.day += 1;
        play.seen.moved += move_all(play.store(), play.day);
        compare(play.store(), &play.model, &format!("seed {seed}, all of it moved"));
        assert_eq!(play.store().size_bytes(), 0, "seed {seed}: every run is cold");
        play.open_again();
        compare(play.store(), &play.model, &format!("seed {seed}, opened again"));
        // Nothing is left of what was given up, and nothing of it is gone that is known.
        play.day += 1;
        move_all(play.store(), play.day);
        let (runs, catalogues) = play.place.objects();
        assert_eq!(runs.len(), 2 * play.store().cold_count(), "seed {seed}: {runs:?}");
        assert!(catalogues.len() <= 2 && !catalogues.is_empty(), "seed {seed}: {catalogues:?}");
        let Seen { moved, failed_moves, failed_reads, failed_writes, erased, images } = play.seen;
        all.moved += moved;
        all.failed_moves += failed_moves;
        all.failed_reads += failed_reads;
        all.failed_writes += failed_writes;
        all.erased += erased;
        all.images += images;
    }
    let Seen { moved, failed_moves, failed_reads, failed_writes, erased, images } = all;
    assert!(
        moved > 20 && failed_moves > 4 && failed_reads > 4 && failed_writes > 0 && erased > 0 && images > 3,
        "{all:?}"
    );
}
