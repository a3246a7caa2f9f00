//! Tests of the whole crate on real files.

mod difference;
mod displaced;
mod errors;
mod export;
mod fixtures;
mod kept;
mod many;
mod opening;
mod packing;
mod pair;
mod parts;
mod power;
mod questions;
mod rescore;
mod resume;
mod round_trip;
mod sittings;
mod sweeps;
mod terms;
mod user_sql;
mod waiting;
