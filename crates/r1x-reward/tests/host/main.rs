//! The host against real guests: the built-in plugins, and one that misbehaves on request.
//!
//! Deadlines are tiny so that the whole binary takes seconds. Must not need a WebAssembly compiler.

mod builtin;
mod cache;
mod capability;
mod components;
mod conformance;
mod hostile;
mod load;
mod support;
