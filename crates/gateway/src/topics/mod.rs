//! Who wants which topic, and the last message of each: subscriptions and retained messages, by tenant.
//!
//! Both are plain data structures without I/O. Subscriptions are shared by the workers (QoS 0) and the dispatcher;
//! retained messages belong to the dispatcher alone.

mod dense;
mod filter;
mod matches;
mod retained;
mod roster;
mod subscriptions;
mod tree;

pub use filter::group_hash;
pub use matches::{Audience, Match, Matches, Standing};
pub use retained::{FullTenants, Kept, Outcome, Page, Retained, RetainedLimits};
pub use subscriptions::{Full, SubscriptionLimits, Subscriptions};
pub use tree::Interest;
