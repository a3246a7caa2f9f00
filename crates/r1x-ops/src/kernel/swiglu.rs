//! The gate of a SwiGLU feed-forward (Shazeer, 2020): act = silu(gate) · up.

use crate::operand::Operand;
use crate::real::Real;
use crate::simd::vectorized;

/// 1 / (1 + e^−x).
#[inline(always)]
pub fn sigmoid<R: Real>(x: R) -> R {
    R::ONE / (R::ONE + (-x).exp())
}

#[inline(always)]
fn forward<E: Operand>(gate: &[E::Real], up: &[E::Real], act: &mut [E]) {
    for ((act, gate), up) in act.iter_mut().zip(gate).zip(up) {
        *act = E::round(*gate * sigmoid(*gate) * *up);
    }
}

#[inline(always)]
fn backward<E: Operand>(
    gate: &[E::Real],
    up: &[E::Real],
    dact: &[E::Real],
    dgate: &mut [E],
    dup: &mut [E],
) {
    for (((gate, up), dact), (dgate, dup)) in
        gate.iter().zip(up).zip(dact).zip(dgate.iter_mut().zip(dup))
    {
        (*dgate, *dup) = backward_element(*gate, *up, *dact);
    }
}

/// (dgate, dup)
#[inline(always)]
fn backward_element<E: Operand>(gate: E::Real, up: E::Real, dact: E::Real) -> (E, E) {
    let s = sigmoid(gate);
    let dgate = dact * up * s * (E::Real::ONE + gate * (E::Real::ONE - s));
    (E::round(dgate), E::round(dact * gate * s))
}

vectorized! {
    /// act = gate·sigmoid(gate)·up, element by element.
    pub fn swiglu<E: Operand>(gate: &[E::Real], up: &[E::Real], act: &mut [E]) {
        forward(gate, up, act);
    }
}

vectorized! {
    /// dgate and dup (overwritten) for upstream dact.
    pub fn swiglu_backward<E: Operand>(
        gate: &[E::Real],
        up: &[E::Real],
        dact: &[E::Real],
        dgate: &mut [E],
        dup: &mut [E],
    ) {
        backward(gate, up, dact, dgate, dup);
    }
}

vectorized! {
    /// act = silu(gate) · up for rows of `width` gates followed by as many ups, as one product leaves them.
    pub fn swiglu_rows<E: Operand>(gate_up: &[E::Real], width: usize, act: &mut [E]) {
        for (row, act) in gate_up.chunks_exact(2 * width).zip(act.chunks_exact_mut(width)) {
            forward(&row[..width], &row[width..], act);
        }
    }
}

vectorized! {
    /// d_gate_up (overwritten, laid out as `gate_up`) for upstream dact. Gates and ups come as operands, which is
    /// how they are kept between the passes.
    pub fn swiglu_rows_backward<E: Operand>(
        gate_up: &[E],
        width: usize,
        dact: &[E::Real],
        d_gate_up: &mut [E],
    ) {
        let rows = gate_up.chunks_exact(2 * width).zip(d_gate_up.chunks_exact_mut(2 * width));
        for ((row, d_row), dact) in rows.zip(dact.chunks_exact(width)) {
            let (gate, up) = row.split_at(width);
            let (dgate, dup) = d_row.split_at_mut(width);
            for (((gate, up), dact), (dgate, dup)) in
                gate.iter().zip(up).zip(dact).zip(dgate.iter_mut().zip(dup))
            {
                (*dgate, *dup) = backward_element(gate.widen(), up.widen(), *dact);
            }
        }
    }
}
