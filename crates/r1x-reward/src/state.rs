//! What the host keeps for one instance of a guest. Every function that a guest imports is called with it, whatever
//! version of the contract the guest speaks.

use std::sync::Arc;
use std::time::Instant;

use crate::abi::CallLog;
use crate::capability::Grants;
use crate::capability::assets::Assets;
use crate::files::Files;
use crate::limits::Limiter;
use crate::wasi::System;

/// The host's side of one instance.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    pub(crate) log: CallLog,
    pub(crate) system: System,
    pub(crate) grants: Grants,
    pub(crate) assets: Arc<Assets>,
    /// What its own system shows it as files.
    pub(crate) files: Arc<Files>,
    /// Uses of capabilities since the call began.
    pub(crate) capability_calls: u32,
    /// When the call under way must have ended.
    pub(crate) ends: Option<Instant>,
}
