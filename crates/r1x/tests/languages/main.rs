//! Rewards in every language: each from source to score, the templates, and the tutorial as it is written.
//!
//! Where a language's tools are missing its tests say so and pass. Must not test what no language has a part in.

mod c;
mod confined;
mod javascript;
mod packages;
#[path = "../page/mod.rs"]
mod page;
mod python;
mod support;
mod templates;
mod tutorial;
