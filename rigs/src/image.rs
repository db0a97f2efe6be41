//! A small ext4 file system in a file, that can lose power.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::outcome::{Failure, Result};

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)` (fs/ext4/ext4.h).
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is flushed, as when power goes.
const NO_LOG_FLUSH: u32 = 2;

/// A file system of its own, unmounted and removed when dropped.
#[derive(Debug)]
pub struct Image {
    file: PathBuf,
    mount: PathBuf,
    mounted: bool,
}

impl Image {
    /// Makes an ext4 file system of `size_mib` in `folder` and mounts it.
    ///
    /// # Errors
    /// [`Failure::CannotRun`] when this machine has no loop devices or we may not mount.
    pub fn create(folder: &Path, size_mib: u64) -> Result<Self> {
        let (file, mount) = (folder.join("image"), folder.join("mount"));
        fs::create_dir_all(&mount)?;
        File::create(&file)?.set_len(size_mib << 20)?;
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::CannotRun("mounting a loop device needs root".into()));
        }
        run("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&file]).map_err(cannot)?;
        let mut image = Self { file, mount, mounted: false };
        image.mount().map_err(|error| Failure::CannotRun(format!("{error:#}: are there loop devices?")))?;
        Ok(image)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Mounts it (again): ext4 replays its journal.
    ///
    /// # Errors
    /// `mount` failed.
    pub fn mount(&mut self) -> anyhow::Result<()> {
        run("mount", &["-o", "loop"], &[&self.file, &self.mount])?;
        self.mounted = true;
        Ok(())
    }

    /// Cuts the power: from here nothing reaches the disk, and what was not flushed is lost.
    ///
    /// # Errors
    /// The file system is not ext4, or we are not root.
    pub fn cut_power(&self) -> io::Result<()> {
        let root = File::open(&self.mount)?;
        let flags: u32 = NO_LOG_FLUSH;
        // SAFETY: the ioctl reads one u32 from the pointer, which lives until the call returns.
        let answer = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Takes all space that is left, in a file of its own.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn inflate(&self) -> io::Result<()> {
        let balloon = File::create(self.balloon())?;
        let (mut size, mut step) = (0, 64 << 20);
        while step >= 4096 {
            match rustix::fs::fallocate(&balloon, rustix::fs::FallocateFlags::empty(), size, step) {
                Ok(()) => size += step,
                Err(rustix::io::Errno::NOSPC) => step /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// There is no balloon.
    pub fn deflate(&self) -> io::Result<()> {
        fs::remove_file(self.balloon())
    }

    fn balloon(&self) -> PathBuf {
        self.mount.join("balloon")
    }

    /// Unmounts it; nothing may have files open on it.
    ///
    /// # Errors
    /// `umount` failed.
    pub fn unmount(&mut self) -> anyhow::Result<()> {
        run("umount", &[], &[&self.mount])?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a server that died a moment ago may still hold files.
            let _ = run("umount", &["-l"], &[&self.mount]);
        }
    }
}

fn cannot(error: anyhow::Error) -> Failure {
    Failure::CannotRun(format!("{error:#}"))
}

fn run(program: &str, options: &[&str], paths: &[&Path]) -> anyhow::Result<()> {
    let done = Command::new(program)
        .args(options)
        .args(paths)
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    anyhow::ensure!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
