//! Columns of problems, which the store keeps as JSON, as columns of a table: each has the kind that all of its values
//! have, and stays JSON in a text where they have none in common.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::row::{Cell, Column, Element, Items, Kind};

/// What rows are written as, as far as their columns depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Objects, in which every value is what it was.
    Objects,
    /// A table, of which a column has one kind.
    Table,
    /// A table with the columns of TRL.
    Trl,
}

/// The columns of problems with these kinds of JSON in them.
pub fn problem_columns(kinds: &BTreeMap<String, Vec<String>>, form: Form) -> Vec<Column> {
    let column = |(name, kinds): (&String, &Vec<String>)| match form {
        // What is JSON is written as it is.
        Form::Objects => Column::of(name, JSON).where_known(),
        Form::Table | Form::Trl => {
            let words: Vec<&str> = kinds.iter().map(String::as_str).collect();
            Column::of(name, kind(&words).unwrap_or(JSON)).where_known()
        }
    };
    kinds.iter().map(column).collect()
}

/// A value that is JSON.
const JSON: Kind = Kind::One(Element::Json);

/// The kind that these have in common; none where only JSON can say all of them. A value that is missing is of any kind.
fn kind(words: &[&str]) -> Option<Kind> {
    let (inner, outer): (Vec<&str>, Vec<&str>) = words
        .iter()
        .copied()
        .filter(|word| *word != "null")
        .partition(|word| word.starts_with("array."));
    if outer == ["array"] {
        let inner: Vec<&str> =
            inner.iter().filter_map(|word| word.strip_prefix("array.")).collect();
        // A list has no place for a value that is missing, nor a kind of its own where all are empty.
        return element(&inner).filter(|element| *element != Element::Flag).map(Kind::List);
    }
    element(&outer).map(Kind::One)
}

fn element(words: &[&str]) -> Option<Element> {
    match words {
        ["text"] => Some(Element::Text),
        ["integer"] => Some(Element::Integer),
        ["real"] | ["integer", "real"] => Some(Element::Number),
        ["true"] | ["false"] | ["false", "true"] => Some(Element::Flag),
        _ => None,
    }
}

/// Columns, and those of problems after them. A column of a problem that is called as one of the others, or as an object
/// that they stand in, has `columns.` before its name.
pub fn beside(mut columns: Vec<Column>, problem: &[Column]) -> Vec<Column> {
    let objects = columns.iter().filter_map(|column| column.inside.map(str::to_owned));
    let taken: HashSet<String> = columns.iter().map(Column::flat_name).chain(objects).collect();
    columns.extend(problem.iter().map(|column| match taken.contains(&column.name) {
        true => Column { name: format!("columns.{}", column.name), ..column.clone() },
        false => column.clone(),
    }));
    columns
}

/// The values of a problem in its columns.
pub fn problem_cells(
    values: &BTreeMap<String, String>,
    problem: &[Column],
) -> impl Iterator<Item = Cell> {
    problem.iter().map(|column| problem_cell(values.get(&column.name), column.kind))
}

/// The value of a problem in a column of a kind.
fn problem_cell(json: Option<&String>, kind: Kind) -> Cell {
    let Some(json) = json else { return Cell::Null };
    if kind == JSON {
        return Cell::Json(json.clone());
    }
    let Ok(value) = serde_json::from_str::<Value>(json) else { return Cell::Null };
    let cell = match kind {
        Kind::One(element) => one(&value, element),
        Kind::List(element) => value.as_array().and_then(|values| list(values, element)),
    };
    cell.unwrap_or(Cell::Null)
}

fn one(value: &Value, element: Element) -> Option<Cell> {
    match element {
        Element::Text => value.as_str().map(|text| Cell::Text(text.to_owned())),
        Element::Integer => value.as_i64().map(Cell::Integer),
        Element::Number => value.as_f64().map(Cell::Number),
        Element::Flag => value.as_bool().map(Cell::Flag),
        Element::Json | Element::Token | Element::Single => None,
    }
}

fn list(values: &[Value], element: Element) -> Option<Cell> {
    let items = match element {
        Element::Text => Items::Texts(
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        ),
        Element::Integer => {
            Items::Integers(values.iter().map(Value::as_i64).collect::<Option<_>>()?)
        }
        Element::Number => Items::Numbers(values.iter().map(Value::as_f64).collect::<Option<_>>()?),
        Element::Flag | Element::Json | Element::Token | Element::Single => return None,
    };
    Some(Cell::List(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_the_kind_that_its_values_have_in_common() {
        let one = |element| Some(Kind::One(element));
        let list = |element| Some(Kind::List(element));
        for (words, expected) in [
            (&["text"][..], one(Element::Text)),
            (&["null", "text"], one(Element::Text)),
            (&["integer", "text"], None),
            (&["integer", "real"], one(Element::Number)),
            (&["long"], None),
            (&["false", "null", "true"], one(Element::Flag)),
            (&["array", "array.text"], list(Element::Text)),
            (&["array", "array.integer", "null"], list(Element::Integer)),
            (&["array", "array.integer", "array.real"], list(Element::Number)),
            (&["array", "array.null", "array.text"], None),
            (&["array"], None),
            (&["array", "array.array"], None),
            (&["array", "array.text", "text"], None),
            (&["object"], None),
            (&["null"], None),
        ] {
            assert_eq!(kind(words), expected, "{words:?}");
        }
    }

    #[test]
    fn a_column_of_a_problem_takes_no_name_that_is_taken() {
        let text = |name: &str| Column::of(name, Kind::One(Element::Text));
        let ours = vec![text("gold"), text("right").inside("rewards")];
        let theirs = ["gold", "rewards", "rewards.right", "right"].map(text);
        let names: Vec<String> = beside(ours, &theirs).iter().map(Column::flat_name).collect();
        let expected =
            ["columns.gold", "columns.rewards", "columns.rewards.right", "right"].as_slice();
        assert_eq!(names[..2], ["gold", "rewards.right"]);
        assert_eq!(names[2..], *expected);
    }

    #[test]
    fn values_are_read_as_their_column_has_them() {
        let cell = |json: &str, kind| problem_cell(Some(&json.to_owned()), kind);
        assert_eq!(cell("\"a\\n\"", Kind::One(Element::Text)), Cell::Text("a\n".to_owned()));
        assert_eq!(cell("3", Kind::One(Element::Number)), Cell::Number(3.0));
        assert_eq!(cell("null", Kind::One(Element::Number)), Cell::Null);
        let numbers = Items::Numbers(vec![3.0, 0.5]);
        assert_eq!(cell("[3,0.5]", Kind::List(Element::Number)), Cell::List(numbers));
        assert_eq!(cell("[3,{}]", JSON), Cell::Json("[3,{}]".to_owned()));
        assert_eq!(problem_cell(None, JSON), Cell::Null);
    }
}
