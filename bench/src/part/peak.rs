//! What the machine gives: arithmetic in registers, and memory.
//!
//! The limit of arithmetic is the same loop by processor time, so the share tells how quiet the machine is.

use r1x_ops::peak::Arithmetic;

use super::Case;
use crate::failure::Failure;
use crate::machine;
use crate::measure::Options;
use crate::row::Row;

/// Bursts that are shown; each is the best of a few.
const BURSTS: usize = 5;

/// The workloads.
pub fn cases() -> Vec<Case> {
    let arithmetic = |name: &'static str, arithmetic: Arithmetic| {
        Case::new(format!("peak/{name}"), move |options| flops(name, arithmetic, options))
    };
    vec![
        arithmetic("f32", Arithmetic::F32),
        arithmetic("bf16", Arithmetic::Bf16),
        Case::new("peak/copy", |options| Ok(copy(options))),
    ]
}

/// One core, and all that are used.
fn cores(options: &Options) -> Vec<usize> {
    if options.threads == 1 { vec![1] } else { vec![1, options.threads] }
}

fn flops(name: &str, arithmetic: Arithmetic, options: &Options) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for cores in cores(options) {
        let bursts: Option<Vec<_>> =
            (0..BURSTS).map(|_| machine::peak(arithmetic, cores)).collect();
        let Some(bursts) = bursts else {
            return Err(Failure::new(
                format!("this processor has no multiply-add for {name}"),
                "nothing to mend: the row is left out",
            ));
        };
        let walls: Vec<f64> = bursts.iter().map(|burst| burst.wall / 1e9).collect();
        let limit = bursts.iter().map(|burst| burst.cpu / 1e9).fold(0.0, f64::max);
        rows.push(Row::new(&format!("peak/{name}/{cores}-core"), "GFLOP/s", &walls, Some(limit)));
    }
    Ok(rows)
}

fn copy(options: &Options) -> Vec<Row> {
    let row = |cores: usize| {
        let rates: Vec<f64> =
            (0..BURSTS).map(|_| machine::copy_bandwidth(cores) / f64::from(1 << 30)).collect();
        Row::new(&format!("peak/copy/{cores}-core"), "GiB/s", &rates, None)
    };
    cores(options).into_iter().map(row).collect()
}
