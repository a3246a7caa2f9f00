//! A run over its life, as a person meets it: listed, drawn, estimated, interrupted, gone on with from elsewhere.
//!
//! Must not test what a crate can test alone. Every run is the real binary on a temporary store.

mod begun;
mod bench;
mod crash;
mod critic;
mod diagnosis;
mod diff;
mod export;
mod foreign;
mod grep;
mod harvest;
mod imported;
mod imported_formats;
mod interrupt;
mod judged;
mod limits;
mod lock;
mod looks;
mod merged;
mod model;
mod replay;
mod report;
mod reproduce;
mod resume;
mod reuse;
mod store;
mod sweep;
mod taught;
mod tidy;
mod turns;
mod upkeep;
