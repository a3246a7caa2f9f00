//! `r1x store`: the upkeep of the store, one file for each verb.

pub mod backup;
pub mod merge;
pub mod path;
pub mod vacuum;
pub mod verify;
