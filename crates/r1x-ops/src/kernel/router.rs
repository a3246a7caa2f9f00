//! The router of DeepSeek-V3's mixture of experts (DeepSeek-V3 Technical Report, arXiv 2412.19437, section
//! 2.1.2): sigmoid affinities, a bias that only steers the selection, group-limited top-k, and the sequence-wise
//! balance loss.

use super::swiglu::sigmoid;
use crate::real::Real;

/// The shape of the choice.
#[derive(Clone, Copy, Debug)]
pub struct Router {
    /// Routed experts.
    pub experts: usize,
    /// Experts per token.
    pub chosen: usize,
    /// Groups of neighbouring experts.
    pub groups: usize,
    /// Groups a token may choose from.
    pub groups_chosen: usize,
    /// Divide the chosen affinities by their sum.
    pub normalize: bool,
    /// The factor on the coefficients.
    pub scale: f64,
}

impl Router {
    /// For one token: affinities from logits (in place), then the chosen experts in ascending order and their
    /// coefficients. Ties go to the lower index.
    pub fn choose<R: Real>(
        &self,
        affinities: &mut [R],
        bias: &[R],
        experts: &mut [u32],
        coefficients: &mut [R],
        scratch: &mut Vec<R>,
    ) {
        for affinity in affinities.iter_mut() {
            *affinity = sigmoid(*affinity);
        }
        scratch.clear();
        scratch.extend(affinities.iter().zip(bias).map(|(s, b)| *s + *b));
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

    /// Sets the scores outside the best groups to −∞. A group's score is the sum of its two best experts.
    fn mask_groups<R: Real>(&self, scores: &mut [R]) {
        let size = self.experts / self.groups;
        let mut group_scores: Vec<R> = scores
            .chunks(size)
            .map(|group| {
                let first = largest(group);
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
        for ((dlogit, s), ds) in dlogits.iter_mut().zip(affinities).zip(daffinities) {
            *dlogit += *ds * *s * (R::ONE - *s);
        }
        let scale = R::from_f64(self.scale);
        let (sum, mut shared) = (self.sum(affinities, experts), R::ZERO);
        if self.normalize {
            for (expert, dcoefficient) in experts.iter().zip(dcoefficients) {
                shared += *dcoefficient * affinities[*expert as usize] / sum;
            }
        }
        for (expert, dcoefficient) in experts.iter().zip(dcoefficients) {
            let s = affinities[*expert as usize];
            let ds = if self.normalize {
                scale * (*dcoefficient - shared) / sum
            } else {
                scale * *dcoefficient
            };
            dlogits[*expert as usize] += ds * s * (R::ONE - s);
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

    const ROUTER: Router =
        Router { experts: 6, chosen: 2, groups: 3, groups_chosen: 1, normalize: true, scale: 2.5 };

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
