//! Guests, called by the functions of the contract.
//!
//! Every version of the WIT package has an adapter below this module, which alone sees the code generated for it; what
//! passes between the adapters and the rest of the crate are the types of `contract`.

mod v0_1;

use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Store};

use crate::contract::{Answer, GuestError, PluginInfo, Question};
use crate::state::State;

/// A component whose imports and exports are resolved once, for all its instances.
pub(crate) struct Linked(v0_1::RewardPre<State>);

impl Linked {
    /// Resolves the imports and exports of a component.
    pub(crate) fn new(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        v0_1::prepare(engine, component).map(Self)
    }

    /// Its engine.
    pub(crate) fn engine(&self) -> &Engine {
        self.0.engine()
    }

    /// What instances are made of, for functions that the contract does not name.
    pub(crate) fn instance_pre(&self) -> &InstancePre<State> {
        self.0.instance_pre()
    }

    /// Starts an instance.
    pub(crate) fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Guest> {
        self.0.instantiate(store).map(Guest)
    }
}

/// A running instance, called by the functions of the contract.
pub(crate) struct Guest(v0_1::Reward);

impl Guest {
    /// Calls `info`.
    pub(crate) fn info(&self, store: &mut Store<State>) -> wasmtime::Result<PluginInfo> {
        v0_1::info(&self.0, store)
    }

    /// Calls `configure`.
    pub(crate) fn configure(
        &self,
        store: &mut Store<State>,
        config_json: &str,
    ) -> wasmtime::Result<Result<(), GuestError>> {
        v0_1::configure(&self.0, store, config_json)
    }

    /// Calls `score-batch`.
    pub(crate) fn score_batch(
        &self,
        store: &mut Store<State>,
        batch: &[Question<'_>],
    ) -> wasmtime::Result<Result<Vec<Answer>, GuestError>> {
        v0_1::score_batch(&self.0, store, batch)
    }
}

/// The first function of the contract that is not among some exports.
pub(crate) fn missing_export(exports: &[&str]) -> Option<&'static str> {
    v0_1::EXPORTS.into_iter().find(|wanted| !exports.contains(wanted))
}
