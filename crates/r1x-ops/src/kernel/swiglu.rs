//! The activation of a SwiGLU feed-forward (Shazeer, 2020, arXiv 2002.05202): act = silu(gate_proj) · up_proj.

use crate::operand::Operand;
use crate::real::Real;
use crate::simd::vectorized;

/// 1 / (1 + e^−x).
#[inline(always)]
pub fn sigmoid<R: Real>(x: R) -> R {
    R::ONE / (R::ONE + (-x).exp())
}

#[inline(always)]
fn forward<E: Operand>(gate_proj: &[E::Real], up_proj: &[E::Real], act: &mut [E]) {
    for ((act, gate_proj), up_proj) in act.iter_mut().zip(gate_proj).zip(up_proj) {
        *act = E::round(*gate_proj * sigmoid(*gate_proj) * *up_proj);
    }
}

#[inline(always)]
fn backward<E: Operand>(
    gate_proj: &[E::Real],
    up_proj: &[E::Real],
    dact: &[E::Real],
    d_gate_proj: &mut [E],
    d_up_proj: &mut [E],
) {
    for (((gate_proj, up_proj), dact), (d_gate_proj, d_up_proj)) in
        gate_proj.iter().zip(up_proj).zip(dact).zip(d_gate_proj.iter_mut().zip(d_up_proj))
    {
        (*d_gate_proj, *d_up_proj) = backward_element(*gate_proj, *up_proj, *dact);
    }
}

/// (d_gate_proj, d_up_proj)
#[inline(always)]
fn backward_element<E: Operand>(gate_proj: E::Real, up_proj: E::Real, dact: E::Real) -> (E, E) {
    let s = sigmoid(gate_proj);
    let d_gate_proj = dact * up_proj * s * (E::Real::ONE + gate_proj * (E::Real::ONE - s));
    (E::round(d_gate_proj), E::round(dact * gate_proj * s))
}

vectorized! {
    /// act = gate_proj·sigmoid(gate_proj)·up_proj, element by element.
    pub fn swiglu<E: Operand>(gate_proj: &[E::Real], up_proj: &[E::Real], act: &mut [E]) {
        forward(gate_proj, up_proj, act);
    }
}

vectorized! {
    /// d_gate_proj and d_up_proj (overwritten) for upstream dact.
    pub fn swiglu_backward<E: Operand>(
        gate_proj: &[E::Real],
        up_proj: &[E::Real],
        dact: &[E::Real],
        d_gate_proj: &mut [E],
        d_up_proj: &mut [E],
    ) {
        backward(gate_proj, up_proj, dact, d_gate_proj, d_up_proj);
    }
}

vectorized! {
    /// act = silu(gate_proj) · up_proj for rows of `width` numbers of the gate projection followed by as many of the up
    /// projection, as one product leaves them.
    pub fn swiglu_rows<E: Operand>(gate_up_proj: &[E::Real], width: usize, act: &mut [E]) {
        for (row, act) in gate_up_proj.chunks_exact(2 * width).zip(act.chunks_exact_mut(width)) {
            forward(&row[..width], &row[width..], act);
        }
    }
}

vectorized! {
    /// d_gate_up_proj (overwritten, laid out as `gate_up_proj`) for upstream dact. Both projections come as operands,
    /// which is how they are kept between the passes.
    pub fn swiglu_rows_backward<E: Operand>(
        gate_up_proj: &[E],
        width: usize,
        dact: &[E::Real],
        d_gate_up_proj: &mut [E],
    ) {
        let rows = gate_up_proj.chunks_exact(2 * width).zip(d_gate_up_proj.chunks_exact_mut(2 * width));
        for ((row, d_row), dact) in rows.zip(dact.chunks_exact(width)) {
            let (gate_proj, up_proj) = row.split_at(width);
            let (d_gate_proj, d_up_proj) = d_row.split_at_mut(width);
            for (((gate_proj, up_proj), dact), (d_gate_proj, d_up_proj)) in
                gate_proj.iter().zip(up_proj).zip(dact).zip(d_gate_proj.iter_mut().zip(d_up_proj))
            {
                (*d_gate_proj, *d_up_proj) = backward_element(gate_proj.widen(), up_proj.widen(), *dact);
            }
        }
    }
}
