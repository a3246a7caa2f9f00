//! Frozen language models, served by the host.

#[doc(hidden)]
#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../crates/r1x-reward/wit",
        world: "with-judge",
    });
}

pub use bindings::r1x::reward::judge::{Continuation, Request};

/// What a model writes after each prompt. Natively, where there is no host, there is no model.
pub fn complete(model: &str, batch: &[Request]) -> Result<Vec<String>, String> {
    #[cfg(target_arch = "wasm32")]
    return bindings::r1x::reward::judge::complete(model, batch);
    #[cfg(not(target_arch = "wasm32"))]
    Err(format!("no model `{model}` outside a host to ask {} times", batch.len()))
}

/// The natural logarithm of how likely a model finds each text after its prompt.
pub fn logprob(model: &str, batch: &[Continuation]) -> Result<Vec<f64>, String> {
    #[cfg(target_arch = "wasm32")]
    return bindings::r1x::reward::judge::logprob(model, batch);
    #[cfg(not(target_arch = "wasm32"))]
    Err(format!("no model `{model}` outside a host to ask {} times", batch.len()))
}
