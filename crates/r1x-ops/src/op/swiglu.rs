//! The activation of a SwiGLU feed-forward as a candle op.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

use super::element::{
    Element, by_dtype, gradient_of, has_kernel, same_place, slice, with_slices, working_dtype,
};
use super::selftest::{Outcome, compare, random};
use crate::kernel::swiglu as kernel;

const NAME: &str = "swiglu";

/// silu(gate_proj) · up_proj, element by element; both of one shape.
///
/// # Errors
/// When the shapes, types or devices differ.
pub fn swiglu(gate_proj: &Tensor, up_proj: &Tensor) -> Result<Tensor> {
    if gate_proj.shape() != up_proj.shape() {
        bail!(
            "swiglu of a gate projection {:?} and an up projection {:?}: shapes must be equal",
            gate_proj.shape(),
            up_proj.shape()
        );
    }
    same_place("gate projection and up projection of swiglu", gate_proj, up_proj)?;
    if has_kernel(gate_proj) {
        gate_proj.contiguous()?.apply_op2(&up_proj.contiguous()?, Swiglu)
    } else {
        composed(gate_proj, up_proj)
    }
}

/// [`swiglu`] out of candle's differentiable ops.
fn composed(gate_proj: &Tensor, up_proj: &Tensor) -> Result<Tensor> {
    let working = working_dtype(gate_proj.dtype());
    let act = (gate_proj.to_dtype(working)?.silu()? * up_proj.to_dtype(working)?)?;
    act.to_dtype(gate_proj.dtype())
}

struct Swiglu;

impl Swiglu {
    fn forward<T: Element>(gate_proj: &[T], up_proj: &[T]) -> CpuStorage {
        let mut act = vec![T::ZERO; gate_proj.len()];
        kernel::swiglu(gate_proj, up_proj, &mut act);
        T::to_cpu_storage_owned(act)
    }

    fn backward<T: Element>([gate_proj, up_proj, dact]: [&[T]; 3]) -> (Vec<T>, Vec<T>) {
        let (mut d_gate_proj, mut d_up_proj) =
            (vec![T::ZERO; gate_proj.len()], vec![T::ZERO; up_proj.len()]);
        kernel::swiglu_backward(gate_proj, up_proj, dact, &mut d_gate_proj, &mut d_up_proj);
        (d_gate_proj, d_up_proj)
    }
}

impl CustomOp2 for Swiglu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        gate_proj: &CpuStorage,
        gate_layout: &Layout,
        up_proj: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let act = by_dtype!(gate_proj.dtype(), NAME, T => {
            Ok(Self::forward::<T>(slice(gate_proj, gate_layout)?, slice(up_proj, up_layout)?))
        })?;
        Ok((act, gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate_proj: &Tensor,
        up_proj: &Tensor,
        _act: &Tensor,
        dact: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dact = dact.contiguous()?;
        by_dtype!(gate_proj.dtype(), NAME, T => {
            let (d_gate_proj, d_up_proj) = with_slices([gate_proj, up_proj, &dact], Self::backward::<T>)?;
            Ok((
                gate_proj.track_op().then(|| gradient_of(gate_proj, d_gate_proj)).transpose()?,
                up_proj.track_op().then(|| gradient_of(up_proj, d_up_proj)).transpose()?,
            ))
        })
    }
}

/// The op on a device against its composition in `f64`.
pub(super) fn selftest(device: &Device) -> Result<Outcome> {
    // Gate projections from −6 to 6, where the sigmoid is both flat and steep.
    let inputs = [(random(3, &[5, 33]) * 6.0)?, random(4, &[5, 33])];
    compare(device, &inputs, &|x| swiglu(&x[0], &x[1]), &|x| composed(&x[0], &x[1]))
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::super::testing::agree;
    use super::*;

    #[test]
    fn kernel_composition_and_finite_differences_agree() {
        let inputs = [random(11, &[3, 2, 9]), random(12, &[3, 2, 9])];
        agree(&inputs, 1e-6, |x| swiglu(&x[0], &x[1]), |x| composed(&x[0], &x[1]));
    }

    #[test]
    fn one_tensor_as_both_inputs_gets_both_gradients() {
        let x = Var::from_tensor(&random(13, &[5])).unwrap();
        let gradient = |y: Tensor| {
            let grads = y.sum_all().unwrap().backward().unwrap();
            grads.get(&x).unwrap().to_vec1::<f64>().unwrap()
        };
        let kernel = gradient(swiglu(&x, &x).unwrap());
        let composed = gradient(composed(&x, &x).unwrap());
        for (a, b) in kernel.iter().zip(&composed) {
            assert!((a - b).abs() < 1e-12, "{a} against {b}");
        }
    }

    #[test]
    fn shapes_that_differ_are_refused() {
        assert!(swiglu(&random(1, &[2, 3]), &random(1, &[3, 2])).is_err());
    }
}
