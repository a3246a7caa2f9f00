//! Thin candle ops over the kernels, for models composed of tensors.
//!
//! candle-nn's fused forms of these cut the gradient silently; these carry it. Must not know models.
