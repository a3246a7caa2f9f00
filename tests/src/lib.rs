//! Tests of the repository as a whole, in one test binary: `tests/main.rs`.
//!
//! A virtual workspace owns no tests, so this crate does. It has no code of its own and depends on none of the
//! others: what it knows of them, it reads from their manifests, their sources and their program.
