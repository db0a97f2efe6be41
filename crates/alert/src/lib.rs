//! Alerts: from transitions of rules to people, exactly once.
//!
//! [`Alerts`] takes what rules found (`rule::Transition`) and makes alerts of it that people can trust: life cycle, suppression,
//! mutes, groups, limits and digests, escalation. Everything that follows from a call is one commit of the metadata, and what
//! follows is decided by state machines that are given the time. What is to be delivered stands in the outbox, by the same commit; [`Courier`] takes it
//! from there to [`Channels`], at least once, with a key by which the receiver makes it once.
//!
//! For people: docs/alerts.md. Rows: docs/formats/metadata.md. Why it is so: docs/decisions/alerts.md.

mod alert;
mod alerts;
mod channel;
pub mod config;
mod core;
mod counters;
mod error;
mod evaluate;
mod id;
mod message;
mod models;
mod outbox;
mod people;
mod rehearse;
mod rows;
mod rules;
mod schedule;
mod secret;
mod selection;
mod step;
mod template;
mod terms;

pub use alert::{Alert, Entry, HISTORY, How, REMARK_BYTES, State, TOLD, Told, WHY_BYTES, What};
pub use alerts::{
    Alerts, COUNTED, Counts, Filter, Forward, OpenCause, Page, Raise, Raised, STEPS_WAITING, Taken, Ticked,
    Waiting,
};
pub use channel::{Channels, Publish, Signer, SignerError};
pub use config::{
    Config, ConfigError, ModelsConfig, Settings, SmsConfig, SmsFormat, SmtpConfig, SmtpSecurity, Templates,
    WebhookConfig,
};
pub use core::inbox::Sums;
pub use counters::Tally;
pub use error::{Error, Result};
pub use evaluate::{Evaluating, Figures, Gauge, Parts, Past, READER, Routes, Settled, start};
pub use id::AlertId;
pub use message::{AlertBody, BODY_VERSION, Body, DigestBody, Kind, LISTED, RuleBody};
pub use models::detectors;
pub use outbox::{
    AT_ONCE, AT_ONCE_FAILING, AT_ONCE_PER_DESTINATION, Chance, Clock, Courier, Delivery, Failure,
    OUTBOX_ROWS, Outcome, Receipt,
};
pub use people::{Address, AddressError, Escalation, Mute, Person, Quiet, Step, Want, When};
pub use rehearse::{Difference, EPISODES, Episode, Rehearsal, Stage, difference, rehearse};
pub use rules::{Edit, RuleError, Rules};
pub use schedule::{Day, Span};
pub use secret::Secret;
pub use selection::Selection;
pub use step::{AlertStep, STEP_VERSION, StepKind};
pub use template::{Template, TemplateError};
pub use terms::{Class, Directory, Terms};
