//! Rotary position embedding (Su et al., 2021) in its two layouts.
//!
//! Llama and Qwen rotate the pairs (i, i + d/2), DeepSeek the pairs (2i, 2i + 1).

use crate::operand::Operand;
use crate::real::Real;
use crate::simd::vectorized;

/// Which elements form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// (i, i + d/2).
    Halves,
    /// (2i, 2i + 1).
    Interleaved,
}

/// Which way vectors are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// By the angle of their position.
    Forward,
    /// Back by that angle. This is the backward pass too: the transpose of a rotation is its inverse, and a factor on
    /// the vectors is the factor on their gradients.
    Inverse,
}

impl Rotation {
    /// The rotation that undoes this one.
    pub fn inverted(self) -> Self {
        match self {
            Rotation::Forward => Rotation::Inverse,
            Rotation::Inverse => Rotation::Forward,
        }
    }

    /// The sine of the angle, given the one of the position.
    #[inline(always)]
    fn sine<R: Real>(self, sine: R) -> R {
        match self {
            Rotation::Forward => sine,
            Rotation::Inverse => -sine,
        }
    }
}

/// How fast the pairs of a vector turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Frequencies {
    /// The angle of each pair from one position to the next, in radians.
    pub pairs: Vec<f64>,
    /// Factor on cosines and sines: 1 unless vectors also change their length.
    pub factor: f64,
}

impl Frequencies {
    /// The frequencies theta^(−2i/width) of vectors of even `width`.
    pub fn geometric(width: usize, theta: f64) -> Self {
        let pair = |i: usize| theta.powf(-2.0 * i as f64 / width as f64);
        Self { pairs: (0..width / 2).map(pair).collect(), factor: 1.0 }
    }
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
    /// A table for `positions` positions of vectors that are twice as wide as there are frequencies.
    pub fn new(frequencies: &Frequencies, positions: usize, pairing: Pairing) -> Self {
        let half = frequencies.pairs.len();
        let mut cosines = Vec::with_capacity(positions * half);
        let mut sines = Vec::with_capacity(positions * half);
        for position in 0..positions {
            for frequency in &frequencies.pairs {
                let angle = position as f64 * frequency;
                cosines.push(R::from_f64(frequencies.factor * angle.cos()));
                sines.push(R::from_f64(frequencies.factor * angle.sin()));
            }
        }
        Self { width: 2 * half, pairing, cosines, sines }
    }

    /// Cosine of every angle, `[positions, width / 2]`.
    pub fn cosines(&self) -> &[R] {
        &self.cosines
    }

    /// Sine of every angle, `[positions, width / 2]`.
    pub fn sines(&self) -> &[R] {
        &self.sines
    }

    /// Rotates `x[..width]` in place by the angle of `position`, or back.
    #[inline]
    pub fn rotate(&self, x: &mut [R], position: usize, rotation: Rotation) {
        let half = self.width / 2;
        let cosines = &self.cosines[position * half..(position + 1) * half];
        let sines = &self.sines[position * half..(position + 1) * half];
        for (i, (cosine, sine)) in cosines.iter().zip(sines).enumerate() {
            let (first, second) = match self.pairing {
                Pairing::Halves => (i, i + half),
                Pairing::Interleaved => (2 * i, 2 * i + 1),
            };
            let sine = rotation.sine(*sine);
            let (a, b) = (x[first], x[second]);
            x[first] = a * *cosine - b * sine;
            x[second] = a * sine + b * *cosine;
        }
    }
}

/// Where vectors lie in rows: from `start` on, rows `stride` apart, the vectors of a row `step` apart.
#[derive(Clone, Copy, Debug)]
pub struct Vectors {
    /// The first element of the first vector.
    pub start: usize,
    /// Distance between rows.
    pub stride: usize,
    /// Distance between the vectors of a row.
    pub step: usize,
}

impl Vectors {
    #[inline(always)]
    fn at(&self, row: usize, vector: usize) -> usize {
        self.start + row * self.stride + vector * self.step
    }
}

vectorized! {
    /// Rotates the vectors of every row by the row's position, or back, from `x` into `out`. `heads` are how many vectors a
    /// row has, and how wide they are. Vectors may be wider than the table: what lies behind its width is taken as it is.
    pub fn rotate_rows<E: Operand>(
        rope: &Rope<E::Real>,
        positions: &[usize],
        heads: [usize; 2],
        x: &[E::Real],
        from: Vectors,
        out: &mut [E],
        to: Vectors,
        rotation: Rotation,
    ) {
        let ([count, width], half) = (heads, rope.width / 2);
        for (row, position) in positions.iter().enumerate() {
            let cosines = &rope.cosines[position * half..(position + 1) * half];
            let sines = &rope.sines[position * half..(position + 1) * half];
            for vector in 0..count {
                let x = &x[from.at(row, vector)..][..width];
                let out = &mut out[to.at(row, vector)..][..width];
                let (x, still) = x.split_at(rope.width);
                let (out, kept) = out.split_at_mut(rope.width);
                match rope.pairing {
                    Pairing::Halves => rotate_halves(x, cosines, sines, out, rotation),
                    Pairing::Interleaved => rotate_pairs(x, cosines, sines, out, rotation),
                }
                for (kept, still) in kept.iter_mut().zip(still) {
                    *kept = E::round(*still);
                }
            }
        }
    }
}

#[inline(always)]
fn rotate_halves<E: Operand>(
    x: &[E::Real],
    cosines: &[E::Real],
    sines: &[E::Real],
    out: &mut [E],
    rotation: Rotation,
) {
    let half = cosines.len();
    let sign = rotation.sine(E::Real::ONE);
    let (x, y) = x.split_at(half);
    let (first, second) = out.split_at_mut(half);
    let outputs = first.iter_mut().zip(second);
    for (((x, y), (cosine, sine)), (first, second)) in
        x.iter().zip(y).zip(cosines.iter().zip(sines)).zip(outputs)
    {
        let sine = *sine * sign;
        *first = E::round(*x * *cosine - *y * sine);
        *second = E::round(*x * sine + *y * *cosine);
    }
}

#[inline(always)]
fn rotate_pairs<E: Operand>(
    x: &[E::Real],
    cosines: &[E::Real],
    sines: &[E::Real],
    out: &mut [E],
    rotation: Rotation,
) {
    let sign = rotation.sine(E::Real::ONE);
    for ((x, out), (cosine, sine)) in
        x.chunks_exact(2).zip(out.chunks_exact_mut(2)).zip(cosines.iter().zip(sines))
    {
        let sine = *sine * sign;
        out[0] = E::round(x[0] * *cosine - x[1] * sine);
        out[1] = E::round(x[0] * sine + x[1] * *cosine);
    }
}
