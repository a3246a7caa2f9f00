//! The upkeep of a store: is it what was written, a copy of it, the runs of another one, and what is no longer needed.
//!
//! `verify` compares and changes nothing. `backup` copies a store that may be written to. `merge` takes the runs of
//! another store in, `remove` is a person's deletion of whole runs, `collect` one of what older steps said, and `shrink` gives back what nothing needs.

pub mod backup;
pub mod collect;
pub mod merge;
pub mod remove;
pub mod shrink;
pub mod verify;
