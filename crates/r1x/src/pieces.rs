//! A completion in pieces, one for each token, with how likely each was.

use r1x_core::Encoder;
use r1x_core::plan::RunPlan;
use r1x_model::ModelEncoder;

use crate::number::number;

/// Tokens before one that are decoded with it: what a token says depends on the bytes before it, and on few of them.
const BEFORE: usize = 16;

/// What stands for bytes that are no character yet.
const INCOMPLETE: char = '\u{fffd}';

/// Probabilities below which a token is of a higher level.
pub const LEVEL_BOUNDS: [f64; 4] = [0.9, 0.5, 0.1, 0.01];

/// A piece of a completion.
#[derive(Debug, PartialEq, serde::Serialize)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// How unlikely it was, from 0 to 4; none where no log-prob is recorded.
    pub level: Option<u8>,
    /// What is known of it.
    pub title: String,
}

/// What makes text of the tokens of a stage; none where the plan of the run has no such stage, or its tokenizer cannot be
/// read any more.
pub fn encoder_of(plan: &RunPlan, stage: &str) -> Option<ModelEncoder> {
    let stage = plan.stages.iter().find(|known| known.id == stage)?;
    ModelEncoder::new(plan.model_of(stage).ok()?).ok()
}

/// A completion token by token. A token that ends no character adds to the piece of the one that does.
pub fn pieces(encoder: &dyn Encoder, tokens: &[u32], logprobs: Option<&[f32]>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let from = at.saturating_sub(BEFORE);
        let [before, with] = [&tokens[from..at], &tokens[from..=at]].map(|part| {
            let text = encoder.decode(part);
            text.trim_end_matches(INCOMPLETE).to_owned()
        });
        let said = with.strip_prefix(before.as_str()).unwrap_or(&with);
        let text = match (said, *token == encoder.eos()) {
            ("", true) => "∎",
            (said, _) => said,
        };
        let logprob = logprobs.and_then(|logprobs| logprobs.get(at)).map(|value| f64::from(*value));
        let known = logprob.map(|value| {
            format!(", log-prob {}, probability {}", number(value), number(value.exp()))
        });
        pieces.push(Piece {
            text: text.to_owned(),
            level: logprob.map(level),
            title: format!("token {token}{}", known.unwrap_or_default()),
        });
    }
    pieces
}

/// How unlikely a token was: at least nine in ten, a half, a tenth, a hundredth, or less.
fn level(logprob: f64) -> u8 {
    LEVEL_BOUNDS.iter().filter(|bound| logprob.exp() < **bound).count() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens are bytes; 0 ends.
    struct Bytes;

    impl Encoder for Bytes {
        fn encode(&self, text: &str) -> Result<Vec<u32>, r1x_core::PortError> {
            Ok(text.bytes().map(u32::from).collect())
        }

        fn decode(&self, tokens: &[u32]) -> String {
            let bytes = tokens.iter().filter(|token| **token != 0);
            let bytes: Vec<u8> = bytes.map(|token| u8::try_from(*token).unwrap()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }

        fn eos(&self) -> u32 {
            0
        }

        fn bos(&self) -> Option<u32> {
            None
        }

        fn context_length(&self) -> usize {
            64
        }
    }

    #[test]
    fn pieces_are_the_whole_text_and_characters_stay_whole() {
        let text = "a é 好 <b>, and so on until more than sixteen tokens are there";
        let mut tokens = Bytes.encode(text).unwrap();
        tokens.push(0);
        let logprobs = vec![-0.01; tokens.len()];
        let pieces = pieces(&Bytes, &tokens, Some(&logprobs));
        let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(whole, format!("{text}∎"));
        assert_eq!(pieces.len(), tokens.len());
        assert!(pieces.iter().any(|piece| piece.text == "好"));
        assert!(pieces[0].title.starts_with("token 97, log-prob"), "{}", pieces[0].title);
    }

    #[test]
    fn what_is_less_likely_has_a_higher_level() {
        let levels = [0.95_f64, 0.6, 0.2, 0.05, 0.001].map(|probability| level(probability.ln()));
        assert_eq!(levels, [0, 1, 2, 3, 4]);
    }
}
