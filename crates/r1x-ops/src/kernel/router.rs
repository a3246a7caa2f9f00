//! The router of a mixture of experts: affinities, the top k of them, their coefficients.
//!
//! DeepSeek-V3's (DeepSeek-V3 Technical Report, arXiv 2412.19437, section 2.1.2) has sigmoid affinities, a bias that
//! only steers the selection, group-limited top-k, and the sequence-wise balance loss; DeepSeek-V2 (arXiv 2405.04434),
//! Mixtral, Qwen and OLMoE take the softmax over all experts.

use super::dot;
use super::swiglu::sigmoid;
use crate::real::Real;

/// How logits become affinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// The sigmoid of each.
    Sigmoid,
    /// The softmax over all experts.
    Softmax,
}

/// What a group of experts is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupScore {
    /// The sum of its two largest scores.
    TopTwo,
    /// Its largest score.
    Largest,
}

/// The shape of the choice.
#[derive(Clone, Copy, Debug)]
pub struct Router {
    /// Routed experts.
    pub experts: usize,
    /// Experts per token.
    pub chosen: usize,
    /// How logits become affinities.
    pub affinity: Affinity,
    /// Groups of neighbouring experts.
    pub groups: usize,
    /// Groups a token may choose from.
    pub groups_chosen: usize,
    /// What decides between groups.
    pub group_score: GroupScore,
    /// Divide the chosen affinities by their sum.
    pub normalize: bool,
    /// The factor on the coefficients.
    pub scale: f64,
}

impl Router {
    /// For one token: affinities from logits (in place), then the chosen experts in ascending order and their
    /// coefficients. Ties go to the lower index. Without a bias that steers the selection, `bias` is empty.
    pub fn choose<R: Real>(
        &self,
        affinities: &mut [R],
        bias: &[R],
        experts: &mut [u32],
        coefficients: &mut [R],
        scratch: &mut Vec<R>,
    ) {
        match self.affinity {
            Affinity::Sigmoid => affinities.iter_mut().for_each(|s| *s = sigmoid(*s)),
            Affinity::Softmax => softmax(affinities),
        }
        scratch.clear();
        scratch.extend(&*affinities);
        for (score, bias) in scratch.iter_mut().zip(bias) {
            *score += *bias;
        }
        if self.groups_chosen < self.groups {
            self.mask_groups(scratch);
        }
        take_largest(scratch, experts);
        experts.sort_unstable();
        self.set_coefficients(affinities, experts, coefficients);
    }

    /// For one token: the experts of largest affinity, as many as are chosen, without bias and without groups.
    /// Ties go to the lower index. The balance loss counts these (equation 18), so that the bias, which balances
    /// by itself, does not hide from the loss what the affinities prefer.
    pub fn favourites<R: Real>(&self, affinities: &[R], experts: &mut [u32], scratch: &mut Vec<R>) {
        scratch.clear();
        scratch.extend(affinities);
        take_largest(scratch, experts);
    }

    /// The coefficient of each chosen expert in the sum over experts: its affinity, divided by the sum of the chosen
    /// affinities if asked, times the scale.
    fn set_coefficients<R: Real>(&self, affinities: &[R], experts: &[u32], coefficients: &mut [R]) {
        let mut factor = R::from_f64(self.scale);
        if self.normalize {
            factor = factor / self.sum(affinities, experts);
        }
        for (coefficient, expert) in coefficients.iter_mut().zip(experts) {
            *coefficient = affinities[*expert as usize] * factor;
        }
    }

    fn sum<R: Real>(&self, affinities: &[R], experts: &[u32]) -> R {
        let mut sum = R::from_f64(1e-20);
        for expert in experts {
            sum += affinities[*expert as usize];
        }
        sum
    }

    /// Sets the scores outside the best groups to −∞.
    fn mask_groups<R: Real>(&self, scores: &mut [R]) {
        let size = self.experts / self.groups;
        let mut group_scores: Vec<R> = scores
            .chunks(size)
            .map(|group| {
                let first = largest(group);
                if self.group_score == GroupScore::Largest {
                    return group[first];
                }
                let rest = group.iter().enumerate().filter(|(i, _)| *i != first).map(|(_, s)| *s);
                let second = rest.fold(None, |best: Option<R>, s| match best {
                    Some(b) if b >= s => Some(b),
                    _ => Some(s),
                });
                group[first] + second.unwrap_or(R::ZERO)
            })
            .collect();
        let mut keep = vec![false; self.groups];
        for _ in 0..self.groups_chosen {
            let best = largest(&group_scores);
            keep[best] = true;
            group_scores[best] = R::from_f64(f64::NEG_INFINITY);
        }
        for (group, keep) in scores.chunks_mut(size).zip(keep) {
            if !keep {
                group.fill(R::from_f64(f64::NEG_INFINITY));
            }
        }
    }

    /// Adds d loss / d logits of one token to `dlogits`, from d loss / d coefficients of the chosen experts
    /// and d loss / d affinities coming from elsewhere (the balance loss). The selection itself has no gradient.
    pub fn backward<R: Real>(
        &self,
        affinities: &[R],
        experts: &[u32],
        dcoefficients: &[R],
        daffinities: &[R],
        dlogits: &mut [R],
    ) {
        let scale = R::from_f64(self.scale);
        let (sum, mut shared) = (self.sum(affinities, experts), R::ZERO);
        if self.normalize {
            for (expert, dcoefficient) in experts.iter().zip(dcoefficients) {
                shared += *dcoefficient * affinities[*expert as usize] / sum;
            }
        }
        let chosen = experts.iter().zip(dcoefficients).map(|(expert, dcoefficient)| {
            let ds = if self.normalize {
                scale * (*dcoefficient - shared) / sum
            } else {
                scale * *dcoefficient
            };
            (*expert as usize, ds)
        });
        match self.affinity {
            Affinity::Sigmoid => {
                for ((dlogit, s), ds) in dlogits.iter_mut().zip(affinities).zip(daffinities) {
                    *dlogit += *ds * *s * (R::ONE - *s);
                }
                for (expert, ds) in chosen {
                    let s = affinities[expert];
                    dlogits[expert] += ds * s * (R::ONE - s);
                }
            }
            Affinity::Softmax => {
                // Every logit moves every affinity: ds/dlogit = diag(s) − s·sᵀ.
                let mut all = daffinities.to_vec();
                chosen.for_each(|(expert, ds)| all[expert] += ds);
                let mean = dot(&all, affinities);
                for ((dlogit, s), ds) in dlogits.iter_mut().zip(affinities).zip(&all) {
                    *dlogit += *s * (*ds - mean);
                }
            }
        }
    }

    /// The balance loss of one sequence, α · Σ fᵢ·Pᵢ (equations 17 to 20), and its gradient with respect to the
    /// affinities (added).
    ///
    /// fᵢ = experts / (chosen · T) · (times expert i is among a token's [`Router::favourites`]), a constant; Pᵢ is
    /// the mean over the sequence's T tokens of the affinity divided by the token's sum of affinities. A sequence
    /// without tokens has loss 0.
    pub fn balance<R: Real>(
        &self,
        affinities: &[R],
        favourites: &[u32],
        alpha: R,
        daffinities: &mut [R],
    ) -> R {
        let tokens = affinities.len() / self.experts;
        if tokens == 0 {
            return R::ZERO;
        }
        let share = R::from_f64(self.experts as f64 / (self.chosen * tokens) as f64);
        let mut frequency = vec![R::ZERO; self.experts];
        for expert in favourites {
            frequency[*expert as usize] += share;
        }
        let per_token = alpha / R::from_f64(tokens as f64);
        let mut loss = R::ZERO;
        for (s, ds) in affinities.chunks(self.experts).zip(daffinities.chunks_mut(self.experts)) {
            let mut sum = R::from_f64(1e-20);
            let mut weighted = R::ZERO;
            for (s, f) in s.iter().zip(&frequency) {
                sum += *s;
                weighted += *s * *f;
            }
            loss += per_token * weighted / sum;
            for (ds, f) in ds.iter_mut().zip(&frequency) {
                *ds += per_token * (*f - weighted / sum) / sum;
            }
        }
        loss
    }
}

/// Logits become their softmax, in place.
fn softmax<R: Real>(values: &mut [R]) {
    let most = values[largest(values)];
    let mut sum = R::ZERO;
    for value in values.iter_mut() {
        *value = (*value - most).exp();
        sum += *value;
    }
    values.iter_mut().for_each(|value| *value = *value / sum);
}

/// The indices of the largest values, falling, as many as there is room for; what is taken becomes −∞.
fn take_largest<R: Real>(values: &mut [R], indices: &mut [u32]) {
    for slot in indices {
        let best = largest(values);
        *slot = best as u32;
        values[best] = R::from_f64(f64::NEG_INFINITY);
    }
}

/// Index of the largest value; ties and NaN go to the lower index.
fn largest<R: Real>(values: &[R]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Router = Router {
        experts: 6,
        chosen: 2,
        affinity: Affinity::Sigmoid,
        groups: 3,
        groups_chosen: 1,
        group_score: GroupScore::TopTwo,
        normalize: true,
        scale: 2.5,
    };

    fn logit(p: f64) -> f64 {
        (p / (1.0 - p)).ln()
    }

    #[test]
    fn groups_limit_and_bias_steers_but_does_not_weigh() {
        let mut affinities: Vec<f64> = [0.9, 0.1, 0.6, 0.5, 0.3, 0.2].map(logit).to_vec();
        let (mut experts, mut coefficients, mut scratch) = ([0; 2], [0.0; 2], Vec::new());
        // Group sums are 1.0, 1.1 and 0.5: the best single expert is in a losing group.
        ROUTER.choose(&mut affinities, &[0.0; 6], &mut experts, &mut coefficients, &mut scratch);
        assert_eq!(experts, [2, 3]);
        assert!((coefficients[0] - 2.5 * 0.6 / 1.1).abs() < 1e-12);
        assert!((coefficients[1] - 2.5 * 0.5 / 1.1).abs() < 1e-12);
        // A bias moves the choice to the last group; the coefficients still come from the affinities.
        let mut affinities: Vec<f64> = [0.9, 0.1, 0.6, 0.5, 0.3, 0.2].map(logit).to_vec();
        let bias = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
        ROUTER.choose(&mut affinities, &bias, &mut experts, &mut coefficients, &mut scratch);
        assert_eq!(experts, [4, 5]);
        assert!((coefficients[0] - 2.5 * 0.3 / 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_balance_loss_counts_the_favourites_whatever_the_bias_and_the_groups_choose() {
        let affinities = [0.9, 0.1, 0.6, 0.5, 0.3, 0.2];
        let (mut experts, mut coefficients, mut scratch) = ([0; 2], [0.0; 2], Vec::new());
        let mut logits: Vec<f64> = affinities.map(logit).to_vec();
        let bias = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
        ROUTER.choose(&mut logits, &bias, &mut experts, &mut coefficients, &mut scratch);
        assert_eq!(experts, [4, 5]);
        ROUTER.favourites(&affinities, &mut experts, &mut scratch);
        assert_eq!(experts, [0, 2], "the two largest of all groups");
        ROUTER.favourites(&[0.5; 6], &mut experts, &mut scratch);
        assert_eq!(experts, [0, 1], "ties go to the lower index");
        // f = 6 / (2 · 1) for experts 0 and 2, P = affinity / 2.6: α · 3 · (0.9 + 0.6) / 2.6.
        let loss = ROUTER.balance(&affinities, &[0, 2], 0.5, &mut [0.0; 6]);
        assert!((loss - 0.5 * 3.0 * 1.5 / 2.6).abs() < 1e-12, "{loss}");
        assert_eq!(ROUTER.balance::<f64>(&[], &[], 0.5, &mut []), 0.0);
    }

    /// Sets whose two best add up to most lose against the one with the best, and a closed group stays closed though
    /// all that is open is below zero: a closed score of 0 would win.
    #[test]
    fn groups_may_be_judged_by_their_best_and_closed_ones_stay_closed_below_zero() {
        let affinities = [0.9, 0.1, 0.6, 0.5, 0.3, 0.2];
        let (mut experts, mut coefficients, mut scratch) = ([0; 2], [0.0; 2], Vec::new());
        let best = Router { group_score: GroupScore::Largest, ..ROUTER };
        let mut logits: Vec<f64> = affinities.map(logit).to_vec();
        best.choose(&mut logits, &[], &mut experts, &mut coefficients, &mut scratch);
        assert_eq!(experts, [0, 1]);
        let mut logits: Vec<f64> = affinities.map(logit).to_vec();
        let bias = [-3.0, -3.0, -1.0, -1.0, -3.0, -3.0];
        ROUTER.choose(&mut logits, &bias, &mut experts, &mut coefficients, &mut scratch);
        assert_eq!(experts, [2, 3]);
    }

    #[test]
    fn softmax_affinities_add_up_to_one_and_their_gradient_is_that_of_differences() {
        let router = Router {
            affinity: Affinity::Softmax,
            groups: 1,
            groups_chosen: 1,
            normalize: false,
            ..ROUTER
        };
        let logits = [0.3, -1.2, 0.8, 0.1, -0.4, 2.0];
        let (pull, push) = ([0.7, -0.4], [0.1, -0.2, 0.3, 0.0, 0.5, -0.6]);
        for router in [router, Router { normalize: true, ..router }] {
            let value = |logits: [f64; 6]| {
                let (mut experts, mut coefficients) = ([0; 2], [0.0; 2]);
                let mut affinities = logits;
                let scratch = &mut Vec::new();
                router.choose(&mut affinities, &[], &mut experts, &mut coefficients, scratch);
                assert!((affinities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                assert_eq!(experts, [2, 5]);
                let sum = dot(&coefficients, &pull) + dot(&affinities, &push);
                (sum, affinities, experts)
            };
            let (_, affinities, experts) = value(logits);
            let mut gradient = [0.0; 6];
            router.backward(&affinities, &experts, &pull, &push, &mut gradient);
            for (at, found) in gradient.into_iter().enumerate() {
                let moved = |by: f64| {
                    let mut moved = logits;
                    moved[at] += by;
                    value(moved).0
                };
                let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((found - expected).abs() < 1e-8, "{at}: {found} against {expected}");
            }
        }
    }

    #[test]
    fn a_balanced_sequence_has_balance_loss_alpha() {
        // Every expert is chosen equally often with equal affinities: Σ f·P = 1.
        let affinities = vec![0.5f64; 18];
        let experts: Vec<u32> = vec![0, 1, 2, 3, 4, 5];
        let mut gradient = vec![0.0; 18];
        let loss = ROUTER.balance(&affinities, &experts, 0.25, &mut gradient);
        assert!((loss - 0.25).abs() < 1e-12);
        assert!(gradient.iter().all(|g| g.abs() < 1e-12));
    }
}
