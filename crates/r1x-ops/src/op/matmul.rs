//! The matrix product on tensors: our kernel on the CPU, candle's product elsewhere; no op of its own.
//!
//! Models multiply tensors with candle. This file holds what is asked of a device about it: a self-test, and the two
//! loads whose rates say how fast the device is.

use candle_core::{DType, Device, Result, Tensor};
use half::bf16;

use super::selftest::{Outcome, compare, random};
use crate::kernel::Write;
use crate::kernel::matmul::{Right, matmul, pack_rows, packed_len};
use crate::operand::Operand;

/// Rows, shared width and columns of the self-test: no multiples of a tile.
const SHAPE: (usize, usize, usize) = (37, 61, 45);

/// Value and gradients of a product; on the CPU the kernel's value as well.
pub(super) fn selftest(device: &Device) -> Result<Outcome> {
    let (m, k, n) = SHAPE;
    let inputs = [random(71, &[m, k]), random(72, &[k, n])];
    let mut outcome = compare(device, &inputs, &|x| x[0].matmul(&x[1]), &|x| written_out(x))?;
    if device.is_cpu() {
        let flat = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let (a, b, mut c) = (flat(&inputs[0])?, flat(&inputs[1])?, vec![0.0f32; m * n]);
        matmul(&a, Right::panels(&packed(&b, k, n), k), &mut c, m, k, n, Write::Overwrite);
        let found = Tensor::from_vec(c, (m, n), device)?;
        outcome.compare(&found, &inputs[0].matmul(&inputs[1])?)?;
    }
    Ok(outcome)
}

/// The value of a product of bf16 numbers: the kernel's on the CPU, whose sums stay in `f32`, else the device's,
/// which rounds its result to bf16.
pub(super) fn selftest_bf16(device: &Device) -> Result<Outcome> {
    let (m, k, n) = (37, 62, 45);
    let rounded = |seed, shape: &[usize]| random(seed, shape).to_dtype(DType::BF16);
    let (a, b) = (rounded(73, &[m, k])?, rounded(74, &[k, n])?);
    let found = if device.is_cpu() {
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<bf16>();
        let (a, b, mut c) = (flat(&a)?, flat(&b)?, vec![0.0f32; m * n]);
        matmul(&a, Right::panels(&packed(&b, k, n), k), &mut c, m, k, n, Write::Overwrite);
        Tensor::from_vec(c, (m, n), device)?
    } else {
        a.to_device(device)?.matmul(&b.to_device(device)?)?
    };
    let mut outcome = Outcome::default();
    outcome.compare(&found, &written_out(&[a.to_dtype(DType::F64)?, b.to_dtype(DType::F64)?])?)?;
    Ok(outcome)
}

/// Σ over the shared width of products, without a matrix product.
fn written_out(x: &[Tensor]) -> Result<Tensor> {
    x[0].unsqueeze(2)?.broadcast_mul(&x[1].unsqueeze(0)?)?.sum(1)
}

/// A `k` × `n` matrix as the kernel wants its right factor.
fn packed<E: Operand>(b: &[E], k: usize, n: usize) -> Vec<E> {
    let mut panels = vec![E::default(); packed_len::<E>(k, n)];
    pack_rows(b, n, k, n, &mut panels);
    panels
}

/// A square product of the CPU kernel, to be repeated under a watch.
#[derive(Debug)]
pub struct KernelLoad {
    size: usize,
    a: Vec<f32>,
    /// Packed.
    b: Vec<f32>,
    c: Vec<f32>,
}

impl KernelLoad {
    /// Matrices of `size` × `size`.
    ///
    /// # Errors
    /// Never for sizes that fit memory.
    pub fn new(size: usize) -> Result<Self> {
        let values = |seed| random(seed, &[size * size]).to_dtype(DType::F32)?.to_vec1::<f32>();
        let b = packed(&values(82)?, size, size);
        Ok(Self { size, a: values(81)?, b, c: vec![0.0; size * size] })
    }

    /// One product, on this thread; returns its floating-point operations.
    pub fn run(&mut self) -> f64 {
        let size = self.size;
        matmul(
            &self.a,
            Right::panels(&self.b, size),
            &mut self.c,
            size,
            size,
            size,
            Write::Overwrite,
        );
        2.0 * (self.size as f64).powi(3)
    }
}

/// A large bf16 product and a large copy on a device, to be repeated under a watch.
#[derive(Debug)]
pub struct DeviceLoad {
    a: Tensor,
    b: Tensor,
    block: Tensor,
}

impl DeviceLoad {
    /// Matrices of `size` × `size`, and a block of `bytes`, on the device.
    ///
    /// # Errors
    /// When its memory does not suffice.
    pub fn new(size: usize, bytes: usize, device: &Device) -> Result<Self> {
        let matrix = |seed| random(seed, &[size, size]).to_dtype(DType::BF16)?.to_device(device);
        Ok(Self {
            a: matrix(83)?,
            b: matrix(84)?,
            block: Tensor::zeros(bytes / 4, DType::F32, device)?,
        })
    }

    /// Waits until the device has done everything asked of it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn wait(&self) -> Result<()> {
        self.a.device().synchronize()
    }

    /// Starts one product; returns its floating-point operations.
    ///
    /// # Errors
    /// When the device fails.
    pub fn multiply(&self) -> Result<f64> {
        self.a.matmul(&self.b)?;
        Ok(2.0 * (self.a.dim(0)? as f64).powi(3))
    }

    /// Starts one copy; returns the bytes read and written.
    ///
    /// # Errors
    /// When the device fails.
    pub fn copy(&self) -> Result<f64> {
        self.block.copy()?;
        Ok(2.0 * 4.0 * self.block.elem_count() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_count_their_work() {
        let mut kernel = KernelLoad::new(8).unwrap();
        assert_eq!(kernel.run(), 1024.0);
        let (a, b) = (&kernel.a, &kernel.b);
        let first: f32 = a.iter().zip(b.iter().step_by(32)).take(8).map(|(a, b)| a * b).sum();
        assert!((kernel.c[0] - first).abs() < 1e-6);
        let device = DeviceLoad::new(8, 64, &Device::Cpu).unwrap();
        assert_eq!(device.multiply().unwrap(), 1024.0);
        assert_eq!(device.copy().unwrap(), 128.0);
        device.wait().unwrap();
    }
}
