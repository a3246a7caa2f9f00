//! The macros that declare what a spec may say: records of keys, choices of one key, and words.
//!
//! A declaration is the one place that tells a key's name, type, range, default and meaning: the reader, the shape and
//! so the JSON Schema all come from it.

/// Declares a record: `key: Type => need, range;`. Needs are `required`; `part` (required, but a mistake in it
/// does not stop the reading of the rest); `optional`; `origin` (optional, and where it is written it takes the place of
/// what is inherited of the whole map); `default(value)`; `soft(value)` (a default that also
/// stands in for a mistake); `nested` (a map whose own keys have defaults); `flat` (keys of another record
/// in the same map).
macro_rules! record {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])+
                $field:ident: $ty:ty => $need:ident $(($default:expr))? $(, $range:expr)?;
            )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])+ pub $field: record!(@type $need $ty),)+
        }

        impl crate::read::Record for $name {
            fn describe(shape: &mut crate::schema_tree::RecordShape) {
                $(record!(@describe shape, $field, $ty, concat!($($field_doc),+), $need
                    ($($default)?), record!(@range $($range)?));)+
            }

            fn take(
                fields: &mut crate::read::Fields,
                reader: &mut crate::read::Reader,
            ) -> Option<Self> {
                $(let $field: Option<record!(@type $need $ty)> =
                    record!(@take fields, reader, $field, $need ($($default)?),
                        record!(@range $($range)?));)+
                Some(Self { $($field: $field?),+ })
            }
        }

        crate::read::record_term! { $name, concat!($($doc),+),
            fn absent(
                span: crate::source::Span,
                reader: &mut crate::read::Reader,
            ) -> Option<Self> {
                crate::read::absent_record(span, reader)
            }
        }
    };

    (@range) => { crate::schema_tree::Range::ANY };
    (@range $range:expr) => { $range };

    (@type flat $ty:ty) => { $ty };
    (@type optional $ty:ty) => { Option<crate::read::At<$ty>> };
    (@type origin $ty:ty) => { Option<crate::read::At<$ty>> };
    (@type part $ty:ty) => { Option<crate::read::At<$ty>> };
    (@type $need:ident $ty:ty) => { crate::read::At<$ty> };

    (@describe $shape:ident, $field:ident, $ty:ty, $doc:expr, flat (), $range:expr) => {
        <$ty as crate::read::Record>::describe($shape)
    };
    (@describe $shape:ident, $field:ident, $ty:ty, $doc:expr, origin (), $range:expr) => {
        $shape.origins.push(crate::read::plain(stringify!($field)));
        record!(@describe $shape, $field, $ty, $doc, optional (), $range)
    };
    (@describe $shape:ident, $field:ident, $ty:ty, $doc:expr, $need:ident $default:tt, $range:expr) => {
        crate::read::describe_field::<$ty>(
            $shape, crate::read::plain(stringify!($field)), $doc, $range, record!(@need $need $default))
    };

    (@need required ()) => { crate::schema_tree::Need::Required };
    (@need part ()) => { crate::schema_tree::Need::Required };
    (@need optional ()) => { crate::schema_tree::Need::Optional };
    (@need nested ()) => { crate::schema_tree::Need::Optional };
    (@need $need:ident ($default:expr)) => {
        crate::schema_tree::Need::Default(serde_json::json!($default))
    };

    (@take $fields:ident, $reader:ident, $field:ident, flat (), $range:expr) => {
        crate::read::Record::take($fields, $reader)
    };
    (@take $fields:ident, $reader:ident, $field:ident, required (), $range:expr) => {
        $fields.required($reader, crate::read::plain(stringify!($field)), $range)
    };
    (@take $fields:ident, $reader:ident, $field:ident, part (), $range:expr) => {
        Some($fields.required($reader, crate::read::plain(stringify!($field)), $range))
    };
    (@take $fields:ident, $reader:ident, $field:ident, optional (), $range:expr) => {
        $fields.optional($reader, crate::read::plain(stringify!($field)), $range)
    };
    (@take $fields:ident, $reader:ident, $field:ident, origin (), $range:expr) => {
        record!(@take $fields, $reader, $field, optional (), $range)
    };
    (@take $fields:ident, $reader:ident, $field:ident, nested (), $range:expr) => {
        $fields.nested($reader, crate::read::plain(stringify!($field)))
    };
    (@take $fields:ident, $reader:ident, $field:ident, default ($default:expr), $range:expr) => {
        $fields.default(
            $reader, crate::read::plain(stringify!($field)), $range, $default, serde_json::json!($default))
    };
    (@take $fields:ident, $reader:ident, $field:ident, soft ($default:expr), $range:expr) => {
        Some(record!(@take $fields, $reader, $field, default ($default), $range)
            .unwrap_or_else(|| $reader.at($default, $fields.span)))
    };
}

/// Declares a record that is exactly one of several keys: `"key" => Variant(Record)`.
macro_rules! one_of {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident {
            $($(#[doc = $variant_doc:literal])+ $key:literal => $variant:ident($ty:ty),)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant(Box<crate::read::At<$ty>>),)+
        }

        impl crate::read::Record for $name {
            fn describe(shape: &mut crate::schema_tree::RecordShape) {
                $(crate::read::describe_field::<$ty>(
                    shape, $key, concat!($($variant_doc),+), crate::schema_tree::Range::ANY,
                    crate::schema_tree::Need::Choice);)+
                shape.choices.push(vec![$($key),+]);
            }

            fn take(
                fields: &mut crate::read::Fields,
                reader: &mut crate::read::Reader,
            ) -> Option<Self> {
                let (key, entry) = fields.choice(reader, &[$($key),+])?;
                reader.below(key, entry.key_span, |reader| match key {
                    $($key => reader
                        .value(&entry.node, crate::schema_tree::Range::ANY)
                        .map(|value| Self::$variant(Box::new(value))),)+
                    _ => None,
                })
            }
        }

        crate::read::record_term! { $name, concat!($($doc),+), }
    };
}

/// Makes a record, declared by [`record`] or [`one_of`], the value of a key. What follows its meaning are the functions
/// of a term that this record does not share with the others.
macro_rules! record_term {
    ($name:ident, $doc:expr, $($own:tt)*) => {
        impl crate::read::Term for $name {
            const LEAF: bool = false;

            fn shape(_: crate::schema_tree::Range) -> crate::schema_tree::Shape {
                let doc = $doc.trim();
                crate::schema_tree::Shape::Record(Box::new(crate::read::record_shape::<Self>(doc)))
            }

            fn read(
                node: &crate::node::Node,
                _: crate::schema_tree::Range,
                reader: &mut crate::read::Reader,
            ) -> Option<Self> {
                crate::read::read_record(node, reader)
            }

            $($own)*
        }
    };
}

/// Makes an enum of the plan readable as one of its words: `"word" => Variant, "what it means";`.
macro_rules! words {
    ($ty:ident { $($word:literal => $variant:ident, $doc:literal;)+ }) => {
        impl crate::read::Term for $ty {
            fn shape(_: crate::schema_tree::Range) -> crate::schema_tree::Shape {
                crate::schema_tree::Shape::Value(serde_json::json!({
                    "enum": [$($word),+],
                    "description": concat!($("`", $word, "`: ", $doc, "; "),+)
                        .trim_end_matches("; "),
                }))
            }

            fn read(
                node: &crate::node::Node,
                _: crate::schema_tree::Range,
                reader: &mut crate::read::Reader,
            ) -> Option<Self> {
                match node.text() {
                    $(Some($word) => Some($ty::$variant),)+
                    _ => {
                        reader.wrong_word(node, &[$($word),+]);
                        None
                    }
                }
            }
        }
    };
}

pub(crate) use {one_of, record, record_term, words};
