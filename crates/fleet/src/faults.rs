//! What goes wrong between devices and server on purpose, as `--faults` takes it.

/// How often devices misbehave; each a share, 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Of messages: the connection breaks without DISCONNECT right after, and comes back.
    pub drop: f64,
    /// Of messages: sent once more at once, as a new message.
    pub duplicate: f64,
    /// Of messages: sent once more after 10 to 60 further ones.
    pub replay: f64,
    /// Of messages: sent after one to three later ones.
    pub reorder: f64,
    /// Of messages: the payload is not what was agreed.
    pub malformed: f64,
    /// Of messages: larger than the server takes.
    pub oversize: f64,
    /// Of each device's time: it is away, measures on, and sends its backlog in order when it is back.
    pub offline: f64,
    /// Of devices: the clock is off by a constant, 5 s to 2 h, ahead or behind.
    pub skew: f64,
    /// Of devices, in each episode: the clock jumps to 1970 or a day back, and is put right later.
    pub reset: f64,
    /// Of connections: break all at once in the middle of each episode.
    pub storm: f64,
}

/// For `--help`.
pub const HELP: &str = "\
What goes wrong on purpose, as shares from 0 to 1, such as drop=0.01,skew=0.1:
  drop       of messages: the connection breaks right after, and comes back
  duplicate  of messages: sent twice, one after the other
  replay     of messages: sent again after 10 to 60 further ones
  reorder    of messages: sent after one to three later ones
  malformed  of messages: cut off in the middle
  oversize   of messages: larger than the server takes
  offline    of each device's time: away; its backlog comes in order, with its own times
  skew       of devices: the clock is off by 5 s to 2 h, ahead or behind
  reset      of devices, in each episode: the clock jumps to 1970 or a day back until it is put right
  storm      of connections: break at the same moment, in the middle of each episode
An episode is the run, or 15 minutes where that is less";

impl Faults {
    /// The names, as `--faults` and the report have them.
    pub const NAMES: [&'static str; 10] = [
        "drop",
        "duplicate",
        "replay",
        "reorder",
        "malformed",
        "oversize",
        "offline",
        "skew",
        "reset",
        "storm",
    ];

    fn share(&mut self, name: &str) -> Option<&mut f64> {
        Some(match name {
            "drop" => &mut self.drop,
            "duplicate" => &mut self.duplicate,
            "replay" => &mut self.replay,
            "reorder" => &mut self.reorder,
            "malformed" => &mut self.malformed,
            "oversize" => &mut self.oversize,
            "offline" => &mut self.offline,
            "skew" => &mut self.skew,
            "reset" => &mut self.reset,
            "storm" => &mut self.storm,
            _ => return None,
        })
    }

    /// Whether any message may have a fate of its own.
    #[must_use]
    pub fn touch_messages(&self) -> bool {
        [self.drop, self.duplicate, self.replay, self.reorder, self.malformed, self.oversize]
            .iter()
            .any(|share| *share > 0.0)
    }
}

impl std::str::FromStr for Faults {
    type Err = String;

    /// `drop=0.01,duplicate=0.02,malformed=0.001`
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, share) = part.split_once('=').ok_or_else(|| format!("{part:?} is not name=share"))?;
            let value: f64 =
                share.parse().map_err(|_| format!("{name}={share}: {share:?} is not a number"))?;
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{name}={share}: a share is between 0 and 1"));
            }
            if name == "offline" && value > 0.9 {
                return Err(format!(
                    "offline={share}: a device that is away for more than 0.9 of its time has none to send"
                ));
            }
            *faults
                .share(name)
                .ok_or_else(|| format!("no fault {name:?}: there are {}", Self::NAMES.join(", ")))? = value;
        }
        Ok(faults)
    }
}
