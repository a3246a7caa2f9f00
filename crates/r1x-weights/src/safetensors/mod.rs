//! Safetensors: 8 bytes with the length of a header, the header as JSON, then the tensors' bytes without gaps.

pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod write;
