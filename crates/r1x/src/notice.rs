//! What a person should know although nothing is wrong enough to stop for it.

use r1x_core::plan::OnFailure;
use r1x_train::Tolerated;

use crate::display::{Line, Page, Tone};
use crate::output::{self, Stream};

/// Something to know, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What and where.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

impl Notice {
    /// A notice.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// Says it on standard error.
    pub fn say(&self) {
        let mut page = Page::default();
        page.line(Line::of(Tone::Warn, "warning: ").and(Tone::Plain, &self.message));
        page.line(Line::of(Tone::Faint, "  help: ").and(Tone::Plain, &self.hint));
        output::page(Stream::Err, &page);
    }
}

/// A reward fails on some rows, and its policy allows it.
impl From<&Tolerated> for Notice {
    fn from(failures: &Tolerated) -> Self {
        let Tolerated { place, reward, on_failure, rows, tried, first } = failures;
        let counts = match on_failure {
            OnFailure::Zero => "counts 0",
            _ => "is left out",
        };
        Self::new(
            format!(
                "{place}: the reward `{reward}` fails on {rows} of the {tried} rows tried; the first: {first}"
            ),
            format!("such a rollout {counts} (on_failure); mend the row or leave it out"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_a_policy_allows_are_told_with_what_they_count_as() {
        let mut failures = Tolerated {
            place: "stage `rl`".to_owned(),
            reward: "format".to_owned(),
            on_failure: OnFailure::Mask,
            rows: 1,
            tried: 40,
            first: "data.jsonl:7: reward `format` failed".to_owned(),
        };
        let notice = Notice::from(&failures);
        assert_eq!(
            notice.message,
            "stage `rl`: the reward `format` fails on 1 of the 40 rows tried; the first: data.jsonl:7: reward \
             `format` failed"
        );
        let hint =
            |counts| format!("such a rollout {counts} (on_failure); mend the row or leave it out");
        assert_eq!(notice.hint, hint("is left out"));
        failures.on_failure = OnFailure::Zero;
        assert_eq!(Notice::from(&failures).hint, hint("counts 0"));
    }
}
