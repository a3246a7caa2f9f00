//! Rewards in every language: each from source to score, the templates, and the tutorial as it is written.
//!
//! What needs a language's tools is ignored, and run by `cargo xtask needs` where they are. Must not test what no language has a part in.

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
