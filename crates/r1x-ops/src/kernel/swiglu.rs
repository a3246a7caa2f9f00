//! The gate of a SwiGLU feed-forward (Shazeer, 2020): act = silu(gate) · up.
//!
//! Must not know the projections around it.

use crate::real::Real;
use crate::simd::vectorized;

/// 1 / (1 + e^−x).
#[inline(always)]
pub fn sigmoid<R: Real>(x: R) -> R {
    R::ONE / (R::ONE + (-x).exp())
}

vectorized! {
    /// act = gate·sigmoid(gate)·up, element by element.
    pub fn swiglu<R: Real>(gate: &[R], up: &[R], act: &mut [R]) {
        for ((act, gate), up) in act.iter_mut().zip(gate).zip(up) {
            *act = *gate * sigmoid(*gate) * *up;
        }
    }
}

vectorized! {
    /// dgate and dup (overwritten) for upstream dact.
    pub fn swiglu_backward<R: Real>(gate: &[R], up: &[R], dact: &[R], dgate: &mut [R], dup: &mut [R]) {
        for (((gate, up), dact), (dgate, dup)) in
            gate.iter().zip(up).zip(dact).zip(dgate.iter_mut().zip(dup))
        {
            let s = sigmoid(*gate);
            *dup = *dact * *gate * s;
            *dgate = *dact * *up * s * (R::ONE + *gate * (R::ONE - s));
        }
    }
}
