//! The matrix product at the shapes that occur: x·Wᵀ with W packed once, one thread.

use half::bf16;
use r1x_ops::Operand;
use r1x_ops::kernel::Write;
use r1x_ops::kernel::matmul::{Right, matmul, pack_columns, packed_len};

use super::Case;
use crate::failure::Failure;
use crate::measure::{Options, limit_seconds, rate_row, repeat};
use crate::row::Row;
use crate::shape::{PRECISIONS, Precision};
use crate::work::Work;

/// Rows: one and two sequences decoding, a small and a full batch, a training step.
const ROWS: [usize; 5] = [1, 2, 16, 128, 2560];

/// (k, n): the squares and the feed-forward of each model, and its head.
const SHAPES: [(&str, &[(usize, usize)]); 2] = [
    ("small", &[(256, 256), (256, 768), (768, 256), (256, 512)]),
    ("big", &[(512, 512), (512, 1536), (1536, 512), (512, 8192)]),
];

/// Operations of one repetition at least, so that the clock does not matter.
const LEAST_FLOPS: f64 = 2e8;

/// The workloads.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for precision in PRECISIONS {
        for (model, shapes) in SHAPES {
            let id = format!("matmul/{model}/{}", precision.name());
            cases.push(Case::new(id.clone(), move |options| run(&id, shapes, *precision, options)));
        }
    }
    cases
}

fn run(
    id: &str,
    shapes: &[(usize, usize)],
    precision: Precision,
    options: &Options,
) -> Result<Vec<Row>, Failure> {
    let options = Options { threads: 1, ..*options };
    let mut rows = Vec::new();
    for (k, n) in shapes {
        for m in ROWS {
            let flops = 2.0 * (m * k * n) as f64;
            let calls = (LEAST_FLOPS / flops).ceil().max(1.0);
            let mut product: Box<dyn FnMut()> = match precision {
                Precision::F32 => Box::new(product::<f32>(m, *k, *n)),
                Precision::Bf16 => Box::new(product::<bf16>(m, *k, *n)),
            };
            let samples = repeat(&options, || {
                for _ in 0..calls as usize {
                    product();
                }
                Ok(None)
            })?;
            let amount = calls * flops;
            let work = Work { flops: amount, bytes: 0.0 };
            let limit = limit_seconds(work, precision, &options);
            let id = format!("{id}/{m}x{k}x{n}");
            let mut row = rate_row(&id, "GFLOP/s", amount / 1e9, &samples, limit);
            row.allocations = None;
            rows.push(row);
        }
    }
    Ok(rows)
}

/// One product, again at every call.
fn product<E: Operand<Real = f32>>(m: usize, k: usize, n: usize) -> impl FnMut() {
    let values = |count: usize| -> Vec<E> {
        (0..count).map(|at| E::round(((at * 37 % 101) as f32 - 50.0) / 50.0)).collect()
    };
    let (x, weight) = (values(m * k), values(n * k));
    let mut panels = vec![E::default(); packed_len::<E>(k, n)];
    pack_columns(&weight, k, k, n, &mut panels);
    let mut y = vec![0.0; m * n];
    move || {
        matmul(&x, Right::panels(&panels, k), &mut y, m, k, n, Write::Overwrite);
        std::hint::black_box(&mut y);
    }
}
