//! Opening a log: `log.meta`, recovery, and the segment that every opening starts.

use std::sync::Arc;

use super::format::{META_FILE, Meta, segment_name, segment_number};
use super::options::Options;
use super::recover::{Recovered, Recovery};
use super::sabotage::Sabotage;
use super::shared::{Segment, Shared, fault};
use super::writer::{Start, Writer};
use crate::disk::{Disk, read_file, read_full, write_all};
use crate::{Clock, Error, Result, Topic};

const META_DRAFT: &str = "log.meta.new";
/// Behind a segment's name while it is being renamed and renamed back.
const ASIDE: &str = ".aside";

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    options: Options,
    new_id: u128,
    sabotage: Sabotage,
) -> Result<Writer> {
    let lock = disk.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            let reason = format!("{error}: stop it, or give this one a directory of its own");
            Error::Open { place: disk.place(), reason }
        }
        _ => fault(&*disk, "locking", "LOCK", &error),
    })?;
    put_back(&*disk).map_err(|error| fault(&*disk, "renaming back", "segments", &error))?;
    let meta = meta(&*disk, &options, new_id, sabotage)?;
    let recovery = Recovery {
        disk: &*disk,
        partitions: &meta.partitions,
        seed: meta.seed(),
        log_id: meta.id,
        index_interval_bytes: options.index_interval_bytes,
        sabotage,
    };
    let Recovered { held, mut copied, last_number, mut obsolete, as_found } = recovery.run()?;
    let shared = Shared::new(Arc::clone(&disk), options, meta.partitions.clone(), meta.seed(), held);
    let shared = Arc::new(shared);
    let start = Start { log_id: meta.id, last_number, lock, sabotage };
    let mut writer = Writer::new(Arc::clone(&shared), clock, start);
    let started = writer.start_segment(&mut copied);
    if let Some(last) = &as_found {
        release(&*disk, last);
    }
    if let Err(error) = started {
        let (Error::Full { .. }, Some(as_found)) = (&error, as_found) else { return Err(error) };
        // No room to write the last group again elsewhere.
        let name = segment_name(as_found.number);
        rewrite(&*disk, &name, as_found.end).map_err(|error| fault(&*disk, "rewriting", &name, &error))?;
        obsolete.retain(|&number| number != as_found.number);
        writer.stay(as_found, &copied, error);
    }
    for number in obsolete {
        let name = segment_name(number);
        if let Err(error) = disk.remove(&name) {
            tracing::warn!(%error, segment = name, "a segment that is no longer needed could not be removed");
        }
    }
    Ok(writer)
}

/// Gives back what the last segment had set aside and not used; its bytes stay, those behind its end included.
fn release(disk: &dyn Disk, last: &Segment) {
    let name = segment_name(last.number);
    // Only space is at stake.
    let _ = disk.open(&name).and_then(|file| file.truncate(file.size()?));
}

/// Makes a file durable about which nothing is known but that it can be read. A sync alone would not do: after
/// one that failed, the system takes what it could not write for clean. So every byte is written once more where
/// it is, which takes no space, and the name too is made to change.
fn rewrite(disk: &dyn Disk, name: &str, size: u64) -> std::io::Result<()> {
    let file = disk.open(name)?;
    let mut at = 0;
    let mut bytes = vec![0; 1 << 20];
    while at < size {
        let wanted = usize::try_from(size - at).unwrap_or(usize::MAX).min(bytes.len());
        let have = read_full(&*file, at, &mut bytes[..wanted])?;
        if have == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        write_all(&*file, at, &bytes[..have])?;
        at += have as u64;
    }
    file.truncate(size)?; // the length too
    file.sync()?;
    let aside = format!("{name}{ASIDE}");
    disk.rename(name, &aside)?;
    disk.rename(&aside, name)?;
    disk.sync_dir()
}

/// Puts back what [`rewrite`] was about to rename back when a crash came.
fn put_back(disk: &dyn Disk) -> std::io::Result<()> {
    let names = disk.list()?;
    for aside in names.iter().filter(|name| name.ends_with(ASIDE)) {
        let name = aside.trim_end_matches(ASIDE);
        if names.iter().any(|other| other == name) {
            disk.remove(aside)?;
        } else {
            disk.rename(aside, name)?;
        }
    }
    Ok(())
}

/// Reads `log.meta`, or writes it for a new log.
fn meta(disk: &dyn Disk, options: &Options, new_id: u128, sabotage: Sabotage) -> Result<Meta> {
    let refuse = |reason| Error::Open { place: disk.place(), reason };
    let names = disk.list().map_err(|error| fault(disk, "listing", "", &error))?;
    if !names.iter().any(|name| name == META_FILE) {
        if names.iter().any(|name| segment_number(name).is_some()) {
            return Err(refuse(format!("there are segments but no {META_FILE}: restore it from a backup")));
        }
        let meta = Meta { id: new_id, partitions: options.partitions.clone() };
        let written = write_meta(disk, &meta, names.iter().any(|name| name == META_DRAFT), sabotage);
        written.map_err(|error| fault(disk, "writing", META_FILE, &error))?;
        return Ok(meta);
    }
    let bytes = read_file(disk, META_FILE).map_err(|error| fault(disk, "reading", META_FILE, &error))?;
    let meta = Meta::decode(&bytes).map_err(refuse)?;
    for topic in Topic::ALL {
        let (made, asked) = (meta.partitions.of(topic), options.partitions.of(topic));
        if made != asked {
            let name = topic.name();
            return Err(refuse(format!(
                "it was created with {made} partitions for {name}, the configuration says {asked}: \
                 the number is fixed for the life of a log, set it back"
            )));
        }
    }
    Ok(meta)
}

fn write_meta(disk: &dyn Disk, meta: &Meta, leftover: bool, sabotage: Sabotage) -> std::io::Result<()> {
    if leftover {
        disk.remove(META_DRAFT)?;
    }
    let file = disk.create(META_DRAFT)?;
    write_all(&*file, 0, meta.encode().as_bytes())?;
    if !sabotage.no_fsync() {
        file.sync()?;
    }
    disk.rename(META_DRAFT, META_FILE)?;
    if !sabotage.no_dir_sync() {
        disk.sync_dir()?;
    }
    Ok(())
}
