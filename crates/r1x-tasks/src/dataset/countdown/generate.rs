//! The generator: distinct solvable problems, drawn by position-addressed chance.
//!
//! Numbers are drawn uniformly and independently, then a target uniformly among those in range that they reach; a
//! problem seen before is drawn again. Where the space is small enough to list, it is listed first: the count of
//! problems is then exact, and the last ones are found however rare they are.

use std::collections::{BTreeMap, HashSet};

use r1x_core::{Position, Rng};

use super::solve::Table;
use super::{Drawn, Rules, between};
use crate::error::TaskError;

/// A space is listed when the work for it is at most this; the unit is about a tenth of a microsecond.
const MOST_WORK: u64 = 300_000;
/// Draws per wanted problem before the rest is taken from the list, or given up without one.
const DRAWS_PER_PROBLEM: usize = 20;
/// Draws allowed however few problems are wanted.
const LEAST_DRAWS: usize = 1_000;

/// Every set of numbers, sorted, with its reachable targets in range, ascending.
pub(super) type Space = BTreeMap<Vec<u32>, Vec<u32>>;

/// `wanted` problems, all different by canonical form. The first ones do not depend on how many are wanted.
pub(super) fn draw(rules: &Rules, wanted: usize, rng: Rng) -> Result<Vec<Drawn>, TaskError> {
    let space = listed(rules, wanted)?;
    let stream = rng.stream("countdown.problem");
    let mut drawn = Vec::new();
    let mut seen = HashSet::new();
    let draws = wanted.saturating_mul(DRAWS_PER_PROBLEM).max(LEAST_DRAWS);
    for draw in 0..draws {
        if drawn.len() == wanted {
            return Ok(drawn);
        }
        let mut chance = stream.at(&[draw as u64]);
        if let Some(problem) = attempt(rules, space.as_ref(), &mut chance)
            && seen.insert(problem.canonical())
        {
            drawn.push(problem);
        }
    }
    let lacking = wanted - drawn.len();
    match space {
        Some(space) => drawn.extend(rest(&space, &seen, lacking, rng)),
        None if lacking > 0 => {
            return Err(TaskError::RareProblems { found: drawn.len(), wanted, draws });
        }
        None => {}
    }
    Ok(drawn)
}

/// The space where it is small enough to list: milliseconds.
///
/// # Errors
/// When it holds fewer problems than are wanted.
pub(super) fn listed(rules: &Rules, wanted: usize) -> Result<Option<Space>, TaskError> {
    if work(rules) > MOST_WORK {
        return Ok(None);
    }
    let space = list(rules);
    let found = space.values().map(Vec::len).sum();
    if found < wanted {
        return Err(TaskError::TooFewProblems { found, wanted });
    }
    Ok(Some(space))
}

fn attempt(rules: &Rules, space: Option<&Space>, chance: &mut Position) -> Option<Drawn> {
    let count = between(rules.counts.0 as u32, rules.counts.1 as u32, chance);
    let (low, high) = rules.numbers;
    let numbers: Vec<u32> = (0..count).map(|_| between(low, high, chance)).collect();
    let computed;
    let targets = match space {
        Some(space) => {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            space.get(&sorted)?
        }
        None => {
            computed = targets(rules, &numbers);
            &computed
        }
    };
    if targets.is_empty() {
        return None;
    }
    let target = targets[chance.below(targets.len() as u64) as usize];
    Some(Drawn { numbers, target })
}

fn targets(rules: &Rules, numbers: &[u32]) -> Vec<u32> {
    let (low, high) = rules.targets;
    let table = Table::new(numbers, &rules.operations, rules.bound);
    table.values().filter(|value| (low..=high).contains(value)).collect()
}

/// About how long listing the space takes: the number of multisets, weighted by the size of their tables.
fn work(rules: &Rules) -> u64 {
    let range = u64::from(rules.numbers.1 - rules.numbers.0) + 1;
    let mut total = 0_u64;
    for count in rules.counts.0..=rules.counts.1 {
        let mut multisets = 1_u64;
        for taken in 0..count as u64 {
            // The division is exact: these are binomial coefficients, built up factor by factor.
            multisets = multisets.saturating_mul(range + taken) / (taken + 1);
        }
        total = total.saturating_add(multisets.saturating_mul(8_u64.pow(count as u32 - 1)));
    }
    total
}

fn list(rules: &Rules) -> Space {
    let mut space = Space::new();
    for count in rules.counts.0..=rules.counts.1 {
        let mut numbers = vec![rules.numbers.0; count];
        loop {
            space.insert(numbers.clone(), targets(rules, &numbers));
            // The next multiset: raise the last number that can be, and level those after it.
            let Some(at) = numbers.iter().rposition(|&number| number < rules.numbers.1) else {
                break;
            };
            let raised = numbers[at] + 1;
            numbers[at..].fill(raised);
        }
    }
    space
}

/// Problems not seen yet, in random order.
fn rest(space: &Space, seen: &HashSet<(Vec<u32>, u32)>, lacking: usize, rng: Rng) -> Vec<Drawn> {
    let all = space.iter().flat_map(|(numbers, targets)| {
        targets.iter().map(move |&target| (numbers.clone(), target))
    });
    let mut left: Vec<(Vec<u32>, u32)> = all.filter(|problem| !seen.contains(problem)).collect();
    let mut chance = rng.stream("countdown.rest").at(&[]);
    chance.shuffle(&mut left);
    left.truncate(lacking);
    let shown = |(mut numbers, target): (Vec<u32>, u32)| {
        chance.shuffle(&mut numbers);
        Drawn { numbers, target }
    };
    left.into_iter().map(shown).collect()
}
