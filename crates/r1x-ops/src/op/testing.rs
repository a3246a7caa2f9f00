//! What the tests of every op share: the comparison of kernel, composition and finite differences.

use candle_core::{Device, Result, Tensor};

use super::selftest::{Op, flat, random, value_and_gradients};

fn numbers(tensor: &Tensor) -> Vec<f64> {
    flat(tensor).unwrap()
}

/// The value and the gradient per input, as numbers.
fn evaluate(inputs: &[Tensor], op: Op<'_>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (value, gradients) = value_and_gradients(inputs, op).unwrap();
    (numbers(&value), gradients.iter().map(numbers).collect())
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
    let (value, gradients) = evaluate(inputs, &kernel);
    let (expected, expected_gradients) = evaluate(inputs, &composed);
    assert_close("value", &value, &expected, 1e-12);
    for (input, (a, b)) in gradients.iter().zip(&expected_gradients).enumerate() {
        assert_close(&format!("gradient of input {input}"), a, b, 1e-12);
    }
    let step = 1e-5;
    for (input, gradient) in gradients.iter().enumerate() {
        let moved = |element: usize, delta: f64| {
            let mut values = numbers(&inputs[input]);
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
