//! The little that the embedded log needs of a disk, behind a trait so that tests can stand in a disk which
//! crashes, tears and lies.

mod real;
#[cfg(feature = "sim")]
pub mod sim;

use std::any::Any;
use std::io;
use std::sync::Arc;

pub use real::RealDisk;

/// One directory of files. A new, renamed or removed name survives a crash only once [`Disk::sync_dir`] has
/// returned `Ok`.
pub trait Disk: Send + Sync + 'static {
    /// The directory, for messages.
    fn place(&self) -> String;

    /// Takes the directory for this process alone, until the guard is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another has it, saying who.
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// The names of all files.
    ///
    /// # Errors
    /// The system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file that was not there, for reading and writing.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading, truncating and syncing.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; who has it open can still read it.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self) -> io::Result<()>;
}

/// A file of a [`Disk`].
pub trait DiskFile: Send + Sync + 'static {
    /// Writes at a position and says how many bytes it took; maybe fewer than given.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Reads at a position and says how many bytes there were; 0 at the end of the file.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Makes content and length durable. After an error, what was written since the last success is in an
    /// unknown state, and a later success says nothing about it.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> io::Result<()>;

    /// The length, bytes.
    ///
    /// # Errors
    /// The system's.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Sets space aside for the first `size` bytes, without changing the length. Disks that cannot, say `Ok`.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::StorageFull`] when there is no room.
    fn reserve(&self, size: u64) -> io::Result<()>;
}

/// Writes everything, over short writes and interruptions.
pub(crate) fn write_all(file: &dyn DiskFile, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(at, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => {
                at += taken as u64;
                bytes = &bytes[taken..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `into` is full or the file ends; says how many bytes there were.
pub(crate) fn read_full(file: &dyn DiskFile, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < into.len() {
        match file.read_at(at + have as u64, &mut into[have..]) {
            Ok(0) => break,
            Ok(got) => have += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

/// A whole small file.
pub(crate) fn read_file(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    let have = read_full(&*file, 0, &mut bytes)?;
    bytes.truncate(have);
    Ok(bytes)
}
