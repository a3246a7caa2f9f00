//! AdamW on tensors: the update of the kernel, on any device.

use candle_core::{DType, Device, Result, Tensor, Var, bail};

use super::element::{gradient_of, has_kernel, same_place, with_slices};
use super::selftest::Outcome;
use crate::kernel::adamw::AdamW;

/// One step over one parameter, in place. On the CPU in `f32` it is the kernel, bit for bit.
///
/// # Errors
/// When gradient and moments are not shaped like the weight, of its type and on its device.
pub fn adamw(
    step: &AdamW,
    weight: &Var,
    gradient: &Tensor,
    first: &mut Tensor,
    second: &mut Tensor,
) -> Result<()> {
    // A variable starts a tape; the update must not be recorded on one.
    let current = weight.as_detached_tensor();
    for other in [gradient, first, second] {
        if other.shape() != current.shape() {
            bail!("adamw of a weight {:?} with a {:?}", current.shape(), other.shape());
        }
        same_place("weight and state of adamw", &current, other)?;
    }
    let kernel = has_kernel(&current) && current.dtype() == DType::F32;
    let form = if kernel { by_kernel } else { composed };
    let (updated, moved_first, moved_second) = form(step, &current, gradient, first, second)?;
    weight.set(&updated)?;
    (*first, *second) = (moved_first, moved_second);
    Ok(())
}

fn by_kernel(
    step: &AdamW,
    weight: &Tensor,
    gradient: &Tensor,
    first: &Tensor,
    second: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let tensors = [weight, gradient, first, second].map(Tensor::contiguous);
    let [weight, gradient, first, second] = tensors;
    let (weight, gradient, first, second) = (weight?, gradient?, first?, second?);
    let moved = with_slices([&weight, &gradient, &first, &second], |[w, g, m, v]: [&[f32]; 4]| {
        let (mut w, mut m, mut v) = (w.to_vec(), m.to_vec(), v.to_vec());
        step.step(&mut w, g, &mut m, &mut v);
        (w, m, v)
    });
    let (w, m, v) = moved?;
    Ok((gradient_of(&weight, w)?, gradient_of(&first, m)?, gradient_of(&second, v)?))
}

/// The step out of candle's ops: new weight, first and second moment.
fn composed(
    step: &AdamW,
    weight: &Tensor,
    gradient: &Tensor,
    first: &Tensor,
    second: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    // Every factor is computed in f32 as the kernel does, and only then widened.
    let factor = |value: f32| f64::from(value);
    let gradient = (gradient.detach() * factor(step.gradient_scale))?;
    let first = ((first * factor(step.beta1))? + (&gradient * factor(1.0 - step.beta1))?)?;
    let squared = (gradient.sqr()? * factor(1.0 - step.beta2))?;
    let second = ((second * factor(step.beta2))? + squared)?;
    let root = (&second * factor(1.0 / step.correction2))?.sqrt()?;
    let moved = ((&first * factor(step.lr / step.correction1))? / (root + factor(step.eps))?)?;
    let kept = (weight * factor(1.0 - step.lr * step.weight_decay))?;
    Ok(((kept - moved)?, first, second))
}

/// Two steps on a device in `f32` against two on the CPU in `f64`.
pub(super) fn selftest(device: &Device) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let start = [51, 52, 53].map(|seed| super::selftest::random(seed, &[3, 70]));
    let [weight, first, _] = &start;
    let second = start[2].sqr()?;
    let on = |tensor: &Tensor, dtype| tensor.to_dtype(dtype)?.to_device(device);
    let variable = Var::from_tensor(&on(weight, DType::F32)?)?;
    let mut moments = (on(first, DType::F32)?, on(&second, DType::F32)?);
    let mut wide = (weight.clone(), first.clone(), second);
    for power in 3..5 {
        let step = AdamW {
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            correction1: 1.0 - 0.9f32.powi(power),
            correction2: 1.0 - 0.95f32.powi(power),
            gradient_scale: 0.5,
        };
        let gradient = super::selftest::random(60 + power as u64, &[3, 70]);
        let narrow = on(&gradient, DType::F32)?;
        adamw(&step, &variable, &narrow, &mut moments.0, &mut moments.1)?;
        wide = composed(&step, &wide.0, &gradient, &wide.1, &wide.2)?;
    }
    outcome.compare(variable.as_tensor(), &wide.0)?;
    outcome.compare(&moments.0, &wide.1)?;
    outcome.compare(&moments.1, &wide.2)?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::super::selftest::random;
    use super::*;

    fn step() -> AdamW {
        AdamW {
            lr: 0.02,
            beta1: 0.8,
            beta2: 0.9,
            eps: 1e-6,
            weight_decay: 0.3,
            correction1: 0.2,
            correction2: 0.1,
            gradient_scale: 0.7,
        }
    }

    #[test]
    fn the_composition_is_the_textbook_update() {
        let one = |value: f64| Tensor::new(&[value], &Device::Cpu).unwrap();
        let (w, m, v) = composed(&step(), &one(0.5), &one(2.0), &one(0.1), &one(0.04)).unwrap();
        // g = 1.4; m = 0.8·0.1 + 0.2·1.4; v = 0.9·0.04 + 0.1·1.96; both divided by their correction.
        let (first, second) = (0.36, 0.232);
        let expected =
            0.5 * (1.0 - 0.02 * 0.3) - 0.02 * (first / 0.2) / ((second / 0.1f64).sqrt() + 1e-6);
        for (found, expected) in [(w, expected), (m, first), (v, second)] {
            let found = found.to_vec1::<f64>().unwrap()[0];
            assert!((found - expected).abs() < 1e-6, "{found} against {expected}");
        }
    }

    #[test]
    fn the_kernel_and_the_composition_agree_and_a_view_is_the_same_as_its_copy() {
        let inputs = [41, 42, 43, 44].map(|seed| random(seed, &[5, 9]).to_dtype(DType::F32));
        let [weight, gradient, first, second] = inputs.map(Result::unwrap);
        let second = second.sqr().unwrap();
        let run = |gradient: &Tensor| {
            let weight = Var::from_tensor(&weight).unwrap();
            let (mut first, mut second) = (first.clone(), second.clone());
            adamw(&step(), &weight, gradient, &mut first, &mut second).unwrap();
            [weight.as_tensor().clone(), first, second].map(|t| t.to_vec2::<f32>().unwrap())
        };
        let kernel = run(&gradient);
        let turned = gradient.t().unwrap().contiguous().unwrap();
        assert_eq!(kernel, run(&turned.t().unwrap()));
        let (w, m, v) = composed(&step(), &weight, &gradient, &first, &second).unwrap();
        for (found, expected) in kernel.iter().zip([w, m, v]) {
            for (a, b) in found
                .iter()
                .zip(expected.to_vec2::<f32>().unwrap())
                .flat_map(|(a, b)| a.iter().zip(b))
            {
                assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} against {b}");
            }
        }
    }

    #[test]
    fn shapes_and_types_that_differ_are_refused() {
        let zeros = |n: usize, dtype| Tensor::zeros(n, dtype, &Device::Cpu).unwrap();
        let weight = Var::from_tensor(&zeros(4, DType::F32)).unwrap();
        let run = |gradient: &Tensor| {
            let (mut first, mut second) = (zeros(4, DType::F32), zeros(4, DType::F32));
            adamw(&step(), &weight, gradient, &mut first, &mut second)
        };
        run(&zeros(4, DType::F32)).unwrap();
        assert!(run(&zeros(3, DType::F32)).is_err());
        assert!(run(&zeros(4, DType::F64)).is_err());
    }
}
