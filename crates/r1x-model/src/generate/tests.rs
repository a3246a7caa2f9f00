//! The scheduler over an engine whose logits are a function of what a row sees, so that a wrong block, a shared one
//! that should not be, or a row at the wrong place makes other samples.

use std::convert::Infallible;

use r1x_core::plan::SamplingPlan;
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, FinishReason, Rng, testing};
use r1x_ops::kernel::attention::BLOCK;

use super::queue::{Queue, Unit, gather};
use super::{Batch, Engine, Limits, Session};
use crate::blocks::BlockChanges;
use crate::blocks::host::HostBlocks;
use crate::error::ModelError;
use crate::family::Rows;

const VOCABULARY: u64 = 23;
const EOS: u32 = 0;

/// Keeps the token of every position, and likes one token best after each history.
struct Parrot {
    blocks: HostBlocks<f32>,
    /// What each row of the last pass sees.
    histories: Vec<Vec<u32>>,
    /// Rows of every pass.
    passes: Vec<usize>,
}

/// The token that a history goes on with.
fn next(history: &[u32]) -> u32 {
    let mix = |hash: u64, token: &u32| {
        (hash ^ u64::from(*token)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
    };
    (history.iter().fold(1, mix) % VOCABULARY) as u32
}

impl Engine for &mut Parrot {
    type Error = Infallible;

    fn change(&mut self, changes: &BlockChanges) -> Result<(), Infallible> {
        self.blocks.change(changes);
        Ok(())
    }

    fn compute(&mut self, tokens: &[u32], rows: Rows<'_>) -> Result<(), Infallible> {
        let layer = &mut self.blocks.layers()[0];
        for write in rows.writes {
            let place = &mut layer[write.block as usize * BLOCK + write.slot as usize];
            assert!(*place == 0.0, "a position is written once");
            *place = tokens[write.row as usize] as f32 + 1.0;
        }
        let sees = |row: usize| {
            let context = rows.contexts[row];
            assert_eq!(context.len, rows.positions[row] + 1);
            let block = |at: usize| rows.tables[context.table + at / BLOCK] as usize;
            let at = |at: usize| layer[block(at) * BLOCK + at % BLOCK] as u32 - 1;
            (0..context.len).map(at).collect()
        };
        self.histories = (0..rows.len()).map(sees).collect();
        self.passes.push(rows.len());
        Ok(())
    }

    fn logits(
        &mut self,
        rows: &[usize],
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), Infallible> {
        for (index, row) in rows.iter().enumerate() {
            let mut logits = vec![0.0; VOCABULARY as usize];
            logits[next(&self.histories[*row]) as usize] = 1.0;
            each(index, &logits);
        }
        Ok(())
    }
}

fn request(prompt: &[u32], samples: usize, lengths: &[usize]) -> GenerateRequest {
    GenerateRequest { prompt: prompt.to_vec(), samples, address: 0, lengths: lengths.to_vec() }
}

fn sampling(max_tokens: usize) -> SamplingPlan {
    SamplingPlan { temperature: 0.0, ..testing::sampling(max_tokens) }
}

/// The completions of every request in their order, the order in which requests were over, and the rows of every pass.
fn run(
    requests: &[GenerateRequest],
    sampling: &SamplingPlan,
    limits: Limits,
) -> (Vec<Vec<Completion>>, Vec<usize>, Vec<usize>) {
    let session = Session { requests, sampling, stream: Rng::new(1).stream("test"), ends: &[EOS] };
    let (mut groups, mut order) = (vec![Vec::new(); requests.len()], Vec::new());
    let mut each = |request: usize, completions| {
        order.push(request);
        groups[request] = completions;
    };
    let blocks = HostBlocks::new(std::iter::once(BLOCK));
    let mut parrot = Parrot { blocks, histories: Vec::new(), passes: Vec::new() };
    let mut ended = gather(requests, &mut each);
    let mut batch = Batch::new(session, limits, &mut parrot, &mut ended);
    let Ok(()) = batch.run(&Queue::new(requests, limits.samples));
    assert!(batch.active.is_empty() && batch.pool.is_unused(), "blocks are left over");
    drop(ended);
    (groups, order, parrot.passes)
}

#[test]
fn sequences_enter_when_others_end() {
    let requests = [
        request(&[1, 2, 3], 1, &[5]),
        request(&[4, 5], 1, &[2]),
        request(&[6; 7], 1, &[2]),
        request(&[8; 4], 1, &[2]),
        request(&[9], 0, &[]),
    ];
    let limits = Limits { samples: 2, prompt_rows: 100 };
    let (_, order, passes) = run(&requests, &sampling(9), limits);
    // Two prompts, a token of each; then a prompt where one has ended, and a token of both, until the first is alone.
    assert_eq!(passes, [5, 2, 7, 2, 4, 2, 1]);
    assert_eq!(order, [4, 1, 2, 3, 0]);
}

#[test]
fn a_prompt_is_computed_once_for_its_samples_and_in_parts_when_it_is_long() {
    let requests = [request(&[3; 70], 4, &[2; 4]), request(&[5; 20], 2, &[1; 2])];
    let limits = Limits { samples: 6, prompt_rows: 32 };
    let (_, _, passes) = run(&requests, &sampling(2), limits);
    assert_eq!(passes, [32, 32, 26, 4]);
}

#[test]
fn what_is_asked_for_is_cut_to_the_batch() {
    let requests = [request(&[1], 5, &[]), request(&[1], 2, &[]), request(&[1], 0, &[])];
    let queue = Queue::new(&requests, 3);
    let unit = |request, first, samples| Unit { request, first, samples };
    assert_eq!(queue.take(2, 3), []);
    assert_eq!(queue.take(0, 2), [unit(0, 0, 3)], "an empty batch takes what there is");
    assert_eq!(queue.take(3, 3), []);
    assert_eq!(queue.take(1, 6), [unit(0, 3, 2), unit(1, 0, 2)]);
    assert_eq!(queue.take(0, 6), []);
}

/// Prompts of every relation to a block, many samples, batches of every size: always what each sample would say alone.
#[test]
fn no_batch_changes_what_a_sample_says() {
    let mut draws = Rng::new(8).stream("prompts").at(&[]);
    let requests: Vec<GenerateRequest> = [1, 31, 32, 33, 64, 127, 128, 129, 200]
        .iter()
        .map(|len| {
            let prompt: Vec<u32> = (0..*len).map(|_| draws.below(VOCABULARY) as u32).collect();
            let samples = draws.below(6) as usize;
            request(&prompt, samples, &[])
        })
        .collect();
    let max_tokens = 150;
    for (samples, prompt_rows) in [(1, 7), (4, 32), (9, 33), (1000, 1000)] {
        let limits = Limits { samples, prompt_rows };
        let (groups, _, passes) = run(&requests, &sampling(max_tokens), limits);
        assert!(passes.iter().all(|rows| *rows <= samples.max(prompt_rows)));
        let mut stopped = 0;
        for (request, group) in requests.iter().zip(&groups) {
            assert_eq!(group.len(), request.samples);
            let mut history = request.prompt.clone();
            while history.len() < request.prompt.len() + max_tokens {
                history.push(next(&history));
                if history.last() == Some(&EOS) {
                    break;
                }
            }
            for completion in group {
                assert_eq!(completion.tokens, history[request.prompt.len()..]);
                stopped += usize::from(completion.finish == FinishReason::Stop);
            }
        }
        assert!(stopped > 0);
    }
}

#[test]
fn a_sample_ends_with_whichever_of_several_tokens_comes_first() {
    let prompt = [1, 2, 3];
    let mut history = prompt.to_vec();
    (0..9).for_each(|_| history.push(next(&history)));
    let drawn = &history[prompt.len()..];
    for stop in [&[drawn[4]][..], &[drawn[6], drawn[4]], &[drawn[4], VOCABULARY as u32 + 7]] {
        let (requests, sampling) = (&[request(&prompt, 1, &[])][..], &sampling(9));
        let session =
            Session { requests, sampling, stream: Rng::new(1).stream("test"), ends: stop };
        let first = drawn.iter().position(|token| stop.contains(token)).unwrap();
        let mut said = Vec::new();
        let mut each = |_: usize, completions: Vec<Completion>| said = completions;
        let blocks = HostBlocks::new(std::iter::once(BLOCK));
        let mut parrot = Parrot { blocks, histories: Vec::new(), passes: Vec::new() };
        let limits = Limits { samples: 1, prompt_rows: 9 };
        let mut ended = gather(requests, &mut each);
        let Ok(()) =
            Batch::new(session, limits, &mut parrot, &mut ended).run(&Queue::new(requests, 1));
        drop(ended);
        assert_eq!(said[0].tokens, drawn[..=first]);
        assert_eq!(said[0].finish, FinishReason::Stop);
    }
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let check = |request: GenerateRequest| {
        let (requests, sampling) = (&[request][..], &sampling(3));
        Session { requests, sampling, stream: Rng::new(1).stream("test"), ends: &[EOS] }.check(5)
    };
    assert!(check(request(&[1, 2], 2, &[1, 3])).is_ok());
    assert!(matches!(check(request(&[], 2, &[])), Err(ModelError::EmptyPrompt)));
    let long = check(request(&[1; 3], 2, &[]));
    assert!(matches!(long, Err(ModelError::TooLong { length: 6, limit: 5 })));
    for lengths in [&[3][..], &[3, 0], &[4, 3]] {
        let refused = check(request(&[1, 2], 2, lengths));
        assert!(matches!(refused, Err(ModelError::Lengths { samples: 2, limit: 3, .. })));
    }
}
