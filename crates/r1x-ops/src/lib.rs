//! The device: CPU kernels as plain forward and backward functions over slices, thin candle ops on top.
//!
//! The only home of `unsafe`, SIMD and CUDA. Must not know models, tokens or losses.
//!
//! Every kernel computes a row of its output from the same inputs in the same order whatever the number of
//! rows and threads, so a batch of one and a batch of a thousand agree bit for bit.

pub mod allocations;
pub mod device;
pub mod kernel;
pub mod op;
pub mod operand;
pub mod parallel;
pub mod peak;
pub mod real;
pub mod simd;

pub use device::{DeviceError, parse_device};
pub use operand::Operand;
pub use real::Real;
