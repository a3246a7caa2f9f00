//! Text of a store as it is read: a store may come from somebody else, and SQLite lets any bytes be called text.
//!
//! Bytes that are not UTF-8 become `�`, which shows where they were; nothing fails for them.

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Sqlite, Type, ValueRef};

/// A text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub String);

/// A text, or NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MaybeText(pub Option<String>);

impl Type<Sqlite> for Text {
    fn type_info() -> SqliteTypeInfo {
        <String as Type<Sqlite>>::type_info()
    }

    fn compatible(found: &SqliteTypeInfo) -> bool {
        <String as Type<Sqlite>>::compatible(found)
    }
}

impl Type<Sqlite> for MaybeText {
    fn type_info() -> SqliteTypeInfo {
        Text::type_info()
    }

    fn compatible(found: &SqliteTypeInfo) -> bool {
        Text::compatible(found)
    }
}

impl<'r> Decode<'r, Sqlite> for Text {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <Vec<u8> as Decode<Sqlite>>::decode(value)?;
        let text = String::from_utf8(bytes);
        Ok(Self(text.unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())))
    }
}

impl<'r> Decode<'r, Sqlite> for MaybeText {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.is_null() {
            return Ok(Self(None));
        }
        Text::decode(value).map(|Text(text)| Self(Some(text)))
    }
}

impl From<Text> for String {
    fn from(Text(text): Text) -> Self {
        text
    }
}

impl From<MaybeText> for Option<String> {
    fn from(MaybeText(text): MaybeText) -> Self {
        text
    }
}
