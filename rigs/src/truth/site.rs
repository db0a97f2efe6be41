//! The server a scenario is played to, with its credentials.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::scenario::{SECOND, Scenario};
use crate::server::Place;

/// The name of each tenant's service.
pub const SERVICE: &str = "rig";

/// A server's place and the tokens for it.
#[derive(Debug)]
pub struct Site {
    /// Where it listens and keeps its data.
    pub place: Place,
    /// Each tenant's service token.
    pub services: Vec<String>,
    /// Tokens of devices, by tenant and device.
    pub devices: Vec<(usize, String, String)>,
}

impl Site {
    /// Makes a place for a scenario's server in `folder`, and the credentials that the scenario needs.
    ///
    /// # Errors
    /// No free ports, or the binary makes no credentials.
    pub fn new(binary: &Path, folder: &Path, scenario: &Scenario) -> anyhow::Result<Self> {
        let mut place = Place::new(binary, &folder.join("data"), folder)?.with_everything();
        place.more = settings(scenario);
        let token =
            |arguments: &[&str], tenant: usize| make_token(&place, arguments, &scenario.tenants[tenant]);
        let service = ["key", "add", SERVICE, "--publish", "#", "--subscribe", "#"];
        let services =
            (0..scenario.tenants.len()).map(|tenant| token(&service, tenant)).collect::<Result<_, _>>()?;
        let devices = scenario
            .credentialed()
            .map(|(tenant, device)| {
                Ok((tenant, device.to_owned(), token(&["device", "add", device], tenant)?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { place, services, devices })
    }

    /// A device's token.
    #[must_use]
    pub fn token_of(&self, tenant: usize, device: &str) -> Option<&str> {
        let mut found = self.devices.iter().filter(|(of, name, _)| *of == tenant && name == device);
        found.next().map(|(.., token)| token.as_str())
    }
}

/// What the scenario's rules are in the server's configuration.
fn settings(scenario: &Scenario) -> String {
    let (rules, tuning) = (scenario.rules, scenario.tuning);
    // No partition is ever idle: time would pass by the clock, and the scenario's time is another.
    format!(
        "[auth]\nmode = \"required\"\n\
         [gateway.topics]\nbackfill_after_s = {}\n\
         [gateway.limits]\npacket_bytes = {}\n\
         [stream]\nallowed_lateness_s = {}\nidle_after_s = 86400\nrecent_keys = {}\nwindow_bytes = {}\n\
         checkpoint_every_s = {}\nwindows = [\"1m\", \"5m\"]\n",
        rules.backfill_after / SECOND,
        rules.packet_bytes,
        rules.allowed_lateness / SECOND,
        tuning.recent_keys,
        tuning.window_bytes,
        tuning.checkpoint_every_s
    )
}

fn make_token(place: &Place, arguments: &[&str], tenant: &str) -> anyhow::Result<String> {
    let mut command = Command::new(&place.binary);
    command.args(arguments).args(["--tenant", tenant]).arg("--data").arg(&place.data).stdin(Stdio::null());
    let made = command.output().with_context(|| format!("{} cannot be started", place.binary.display()))?;
    ensure!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}
