//! Rotary position embedding (Su et al., 2021) in its two layouts.
//!
//! Llama and Qwen rotate the pairs (i, i + d/2), DeepSeek the pairs (2i, 2i + 1). Must not know heads'
//! meaning; positions come from the caller.

use crate::real::Real;

/// Which elements form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// (i, i + d/2).
    Halves,
    /// (2i, 2i + 1).
    Interleaved,
}

/// Cosines and sines for every position.
#[derive(Clone, Debug)]
pub struct Rope<R> {
    width: usize,
    pairing: Pairing,
    cosines: Vec<R>,
    sines: Vec<R>,
}

impl<R: Real> Rope<R> {
    /// A table for `positions` positions of vectors of even `width`, frequencies theta^(−2i/width).
    pub fn new(width: usize, positions: usize, theta: f64, pairing: Pairing) -> Self {
        let half = width / 2;
        let mut cosines = Vec::with_capacity(positions * half);
        let mut sines = Vec::with_capacity(positions * half);
        for position in 0..positions {
            for i in 0..half {
                let angle = position as f64 * theta.powf(-2.0 * i as f64 / width as f64);
                cosines.push(R::from_f64(angle.cos()));
                sines.push(R::from_f64(angle.sin()));
            }
        }
        Self { width, pairing, cosines, sines }
    }

    /// Cosine of every angle, `[positions, width / 2]`.
    pub fn cosines(&self) -> &[R] {
        &self.cosines
    }

    /// Sine of every angle, `[positions, width / 2]`.
    pub fn sines(&self) -> &[R] {
        &self.sines
    }

    /// Rotates `x[..width]` in place by the angle of `position`; `inverse` rotates back, which is also the
    /// backward pass, since a rotation's transpose is its inverse.
    #[inline]
    pub fn rotate(&self, x: &mut [R], position: usize, inverse: bool) {
        let half = self.width / 2;
        let cosines = &self.cosines[position * half..(position + 1) * half];
        let sines = &self.sines[position * half..(position + 1) * half];
        for (i, (cosine, sine)) in cosines.iter().zip(sines).enumerate() {
            let (first, second) = match self.pairing {
                Pairing::Halves => (i, i + half),
                Pairing::Interleaved => (2 * i, 2 * i + 1),
            };
            let sine = if inverse { -*sine } else { *sine };
            let (a, b) = (x[first], x[second]);
            x[first] = a * *cosine - b * sine;
            x[second] = a * sine + b * *cosine;
        }
    }
}
