//! The broken control: a world in which fsync says yes and does nothing, for whatever process is started in it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// System calls that make things durable and from now on only say so (x86-64 and aarch64 differ, hence libc's names).
const LIES: [libc::c_long; 5] =
    [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range, libc::SYS_msync, libc::SYS_syncfs];

/// Makes every fsync of the process to be started a lie, by a seccomp filter that answers success in the kernel's
/// place. (A preloaded library would miss programs that call the kernel directly.)
///
/// What it cannot take away is a file opened with `O_DSYNC`; a log that relied on that would pass this control and
/// the rig would say so.
pub fn without_fsync(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only prctl is called, on memory prepared before the fork.
    unsafe { command.pre_exec(install) }
}

fn install() -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let mut program = [step(RETURN, libc::SECCOMP_RET_ALLOW); LIES.len() + 3];
    program[0] = step(LOAD, 0); // the system call's number is the first field of seccomp_data
    for (index, call) in LIES.iter().enumerate() {
        // Equal: jump over the remaining comparisons and the "allow" to the "succeed".
        let jt = (LIES.len() - index) as u8;
        program[1 + index] = libc::sock_filter { code: EQUAL, jt, jf: 0, k: *call as u32 };
    }
    program[LIES.len() + 2] = step(RETURN, libc::SECCOMP_RET_ERRNO); // errno 0: the call "succeeded"
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: prctl with PR_SET_NO_NEW_PRIVS takes plain numbers.
    let privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the filter and its program outlive the call; the kernel copies them.
    let installed =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    if privileges == 0 && installed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
