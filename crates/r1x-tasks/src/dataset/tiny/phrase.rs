//! What is said in either language: words with gaps between them.

use r1x_core::plan::Language;

/// A gap of a phrase, a word of its own.
const GAP: &str = "{}";

/// Words in English and in German; a `{}` is a gap. Both have equally many gaps, in the order of what fills them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phrase {
    pub(super) en: &'static str,
    pub(super) de: &'static str,
}

impl Phrase {
    pub(super) const fn new(en: &'static str, de: &'static str) -> Self {
        Self { en, de }
    }

    /// Its words in a language, gaps included.
    pub(super) fn text(self, language: Language) -> &'static str {
        match language {
            Language::En => self.en,
            Language::De => self.de,
        }
    }

    /// The phrase with its gaps filled, words separated by single blanks.
    pub(super) fn say(self, language: Language, fill: &[&str]) -> String {
        let mut fill = fill.iter();
        let words = self.text(language).split(' ').map(|word| match word {
            GAP => fill.next().copied().unwrap_or_default(),
            word => word,
        });
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The words of phrases in these languages, each once, in the order in which they first appear.
pub(super) fn words_of(
    phrases: impl IntoIterator<Item = Phrase>,
    languages: &[Language],
) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for phrase in phrases {
        for language in languages {
            for word in phrase.text(*language).split(' ') {
                if word != GAP && !word.is_empty() && !words.iter().any(|known| known == word) {
                    words.push(word.to_owned());
                }
            }
        }
    }
    words
}
