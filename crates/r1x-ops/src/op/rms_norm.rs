//! RMSNorm over the last dimension as a candle op.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, D, Device, Layout, Result, Shape, Tensor, bail};

use super::element::{
    Element, by_dtype, gradient_of, has_kernel, same_place, slice, with_slices, working_dtype,
};
use super::selftest::{Outcome, compare, random};
use crate::kernel::{Write, norm};

const NAME: &str = "rms-norm";

/// x / sqrt(mean(x²) + eps) · gain over the last dimension: x `[.., width]`, gain `[width]`.
///
/// # Errors
/// When the shapes, types or devices do not fit together.
pub fn rms_norm(x: &Tensor, gain: &Tensor, eps: f64) -> Result<Tensor> {
    let width = gain.dims1()?;
    if width == 0 || x.dims().last() != Some(&width) {
        bail!("rms_norm of {:?} cannot have a gain of {width} elements", x.shape());
    }
    same_place("x and gain of rms_norm", x, gain)?;
    if has_kernel(x) {
        x.contiguous()?.apply_op2(&gain.contiguous()?, RmsNorm { eps })
    } else {
        composed(x, gain, eps)
    }
}

/// [`rms_norm`] out of candle's differentiable ops.
fn composed(x: &Tensor, gain: &Tensor, eps: f64) -> Result<Tensor> {
    let working = working_dtype(x.dtype());
    let wide = x.to_dtype(working)?;
    let inverse = (wide.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?;
    wide.broadcast_mul(&inverse)?.broadcast_mul(&gain.to_dtype(working)?)?.to_dtype(x.dtype())
}

struct RmsNorm {
    eps: f64,
}

impl RmsNorm {
    fn forward<T: Element>(&self, x: &[T], gain: &[T]) -> CpuStorage {
        let width = gain.len();
        let mut y = vec![T::ZERO; x.len()];
        norm::rms_norm((x, width), gain, self.eps, (&mut y, width), x.len() / width);
        T::to_cpu_storage_owned(y)
    }

    fn backward<T: Element>(&self, [x, gain, dy]: [&[T]; 3]) -> (Vec<T>, Vec<T>) {
        let width = gain.len();
        let (mut dx, mut dgain) = (vec![T::ZERO; x.len()], vec![T::ZERO; width]);
        let (from, into) = ((dy, width), (&mut dx[..], width));
        let rows = x.len() / width;
        let write = Write::Overwrite;
        norm::rms_norm_backward((x, width), gain, self.eps, from, into, &mut dgain, rows, write);
        (dx, dgain)
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = by_dtype!(x.dtype(), NAME, T => {
            Ok(self.forward::<T>(slice(x, x_layout)?, slice(gain, gain_layout)?))
        })?;
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        by_dtype!(x.dtype(), NAME, T => {
            let (dx, dgain) = with_slices([x, gain, &dy], |slices| self.backward::<T>(slices))?;
            Ok((
                x.track_op().then(|| gradient_of(x, dx)).transpose()?,
                gain.track_op().then(|| gradient_of(gain, dgain)).transpose()?,
            ))
        })
    }
}

/// The op on a device against its composition in `f64`.
pub(super) fn selftest(device: &Device) -> Result<Outcome> {
    let inputs = [random(1, &[3, 4, 70]), random(2, &[70])];
    let op = |x: &[Tensor]| rms_norm(&x[0], &x[1], 1e-5);
    compare(device, &inputs, &op, &|x| composed(&x[0], &x[1], 1e-5))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::super::testing::agree;
    use super::*;

    #[test]
    fn kernel_composition_and_finite_differences_agree() {
        let inputs = [random(1, &[3, 4, 7]), random(2, &[7])];
        agree(&inputs, 1e-6, |x| rms_norm(&x[0], &x[1], 1e-5), |x| composed(&x[0], &x[1], 1e-5));
    }

    #[test]
    fn a_strided_input_is_the_same_as_its_copy() {
        let x = random(3, &[7, 5]).t().unwrap();
        let gain = random(4, &[7]);
        let strided = rms_norm(&x, &gain, 1e-5).unwrap();
        let copied = rms_norm(&x.contiguous().unwrap(), &gain, 1e-5).unwrap();
        assert_eq!(strided.to_vec2::<f64>().unwrap(), copied.to_vec2::<f64>().unwrap());
    }

    #[test]
    fn a_frozen_input_gets_no_gradient_and_the_other_does() {
        let x = Var::from_tensor(&random(5, &[2, 4])).unwrap();
        let gain = random(6, &[4]);
        let y = rms_norm(&x, &gain, 1e-5).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert!(grads.get(&x).is_some());
        assert!(grads.get(&gain).is_none());
    }

    #[test]
    fn half_precision_is_computed_wide_and_keeps_its_type_and_gradient() {
        let x = Var::from_tensor(&random(7, &[2, 64]).to_dtype(DType::BF16).unwrap()).unwrap();
        let gain = Tensor::ones(64, DType::BF16, &Device::Cpu).unwrap();
        let y = rms_norm(&x, &gain, 1e-5).unwrap();
        assert_eq!(y.dtype(), DType::BF16);
        assert!(y.sum_all().unwrap().backward().unwrap().get(&x).is_some());
        let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
        let exact = rms_norm(&wide(&x), &wide(&gain), 1e-5).unwrap();
        let error = (wide(&y) - exact).unwrap().abs().unwrap().max_all().unwrap();
        assert!(error.to_scalar::<f64>().unwrap() < 0.02);
    }

    #[test]
    fn shapes_and_types_that_do_not_fit_are_refused() {
        let x = random(8, &[2, 4]);
        assert!(rms_norm(&x, &random(9, &[3]), 1e-5).is_err());
        assert!(rms_norm(&x, &random(9, &[4]).to_dtype(DType::F32).unwrap(), 1e-5).is_err());
    }
}
