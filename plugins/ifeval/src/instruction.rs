//! IFEval's instructions: their names and arguments, read from a problem's columns.

use r1x_plugin::language::{Language, by_code};
use r1x_plugin::{Map, Value, kind};

/// A bound on a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The number of the instruction.
    pub number: u64,
    /// At least that many; otherwise fewer.
    pub at_least: bool,
}

impl Bound {
    /// Whether a count keeps to it.
    pub fn holds(self, count: usize) -> bool {
        (count as u64 >= self.number) == self.at_least
    }
}

/// One verifiable instruction.
#[derive(Clone, Debug)]
pub enum Instruction {
    /// `keywords:existence`
    Keywords(Vec<String>),
    /// `keywords:frequency`
    KeywordFrequency(String, Bound),
    /// `keywords:forbidden_words`
    ForbiddenWords(Vec<String>),
    /// `keywords:letter_frequency`
    LetterFrequency(char, Bound),
    /// `language:response_language`; `None` for a language that is not told apart.
    Language(Option<&'static Language>),
    /// `length_constraints:number_sentences`
    Sentences(Bound),
    /// `length_constraints:number_paragraphs`, divided by `***`
    Paragraphs(u64),
    /// `length_constraints:number_words`
    Words(Bound),
    /// `length_constraints:nth_paragraph_first_word`: how many, which, its word
    FirstWord(u64, u64, String),
    /// `detectable_content:number_placeholders`
    Placeholders(u64),
    /// `detectable_content:postscript`
    Postscript(String),
    /// `detectable_format:number_bullet_lists`
    Bullets(u64),
    /// `detectable_format:constrained_response`
    ConstrainedResponse,
    /// `detectable_format:number_highlighted_sections`
    Highlights(u64),
    /// `detectable_format:multiple_sections`: the word before each number, how many
    Sections(String, u64),
    /// `detectable_format:json_format`
    Json,
    /// `detectable_format:title`
    Title,
    /// `combination:two_responses`
    TwoResponses,
    /// `combination:repeat_prompt`
    RepeatPrompt(String),
    /// `startend:end_checker`
    Ending(String),
    /// `change_case:capital_word_frequency`
    CapitalWords(Bound),
    /// `change_case:english_capital`
    Capitals,
    /// `change_case:english_lowercase`
    Lowercase,
    /// `punctuation:no_comma`
    NoComma,
    /// `startend:quotation`
    Quotation,
}

/// Arguments of one instruction; `null` counts as absent.
struct Arguments<'a> {
    id: &'a str,
    values: &'a Map<String, Value>,
}

impl Arguments<'_> {
    fn get(&self, name: &str) -> Result<&Value, String> {
        let value = self.values.get(name).filter(|value| !value.is_null());
        value.ok_or_else(|| format!("`{}` lacks its argument `{name}`", self.id))
    }

    fn wrong(&self, name: &str, wanted: &str, value: &Value) -> String {
        format!("`{}`: `{name}` must be {wanted}, not {}", self.id, kind(value))
    }

    fn whole(&self, name: &str) -> Result<u64, String> {
        let value = self.get(name)?;
        // Data sets that went through a table hold whole numbers as 3.0.
        let whole = value.as_u64().or_else(|| {
            value
                .as_f64()
                .filter(|number| number.fract() == 0.0 && *number >= 0.0)
                .map(|number| number as u64)
        });
        whole.ok_or_else(|| self.wrong(name, "a whole number", value))
    }

    fn text(&self, name: &str) -> Result<String, String> {
        let value = self.get(name)?;
        value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name, "a text", value))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let value = self.get(name)?;
        let items = value.as_array().ok_or_else(|| self.wrong(name, "a list of texts", value))?;
        items
            .iter()
            .map(|item| {
                item.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| self.wrong(name, "a list of texts", item))
            })
            .collect()
    }

    fn bound(&self, relation: &str, number: &str) -> Result<Bound, String> {
        let at_least = match &*self.text(relation)? {
            "at least" => true,
            "less than" => false,
            other => {
                return Err(format!(
                    "`{}`: `{relation}` must be \"at least\" or \"less than\", not {other:?}",
                    self.id
                ));
            }
        };
        Ok(Bound { number: self.whole(number)?, at_least })
    }

    fn instruction(&self) -> Result<Instruction, String> {
        Ok(match self.id {
            "keywords:existence" => Instruction::Keywords(self.texts("keywords")?),
            "keywords:frequency" => Instruction::KeywordFrequency(
                self.text("keyword")?,
                self.bound("relation", "frequency")?,
            ),
            "keywords:forbidden_words" => {
                Instruction::ForbiddenWords(self.texts("forbidden_words")?)
            }
            "keywords:letter_frequency" => {
                let letter = self.text("letter")?.to_lowercase().chars().next();
                let letter = letter.ok_or_else(|| format!("`{}`: `letter` is empty", self.id))?;
                Instruction::LetterFrequency(letter, self.bound("let_relation", "let_frequency")?)
            }
            "language:response_language" => Instruction::Language(by_code(&self.text("language")?)),
            "length_constraints:number_sentences" => {
                Instruction::Sentences(self.bound("relation", "num_sentences")?)
            }
            "length_constraints:number_paragraphs" => {
                Instruction::Paragraphs(self.whole("num_paragraphs")?)
            }
            "length_constraints:number_words" => {
                Instruction::Words(self.bound("relation", "num_words")?)
            }
            "length_constraints:nth_paragraph_first_word" => Instruction::FirstWord(
                self.whole("num_paragraphs")?,
                self.whole("nth_paragraph")?,
                self.text("first_word")?.to_lowercase(),
            ),
            "detectable_content:number_placeholders" => {
                Instruction::Placeholders(self.whole("num_placeholders")?)
            }
            "detectable_content:postscript" => {
                Instruction::Postscript(self.text("postscript_marker")?)
            }
            "detectable_format:number_bullet_lists" => {
                Instruction::Bullets(self.whole("num_bullets")?)
            }
            "detectable_format:constrained_response" => Instruction::ConstrainedResponse,
            "detectable_format:number_highlighted_sections" => {
                Instruction::Highlights(self.whole("num_highlights")?)
            }
            "detectable_format:multiple_sections" => {
                Instruction::Sections(self.text("section_spliter")?, self.whole("num_sections")?)
            }
            "detectable_format:json_format" => Instruction::Json,
            "detectable_format:title" => Instruction::Title,
            "combination:two_responses" => Instruction::TwoResponses,
            "combination:repeat_prompt" => {
                Instruction::RepeatPrompt(self.text("prompt_to_repeat")?)
            }
            "startend:end_checker" => Instruction::Ending(self.text("end_phrase")?),
            "change_case:capital_word_frequency" => {
                Instruction::CapitalWords(self.bound("capital_relation", "capital_frequency")?)
            }
            "change_case:english_capital" => Instruction::Capitals,
            "change_case:english_lowercase" => Instruction::Lowercase,
            "punctuation:no_comma" => Instruction::NoComma,
            "startend:quotation" => Instruction::Quotation,
            other => return Err(format!("{other:?} is none of IFEval's 25 instructions")),
        })
    }
}

/// Reads the columns `instruction_id_list` and `kwargs`.
pub fn read(columns: &Map<String, Value>) -> Result<Vec<(String, Instruction)>, String> {
    let list = |name: &str| match columns.get(name) {
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(format!("column `{name}` must be a list, not {}", kind(other))),
        None => Err(format!("column `{name}` is missing")),
    };
    let (ids, kwargs) = (list("instruction_id_list")?, list("kwargs")?);
    if ids.len() != kwargs.len() || ids.is_empty() {
        return Err(format!(
            "{} instructions with {} arguments: one each, and at least one",
            ids.len(),
            kwargs.len()
        ));
    }
    let empty = Map::new();
    ids.iter()
        .zip(kwargs)
        .map(|(id, values)| {
            let id = id.as_str().ok_or("column `instruction_id_list` must hold texts")?;
            let values = match values {
                Value::Object(values) => values,
                Value::Null => &empty,
                other => {
                    return Err(format!("column `kwargs` must hold objects, not {}", kind(other)));
                }
            };
            Ok((id.to_owned(), Arguments { id, values }.instruction()?))
        })
        .collect()
}
