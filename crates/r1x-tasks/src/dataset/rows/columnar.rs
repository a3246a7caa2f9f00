//! Rows of a Parquet file, as JSON lines would have them.
//!
//! Apache's reader decodes one row at a time. What a file says about itself is bounded before rows are read: a footer is
//! a few kilobytes, and a page that says it unpacks to more than a few hundred megabytes is no page of a data set.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, List, Map, Row as Record};
use parquet::schema::types::Type;
use serde_json::{Number, Value};

use super::row::Row;
use crate::error::{TaskError, display, listed};

/// What becomes of a number that is not finite, which JSON cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotFinite {
    /// The row that has the number is refused.
    Refused,
    /// The number counts as a missing value: programs that write tables mark missing values with NaN.
    Missing,
}

/// What a file ends with, behind the length of its footer.
const MAGIC: &[u8; 4] = b"PAR1";
/// Bytes of both.
const ENDING: u64 = 8;
/// Most bytes of a footer.
const MOST_FOOTER_BYTES: u64 = 16 << 20;
/// Most columns, counted where they have no columns below them.
const MOST_COLUMNS: usize = 4096;
/// Deepest lists and structs.
const DEEPEST: usize = 32;
/// Most bytes that a column takes unpacked in one group of rows.
const MOST_CHUNK_BYTES: i64 = 1 << 30;
/// What to do about a file that cannot be read.
const HINT: &str = "download it again, or write it as JSON lines";

/// Reads the rows of a file one after the other; their numbers count from 1.
pub(super) fn each<E: From<TaskError>>(
    path: &str,
    not_finite: NotFinite,
    visit: &mut dyn FnMut(usize, Row) -> Result<(), E>,
) -> Result<(), E> {
    let file =
        r1x_files::open(path).map_err(|error| TaskError::Read { path: path.to_owned(), error })?;
    let unusable = |reason: String| TaskError::Rules {
        reason: format!("{path} cannot be read as Parquet: {reason}"),
        hint: HINT.to_owned(),
    };
    check_footer(&file).map_err(unusable)?;
    let told = |error: parquet::errors::ParquetError| unusable(display(&error.to_string()));
    let reader = guarded(|| {
        let reader = SerializedFileReader::new(file).map_err(told)?;
        check(&reader).map_err(unusable)?;
        Ok(reader)
    })
    .map_err(unusable)??;
    let mut records = guarded(|| reader.get_row_iter(None).map_err(told)).map_err(unusable)??;
    for number in 1.. {
        let Some(record) = guarded(|| records.next()).map_err(unusable)? else { break };
        let row = row(&record.map_err(told)?, not_finite).map_err(|(reason, hint)| {
            let path = path.to_owned();
            TaskError::Row { path, line: number, reason, hint: hint.to_owned() }
        })?;
        visit(number, row)?;
    }
    Ok(())
}

/// Lets the reader work. It checks most of what it is given, and panics on some of the rest.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| "its pages contradict its footer".to_owned())
}

/// Looks at the end of a file, before a reader trusts it.
fn check_footer(mut file: &File) -> Result<(), String> {
    let mut ending = [0; ENDING as usize];
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    if length < ENDING + MAGIC.len() as u64 {
        return Err(format!("it has {length} bytes, which are not enough for a footer"));
    }
    let seek = file.seek(SeekFrom::End(-(ENDING as i64)));
    seek.and_then(|_| file.read_exact(&mut ending)).map_err(|error| error.to_string())?;
    let (footer, magic) = ending.split_at(4);
    if magic != MAGIC {
        return Err(
            "it does not end as such files do; a pointer of Git LFS or a page of a hub is none"
                .to_owned(),
        );
    }
    let footer = footer.iter().rev().fold(0_u64, |length, byte| (length << 8) | u64::from(*byte));
    if footer > length - ENDING || footer > MOST_FOOTER_BYTES {
        return Err(format!(
            "it says that its footer has {footer} bytes; {MOST_FOOTER_BYTES} are read at most, and the file has {length}"
        ));
    }
    Ok(())
}

/// Checks what a footer says about columns and pages.
fn check(reader: &SerializedFileReader<File>) -> Result<(), String> {
    let metadata = reader.metadata();
    let schema = metadata.file_metadata().schema_descr();
    if schema.num_columns() > MOST_COLUMNS {
        let columns = schema.num_columns();
        return Err(format!("it has {columns} columns; {MOST_COLUMNS} are read at most"));
    }
    check_depth(schema.root_schema(), DEEPEST)?;
    let fields = schema.root_schema().get_fields();
    for (at, field) in fields.iter().enumerate() {
        if fields[..at].iter().any(|earlier| earlier.name() == field.name()) {
            return Err(format!("it has the column {} twice", listed([field.name()])));
        }
    }
    for group in metadata.row_groups() {
        for column in group.columns() {
            if column.uncompressed_size() > MOST_CHUNK_BYTES {
                let (bytes, name) = (column.uncompressed_size(), column.column_path().string());
                let name = listed([name.as_str()]);
                return Err(format!(
                    "its column {name} unpacks to {bytes} bytes at once; {MOST_CHUNK_BYTES} are read at most"
                ));
            }
        }
    }
    Ok(())
}

fn check_depth(schema: &Type, left: usize) -> Result<(), String> {
    if !schema.is_group() {
        return Ok(());
    }
    if left == 0 {
        return Err(format!("its columns are nested more than {DEEPEST} deep"));
    }
    schema.get_fields().iter().try_for_each(|field| check_depth(field, left - 1))
}

/// Why a value has no JSON, and what to do about it.
type Refused = (String, &'static str);

fn row(record: &Record, not_finite: NotFinite) -> Result<Row, Refused> {
    let columns = record.get_column_iter().map(|(name, field)| {
        let value = json(field, not_finite).map_err(|(reason, hint)| {
            (format!("the column {} {reason}", listed([name.as_str()])), hint)
        })?;
        Ok((name.clone(), value))
    });
    Ok(Row::new(columns.collect::<Result<_, Refused>>()?))
}

/// A value as JSON lines would have it.
fn json(field: &Field, not_finite: NotFinite) -> Result<Value, Refused> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::from(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        // The shortest decimal that has these bits: whoever wrote 0.1 meant 0.1.
        Field::Float16(value) => number(value.to_string().parse().unwrap_or(f64::NAN), not_finite)?,
        Field::Float(value) => number(value.to_string().parse().unwrap_or(f64::NAN), not_finite)?,
        Field::Double(value) => number(*value, not_finite)?,
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::from(text),
            Err(_) => {
                let hint = "leave the column out with `columns`";
                return Err(("holds bytes that are no text".to_owned(), hint));
            }
        },
        Field::Group(record) => object(record, not_finite)?,
        Field::ListInternal(list) => array(list, not_finite)?,
        Field::MapInternal(map) => entries(map, not_finite)?,
        // Times and decimals are written as people write them.
        Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => Value::from(field.to_string()),
    })
}

fn number(value: f64, not_finite: NotFinite) -> Result<Value, Refused> {
    match (Number::from_f64(value), not_finite) {
        (Some(number), _) => Ok(Value::Number(number)),
        (None, NotFinite::Missing) => Ok(Value::Null),
        (None, NotFinite::Refused) => {
            Err(("holds a number that is not finite".to_owned(), "write null there instead"))
        }
    }
}

fn object(record: &Record, not_finite: NotFinite) -> Result<Value, Refused> {
    let entries =
        record.get_column_iter().map(|(name, field)| Ok((name.clone(), json(field, not_finite)?)));
    Ok(Value::Object(entries.collect::<Result<_, Refused>>()?))
}

fn array(list: &List, not_finite: NotFinite) -> Result<Value, Refused> {
    let values = list.elements().iter().map(|field| json(field, not_finite));
    Ok(Value::Array(values.collect::<Result<_, _>>()?))
}

/// A map as an object. Keys of objects are texts.
fn entries(map: &Map, not_finite: NotFinite) -> Result<Value, Refused> {
    let entries = map.entries().iter().map(|(key, value)| {
        let key = match json(key, not_finite)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok((key, json(value, not_finite)?))
    });
    Ok(Value::Object(entries.collect::<Result<_, Refused>>()?))
}
