//! What the machine can do at most: multiply-adds that stay in registers, and a pass over memory.
//!
//! Benchmarks put their figures beside these. No clock is read here; who calls also times.

use std::hint::black_box;

use crate::real::Real;
use crate::simd::vectorized;

/// Numbers a multiply-add works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// f32 factors and sums.
    F32,
    /// bf16 factors, f32 sums.
    Bf16,
}

/// Independent sums, enough to hide the latency of a multiply-add on every machine so far.
const CHAINS: usize = 16;

/// Runs `rounds` rounds of independent multiply-adds in registers with the widest instructions there are, and
/// returns the floating-point operations done. `None` when the processor has no instruction for it.
pub fn multiply_add(arithmetic: Arithmetic, rounds: u64) -> Option<u64> {
    let per_round = match arithmetic {
        Arithmetic::F32 => f32_rounds(rounds),
        Arithmetic::Bf16 => bf16_rounds(rounds)?,
    };
    Some(rounds * per_round)
}

#[cfg(target_arch = "x86_64")]
fn f32_rounds(rounds: u64) -> u64 {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the feature the function enables.
        unsafe { x86::f32_avx512(rounds) }
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the features the function enables.
        unsafe { x86::f32_avx2(rounds) }
    } else {
        f32_portable(rounds)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn f32_rounds(rounds: u64) -> u64 {
    f32_portable(rounds)
}

/// A multiplication and an addition for each of some lanes, whatever the compiler makes of it.
fn f32_portable(rounds: u64) -> u64 {
    const LANES: usize = 4 * CHAINS;
    let (a, b) = black_box((0.999_f32, 1e-3_f32));
    let mut sums = [0.0_f32; LANES];
    for _ in 0..rounds {
        sums = sums.map(|sum| sum * a + b);
    }
    black_box(sums);
    2 * LANES as u64
}

#[cfg(target_arch = "x86_64")]
fn bf16_rounds(rounds: u64) -> Option<u64> {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
        // SAFETY: the processor has the features the function enables.
        return Some(unsafe { x86::bf16_avx512(rounds) });
    }
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn bf16_rounds(_: u64) -> Option<u64> {
    None
}

/// The loops themselves; each returns the operations of one round.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps,
        _mm512_fmadd_ps, _mm512_set1_ps,
    };
    use std::hint::black_box;

    use super::CHAINS;

    #[target_feature(enable = "avx512f")]
    pub fn f32_avx512(rounds: u64) -> u64 {
        let (a, b) = black_box((_mm512_set1_ps(0.5), _mm512_set1_ps(1e-3)));
        let mut sums: [__m512; CHAINS] = [_mm512_set1_ps(0.0); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
        black_box(sums);
        (CHAINS * 16 * 2) as u64
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn bf16_avx512(rounds: u64) -> u64 {
        let (a, b) = black_box((_mm512_set1_ps(0.5), _mm512_set1_ps(1e-3)));
        let (a, b) = (_mm512_cvtne2ps_pbh(a, a), _mm512_cvtne2ps_pbh(b, b));
        let mut sums: [__m512; CHAINS] = [_mm512_set1_ps(0.0); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
        black_box(sums);
        // Two products and two additions in each of 16 lanes.
        (CHAINS * 16 * 4) as u64
    }

    /// Twelve chains, because there are only sixteen registers.
    #[target_feature(enable = "avx2,fma")]
    pub fn f32_avx2(rounds: u64) -> u64 {
        const CHAINS: usize = 12;
        let (a, b) = black_box((_mm256_set1_ps(0.5), _mm256_set1_ps(1e-3)));
        let mut sums: [__m256; CHAINS] = [_mm256_set1_ps(0.0); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
        black_box(sums);
        (CHAINS * 8 * 2) as u64
    }
}

/// Reads every element once, at the speed of the memory it lies in; returns a sum, so that the pass is needed.
pub fn read(values: &[f32]) -> f32 {
    sum(values)
}

vectorized! {
    fn sum<R: Real>(values: &[R]) -> R {
        const LANES: usize = 128;
        let mut lanes = [R::ZERO; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            lanes = std::array::from_fn(|lane| lanes[lane] + chunk[lane]);
        }
        let mut total = R::ZERO;
        for value in lanes.iter().chain(rest) {
            total += *value;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_grow_with_the_rounds() {
        let one = multiply_add(Arithmetic::F32, 1).unwrap();
        assert!(one >= 64);
        assert_eq!(multiply_add(Arithmetic::F32, 1000), Some(1000 * one));
        assert_eq!(f32_portable(3), 128);
    }

    #[test]
    #[ignore = "needs avx512_bf16"]
    fn operations_in_bf16_grow_with_the_rounds() {
        let one = multiply_add(Arithmetic::Bf16, 1).unwrap();
        assert_eq!(multiply_add(Arithmetic::Bf16, 10), Some(10 * one));
    }

    #[test]
    fn every_element_is_read_once() {
        for length in [0, 1, 127, 128, 1000] {
            let values: Vec<f32> = (1..=length).map(|value| value as f32).collect();
            assert_eq!(read(&values), (length * (length + 1) / 2) as f32);
        }
    }
}
