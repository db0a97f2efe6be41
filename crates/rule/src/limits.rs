//! Every limit on what rules may ask for, each with its reason.

/// Most rules of a tenant. Each is kept in memory, compiled, and is looked at for every device that is new.
pub const RULES_PER_TENANT: usize = 10_000;
/// Most routing rules of a tenant. Each is looked at for every message that brings one of its metrics, true or not.
pub const ROUTES_PER_TENANT: usize = 256;
/// Longest condition, bytes. People read them.
pub const CONDITION_BYTES: usize = 4096;
/// Deepest nesting of a condition. Compiling and evaluating recurse.
pub const DEPTH: usize = 48;
/// Longest name of a rule, bytes.
pub const NAME_BYTES: usize = 256;
/// Longest id of a rule, bytes.
pub const ID_BYTES: usize = 64;
/// Most entries of `notify`, of patterns and of tags in a scope: documents are read by people.
pub const ENTRIES: usize = 64;
/// Longest address, URL, topic or pattern in a document, bytes.
pub const ADDRESS_BYTES: usize = 2048;
/// Most metrics that a rule may name.
pub const METRICS_PER_RULE: usize = 32;
/// Most window aggregates, z-scores and detectors that a rule may name.
pub const AGGREGATES_PER_RULE: usize = 16;
/// Most windows, z-scores and detectors that the rules of a tenant may keep of one metric: each reading goes into all of
/// them, and each device has them all. Rules that name the same metric and duration share theirs.
pub const TRACKS_PER_METRIC: usize = 32;
/// Budgets of false alarms, days: in so many at most one. Beyond ten years nothing can be learned of how rare a thing is.
pub const BUDGET_DAYS: std::ops::RangeInclusive<f64> = 1.0..=3650.0;
/// Most models of users, for all tenants together: each is a megabyte as a file, and some in memory.
#[cfg(feature = "onnx")]
pub const MODELS: usize = 64;
/// Largest file of one, bytes.
#[cfg(feature = "onnx")]
pub const MODEL_BYTES: usize = detect::limits::MODEL_BYTES;
/// Longest name of a user's model, bytes.
pub const MODEL_NAME_BYTES: usize = 64;
/// Longest window and `no_data`, nanoseconds: seven days. What is longer is a question to the store.
pub const WINDOW_NS: i64 = 7 * 86_400 * 1_000_000_000;
/// Shortest window, nanoseconds: its panes are to be whole milliseconds or so.
pub const SHORTEST_WINDOW_NS: i64 = 1_000_000_000;
/// Longest `for`, nanoseconds: thirty days.
pub const FOR_NS: i64 = 30 * 86_400 * 1_000_000_000;
/// Panes that a window is made of. Readings enter and leave in panes: a window covers its duration to one part in 24, and
/// takes at most 24 rows of numbers however many readings it holds.
pub const PANES: i64 = 24;
/// Values that `p95` looks at: the newest ones of its window. 8 KiB for each device and window.
pub const QUANTILE_VALUES: usize = 512;
/// Fewest and most values that `zscore` may compare with. Fewer than ten have no deviation worth the name.
pub const ZSCORE_VALUES: std::ops::RangeInclusive<usize> = 10..=1000;
/// Bytes of a text value that conditions see. States and codes are short, and each device holds its last one.
pub const TEXT_BYTES: usize = 256;
/// Devices that a partition remembers by default. Who was heard least recently goes first.
pub const DEVICES: usize = 1_000_000;
/// The part of the devices that goes when one too many comes: finding them costs a look at all.
pub const DEVICES_FORGOTTEN_AT_ONCE: usize = 16;
/// Devices whose past is remembered for rules that are `retrospective`: history comes device by device.
pub const PAST_DEVICES: usize = 20_000;
/// Bytes of what a partition keeps of readings for windows, z-scores and detectors by default: 10 KiB for each of 100 000 devices.
pub const KEPT_BYTES: usize = 1 << 30;
/// Timers that wait, for each device, before those that are out of date are taken out.
pub const TIMERS_PER_DEVICE: usize = 4;
/// Rules in all indexes of a tenant together, 16 bytes or so each. Devices with the same facts share an index, and so do those for whom the
/// same rules apply; once this many are in use, a device gets the index of all rules, and scopes are looked at each time.
pub const INDEXED_RULES: usize = 4_000_000;
/// Largest state that is restored, bytes: a million devices with some windows each.
pub const STATE_BYTES: usize = 4 << 30;
/// Most kinds of series, a metric of the devices of a type, of which it is kept what they have in common: 3.5 KB each.
pub const PRIORS: usize = 1000;
/// Most kinds that are learned from at once, before those of the fewest series are left out: 16 MB.
pub const PRIORS_LEARNED: usize = 4 * PRIORS;
/// Fewest series that say what is usual for a kind: how much series of a kind differ cannot be told from two or three of them, although
/// three do where they are alike (docs/detectors.md).
pub const SERIES_PER_PRIOR: u64 = 10;
/// Bytes of the words that say why a rule began or ended to hold.
pub const WHY_BYTES: usize = 1024;
