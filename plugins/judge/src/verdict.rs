//! Verdicts and what they are worth.

use r1x_plugin::Score;

/// The largest reward, and the smallest below 0, of a verdict.
pub const LARGEST: f64 = 10.0;

/// Words with their rewards; without any, a verdict is a number from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdicts(Vec<(String, f64)>);

impl Verdicts {
    /// Reads `yes=1, no=0`.
    pub fn read(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let one = |entry: &str| {
            let read = entry.rsplit_once('=').and_then(|(word, reward)| {
                Some((word.trim().to_owned(), reward.trim().parse::<f64>().ok()?))
            });
            match read {
                Some((word, reward)) if !word.is_empty() && reward.abs() <= LARGEST => {
                    Ok((word, reward))
                }
                _ => Err(format!(
                    "`verdicts`: `{entry}` is not a word, `=` and a number from -{LARGEST} to {LARGEST}"
                )),
            }
        };
        entries.map(one).collect::<Result<_, _>>().map(Self)
    }

    /// The words.
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(|(word, _)| word.clone()).collect()
    }

    /// What a verdict is worth; capitals do not count.
    pub fn reward(&self, verdict: &str) -> Option<f64> {
        let verdict = verdict.trim();
        if self.0.is_empty() {
            return verdict.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
        }
        let same = |(word, _): &&(String, f64)| word.to_lowercase() == verdict.to_lowercase();
        self.0.iter().find(same).map(|(_, reward)| *reward)
    }

    /// The last word of a text that is a verdict.
    pub fn last(&self, text: &str) -> Option<f64> {
        let inside = |c: char| c.is_alphanumeric() || c == '.' || c == '-' || c == '_';
        let words = text.split(|c| !inside(c)).map(|word| word.trim_matches('.'));
        words.filter_map(|word| self.reward(word)).next_back()
    }

    /// The mean of the rewards, weighed by how likely each word is among them.
    pub fn weigh(&self, logprobs: &[f64]) -> Score {
        let largest = logprobs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logprobs.iter().map(|logprob| (logprob - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let shares = || weights.iter().map(|weight| weight / total);
        let reward = self.0.iter().zip(shares()).map(|((_, reward), share)| reward * share).sum();
        let told =
            self.0.iter().zip(shares()).map(|((word, _), share)| format!("{word} {share:.3}"));
        Score::new(reward, told.collect::<Vec<_>>().join(", ")).part("verdict", true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods_become_a_mean() {
        let verdicts = Verdicts::read("yes=1, no=0").unwrap();
        let third = verdicts.weigh(&[(0.1_f64).ln(), (0.2_f64).ln()]);
        assert!((third.reward.unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(third.info.as_deref(), Some("yes 0.333, no 0.667"));
        let certain = verdicts.weigh(&[-1000.0, -2000.0]);
        assert_eq!(certain.reward, Some(1.0));
        let three = Verdicts::read("good=1, fair=0.5, bad=-1").unwrap();
        assert!((three.weigh(&[-1.0, -1.0, -1.0]).reward.unwrap() - 0.5 / 3.0).abs() < 1e-12);
    }
}
