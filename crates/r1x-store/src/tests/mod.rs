//! Tests of the whole crate on real files.

mod about;
mod diagnosis;
mod difference;
mod displaced;
mod errors;
mod export;
mod fixtures;
mod kept;
mod many;
mod merge;
mod opening;
mod packing;
mod pair;
mod parts;
mod power;
mod questions;
mod remove;
mod rescore;
mod resume;
mod round_trip;
mod sittings;
mod sweeps;
mod terms;
mod user_sql;
mod verify;
mod waiting;
