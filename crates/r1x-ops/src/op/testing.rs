//! What the tests of every op share: inputs, and the comparison of kernel, composition and differences.
//!
//! Must not know any particular op.

use candle_core::{Device, Result, Tensor, Var};

/// Numbers in [−1, 1) spread by a fixed recurrence, in `f64`.
pub(super) fn random(seed: u64, shape: &[usize]) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values = (0..shape.iter().product::<usize>()).map(|_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    });
    Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

type Op<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Σ weights · op(inputs) and its gradient per input, from candle's tape.
fn value_and_gradients(inputs: &[Tensor], op: Op<'_>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let variables: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tracked: Vec<Tensor> = variables.iter().map(|x| x.as_tensor().clone()).collect();
    let y = op(&tracked).unwrap();
    let loss = (&y * random(99, y.dims())).unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    let gradient = |x: &Var| flat(grads.get(x).expect("every input has a gradient"));
    (flat(&y), variables.iter().map(gradient).collect())
}

fn loss(inputs: &[Tensor], op: Op<'_>) -> f64 {
    let y = op(inputs).unwrap();
    (&y * random(99, y.dims())).unwrap().sum_all().unwrap().to_scalar().unwrap()
}

fn assert_close(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        let size = 1f64.max(a.abs()).max(b.abs());
        assert!((a - b).abs() <= tolerance * size, "{what}[{index}]: {a} against {b}");
    }
}

/// Compares values and gradients of the public op with those of its composition (1e-12), and the gradients
/// with central differences (`tolerance`), all in `f64`.
///
/// # Panics
/// When any of them differ.
pub(super) fn agree(
    inputs: &[Tensor],
    tolerance: f64,
    kernel: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (value, gradients) = value_and_gradients(inputs, &kernel);
    let (expected, expected_gradients) = value_and_gradients(inputs, &composed);
    assert_close("value", &value, &expected, 1e-12);
    for (input, (a, b)) in gradients.iter().zip(&expected_gradients).enumerate() {
        assert_close(&format!("gradient of input {input}"), a, b, 1e-12);
    }
    let step = 1e-5;
    for (input, gradient) in gradients.iter().enumerate() {
        let moved = |element: usize, delta: f64| {
            let mut values = flat(&inputs[input]);
            values[element] += delta;
            let mut inputs = inputs.to_vec();
            let shape = inputs[input].shape().clone();
            inputs[input] = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            loss(&inputs, &kernel)
        };
        let numeric: Vec<f64> = (0..gradient.len())
            .map(|element| (moved(element, step) - moved(element, -step)) / (2.0 * step))
            .collect();
        assert_close(&format!("difference of input {input}"), gradient, &numeric, tolerance);
    }
}
