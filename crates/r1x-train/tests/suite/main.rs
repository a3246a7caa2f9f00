//! The loop tested to learning: a table of logits, rules as rewards, facts in a `Vec`.
//!
//! One test binary; must not know tensors, WASM or SQL any more than the loop does.

mod combinations;
mod data;
mod divergence;
mod evaluation;
mod facts;
mod learning;
mod masks;
mod place;
mod places;
mod reference;
mod resume;
mod shaping;
mod support;
