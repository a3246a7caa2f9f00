//! What a file says besides its tensors: values with a name, as GGUF types them.

/// A value of a file's metadata. Whole numbers of every width are one kind, and so are both widths of floats.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number without a sign.
    Unsigned(u64),
    /// A whole number with a sign.
    Signed(i64),
    /// A float.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// Values of one kind.
    List(List),
}

/// Values of one kind. Numbers and texts are kept flat, since a tokenizer has hundreds of thousands.
#[derive(Clone, Debug, PartialEq)]
pub enum List {
    /// Whole numbers without a sign.
    Unsigned(Vec<u64>),
    /// Whole numbers with a sign.
    Signed(Vec<i64>),
    /// Floats.
    Floats(Vec<f64>),
    /// Yes or no.
    Bools(Vec<bool>),
    /// Texts.
    Texts(Vec<String>),
}

impl Value {
    /// The whole number, where it is one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The number, where it is one. A whole number beyond 2^53 is rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(*number as f64),
            Self::Signed(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Yes or no, where it is that.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The texts, where it is a list of these.
    pub fn as_texts(&self) -> Option<&[String]> {
        if let Self::List(List::Texts(texts)) = self { Some(texts) } else { None }
    }

    /// The whole numbers, where it is a list of these and all fit.
    pub fn as_i64s(&self) -> Option<Vec<i64>> {
        match self {
            Self::List(List::Unsigned(numbers)) => {
                numbers.iter().map(|number| i64::try_from(*number).ok()).collect()
            }
            Self::List(List::Signed(numbers)) => Some(numbers.clone()),
            _ => None,
        }
    }

    /// The floats, where it is a list of these.
    pub fn as_f64s(&self) -> Option<&[f64]> {
        if let Self::List(List::Floats(numbers)) = self { Some(numbers) } else { None }
    }
}
