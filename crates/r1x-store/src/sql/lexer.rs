//! Just enough of SQL's lexical rules to find parameters, count statements and see what a statement does.
//!
//! What it lets through still meets a read-only connection.

use crate::error::StoreError;

/// Pragmas that only tell; those in the second list take a name in brackets.
const PRAGMAS: [&str; 12] = [
    "application_id",
    "collation_list",
    "compile_options",
    "database_list",
    "encoding",
    "foreign_key_check",
    "freelist_count",
    "function_list",
    "page_count",
    "page_size",
    "table_list",
    "user_version",
];
const PRAGMAS_OF: [&str; 7] = [
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "quick_check",
    "table_info",
    "table_xinfo",
];

/// A statement with its named parameters numbered, as the driver wants them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub sql: String,
    /// Names without their first character; the first is `?1`.
    pub parameters: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Parameter,
    Semicolon,
    Other,
    /// Blanks and comments.
    Space,
}

/// Splits off the first piece of `text`, never empty; `text` is not.
fn next(text: &str) -> Result<(Kind, usize), StoreError> {
    let bytes = text.as_bytes();
    let until = |end: &str, from: usize, what: &str| {
        text[from..].find(end).map(|at| from + at + end.len()).ok_or_else(|| StoreError::Query {
            detail: format!("a {what} does not end"),
            hint: "close it".into(),
        })
    };
    let run = |from: usize, keep: fn(char) -> bool| {
        text[from..].find(|c| !keep(c)).map_or(text.len(), |at| from + at)
    };
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    Ok(match bytes[0] {
        b'-' if text.starts_with("--") => {
            (Kind::Space, text.find('\n').map_or(text.len(), |at| at + 1))
        }
        // SQLite lets a comment run to the end of the text.
        b'/' if text.starts_with("/*") => {
            (Kind::Space, text[2..].find("*/").map_or(text.len(), |at| at + 4))
        }
        // A doubled quote inside quotes reads as two quoted pieces next to each other, which is enough here.
        b'\'' => (Kind::Other, until("'", 1, "text in single quotes")?),
        b'"' => (Kind::Other, until("\"", 1, "name in double quotes")?),
        b'`' => (Kind::Other, until("`", 1, "name in backquotes")?),
        b'[' => (Kind::Other, until("]", 1, "name in brackets")?),
        b';' => (Kind::Semicolon, 1),
        b':' | b'@' | b'$' => (Kind::Parameter, run(1, word)),
        b'?' => (Kind::Parameter, run(1, |c| c.is_ascii_digit())),
        byte if byte.is_ascii_whitespace() => (Kind::Space, run(0, |c| c.is_ascii_whitespace())),
        byte if byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii() => {
            (Kind::Word, run(0, word))
        }
        _ => (Kind::Other, 1),
    })
}

/// The statements of a text that have an end, without the empty ones, and what stands behind the last `;`.
/// Where that is only blanks and comments that end, nothing is left.
pub(super) fn split(text: &str) -> (Vec<&str>, &str) {
    let mut statements = Vec::new();
    let (mut start, mut at) = (0, 0);
    let (mut any, mut open) = (false, false);
    while at < text.len() {
        // What does not end yet may do so on a later line.
        let Ok((kind, len)) = next(&text[at..]) else {
            return (statements, &text[start..]);
        };
        let piece = &text[at..at + len];
        at += len;
        match kind {
            Kind::Semicolon => {
                if any {
                    statements.push(&text[start..at]);
                }
                (start, any, open) = (at, false, false);
            }
            Kind::Space => open = piece.starts_with("/*") && !piece.ends_with("*/"),
            _ => any = true,
        }
    }
    (statements, if any || open { &text[start..] } else { "" })
}

/// Reads a query: exactly one statement, and one that reads.
pub(super) fn parse(text: &str) -> Result<Parsed, StoreError> {
    let mut parsed = Parsed { sql: String::with_capacity(text.len()), parameters: Vec::new() };
    // Words and signs of the statement, to see what it does.
    let mut head: Vec<&str> = Vec::new();
    let mut ended = false;
    let mut rest = text;
    while !rest.is_empty() {
        let (kind, len) = next(rest)?;
        let (piece, after) = rest.split_at(len);
        rest = after;
        match kind {
            Kind::Space => {
                parsed.sql.push(' ');
                continue;
            }
            Kind::Semicolon => {
                ended = ended || !head.is_empty();
                continue;
            }
            _ if ended => {
                return Err(StoreError::Writes { detail: "one statement at a time".into() });
            }
            Kind::Parameter => {
                let number = parameter(&mut parsed.parameters, piece)?;
                parsed.sql.push_str(&format!("?{number}"));
            }
            Kind::Word | Kind::Other => parsed.sql.push_str(piece),
        }
        if head.len() < 8 {
            head.push(piece);
        }
    }
    check_head(&head)?;
    Ok(parsed)
}

fn parameter(names: &mut Vec<String>, piece: &str) -> Result<usize, StoreError> {
    let name = &piece[1..];
    if piece.starts_with('?') || name.is_empty() {
        return Err(StoreError::Query {
            detail: format!("the parameter `{piece}` has no name"),
            hint: "write `:run`, or the value itself".into(),
        });
    }
    if let Some(at) = names.iter().position(|known| known == name) {
        return Ok(at + 1);
    }
    names.push(name.to_owned());
    Ok(names.len())
}

fn check_head(head: &[&str]) -> Result<(), StoreError> {
    let Some(first) = head.first() else {
        return Err(StoreError::Query {
            detail: "it is empty".into(),
            hint: "for example: SELECT * FROM v_runs".into(),
        });
    };
    let first = first.to_ascii_uppercase();
    match first.as_str() {
        "SELECT" | "WITH" | "VALUES" | "EXPLAIN" | "(" => Ok(()),
        "PRAGMA" => check_pragma(&head[1..]),
        _ => Err(StoreError::Writes { detail: format!("{first} is not a query") }),
    }
}

fn check_pragma(head: &[&str]) -> Result<(), StoreError> {
    let head = if head.get(1) == Some(&".") { &head[2..] } else { head };
    let name = head.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
    let plain = PRAGMAS.contains(&name.as_str()) || PRAGMAS_OF.contains(&name.as_str());
    let allowed = match head.get(1) {
        None => plain,
        Some(&"(") => PRAGMAS_OF.contains(&name.as_str()),
        Some(_) => false,
    };
    if allowed {
        return Ok(());
    }
    Err(StoreError::Writes { detail: format!("PRAGMA {name} can change something") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> String {
        parse(text).unwrap().sql
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn named_parameters_become_numbers() {
        let parsed = parse("SELECT :run, @n, $run -- :no\n, ':no', \":no\", [:no], `:no`, a$b, 'it''s :no' /*:no*/;")
            .unwrap();
        assert_eq!(parsed.parameters, ["run", "n"]);
        assert_eq!(
            parsed.sql,
            "SELECT ?1, ?2, ?1  , ':no', \":no\", [:no], `:no`, a$b, 'it''s :no'  "
        );
        assert!(refused("SELECT ?").contains("no name"));
        assert!(refused("SELECT ?1").contains("no name"));
        assert!(refused("SELECT :").contains("no name"));
    }

    #[test]
    fn only_what_reads_goes_through() {
        for text in [
            "select 1",
            " -- hi\n WITH a AS (SELECT 1) SELECT * FROM a ; ; ",
            "values (1)",
            "EXPLAIN QUERY PLAN SELECT 1",
            "pragma table_info(run)",
            "PRAGMA main.table_list",
            "PRAGMA user_version;",
        ] {
            sql(text);
        }
        for text in [
            "DELETE FROM run",
            "attach 'x' as y",
            "/* SELECT */ VACUUM",
            "PRAGMA query_only = 0",
            "PRAGMA user_version(3)",
            "PRAGMA user_version = 3",
            "PRAGMA main.journal_mode",
            "PRAGMA wal_checkpoint",
            "SELECT 1; DELETE FROM run",
            "BEGIN",
        ] {
            assert!(refused(text).contains("only reads"), "{text}");
        }
        assert!(refused("").contains("empty"));
        assert!(refused("-- nothing").contains("empty"));
        assert!(refused("SELECT 'a").contains("does not end"));
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        for (text, statements, rest) in [
            ("SELECT 1; SELECT ';'; ", vec!["SELECT 1;", " SELECT ';';"], ""),
            ("SELECT 'a;\nb", vec![], "SELECT 'a;\nb"),
            ("SELECT 1 -- no; end", vec![], "SELECT 1 -- no; end"),
            (";; -- nothing\n", vec![], ""),
            ("SELECT 1; /* goes on;", vec!["SELECT 1;"], " /* goes on;"),
            ("/* done; */ SELECT [a;b]\n;x", vec!["/* done; */ SELECT [a;b]\n;"], "x"),
        ] {
            assert_eq!(split(text), (statements, rest), "{text}");
        }
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        // Every prefix and every suffix of odd texts either parses or is refused; none panics or hangs.
        let odd = "SELECT 'ä'';\"é\"[ß]`ö` :ü /* → */ -- ∞\n ?9 x'00' 1e5 ->> '$.a' 🦀;";
        for (at, _) in odd.char_indices() {
            let _ = (parse(&odd[at..]), split(&odd[at..]));
            let _ = (parse(&odd[..at]), split(&odd[..at]));
        }
    }
}
