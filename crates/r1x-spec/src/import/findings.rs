//! What an import has to say: what became of each key, and what is left to do.

use serde::Serialize;

/// A value of the spec and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Its path in the spec.
    pub path: String,
    /// The value, as YAML.
    pub value: String,
    /// The keys of the recipe that it came from, each with its value; those whose default was taken say so.
    pub from: Vec<String>,
}

/// A key of the recipe about which something is to be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The key.
    pub key: String,
    /// Its value, as YAML.
    pub value: String,
    /// The line on which it stands; `None` where its default was taken.
    pub line: Option<usize>,
    /// What is to be said, as a sentence.
    pub text: String,
}

/// Keys that r1x needs no setting for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoMatter {
    /// What they are about, and why none is needed.
    pub about: String,
    /// The keys.
    pub keys: Vec<String>,
}

/// Something that the recipe does not say and a run needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FillIn {
    /// The key of the spec that is about it.
    pub path: String,
    /// The keys of the recipe that ask for it, each with its value; none where the recipe says nothing of it.
    pub from: Vec<String>,
    /// What to do.
    pub text: String,
}

/// What became of a recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// What was taken for granted.
    pub assumed: Vec<String>,
    /// What the spec says now.
    pub carried: Vec<Carried>,
    /// Keys whose meaning is another in r1x.
    pub differs: Vec<Told>,
    /// Keys that r1x does not have.
    pub unsupported: Vec<Told>,
    /// Keys that r1x needs no setting for.
    pub no_matter: Vec<NoMatter>,
    /// Keys that are not known.
    pub unknown: Vec<Told>,
    /// What is left to do.
    pub fill_in: Vec<FillIn>,
}
