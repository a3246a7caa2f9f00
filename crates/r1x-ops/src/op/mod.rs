//! Thin candle ops over the kernels, for models composed of tensors.
//!
//! candle-nn's fused forms of the ops cut the gradient silently; the forms here carry it.
//!
//! Each op has two forms with the same value and gradient up to rounding: a custom op around the kernel,
//! for `f32` and `f64` on the CPU, and a composition of differentiable candle ops, for every other device and
//! type. The public function picks one, so callers need not know where they run. Half-precision inputs are
//! widened to `f32` inside the composition and narrowed at its end.

mod adamw;
mod element;
mod matmul;
mod rms_norm;
mod rope;
pub mod selftest;
mod swiglu;
#[cfg(test)]
mod testing;
mod token_logprob;

pub use adamw::adamw;
pub use matmul::{DeviceLoad, KernelLoad};
pub use rms_norm::rms_norm;
pub use rope::{Rotary, rope};
pub use swiglu::swiglu;
pub use token_logprob::token_logprob;
