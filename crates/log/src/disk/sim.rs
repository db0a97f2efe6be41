//! A disk in memory that does what disks do on a bad day, all of it decided by a seed.
//!
//! What is written goes to a page cache. A sync makes it durable; so does nothing else, but at a crash any part
//! of what was not synced may turn out to be durable all the same, in any order and torn anywhere. Names
//! (created, renamed, removed) are the same with [`Disk::sync_dir`]. A sync that fails leaves any part of the
//! unsynced bytes behind, marks them clean, and the next sync succeeds without them.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};

/// Small and good enough: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct SimRng(u64);

impl SimRng {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With an I/O error, nothing done; an fsync loses what it was to make durable.
    Eio,
    /// For want of space, nothing done.
    Enospc,
    /// With an I/O error, half done.
    Torn,
}

/// When calls fail.
#[derive(Clone, Copy, Debug, Default)]
pub enum FaultPlan {
    /// Never.
    #[default]
    None,
    /// The n-th call from now, once (1: the next).
    Once(u64, Fault),
    /// Every n-th call.
    Every(u64, Fault),
    /// The next fsync, once.
    NextSync,
    /// Every call after the n-th from now: power is gone, the machine just does not know yet.
    DeadAfter(u64),
}

/// See the module. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

struct World {
    rng: SimRng,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    plan: FaultPlan,
    calls: u64,
    capacity: Option<u64>,
}

#[derive(Clone)]
enum NameChange {
    Set(String, u64),
    Remove(String),
    Rename(String, String, u64),
}

#[derive(Default)]
struct Content {
    /// What reads see.
    cached: Vec<u8>,
    /// What is certain to survive.
    durable: Vec<u8>,
    /// What changed since, in order.
    dirty: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => {
                if bytes.len() < at + new.len() {
                    bytes.resize(at + new.len(), 0);
                }
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Self::Truncate(size) => bytes.truncate(*size),
        }
    }

    /// Applies some part of it.
    fn apply_part(&self, rng: &mut SimRng, bytes: &mut Vec<u8>) {
        match (self, rng.below(4)) {
            (_, 0) => {}
            (Self::Write(at, new), 1) if !new.is_empty() => {
                let cut = index(rng.below(new.len() as u64 + 1));
                Self::Write(*at, new[..cut].to_vec()).apply(bytes);
            }
            (Self::Write(at, new), 2) if !new.is_empty() => {
                // Sectors in any order: some are there, some are not.
                let mut start = 0;
                while start < new.len() {
                    let end = (start + 1 + index(rng.below(512))).min(new.len());
                    if rng.one_in(2) {
                        Self::Write(at + start, new[start..end].to_vec()).apply(bytes);
                    }
                    start = end;
                }
            }
            _ => self.apply(bytes),
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("simulated files are small")
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

fn enospc() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            rng: SimRng::new(seed),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            files: BTreeMap::new(),
            next_file: 0,
            plan: FaultPlan::None,
            calls: 0,
            capacity: None,
        })))
    }

    /// Says when calls fail from now on.
    pub fn plan(&self, plan: FaultPlan) {
        let mut world = self.0.lock();
        world.plan = plan;
        world.calls = 0;
    }

    /// Whether nothing is planned and there is room without bound.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        let world = self.0.lock();
        matches!(world.plan, FaultPlan::None) && world.capacity.is_none()
    }

    /// How many calls there were since the last plan.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Leaves room for so many more bytes; `None`: for any number.
    pub fn room(&self, bytes: Option<u64>) {
        let mut world = self.0.lock();
        world.capacity = bytes.map(|bytes| bytes + world.used());
    }

    /// The power fails and comes back: what was not synced may be gone, or partly there.
    pub fn crash(&self) {
        let world = &mut *self.0.lock();
        world.plan = FaultPlan::None;
        world.calls = 0;
        for file in world.files.values_mut() {
            for change in file.dirty.drain(..) {
                change.apply_part(&mut world.rng, &mut file.durable);
            }
            file.cached.clone_from(&file.durable);
        }
        for change in world.name_changes.drain(..) {
            if world.rng.one_in(2) {
                change.apply(&mut world.durable_names);
            }
        }
        world.names.clone_from(&world.durable_names);
        let named: Vec<u64> = world.names.values().copied().collect();
        world.files.retain(|file, _| named.contains(file));
    }

    /// The process is killed and comes back: the page cache is still there.
    pub fn kill(&self) {
        let mut world = self.0.lock();
        world.plan = FaultPlan::None;
        world.calls = 0;
    }

    /// Turns one bit of a file round, for good.
    ///
    /// # Panics
    /// When there is no such file or bit.
    pub fn flip(&self, name: &str, byte: usize, bit: u8) {
        let world = &mut *self.0.lock();
        let file = world.files.get_mut(&world.names[name]).expect("the name leads to a file");
        for bytes in [&mut file.cached, &mut file.durable] {
            bytes[byte] ^= 1 << bit;
        }
    }

    /// A copy of the disk, as it is, with a life of its own.
    #[must_use]
    pub fn fork(&self) -> Self {
        let world = self.0.lock();
        let copy = Self::new(world.rng.0);
        let mut other = copy.0.lock();
        other.names = world.names.clone();
        other.durable_names = world.names.clone();
        other.next_file = world.next_file;
        for (&file, content) in &world.files {
            let (cached, durable) = (content.cached.clone(), content.cached.clone());
            other.files.insert(file, Content { cached, durable, dirty: Vec::new() });
        }
        drop(other);
        copy
    }

    /// Every file's name and what reads see of it.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.0.lock();
        let named = world.names.iter();
        named.map(|(name, file)| (name.clone(), world.files[file].cached.clone())).collect()
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Set(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl World {
    /// Counts a call and says whether it fails.
    fn call(&mut self, is_sync: bool) -> Option<Fault> {
        self.calls += 1;
        let calls = self.calls;
        match self.plan {
            FaultPlan::Once(n, fault) if calls == n => Some(fault),
            FaultPlan::Every(n, fault) if calls.is_multiple_of(n) => Some(fault),
            FaultPlan::DeadAfter(n) if calls > n => Some(Fault::Eio),
            FaultPlan::NextSync if is_sync => {
                self.plan = FaultPlan::None;
                Some(Fault::Eio)
            }
            _ => None,
        }
    }

    fn plain_call(&mut self) -> io::Result<()> {
        match self.call(false) {
            None => Ok(()),
            Some(Fault::Enospc) => Err(enospc()),
            Some(Fault::Eio | Fault::Torn) => Err(eio()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[file].cached.len() as u64).sum()
    }

    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn file(&mut self, file: u64) -> io::Result<&mut Content> {
        self.files.get_mut(&file).ok_or_else(eio)
    }

    fn write(&mut self, file: u64, at: usize, bytes: &[u8]) -> io::Result<()> {
        let content = self.file(file)?;
        let change = Change::Write(at, bytes.to_vec());
        change.apply(&mut content.cached);
        content.dirty.push(change);
        Ok(())
    }
}

impl Disk for SimDisk {
    fn place(&self) -> String {
        "sim".to_owned()
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.0.lock().plain_call()?;
        Ok(Box::new(()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut world = self.0.lock();
        world.plain_call()?;
        Ok(world.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.0.lock();
        world.plain_call()?;
        if world.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.next_file += 1;
        let file = world.next_file;
        world.files.insert(file, Content::default());
        world.rename(NameChange::Set(name.to_owned(), file));
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.0.lock();
        world.plain_call()?;
        let file = *world.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.0.lock();
        world.plain_call()?;
        let file = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        world.rename(NameChange::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.0.lock();
        world.plain_call()?;
        if !world.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.rename(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let world = &mut *self.0.lock();
        let fault = world.call(true);
        for change in world.name_changes.drain(..) {
            if fault.is_none() || world.rng.one_in(2) {
                change.apply(&mut world.durable_names);
            }
        }
        if fault.is_some() { Err(eio()) } else { Ok(()) }
    }
}

struct SimFile {
    disk: SimDisk,
    file: u64,
}

impl DiskFile for SimFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.disk.0.lock();
        let at = index(at);
        let fault = world.call(false);
        match fault {
            Some(Fault::Enospc) => return Err(enospc()),
            Some(Fault::Eio) => return Err(eio()),
            Some(Fault::Torn) => {
                let part = index(world.rng.below(bytes.len() as u64 + 1));
                world.write(self.file, at, &bytes[..part])?;
                return Err(eio());
            }
            None => {}
        }
        let grows = (at + bytes.len()).saturating_sub(world.file(self.file)?.cached.len());
        let lacking = (grows as u64).saturating_sub(world.free());
        let mut taken = bytes.len().saturating_sub(index(lacking));
        if taken == 0 && !bytes.is_empty() {
            return Err(enospc());
        }
        if taken > 1 && world.rng.one_in(16) {
            taken = 1 + index(world.rng.below(taken as u64 - 1)); // a short write
        }
        world.write(self.file, at, &bytes[..taken])?;
        Ok(taken)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut world = self.disk.0.lock();
        world.plain_call()?;
        let cached = &world.file(self.file)?.cached;
        let start = index(at).min(cached.len());
        let count = into.len().min(cached.len() - start);
        into[..count].copy_from_slice(&cached[start..start + count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        let world = &mut *self.disk.0.lock();
        let fault = world.call(true);
        let file = world.files.get_mut(&self.file).ok_or_else(eio)?;
        for change in file.dirty.drain(..) {
            match fault {
                None => change.apply(&mut file.durable),
                Some(_) => change.apply_part(&mut world.rng, &mut file.durable),
            }
        }
        match fault {
            None => Ok(()),
            Some(Fault::Enospc) => Err(enospc()),
            Some(Fault::Eio | Fault::Torn) => Err(eio()),
        }
    }

    fn size(&self) -> io::Result<u64> {
        let mut world = self.disk.0.lock();
        world.plain_call()?;
        Ok(world.file(self.file)?.cached.len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut world = self.disk.0.lock();
        world.plain_call()?;
        let content = world.file(self.file)?;
        let change = Change::Truncate(index(size));
        change.apply(&mut content.cached);
        content.dirty.push(change);
        Ok(())
    }

    fn reserve(&self, size: u64) -> io::Result<()> {
        let mut world = self.disk.0.lock();
        world.plain_call()?;
        let have = world.file(self.file)?.cached.len() as u64;
        if size.saturating_sub(have) > world.free() { Err(enospc()) } else { Ok(()) }
    }
}
