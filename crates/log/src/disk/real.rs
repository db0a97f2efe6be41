//! A directory of this machine.

use std::any::Any;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile};

/// The file that a running log holds locked; it contains the process id.
const LOCK_FILE: &str = "LOCK";

/// A directory of this machine.
#[derive(Debug)]
pub struct RealDisk {
    dir: PathBuf,
    read_only: bool,
}

impl RealDisk {
    /// The directory, made if it is not there, and durably so.
    ///
    /// # Errors
    /// The system's.
    pub fn create(dir: &Path) -> io::Result<Self> {
        let missing =
            dir.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists()).count();
        std::fs::create_dir_all(dir)?;
        // The way down to the new directory must survive a crash as well.
        for above in dir.canonicalize()?.ancestors().skip(1).take(missing) {
            File::open(above)?.sync_all()?;
        }
        Ok(Self { dir: dir.to_owned(), read_only: false })
    }

    /// The directory as it is, only to be read.
    ///
    /// # Errors
    /// The system's, when it cannot be listed.
    pub fn read_only(dir: &Path) -> io::Result<Self> {
        std::fs::read_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), read_only: true })
    }
}

impl Disk for RealDisk {
    fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let path = self.dir.join(LOCK_FILE);
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let who = if known { holder.trim() } else { "of unknown id" };
                return Err(io::Error::new(io::ErrorKind::WouldBlock, format!("in use by process {who}")));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The id is only for people; a full disk must not keep the log from opening to be read.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name); // names that are not UTF-8 are not ours
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(!self.read_only).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(bytes, at)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(into, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data() // flushes the length too: it is needed to read the data back
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn reserve(&self, size: u64) -> io::Result<()> {
        let size = libc::off_t::try_from(size).map_err(io::Error::other)?;
        // SAFETY: a plain system call on a descriptor that `self` keeps open.
        let outcome = unsafe { libc::fallocate(self.0.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, size) };
        if outcome == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => Ok(()), // the file system cannot
            _ => Err(error),
        }
    }
}
