//! What the factors of matrix products are stored as: `f32`, `f64`, or `bf16` with sums in `f32`.
//!
//! Everything that is no factor of a product (the residual stream, norms, softmax, gradients, weights' masters) is
//! an [`Operand::Real`].

use half::bf16;

use crate::kernel::matmul::{Product, product_bf16, product_f32, product_portable};
use crate::real::Real;

/// A factor of a matrix product.
pub trait Operand:
    Source<Self> + Copy + Send + Sync + Default + PartialEq + std::fmt::Debug + 'static
{
    /// What sums of products are; itself an operand, for products that must not round their factors.
    type Real: Real + Source<Self> + Operand<Real = Self::Real>;
    /// How many elements along the summed dimension lie side by side in packed matrices.
    const PACK: usize;
    /// The word used in plans.
    const NAME: &'static str;
    /// Rounds to the nearest, ties to even.
    fn round(value: Self::Real) -> Self;
    /// The operand's value as a real.
    fn widen(self) -> Self::Real;
    /// Reals as operands: themselves where no rounding is needed, else rounded into `buffer`.
    fn rounded<'a>(values: &'a [Self::Real], buffer: &'a mut Vec<Self>) -> &'a [Self];
    /// What an earlier [`Operand::rounded`] gave: needs the reals and the buffer that it was given.
    fn as_rounded<'a>(values: &'a [Self::Real], buffer: &'a [Self]) -> &'a [Self];
    /// The fastest matrix product for this type.
    fn product(product: Product<'_, Self>);
}

/// A type whose sums are of the same type, so that nothing is rounded.
macro_rules! exact {
    ($type:ident, $product:ident) => {
        impl Operand for $type {
            type Real = $type;
            const PACK: usize = 1;
            const NAME: &'static str = stringify!($type);
            #[inline(always)]
            fn round(value: $type) -> Self {
                value
            }
            #[inline(always)]
            fn widen(self) -> $type {
                self
            }
            fn rounded<'a>(values: &'a [$type], _: &'a mut Vec<Self>) -> &'a [Self] {
                values
            }
            fn as_rounded<'a>(values: &'a [$type], _: &'a [Self]) -> &'a [Self] {
                values
            }
            fn product(product: Product<'_, Self>) {
                $product(product);
            }
        }
    };
}

exact!(f32, product_f32);
exact!(f64, product_portable);

impl Operand for bf16 {
    type Real = f32;
    const PACK: usize = 2;
    const NAME: &'static str = "bf16";
    #[inline(always)]
    fn round(value: f32) -> Self {
        round_bf16(value)
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    fn rounded<'a>(values: &'a [f32], buffer: &'a mut Vec<Self>) -> &'a [Self] {
        if buffer.len() < values.len() {
            buffer.resize(values.len(), bf16::ZERO);
        }
        round_all(values, buffer);
        &buffer[..values.len()]
    }
    fn as_rounded<'a>(values: &'a [f32], buffer: &'a [Self]) -> &'a [Self] {
        &buffer[..values.len()]
    }
    fn product(product: Product<'_, Self>) {
        product_bf16(product);
    }
}

/// Nearest, ties to even; NaN stays NaN. No branches, so that loops over it vectorise.
#[inline(always)]
fn round_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    let nan = bits & 0x7fff_ffff > 0x7f80_0000;
    bf16::from_bits(if nan { quiet } else { rounded } as u16)
}

/// Rounds a slice into the beginning of another.
pub fn round_all<E: Operand>(values: &[E::Real], operands: &mut [E]) {
    crate::simd::vectorize(|| {
        for (operand, value) in operands.iter_mut().zip(values) {
            *operand = E::round(*value);
        }
    });
}

/// Something a packed matrix can be made from: an operand, or a real that is rounded on the way.
pub trait Source<E>: Copy {
    /// As an operand.
    fn operand(self) -> E;
}

impl<E: Operand> Source<E> for E {
    #[inline(always)]
    fn operand(self) -> E {
        self
    }
}

impl Source<bf16> for f32 {
    #[inline(always)]
    fn operand(self) -> bf16 {
        round_bf16(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_half_crate_for_all_sorts_of_values() {
        let mut bits = 0x1234_5678u32;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(bits);
            let (ours, theirs) = (bf16::round(value), bf16::from_f32(value));
            assert!(
                ours == theirs || (ours.is_nan() && theirs.is_nan()),
                "{value:e}: {ours} against {theirs}"
            );
        }
        for value in [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1.003_906_2] {
            assert_eq!(bf16::round(value).to_bits(), bf16::from_f32(value).to_bits(), "{value}");
        }
        assert!(bf16::round(f32::NAN).is_nan());
    }
}
