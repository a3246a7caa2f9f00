//! A recorded rollout as `r1x show` prints it: its completion, how likely each token was, and what each reward said.

use r1x_store::{PayloadField, RewardCard, RolloutDetail, Store};

use super::Depth;
use crate::display::{Fields, Ink, Line, Page, Table, Tone};
use crate::number::{number, optional};
use crate::output::{self, Stream};
use crate::pieces::{LEVEL_BOUNDS, Piece, encoder_of, pieces};
use crate::plans;

/// How the levels of tokens look, from the likely to the unlikely.
const TONES: [Tone; LEVEL_BOUNDS.len() + 1] =
    [Tone::Faint, Tone::Plain, Tone::Warn, Tone::Odd, Tone::Bad];

/// The page about a recorded rollout, with a row for each of its tokens where the depth asks for them.
pub fn page(store: &Store, card: &RolloutDetail, depth: Depth) -> Page {
    let mut page = Page::default();
    page.line(format!(
        "{}  {} step {} group {} sample {}",
        card.run, card.stage, card.step, card.group, card.sample
    ));
    let mut fields = Fields::default();
    if let Some(data) = card.data.as_deref().filter(|data| !data.is_empty()) {
        fields.add("data", data);
    }
    fields
        .add("prompt", &card.prompt)
        .add("gold", card.gold.as_deref().unwrap_or("-"))
        .add("completion", card.said())
        .add("finish", format!("{} after {} tokens", card.finish, card.n_tokens))
        .add("reward", format!("{}{}", optional(card.reward), cut_from(card)))
        .add("advantage", optional(card.advantage));
    page.fields(fields).blank().table(rewards(card));
    let pieces = pieces_of(store, card);
    if let Some(pieces) = &pieces {
        colored(&mut page, pieces);
    }
    if let (Some(tokens), Some(logprobs)) = (&card.tokens, &card.logprobs) {
        let mean =
            logprobs.iter().map(|l| f64::from(*l)).sum::<f64>() / logprobs.len().max(1) as f64;
        let lowest = logprobs.iter().copied().fold(0.0f32, f32::min);
        page.blank().line(format!(
            "{} tokens, log-prob {} a token on average, {} at the least likely",
            tokens.len(),
            number(mean),
            number(f64::from(lowest)),
        ));
    }
    if depth == Depth::Tokens {
        page.blank();
        match &card.tokens {
            Some(tokens) => page.table(token_rows(card, tokens, pieces.as_deref())),
            None => page.line(match card.dropped.contains(&PayloadField::Tokens) {
                true => "the tokens were removed by `r1x gc`",
                false => "the run does not record tokens (`record: {tokens: true}` does)",
            }),
        };
    }
    page
}

/// What the total was before its bounds, when they changed it.
fn cut_from(card: &RolloutDetail) -> String {
    if card.unclipped == card.reward {
        return String::new();
    }
    format!(" (clipped from {})", optional(card.unclipped))
}

/// What each reward said and what became of it; columns for conditions and comparisons only where there are any.
fn rewards(card: &RolloutDetail) -> Table {
    let conditional = card.rewards.iter().any(|r| r.condition.is_some());
    let compared = card.rewards.iter().any(|r| r.normalized.is_some());
    let mut header = vec!["reward", "value"];
    header.extend(conditional.then_some("only_if"));
    header.extend(["counted", "weight", "adds"]);
    header.extend(compared.then_some("normalized"));
    header.extend(["status", "parts", "info"]);
    let row = |r: &RewardCard| {
        let parts: Vec<String> =
            r.parts.iter().map(|(name, v)| format!("{name} {}", number(*v))).collect();
        let mut row = vec![r.name.clone(), optional(r.value)];
        row.extend(conditional.then(|| r.condition.clone().unwrap_or_else(|| "-".to_owned())));
        let weight = optional(r.weight);
        row.extend([optional(r.counted), weight, optional(r.contribution)]);
        row.extend(compared.then(|| optional(r.normalized)));
        row.extend([r.status.clone(), parts.join(", "), r.info.clone().unwrap_or_default()]);
        row
    };
    let rows: Vec<Vec<String>> = card.rewards.iter().map(row).collect();
    Table::of(&header, &rows).whole(&["reward"]).status(&["status"])
}

/// The completion in pieces; none where tokens or the tokenizer are not there.
fn pieces_of(store: &Store, card: &RolloutDetail) -> Option<Vec<Piece>> {
    let tokens = card.tokens.as_ref()?;
    let plan = plans::plan_of(store, &card.run).ok()?;
    let encoder = encoder_of(&plan, &card.stage)?;
    Some(pieces(&encoder, tokens, card.logprobs.as_deref()))
}

/// The completion, coloured by how likely each token was, where there are colours.
fn colored(page: &mut Page, pieces: &[Piece]) {
    let is_seen = output::view(Stream::Out).color == Ink::Colored;
    if !is_seen || pieces.iter().all(|piece| piece.level.is_none()) {
        return;
    }
    let mut legend = Line::of(Tone::Plain, "probability ");
    let mut upper = "1".to_owned();
    for (at, tone) in TONES.into_iter().enumerate() {
        let lower = LEVEL_BOUNDS.get(at).map_or_else(|| "0".to_owned(), f64::to_string);
        legend = legend.and(Tone::Plain, " ").and(tone, format!("{upper} to {lower}"));
        upper = lower;
    }
    let tone = |piece: &Piece| piece.level.map_or(Tone::Plain, |level| TONES[usize::from(level)]);
    let spans = pieces.iter().map(|piece| (tone(piece), piece.text.clone())).collect();
    page.blank().line(legend).toned("  ", spans);
}

/// A row for each token: what it is, and how likely it and every other token were.
fn token_rows(card: &RolloutDetail, tokens: &[u32], pieces: Option<&[Piece]>) -> Table {
    let at = |list: &Option<Vec<f32>>, position: usize| {
        optional(list.as_ref().and_then(|list| list.get(position)).map(|value| f64::from(*value)))
    };
    let row = |(position, token): (usize, &u32)| {
        let logprob = card.logprobs.as_ref().and_then(|list| list.get(position));
        vec![
            position.to_string(),
            token.to_string(),
            pieces.map_or_else(|| "-".to_owned(), |pieces| pieces[position].text.clone()),
            at(&card.logprobs, position),
            optional(logprob.map(|value| f64::from(*value).exp())),
            at(&card.reference_logprobs, position),
            at(&card.entropies, position),
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().enumerate().map(row).collect();
    let header = ["position", "token", "text", "log-prob", "probability", "reference", "entropy"];
    Table::of(&header, &rows).whole(&header)
}
