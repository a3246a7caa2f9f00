//! Between candle tensors and the slices kernels work on.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor, WithDType, bail};

use crate::real::Real;

/// A scalar that is both a kernel's and candle's.
pub(super) trait Element: Real + WithDType {}

impl Element for f32 {}
impl Element for f64 {}

/// Evaluates an expression with a type alias bound to the Rust type of a dtype that kernels know.
macro_rules! by_dtype {
    ($dtype:expr, $op:expr, $element:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $element = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $element = f64;
                $body
            }
            other => Err(candle_core::Error::UnsupportedDTypeForOp(other, $op).bt()),
        }
    };
}
pub(super) use by_dtype;

/// Whether the kernels can compute on this tensor; otherwise the composition does.
pub(super) fn has_kernel(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// The type the composition computes in: half precision is widened, sums of squares and of exponentials
/// would lose too much in it.
pub(super) fn working_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F32 | DType::F64 => dtype,
        _ => DType::F32,
    }
}

/// The elements of a contiguous tensor from inside a custom op.
pub(super) fn slice<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a kernel was handed a tensor that is not contiguous: {layout:?}");
    };
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// Lends the elements of contiguous CPU tensors to `read`.
pub(super) fn with_slices<T: Element, O, const N: usize>(
    tensors: [&Tensor; N],
    read: impl FnOnce([&[T]; N]) -> O,
) -> Result<O> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[T]; N] = [&[]; N];
    for (lent, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("a CPU kernel was handed a tensor on another device");
        };
        *lent = slice(storage, layout)?;
    }
    Ok(read(slices))
}

/// A gradient shaped like the tensor it belongs to.
pub(super) fn gradient_of<T: Element>(tensor: &Tensor, values: Vec<T>) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), &Device::Cpu)
}

/// Refuses inputs that differ in type or device; `pair` names them.
pub(super) fn same_place(pair: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dtype() != b.dtype() || !a.device().same_device(b.device()) {
        bail!(
            "{pair} must have one type and device, got {:?} on {:?} and {:?} on {:?}",
            a.dtype(),
            a.device().location(),
            b.dtype(),
            b.device().location()
        );
    }
    Ok(())
}
