//! The product against plain sums, every level against the portable form, rows against batches.

use super::*;
use crate::simd::{Level, level};

/// Values in [-0.5, 0.5).
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

fn operands<E: Operand<Real = f32>>(count: usize, seed: u32) -> Vec<E> {
    values(count, seed).into_iter().map(E::round).collect()
}

/// One product at m × n × k with padded rows; `turned` reads A as the columns of a panel.
fn run<E: Operand<Real = f32>>(
    kernel: fn(Product<'_, E>),
    (m, n, k): (usize, usize, usize),
    turned: bool,
    write: Write,
) -> Vec<f32> {
    let a = operands::<E>(m * (k + 1), 1);
    let b = operands::<E>(k * (n + 3), 2);
    let mut c = values(m * (n + 5), 3);
    let mut panels = vec![E::default(); packed_len::<E>(k, n)];
    pack_rows(&b, n + 3, k, n, &mut panels);
    let b = Right::panels(&panels, k);
    let c_stride = n + 5;
    if !turned {
        let a = Left::rows(&a, k + 1);
        kernel(Product { m, n, k, a, b, c: &mut c, c_stride, write });
        return c;
    }
    for (i, rows) in (0..m).step_by(PANEL).zip(c.chunks_mut(PANEL * c_stride)) {
        let m = (m - i).min(PANEL);
        let mut left = vec![E::default(); packed_len::<E>(k, m)];
        pack_columns(&a[i * (k + 1)..], k + 1, k, m, &mut left);
        let a = Left::panel_columns(&left);
        kernel(Product { m, n, k, a, b, c: rows, c_stride, write });
    }
    c
}

/// The kernels that this machine can run, widest last.
fn kernels<E: Operand<Real = f32>>(
    by_level: &[(Level, fn(Product<'_, E>))],
) -> Vec<fn(Product<'_, E>)> {
    by_level.iter().filter(|(needs, _)| *needs <= level()).map(|(_, kernel)| *kernel).collect()
}

fn check<E: Operand<Real = f32>>(kernels: &[fn(Product<'_, E>)], tolerance: f32) {
    for m in [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 31, 247] {
        for n in [1, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 97, 128, 200] {
            for k in [1, 19, 32] {
                let (new, more, on) = (Write::Overwrite, Write::Add, Write::Continue);
                for (turned, write) in
                    [(false, new), (true, more), (false, more), (true, on), (false, on)]
                {
                    let shape = (m, n, k);
                    let expected = run(product_portable::<E>, shape, turned, write);
                    let found: Vec<_> =
                        kernels.iter().map(|kernel| run(*kernel, shape, turned, write)).collect();
                    for result in &found {
                        for (x, y) in result.iter().zip(&expected) {
                            assert!((x - y).abs() < tolerance, "{shape:?}: {x} against {y}");
                        }
                        assert_eq!(result, &found[0], "levels differ at {shape:?}");
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_level_of_f32_agrees_at_every_tail() {
    check::<f32>(
        &kernels(&[(Level::Avx2, x86::product_f32_avx2), (Level::Avx512, x86::product_f32_avx512)]),
        1e-5,
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_level_of_bf16_agrees_bit_for_bit_at_every_tail() {
    check::<bf16>(
        &kernels(&[
            (Level::Avx2, x86::product_bf16_avx2),
            (Level::Avx512, x86::product_bf16_avx512),
            (Level::Avx512Bf16, x86::product_bf16_native),
        ]),
        1e-5,
    );
}

#[test]
fn a_product_is_the_plain_sum() {
    let (m, n, k) = (5, 37, 11);
    let (a, b) = (values(m * k, 7), values(k * n, 8));
    for (write, before) in [(Write::Overwrite, 0.0), (Write::Add, 0.25), (Write::Continue, 0.25)] {
        let mut c = vec![0.25f32; m * n];
        let mut panels = vec![0.0; packed_len::<f32>(k, n)];
        pack_rows(&b, n, k, n, &mut panels);
        matmul(&a, Right::panels(&panels, k), &mut c, m, k, n, write);
        for i in 0..m {
            for j in 0..n {
                let sum: f64 =
                    (0..k).map(|p| f64::from(a[i * k + p]) * f64::from(b[p * n + j])).sum();
                let expected = sum + before;
                assert!((f64::from(c[i * n + j]) - expected).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    rows_alone::<f32>();
    rows_alone::<bf16>();
}

fn rows_alone<E: Operand<Real = f32>>() {
    let (inp, out) = (37, 145);
    let x = operands::<E>(40 * inp, 4);
    let mut panels = vec![E::default(); packed_len::<E>(inp, out)];
    pack_rows(&operands::<E>(inp * out, 5), out, inp, out, &mut panels);
    let w = Right::panels(&panels, inp);
    let mut all = vec![0.0; 40 * out];
    matmul(&x, w, &mut all, 40, inp, out, Write::Overwrite);
    for (start, rows) in [(0, 1), (3, 2), (8, 3), (20, 5), (5, 7), (11, 13), (39, 1)] {
        let mut some = vec![0.0; rows * out];
        matmul(&x[start * inp..], w, &mut some, rows, inp, out, Write::Overwrite);
        assert_eq!(some, all[start * out..(start + rows) * out], "{} {start}", E::NAME);
    }
}

#[test]
fn a_packed_matrix_is_the_matrix_and_its_transpose_packs_alike() {
    packs_alike::<f32>();
    packs_alike::<bf16>();
}

fn packs_alike<E: Operand<Real = f32>>() {
    let (k, n) = (37, 45);
    let b: Vec<E> = (0..k * n).map(|i| E::round((i % 251) as f32)).collect();
    let mut turned = vec![E::default(); k * n];
    crate::kernel::transpose(&b, &mut turned, k, n);
    let mut panels = vec![E::round(-1.0); packed_len::<E>(k, n)];
    pack_rows(&b, n, k, n, &mut panels);
    let mut others = vec![E::round(-1.0); packed_len::<E>(k, n)];
    pack_columns(&turned, k, k, n, &mut others);
    assert_eq!(panels, others);
    let view = Right::panels(&panels, k);
    for p in 0..k {
        for j in 0..n {
            assert_eq!(view.data[view.at(p, j)], b[p * n + j]);
        }
    }
}

#[test]
fn a_weight_gradient_is_the_plain_sum_over_rows() {
    let (m, inp, out, stride) = (600, 35, 41, 44);
    let dy: Vec<f64> = (0..m * stride).map(|i| ((i * 31) % 17) as f64 - 8.0).collect();
    let x: Vec<f64> = (0..m * inp).map(|i| ((i * 13) % 11) as f64 - 5.0).collect();
    let mut dw = vec![1.0; out * inp];
    matmul_weight_gradient((&dy, stride), (&x, inp), &mut dw, m, inp, out, &mut Vec::new());
    // Small integers are exact in `bf16` too.
    let narrow = |v: &Vec<f64>| v.iter().map(|v| bf16::round(*v as f32)).collect::<Vec<_>>();
    let mut dw_narrow = vec![1.0f32; out * inp];
    let (dy_narrow, x_narrow) = (narrow(&dy), narrow(&x));
    let scratch = &mut Vec::new();
    let factors = ((&dy_narrow[..], stride), (&x_narrow[..], inp));
    matmul_weight_gradient(factors.0, factors.1, &mut dw_narrow, m, inp, out, scratch);
    for o in 0..out {
        for i in 0..inp {
            let sum: f64 = (0..m).map(|row| dy[row * stride + o] * x[row * inp + i]).sum();
            assert_eq!(dw[o * inp + i], 1.0 + sum);
            assert_eq!(f64::from(dw_narrow[o * inp + i]), 1.0 + sum);
        }
    }
}

/// A result is rounded at its own size where it is added, and at that of what is there where it goes on from it.
#[test]
fn what_is_added_keeps_the_small_parts_of_its_sum() {
    adds_whole::<f32>();
    adds_whole::<bf16>();
}

fn adds_whole<E: Operand<Real = f32>>() {
    let (k, n) = (64, 37);
    // At 2^24 two is the next number, so each of the products vanishes where it is added alone.
    let before = 16_777_216.0;
    let a = vec![E::round(0.5); k];
    let mut panels = vec![E::default(); packed_len::<E>(k, n)];
    pack_rows(&vec![E::round(1.0); k * n], n, k, n, &mut panels);
    for (write, expected) in [(Write::Add, before + 32.0), (Write::Continue, before)] {
        let mut c = vec![before; n];
        matmul(&a, Right::panels(&panels, k), &mut c, 1, k, n, write);
        assert_eq!(c, vec![expected; n], "{write:?} in {}", E::NAME);
    }
}

/// Columns that come a few at a time are packed as all of them are, and every one can be read again.
fn columns_in_pieces<E: Operand<Real = f32>>()
where
    f32: crate::operand::Source<E>,
{
    for (k, n) in [(1, 1), (7, 5), (16, 32), (33, 70), (64, 96)] {
        let rows = values(n * k, 7);
        let mut expected = vec![E::default(); packed_len::<E>(k, n)];
        pack_columns(&rows, k, k, n, &mut expected);
        for step in [1, 5, 32, 33, 1000] {
            let mut panels = vec![E::default(); expected.len()];
            let pieces: Vec<&[f32]> = rows.chunks(step * k).collect();
            for (index, piece) in pieces.iter().enumerate().rev() {
                pack_columns_from(piece, k, index * step, &mut panels);
            }
            assert_eq!(panels, expected, "{k} x {n} in pieces of {step}");
        }
        let mut column = vec![0.0; k];
        for (j, row) in rows.chunks(k).enumerate() {
            unpack_column(&expected, j, &mut column);
            let rounded: Vec<f32> = row.iter().map(|value| E::round(*value).widen()).collect();
            assert_eq!(column, rounded);
        }
    }
}

#[test]
fn columns_are_packed_in_pieces_and_unpacked() {
    columns_in_pieces::<f32>();
    columns_in_pieces::<bf16>();
}
