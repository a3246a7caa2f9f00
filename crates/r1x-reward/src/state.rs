//! What the host keeps for one instance of a plugin. Every function that a plugin imports is called with it, whatever
//! version of the contract the plugin speaks.

use std::sync::Arc;
use std::time::Instant;

use crate::carried::Assets;
use crate::grants::Grants;
use crate::limits::Limiter;
use crate::wasi::{System, WithSystem};

/// The host's side of one instance.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    /// Its own system, and its messages.
    pub(crate) system: System,
    pub(crate) grants: Grants,
    pub(crate) assets: Arc<Assets>,
    /// Uses of capabilities since the call began.
    pub(crate) capability_calls: u32,
    /// When the call under way must have ended.
    pub(crate) ends: Option<Instant>,
}

impl WithSystem for State {
    fn system(&self) -> &System {
        &self.system
    }

    fn system_mut(&mut self) -> &mut System {
        &mut self.system
    }
}
