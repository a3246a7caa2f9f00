//! What the parts that sample share: policies, prompts, and calls with exact lengths.

use r1x_core::port::GenerateRequest;
pub use r1x_core::testing::sampling;
use r1x_core::{Policy, Rng};
use r1x_model::{Model, model::fresh};
use r1x_ops::device::Device;

use crate::failure::Failure;
use crate::measure::Options;
use crate::shape::{Precision, Shape, plan};
use crate::work::Cost;

/// Longest completions of 128 samples whose mean is 40: the quantiles of a log-normal distribution, cut off at
/// 128 and shuffled.
const RAGGED: &str = include_str!("../../ragged.txt");

/// A model with fresh weights, and what its tokens cost.
pub fn policy(
    shape: &Shape,
    precision: Precision,
    context_length: usize,
    options: &Options,
) -> Result<(Box<dyn Model>, Cost), Failure> {
    let plan = plan(shape, context_length, precision);
    let cost = Cost::new(&plan, precision);
    let policy = fresh(&plan, 1, options.threads, std::env::temp_dir(), &Device::Cpu);
    Ok((policy.map_err(r1x_core::PortError::from)?, cost))
}

/// `length` tokens that differ from prompt to prompt, none of them the end of sequence.
pub fn tokens(length: usize, prompt: usize, vocabulary: usize) -> Vec<u32> {
    let token = |at: usize| (at * 37 + prompt * 11) % (vocabulary - 1) + 1;
    (0..length).map(|at| token(at) as u32).collect()
}

/// Prompts of equal length whose samples get the lengths of one list each.
pub fn requests(shape: &Shape, prompt: usize, lengths: &[Vec<usize>]) -> Vec<GenerateRequest> {
    let request = |(index, lengths): (usize, &Vec<usize>)| GenerateRequest {
        prompt: tokens(prompt, index, shape.vocabulary),
        samples: lengths.len(),
        address: index as u64,
        lengths: lengths.clone(),
    };
    lengths.iter().enumerate().map(request).collect()
}

/// Samples once, and returns how many tokens were drawn.
pub fn generate(
    policy: &mut dyn Policy,
    requests: &[GenerateRequest],
    seed: u64,
) -> Result<usize, Failure> {
    let longest = requests.iter().flat_map(|request| &request.lengths).max();
    let sampling = sampling(longest.copied().unwrap_or(1));
    let groups = policy.generate(requests, &sampling, Rng::new(seed).stream("bench"))?;
    Ok(groups.iter().flatten().map(|completion| completion.tokens.len()).sum())
}

/// How long completions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// 128 tokens each.
    Full,
    /// A fixed list with a long tail: mean 40, longest 128.
    Ragged,
}

impl Lengths {
    /// Both.
    pub const ALL: [Lengths; 2] = [Lengths::Full, Lengths::Ragged];

    /// Its name in ids of rows.
    pub fn name(self) -> &'static str {
        match self {
            Lengths::Full => "full",
            Lengths::Ragged => "ragged",
        }
    }

    /// Of 16 groups of 8.
    pub fn groups(self) -> Vec<Vec<usize>> {
        match self {
            Lengths::Full => vec![vec![128; 8]; 16],
            Lengths::Ragged => RAGGED
                .lines()
                .map(|line| line.split_whitespace().map(|word| word.parse().unwrap_or(1)).collect())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_lengths_have_a_mean_of_40_and_a_long_tail() {
        let groups = Lengths::Ragged.groups();
        assert!(groups.len() == 16 && groups.iter().all(|group| group.len() == 8));
        let lengths: Vec<usize> = groups.concat();
        assert_eq!(lengths.iter().sum::<usize>(), 128 * 40);
        assert_eq!((lengths.iter().min(), lengths.iter().max()), (Some(&4), Some(&128)));
        assert!(RAGGED.split_whitespace().all(|word| word.parse::<usize>().is_ok()));
    }

    #[test]
    fn prompts_hold_no_end_of_sequence() {
        let tokens = tokens(5000, 3, 512);
        assert!(tokens.iter().all(|token| (1..512).contains(token)));
        assert_ne!(tokens[..32], super::tokens(32, 4, 512));
    }
}
