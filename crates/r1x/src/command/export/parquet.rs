//! Rows as a Parquet file, by Apache's writer: a group of rows at a time is held, and every column has its values one
//! after the other.

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::row::{Cell, Column, Element, Items, Kind, Sink};
use crate::failure::{Failure, code};

/// Rows in one group at most.
const GROUP_ROWS: usize = 8192;
/// Bytes of values in one group, after which it is written.
const GROUP_BYTES: usize = 16 << 20;

/// Writes a Parquet file.
pub struct Parquet<'f> {
    writer: SerializedFileWriter<BufWriter<&'f mut File>>,
    columns: Vec<Held>,
    rows: usize,
}

/// The values of a column in the group that is being filled.
struct Held {
    values: Values,
    /// How much of each value there is: 0 where there is none, 1 where a value is or where a list begins, and 2 for what
    /// is in a list.
    definitions: Vec<i16>,
    /// Whether each value goes on with the list before it, 1, or begins a row, 0; none where there are no lists.
    repetitions: Option<Vec<i16>>,
    bytes: usize,
}

enum Values {
    Texts(Vec<ByteArray>),
    Longs(Vec<i64>),
    Doubles(Vec<f64>),
    Flags(Vec<bool>),
    Words(Vec<i32>),
    Floats(Vec<f32>),
}

impl<'f> Parquet<'f> {
    /// Writes rows of these columns.
    ///
    /// # Errors
    /// When the file cannot be written, or two columns have one name.
    pub fn new(columns: &[Column], file: &'f mut File) -> Result<Self, Failure> {
        let version = concat!("r1x version ", env!("CARGO_PKG_VERSION"));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(version.to_owned())
            .build();
        let schema = schema(columns).map_err(told)?;
        let writer = SerializedFileWriter::new(BufWriter::new(file), schema, Arc::new(properties));
        let columns = columns.iter().map(|column| Held::new(column.kind)).collect();
        Ok(Self { writer: writer.map_err(told)?, columns, rows: 0 })
    }

    /// Writes what is held and the end of the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        self.writer.close().map_err(told)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(told)?;
        for held in &mut self.columns {
            let Some(mut column) = group.next_column().map_err(told)? else { break };
            held.write(&mut column).and_then(|()| column.close()).map_err(told)?;
            held.clear();
        }
        group.close().map_err(told)?;
        self.rows = 0;
        Ok(())
    }
}

impl Sink for Parquet<'_> {
    fn row(&mut self, cells: Vec<Cell>) -> Result<(), Failure> {
        for (held, cell) in self.columns.iter_mut().zip(cells) {
            held.push(cell);
        }
        self.rows += 1;
        let bytes: usize = self.columns.iter().map(|held| held.bytes).sum();
        if self.rows >= GROUP_ROWS || bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }
}

fn told(error: ParquetError) -> Failure {
    let hint = "nothing has the name that was asked for: make room, and export again";
    Failure::new(code::RESOURCE, format!("the Parquet file cannot be written: {error}"), hint)
}

/// The schema: every column may lack a value, and what is in a list may not.
fn schema(columns: &[Column]) -> Result<Arc<Type>, ParquetError> {
    let field = |column: &Column| {
        let name = column.flat_name();
        match column.kind {
            Kind::One(element) => primitive(&name, element, Repetition::OPTIONAL),
            Kind::List(element) => {
                let element = primitive("element", element, Repetition::REQUIRED)?;
                let list = Type::group_type_builder("list")
                    .with_repetition(Repetition::REPEATED)
                    .with_fields(vec![element])
                    .build()?;
                let column = Type::group_type_builder(&name)
                    .with_repetition(Repetition::OPTIONAL)
                    .with_logical_type(Some(LogicalType::List))
                    .with_fields(vec![Arc::new(list)])
                    .build()?;
                Ok(Arc::new(column))
            }
        }
    };
    let fields = columns.iter().map(field).collect::<Result<_, ParquetError>>()?;
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?))
}

fn primitive(
    name: &str,
    element: Element,
    repetition: Repetition,
) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match element {
        Element::Text | Element::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Element::Integer => (Physical::INT64, None),
        Element::Number => (Physical::DOUBLE, None),
        Element::Flag => (Physical::BOOLEAN, None),
        Element::Token => {
            let unsigned = LogicalType::integer(32, false);
            (Physical::INT32, Some(unsigned))
        }
        Element::Single => (Physical::FLOAT, None),
    };
    let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
    Ok(Arc::new(builder.with_logical_type(logical).build()?))
}

impl Held {
    fn new(kind: Kind) -> Self {
        let (element, repetitions) = match kind {
            Kind::One(element) => (element, None),
            Kind::List(element) => (element, Some(Vec::new())),
        };
        let values = match element {
            Element::Text | Element::Json => Values::Texts(Vec::new()),
            Element::Integer => Values::Longs(Vec::new()),
            Element::Number => Values::Doubles(Vec::new()),
            Element::Flag => Values::Flags(Vec::new()),
            Element::Token => Values::Words(Vec::new()),
            Element::Single => Values::Floats(Vec::new()),
        };
        Self { values, definitions: Vec::new(), repetitions, bytes: 0 }
    }

    fn push(&mut self, cell: Cell) {
        let before = self.values.len();
        match (cell, &mut self.values) {
            (Cell::Text(text) | Cell::Json(text), Values::Texts(values)) => {
                self.bytes += text.len();
                values.push(ByteArray::from(text.into_bytes()));
            }
            (Cell::Integer(value), Values::Longs(values)) => values.push(value),
            // A whole number in a column of numbers.
            (Cell::Integer(value), Values::Doubles(values)) => values.push(value as f64),
            (Cell::Number(value), Values::Doubles(values)) => values.push(value),
            (Cell::Flag(value), Values::Flags(values)) => values.push(value),
            (Cell::List(items), values) => {
                self.bytes += items.add_to(values);
                return self.list(before);
            }
            // What is of another kind than its column is no value of it, as is none.
            _ => {}
        }
        let added = self.values.len() - before;
        self.bytes += 10;
        self.definitions.push(i16::from(added == 1));
        if let Some(repetitions) = &mut self.repetitions {
            repetitions.push(0);
        }
    }

    /// Says that the values since so many are a list.
    fn list(&mut self, before: usize) {
        let added = self.values.len() - before;
        self.bytes += 4 + added * 12;
        let Some(repetitions) = &mut self.repetitions else { return };
        if added == 0 {
            self.definitions.push(1);
            repetitions.push(0);
        }
        self.definitions.extend(std::iter::repeat_n(2, added));
        repetitions.extend((0..added).map(|at| i16::from(at > 0)));
    }

    fn write(&self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = (&self.definitions[..], self.repetitions.as_deref());
        match &self.values {
            Values::Texts(values) => batch::<ByteArrayType>(column, values, levels),
            Values::Longs(values) => batch::<Int64Type>(column, values, levels),
            Values::Doubles(values) => batch::<DoubleType>(column, values, levels),
            Values::Flags(values) => batch::<BoolType>(column, values, levels),
            Values::Words(values) => batch::<Int32Type>(column, values, levels),
            Values::Floats(values) => batch::<FloatType>(column, values, levels),
        }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.definitions.clear();
        self.repetitions.iter_mut().for_each(Vec::clear);
        self.bytes = 0;
    }
}

fn batch<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &[T::T],
    (definitions, repetitions): (&[i16], Option<&[i16]>),
) -> Result<(), ParquetError> {
    column.typed::<T>().write_batch(values, Some(definitions), repetitions).map(|_| ())
}

impl Items {
    /// Adds the items to the values of their kind, and returns how many bytes of text they have.
    fn add_to(self, values: &mut Values) -> usize {
        match (self, values) {
            (Items::Texts(items), Values::Texts(values)) => {
                let bytes = items.iter().map(String::len).sum();
                values.extend(items.into_iter().map(|text| ByteArray::from(text.into_bytes())));
                return bytes;
            }
            (Items::Integers(items), Values::Longs(values)) => values.extend(items),
            (Items::Numbers(items), Values::Doubles(values)) => values.extend(items),
            // The bits are those of the id; the schema says that they have no sign.
            (Items::Tokens(items), Values::Words(values)) => {
                values.extend(items.into_iter().map(u32::cast_signed));
            }
            (Items::Singles(items), Values::Floats(values)) => values.extend(items),
            _ => {}
        }
        0
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Texts(values) => values.len(),
            Self::Longs(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Flags(values) => values.len(),
            Self::Words(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Texts(values) => values.clear(),
            Self::Longs(values) => values.clear(),
            Self::Doubles(values) => values.clear(),
            Self::Flags(values) => values.clear(),
            Self::Words(values) => values.clear(),
            Self::Floats(values) => values.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written_over_several_groups() {
        let columns = [
            Column::of("text", Kind::One(Element::Text)),
            Column::of("score", Kind::One(Element::Number)).inside("rewards"),
            Column::of("right", Kind::One(Element::Flag)),
            Column::of("tokens", Kind::List(Element::Token)),
            Column::of("logprobs", Kind::List(Element::Single)),
            Column::of("step", Kind::One(Element::Integer)),
        ];
        let mut file = tempfile::tempfile().unwrap();
        let mut sink = Parquet::new(&columns, &mut file).unwrap();
        let rows = GROUP_ROWS + 3;
        for number in 0..rows {
            // Lists that are there, empty and missing, one after the other.
            let lists = match number % 3 {
                0 => [
                    Cell::tokens(Some(vec![7, u32::MAX])),
                    Cell::singles(Some(vec![-0.5, f32::MIN_POSITIVE])),
                ],
                1 => [Cell::tokens(Some(vec![])), Cell::singles(Some(vec![]))],
                _ => [Cell::Null, Cell::Null],
            };
            let [tokens, logprobs] = lists;
            let text =
                if number % 2 == 0 { Cell::Text(format!("é {number}")) } else { Cell::Null };
            let score = Cell::number((number % 5 != 0).then_some(number as f64 / 7.0));
            let step = Cell::Integer(number as i64);
            sink.row(vec![text, score, Cell::Flag(number % 2 == 0), tokens, logprobs, step])
                .unwrap();
        }
        sink.finish().unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let read: Vec<serde_json::Value> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                let row = row.unwrap();
                let cells = row.get_column_iter();
                cells
                    .map(|(name, field)| (name.clone(), serde_json::Value::from(field.to_string())))
                    .collect()
            })
            .collect();
        assert_eq!(read.len(), rows);
        let expected = serde_json::json!({
            "text": "\"é 0\"", "rewards.score": "null", "right": "true",
            "tokens": "[7, 4294967295]", "logprobs": "[-5E-1, 1.1754944E-38]", "step": "0",
        });
        assert_eq!(read[0], expected);
        assert_eq!((&read[1]["text"], &read[1]["tokens"]), (&"null".into(), &"[]".into()));
        assert_eq!(read[2]["tokens"], "null");
        let score = read[rows - 1]["rewards.score"].as_str().unwrap();
        assert_eq!(score.parse::<f64>().unwrap(), (rows - 1) as f64 / 7.0);
        assert_eq!(read[rows - 1]["step"], (rows - 1).to_string());
    }
}
