//! The server's own account, asked as an operator asks it.

use std::process::Command;

use anyhow::Context;

use crate::outcome::{Result, broken};
use crate::server::Place;

/// Every equation of the ledger holds.
///
/// # Errors
/// One does not; or the ledger cannot be asked.
pub fn balances(place: &Place) -> Result<()> {
    let verify = Command::new(&place.binary)
        .args(["ledger", "verify", "--server", &format!("http://{}", place.http)])
        .output()
        .context("the ledger cannot be asked")?;
    if verify.status.success() {
        return Ok(());
    }
    broken(format!("the ledger does not balance: {}", String::from_utf8_lossy(&verify.stdout)))
}
