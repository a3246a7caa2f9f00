//! The loop tested to learning: a table of logits, rules as rewards, facts in a `Vec`.
//!
//! One test binary.

mod combinations;
mod critic;
mod data;
mod distill;
mod divergence;
mod dpo;
mod evaluation;
mod facts;
mod learning;
mod masks;
mod merge;
mod messages;
mod place;
mod places;
mod reference;
mod rehearsal;
mod reject;
mod resample;
mod resume;
mod reuse;
mod shaping;
mod support;
mod wrapper;
