//! Rotary position embedding as a candle op.
//!
//! The angles come from the kernel's table in both forms, so they cannot differ.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, D, DType, Device, Layout, Result, Shape, Tensor, bail};

use super::element::{Element, has_kernel, slice, working_dtype};
use super::selftest::{Outcome, compare, random};
use crate::kernel::rope::{Frequencies, Pairing, Rope, Rotation};

const NAME: &str = "rope";

/// Angles for every position, in the form of the kernels and as tensors on a device.
#[derive(Clone, Debug)]
pub struct Rotary {
    width: usize,
    positions: usize,
    pairing: Pairing,
    single: Arc<Rope<f32>>,
    double: Arc<Rope<f64>>,
    /// `[positions, width / 2]` in the type of the composition.
    cosines: Tensor,
    sines: Tensor,
}

impl Rotary {
    /// A table for `positions` positions of vectors that are twice as wide as there are frequencies, for tensors of a
    /// type on a device.
    ///
    /// # Errors
    /// When there is no frequency, or the device refuses the tables.
    pub fn new(
        frequencies: &Frequencies,
        positions: usize,
        pairing: Pairing,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let width = 2 * frequencies.pairs.len();
        if width == 0 {
            bail!("rotary vectors have at least one pair");
        }
        let double = Rope::<f64>::new(frequencies, positions, pairing);
        let tensor = |angles: &[f64]| {
            Tensor::from_slice(angles, (positions, width / 2), &Device::Cpu)?
                .to_dtype(working_dtype(dtype))?
                .to_device(device)
        };
        Ok(Self {
            width,
            positions,
            pairing,
            cosines: tensor(double.cosines())?,
            sines: tensor(double.sines())?,
            single: Arc::new(Rope::new(frequencies, positions, pairing)),
            double: Arc::new(double),
        })
    }
}

/// Rotates every vector of x `[rows, heads, width]` by the angle of its row's position.
///
/// # Errors
/// When the shape does not fit the table, there is not one position per row, or a position is outside the
/// table.
pub fn rope(x: &Tensor, positions: &[usize], table: &Rotary) -> Result<Tensor> {
    let (rows, _, width) = x.dims3()?;
    if width != table.width || positions.len() != rows {
        let (shape, count) = (x.shape(), positions.len());
        bail!("rope of {shape:?} with {count} positions and a table of width {}", table.width);
    }
    if let Some(position) = positions.iter().find(|position| **position >= table.positions) {
        bail!("position {position} is outside a table of {} positions", table.positions);
    }
    if has_kernel(x) {
        let (positions, rotation) = (positions.into(), Rotation::Forward);
        x.contiguous()?.apply_op1(RopeOp { positions, table: table.clone(), rotation })
    } else {
        composed(x, positions, table)
    }
}

/// [`rope`] out of candle's differentiable ops.
fn composed(x: &Tensor, positions: &[usize], table: &Rotary) -> Result<Tensor> {
    let (rows, heads, width) = x.dims3()?;
    let half = width / 2;
    let places: Vec<u32> = positions.iter().map(|position| *position as u32).collect();
    let places = Tensor::from_vec(places, rows, x.device())?;
    let wide = x.to_dtype(working_dtype(x.dtype()))?;
    let at =
        |angles: &Tensor| angles.index_select(&places, 0)?.unsqueeze(1)?.to_dtype(wide.dtype());
    let (cosines, sines) = (at(&table.cosines)?, at(&table.sines)?);
    let (first, second) = match table.pairing {
        Pairing::Halves => (wide.narrow(D::Minus1, 0, half)?, wide.narrow(D::Minus1, half, half)?),
        Pairing::Interleaved => {
            let pairs = wide.reshape((rows, heads, half, 2))?;
            let part = |index| pairs.narrow(D::Minus1, index, 1)?.squeeze(D::Minus1);
            (part(0)?, part(1)?)
        }
    };
    let turned = [
        (first.broadcast_mul(&cosines)? - second.broadcast_mul(&sines)?)?,
        (first.broadcast_mul(&sines)? + second.broadcast_mul(&cosines)?)?,
    ];
    let rotated = match table.pairing {
        Pairing::Halves => Tensor::cat(&turned, D::Minus1)?,
        Pairing::Interleaved => Tensor::stack(&turned, 3)?.reshape((rows, heads, width))?,
    };
    rotated.to_dtype(x.dtype())
}

/// The kernel as a candle op.
struct RopeOp {
    positions: Arc<[usize]>,
    table: Rotary,
    rotation: Rotation,
}

impl RopeOp {
    fn forward<T: Element>(&self, x: &[T], row_width: usize, rope: &Rope<T>) -> CpuStorage {
        let mut rotated = x.to_vec();
        for (row, position) in rotated.chunks_mut(row_width.max(1)).zip(&*self.positions) {
            for vector in row.chunks_mut(self.table.width) {
                rope.rotate(vector, *position, self.rotation);
            }
        }
        T::to_cpu_storage_owned(rotated)
    }
}

impl CustomOp1 for RopeOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let row_width = layout.dims()[1..].iter().product();
        let rotated = match x {
            CpuStorage::F32(_) => self.forward(slice(x, layout)?, row_width, &self.table.single),
            CpuStorage::F64(_) => self.forward(slice(x, layout)?, row_width, &self.table.double),
            _ => bail!("{NAME} has kernels for f32 and f64 only"),
        };
        Ok((rotated, layout.shape().clone()))
    }

    /// A rotation's transpose is its inverse.
    fn bwd(&self, _x: &Tensor, _rotated: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let back = Self {
            positions: self.positions.clone(),
            table: self.table.clone(),
            rotation: self.rotation.inverted(),
        };
        upstream.contiguous()?.apply_op1_no_bwd(&back).map(Some)
    }
}

/// The op on a device in both pairings against its composition in `f64`.
pub(super) fn selftest(device: &Device) -> Result<Outcome> {
    let (inputs, positions) = ([random(6, &[5, 2, 12])], [0, 3, 1, 0, 9]);
    let mut worst = Outcome::default();
    for pairing in [Pairing::Halves, Pairing::Interleaved] {
        let table = |dtype, device: &Device| {
            let frequencies = Frequencies::geometric(12, 1e4);
            Rotary::new(&frequencies, 10, pairing, dtype, device)
        };
        let (narrow, wide) = (table(DType::F32, device)?, table(DType::F64, &Device::Cpu)?);
        let op = |x: &[Tensor]| rope(&x[0], &positions, &narrow);
        let reference = |x: &[Tensor]| composed(&x[0], &positions, &wide);
        worst = worst.max(compare(device, &inputs, &op, &reference)?);
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::super::testing::agree;
    use super::*;

    const POSITIONS: [usize; 5] = [0, 3, 1, 0, 9];

    fn table(pairing: Pairing) -> Rotary {
        Rotary::new(&Frequencies::geometric(6, 100.0), 10, pairing, DType::F64, &Device::Cpu)
            .unwrap()
    }

    #[test]
    fn kernel_composition_and_finite_differences_agree_in_both_pairings() {
        let inputs = [random(31, &[5, 2, 6])];
        for pairing in [Pairing::Halves, Pairing::Interleaved] {
            let table = table(pairing);
            agree(
                &inputs,
                1e-6,
                |x| rope(&x[0], &POSITIONS, &table),
                |x| composed(&x[0], &POSITIONS, &table),
            );
        }
    }

    #[test]
    fn position_zero_rotates_nothing_and_every_other_changes_the_vector_but_not_its_length() {
        let x = random(32, &[5, 2, 6]);
        for pairing in [Pairing::Halves, Pairing::Interleaved] {
            let y = rope(&x, &POSITIONS, &table(pairing)).unwrap();
            let (before, after) = (x.to_vec3::<f64>().unwrap(), y.to_vec3::<f64>().unwrap());
            for (row, position) in POSITIONS.iter().enumerate() {
                assert_eq!(before[row] == after[row], *position == 0, "row {row}");
                for (a, b) in before[row].iter().zip(&after[row]) {
                    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
                    assert!((norm(a) - norm(b)).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn single_precision_uses_its_own_table() {
        let x = random(33, &[5, 2, 6]);
        let single = x.to_dtype(DType::F32).unwrap();
        for pairing in [Pairing::Halves, Pairing::Interleaved] {
            let narrow = rope(&single, &POSITIONS, &table(pairing)).unwrap();
            let wide = rope(&x, &POSITIONS, &table(pairing)).unwrap();
            let error = (narrow.to_dtype(DType::F64).unwrap() - wide).unwrap().abs().unwrap();
            assert!(error.max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-5);
        }
    }

    #[test]
    fn shapes_and_positions_outside_the_table_are_refused() {
        let table = table(Pairing::Halves);
        assert!(rope(&random(34, &[1, 2, 4]), &[0], &table).is_err());
        assert!(rope(&random(34, &[2, 2, 6]), &[0], &table).is_err());
        assert!(rope(&random(34, &[1, 2, 6]), &[10], &table).is_err());
        assert!(
            Rotary::new(
                &Frequencies::geometric(1, 100.0),
                10,
                Pairing::Halves,
                DType::F64,
                &Device::Cpu
            )
            .is_err()
        );
    }
}
