//! Whether cost follows active or stored experts: generation while the routed experts double.
//!
//! All models are measured by turns in one process, so that the ratio does not depend on the hour.

use super::Case;
use super::generate::{LONGEST, PROMPT, work};
use super::sampling::{Lengths, generate, policy, requests};
use crate::failure::Failure;
use crate::measure::{Options, Samples, limit_seconds, rate_row};
use crate::row::Row;
use crate::shape::{BIG_MOE, PRECISIONS, Precision, SMALL_MOE, Shape};

/// Routed experts, of which a token goes through two.
const EXPERTS: [usize; 3] = [8, 16, 32];

/// The workloads.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for precision in PRECISIONS {
        for shape in [SMALL_MOE, BIG_MOE] {
            let id = format!("moe-scaling/{}/{}", shape.name, precision.name());
            cases.push(Case::new(id.clone(), move |options| run(&id, &shape, *precision, options)));
        }
    }
    cases
}

fn run(
    id: &str,
    shape: &Shape,
    precision: Precision,
    options: &Options,
) -> Result<Vec<Row>, Failure> {
    let groups = Lengths::Full.groups();
    let mut models = Vec::new();
    for experts in EXPERTS {
        let shape = Shape { routed_experts: Some(experts), ..*shape };
        let (mut policy, cost) = policy(&shape, precision, PROMPT + LONGEST, options)?;
        let requests = requests(&shape, PROMPT, &groups);
        generate(&mut *policy, &requests, 0)?;
        models.push((policy, cost, requests, Samples::default()));
    }
    let (mut count, begun) = (0, std::time::Instant::now());
    for round in 1.. {
        for (policy, _, requests, samples) in &mut models {
            let tick = options.now();
            count = generate(&mut **policy, requests, round)?;
            samples.seconds.push(tick.seconds());
        }
        if options.enough(round as usize, begun.elapsed().as_secs_f64()) {
            break;
        }
    }
    let mut rows = Vec::new();
    for (experts, (_, cost, _, samples)) in EXPERTS.iter().zip(&models) {
        let limit = limit_seconds(work(cost, &groups), precision, options);
        let id = format!("{id}/{experts}-experts");
        rows.push(rate_row(&id, "tokens/s", count as f64, samples, limit));
    }
    let least = &models[0].3.seconds;
    for (experts, (.., samples)) in EXPERTS.iter().zip(&models).skip(1) {
        let ratios: Vec<f64> = samples.seconds.iter().zip(least).map(|(a, b)| a / b).collect();
        let id = format!("{id}/{experts}-over-{}", EXPERTS[0]);
        rows.push(Row::new(&id, "x time", &ratios, None));
    }
    Ok(rows)
}
