//! The schema as data: which keys a spec has, what they take, their defaults and what they are for.
//!
//! It is built from the declarations in `spec` and is what merging, `--set` and the JSON Schema go by.

use serde_json::Value as Json;

/// Numbers a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub low: f64,
    pub low_open: bool,
    pub high: f64,
    pub high_open: bool,
    /// Whether 0 is taken too, though it lies below the others.
    pub zero: bool,
}

impl Range {
    /// Every finite number.
    pub const ANY: Range =
        Range { low: f64::MIN, low_open: false, high: f64::MAX, high_open: false, zero: false };

    pub const fn from(low: f64) -> Range {
        Range { low, ..Self::ANY }
    }

    pub const fn above(low: f64) -> Range {
        Range { low, low_open: true, ..Self::ANY }
    }

    pub const fn to(self, high: f64) -> Range {
        Range { high, ..self }
    }

    pub const fn below(self, high: f64) -> Range {
        Range { high, high_open: true, ..self }
    }

    /// These numbers and 0.
    pub const fn or_zero(self) -> Range {
        Range { zero: true, ..self }
    }

    pub fn contains(&self, value: f64) -> bool {
        if self.zero && value == 0.0 {
            return true;
        }
        let low = if self.low_open { value > self.low } else { value >= self.low };
        let high = if self.high_open { value < self.high } else { value <= self.high };
        low && high
    }

    /// "at least 0 and below 1".
    pub fn phrase(&self) -> String {
        let low = if self.low_open { "above" } else { "at least" };
        let high = if self.high_open { "below" } else { "at most" };
        if self.low == self.high {
            return shown(self.low);
        }
        let (first, last) = (shown(self.low), shown(self.high));
        let phrase = match (self.low > f64::MIN, self.high < f64::MAX) {
            (false, false) => "finite".to_owned(),
            (true, false) => format!("{low} {first}"),
            (false, true) => format!("{high} {last}"),
            (true, true) => format!("{low} {first} and {high} {last}"),
        };
        if self.zero { format!("0, or {phrase}") } else { phrase }
    }
}

/// A number as people write it: with a power of ten where there would be many zeros.
pub(crate) fn shown(value: f64) -> String {
    let plain = value == 0.0 || !value.is_finite() || (1e-5..1e15).contains(&value.abs());
    if plain { value.to_string() } else { format!("{value:e}") }
}

/// What a key takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One value, replaced as a whole; a JSON Schema says which.
    Value(Json),
    /// Any value; maps in it merge.
    Free,
    /// A map from ids to values of one shape.
    Dict(Box<Shape>),
    /// A list of records with an `id`, which merges by it.
    IdList(Box<RecordShape>),
    /// A map with known keys.
    Record(Box<RecordShape>),
}

/// A map with known keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RecordShape {
    pub doc: &'static str,
    pub fields: Vec<FieldShape>,
    /// Sets of keys of which exactly one is written.
    pub choices: Vec<Vec<&'static str>>,
    /// Keys that say where everything else of the map comes from: written where the inherited map has no such key, one
    /// takes the place of the whole map.
    pub origins: Vec<&'static str>,
}

/// One key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldShape {
    pub key: &'static str,
    pub doc: &'static str,
    pub shape: Shape,
    pub need: Need,
}

/// What happens when a key is not written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Need {
    /// It is an error.
    Required,
    /// The key has no value, or the doc tells what follows.
    Optional,
    /// This is used.
    Default(Json),
    /// Another key of the same choice must be written.
    Choice,
}

impl RecordShape {
    pub fn field(&self, key: &str) -> Option<&FieldShape> {
        self.fields.iter().find(|field| field.key == key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.key)
    }

    /// The other alternatives of the choice a key belongs to.
    pub fn rivals(&self, key: &str) -> impl Iterator<Item = &'static str> {
        let choice = self.choices.iter().find(|choice| choice.contains(&key));
        choice.into_iter().flatten().copied().filter(move |other| *other != key)
    }
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn ranges_hold_their_ends_as_they_say() {
        let beta = Range::from(0.0).below(1.0);
        assert!(beta.contains(0.0) && !beta.contains(1.0));
        assert_eq!(beta.phrase(), "at least 0 and below 1");
        assert!(!Range::above(0.0).contains(0.0));
        let temperature = Range::from(0.01).to(100.0).or_zero();
        assert!(temperature.contains(0.0) && temperature.contains(0.01));
        assert!(!temperature.contains(1e-40) && !temperature.contains(-0.01));
        assert_eq!(temperature.phrase(), "0, or at least 0.01 and at most 100");
        assert!(!Range::ANY.contains(f64::INFINITY) && !Range::ANY.contains(f64::NAN));
    }
}
