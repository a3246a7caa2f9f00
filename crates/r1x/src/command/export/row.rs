//! Rows on their way out of the store: columns with their kinds, the cells of a row, and whoever writes them.

use crate::failure::Failure;

/// What the cells of a column are, wherever there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value.
    One(Element),
    /// A list of values.
    List(Element),
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// A text.
    Text,
    /// JSON, which tables have as a text.
    Json,
    /// A whole number.
    Integer,
    /// A number of 64 bits.
    Number,
    /// Yes or no.
    Flag,
    /// The id of a token.
    Token,
    /// A number of 32 bits.
    Single,
}

/// Whether a row without a value of a column says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Every row has the column.
    Always,
    /// A row has it where it has a value, in formats that can leave a column out.
    WhereKnown,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The object that the column stands in, in formats that have objects; elsewhere it is the beginning of its name.
    pub inside: Option<&'static str>,
    /// Its name.
    pub name: String,
    /// What its cells are.
    pub kind: Kind,
    /// Whether it may be left out.
    pub presence: Presence,
}

impl Column {
    /// A column that every row has.
    pub fn of(name: impl Into<String>, kind: Kind) -> Self {
        Self { inside: None, name: name.into(), kind, presence: Presence::Always }
    }

    /// The column inside of an object.
    #[must_use]
    pub fn inside(self, object: &'static str) -> Self {
        Self { inside: Some(object), ..self }
    }

    /// The column as one that rows leave out where they have no value.
    #[must_use]
    pub fn where_known(self) -> Self {
        Self { presence: Presence::WhereKnown, ..self }
    }

    /// Its name in a table.
    pub fn flat_name(&self) -> String {
        match self.inside {
            Some(object) => format!("{object}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// None.
    Null,
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number, NaN and infinities included.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// A list of values.
    List(Items),
    /// JSON as it was written.
    Json(String),
}

/// A list of values of one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    /// Texts.
    Texts(Vec<String>),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Numbers.
    Numbers(Vec<f64>),
    /// Ids of tokens.
    Tokens(Vec<u32>),
    /// Numbers of 32 bits.
    Singles(Vec<f32>),
}

impl Cell {
    /// A text, where there is one.
    pub fn text(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    /// A number, where there is one.
    pub fn number(number: Option<f64>) -> Self {
        number.map_or(Self::Null, Self::Number)
    }

    /// Ids of tokens, where they are recorded.
    pub fn tokens(tokens: Option<Vec<u32>>) -> Self {
        tokens.map_or(Self::Null, |tokens| Self::List(Items::Tokens(tokens)))
    }

    /// Numbers of 32 bits, where they are recorded.
    pub fn singles(singles: Option<Vec<f32>>) -> Self {
        singles.map_or(Self::Null, |singles| Self::List(Items::Singles(singles)))
    }
}

/// Whoever writes rows.
pub trait Sink {
    /// Writes a row: a cell for each column, in their order.
    ///
    /// # Errors
    /// When it cannot be written.
    fn row(&mut self, cells: Vec<Cell>) -> Result<(), Failure>;
}
