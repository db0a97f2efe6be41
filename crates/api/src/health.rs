//! Whether the process lives, and whether it can do its work.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::Ask;

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Recovering; not everything listens yet.
    Starting = 0,
    /// Everything is recovered and listens.
    Ready = 1,
    /// Told to stop: takes nothing new, finishes what it has.
    Draining = 2,
}

/// Says why messages cannot be taken now, if they cannot.
pub type Trouble = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The node's state, shared by who sets it and who shows it.
#[derive(Clone, Default)]
pub struct Health(Arc<Node>);

#[derive(Default)]
struct Node {
    state: AtomicU8,
    trouble: OnceLock<Trouble>,
}

impl Health {
    /// Says where the node is now.
    pub fn set(&self, state: State) {
        self.0.state.store(state as u8, Ordering::Release);
    }

    /// Where the node is now.
    #[must_use]
    pub fn get(&self) -> State {
        match self.0.state.load(Ordering::Acquire) {
            0 => State::Starting,
            1 => State::Ready,
            _ => State::Draining,
        }
    }

    /// Whom to ask about trouble. The first one stays.
    pub fn ask(&self, trouble: Trouble) {
        let _ = self.0.trouble.set(trouble);
    }

    /// Why messages cannot be taken although the node is ready, if so: a full disk.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble.get().and_then(|trouble| trouble())
    }

    /// Whether the node can do all of its work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.get() == State::Ready && self.trouble().is_none()
    }
}

pub(crate) async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

pub(crate) async fn ready(axum::extract::State(shared): Ask) -> Response {
    let health = &shared.parts.health;
    let (status, body) = match (health.get(), health.trouble()) {
        (State::Starting, _) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "starting" })),
        (State::Draining, _) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "draining" })),
        // Questions are answered all the same; who balances load by this sends devices elsewhere.
        (State::Ready, Some(why)) => {
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "takes no messages", "detail": why }))
        }
        (State::Ready, None) => (StatusCode::OK, json!({ "status": "ready" })),
    };
    (status, Json(body)).into_response()
}
