//! A question with places for names in braces; doubled braces stand for themselves.
//!
//! A template is checked once, when the reward is configured, and filled for every completion.

/// A template that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(String),
}

impl Template {
    /// Reads a template that may use these names, and must use `completion`.
    pub fn read(text: &str, known: &[&str]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let closed = if brace == "{" { rest.split_once('}') } else { None };
            let (name, after) = closed.ok_or_else(|| {
                format!("`template`: `{brace}` is not closed or opened; write `{brace}{brace}` for the character")
            })?;
            if !known.contains(&name) {
                return Err(format!("`template`: `{name}` is none of {}", known.join(", ")));
            }
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Name(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        if !pieces.contains(&Piece::Name("completion".to_owned())) {
            return Err("`template` must have {completion} in it".to_owned());
        }
        Ok(Self(pieces))
    }

    /// The template with the values of its names, each put in once.
    pub fn fill(&self, value: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Name(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }
}
