//! The self-tests of the ops: each one on a device against the same mathematics in `f64` on the CPU, value and
//! gradients.
//!
//! This is what `r1x doctor` runs and what the tests on a card assert.

use candle_core::{DType, Device, Result, Tensor, Var, bail};

/// The self-test of one op.
#[derive(Clone, Copy, Debug)]
pub struct Selftest {
    /// The op.
    pub name: &'static str,
    /// Largest difference allowed, relative to the largest number of the tensor it is found in.
    pub tolerance: f64,
    run: fn(&Device) -> Result<Outcome>,
}

/// The self-test of every op, in the order a model meets them.
pub const SELFTESTS: &[Selftest] = &[
    Selftest { name: "matmul", tolerance: 1e-5, run: super::matmul::selftest },
    Selftest { name: "matmul_bf16", tolerance: 5e-3, run: super::matmul::selftest_bf16 },
    Selftest { name: "rms_norm", tolerance: 1e-5, run: super::rms_norm::selftest },
    Selftest { name: "rope", tolerance: 1e-5, run: super::rope::selftest },
    Selftest { name: "swiglu", tolerance: 1e-5, run: super::swiglu::selftest },
    Selftest { name: "token_logprob", tolerance: 1e-5, run: super::token_logprob::selftest },
    Selftest { name: "adamw", tolerance: 1e-5, run: super::adamw::selftest },
];

impl Selftest {
    /// The largest relative difference on this device.
    ///
    /// # Errors
    /// When the device fails, or a gradient is missing.
    pub fn run(&self, device: &Device) -> Result<f64> {
        Ok((self.run)(device)?.largest)
    }
}

/// The largest relative difference seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    largest: f64,
}

impl Outcome {
    /// The worse of two.
    pub(super) fn max(self, other: Self) -> Self {
        Self { largest: self.largest.max(other.largest) }
    }

    /// Takes in how far a tensor is from what it should be. What is not finite differs infinitely.
    pub(super) fn compare(&mut self, found: &Tensor, expected: &Tensor) -> Result<()> {
        let (found, expected) = (flat(found)?, flat(expected)?);
        if found.len() != expected.len() {
            bail!("{} numbers where {} were expected", found.len(), expected.len());
        }
        let size = expected.iter().fold(f64::MIN_POSITIVE, |size, e| size.max(e.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            let difference = (found - expected).abs() / size;
            self.largest =
                if difference.is_finite() { self.largest.max(difference) } else { f64::INFINITY };
        }
        Ok(())
    }
}

/// An op over some tensors.
pub(super) type Op<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// Compares value and gradients of `op` over `f32` inputs on a device with those of `reference` over the same
/// inputs in `f64` on the CPU.
pub(super) fn compare(
    device: &Device,
    inputs: &[Tensor],
    op: Op<'_>,
    reference: Op<'_>,
) -> Result<Outcome> {
    // Rounded first, so that both sides start from the same numbers.
    let narrow: Vec<Tensor> =
        inputs.iter().map(|input| input.to_dtype(DType::F32)).collect::<Result<_>>()?;
    let wide: Vec<Tensor> =
        narrow.iter().map(|input| input.to_dtype(DType::F64)).collect::<Result<_>>()?;
    let moved: Vec<Tensor> =
        narrow.iter().map(|input| input.to_device(device)).collect::<Result<_>>()?;
    let (value, gradients) = value_and_gradients(&moved, op)?;
    let (expected, expected_gradients) = value_and_gradients(&wide, reference)?;
    let mut outcome = Outcome::default();
    outcome.compare(&value, &expected)?;
    for (found, expected) in gradients.iter().zip(&expected_gradients) {
        outcome.compare(found, expected)?;
    }
    Ok(outcome)
}

/// op(inputs), and the gradient of Σ weights · op(inputs) per input from candle's tape.
pub(super) fn value_and_gradients(inputs: &[Tensor], op: Op<'_>) -> Result<(Tensor, Vec<Tensor>)> {
    let variables: Vec<Var> = inputs.iter().map(Var::from_tensor).collect::<Result<_>>()?;
    let tracked: Vec<Tensor> = variables.iter().map(|x| x.as_tensor().clone()).collect();
    let y = op(&tracked)?;
    let weights = random(99, y.dims()).to_dtype(y.dtype())?.to_device(y.device())?;
    let grads = (&y * weights)?.sum_all()?.backward()?;
    let mut gradients = Vec::new();
    for (index, variable) in variables.iter().enumerate() {
        match grads.get(variable) {
            Some(gradient) => gradients.push(gradient.detach()),
            None => bail!("input {index} got no gradient"),
        }
    }
    Ok((y.detach(), gradients))
}

/// Every number, in `f64` on the host.
pub(super) fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// Numbers in [−1, 1) spread by a fixed recurrence, in `f64` on the CPU.
///
/// # Panics
/// Never: the buffer has the shape's length.
pub(super) fn random(seed: u64, shape: &[usize]) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values = (0..shape.iter().product::<usize>()).map(|_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    });
    Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu)
        .expect("as many numbers as the shape says")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_all(device: &Device) {
        for op in SELFTESTS {
            let difference = op.run(device).unwrap();
            assert!(difference <= op.tolerance, "{}: {difference}", op.name);
        }
    }

    #[test]
    fn every_op_agrees_on_the_cpu() {
        assert_all(&Device::Cpu);
    }

    #[test]
    #[ignore = "needs a card"]
    fn every_op_agrees_on_a_card() {
        assert_all(&crate::parse_device("cuda:0").unwrap());
    }

    #[test]
    fn a_wrong_value_a_wrong_gradient_and_a_missing_one_are_seen() {
        let inputs = [random(1, &[4, 3])];
        let run = |op: Op<'_>| compare(&Device::Cpu, &inputs, op, &|x| x[0].sqr());
        assert!(run(&|x| x[0].sqr()).unwrap().largest < 1e-6);
        assert!(run(&|x| x[0].sqr()? * 1.01).unwrap().largest > 9e-3);
        assert!(run(&|x| (x[0].sqr()? + x[0].detach().sqr()?)? * 0.5).unwrap().largest > 0.4);
        assert!(run(&|x| x[0].detach().sqr()).is_err());
        assert_eq!(run(&|x| x[0].sqr()? * f64::NAN).unwrap().largest, f64::INFINITY);
    }
}
