//! Queries of people: any SQL that reads, nothing that writes, with a limit on time.
//!
//! Three walls keep a query from changing anything: what a statement may begin with, a connection opened read-only,
//! and `query_only`.

mod lexer;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteRow, SqliteValueRef};
use sqlx::{
    Arguments, AssertSqlSafe, Column, Decode, Executor, Row, SqlSafeStr, Statement, TypeInfo,
    ValueRef, query_as,
};

use crate::error::{StoreError, primary_code};
use crate::read::Inner;
use crate::store::Store;
use crate::text::Text;

/// Instructions of SQLite's machine between two looks at the clock; some microseconds.
const CLOCK_EVERY: i32 = 2_000;

/// A value in a row.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A query and its bounds.
#[derive(Clone, Debug)]
pub struct SqlQuery<'a> {
    /// One statement. `:run` is the name of the run, `:run_id` its number.
    pub text: &'a str,
    /// The run meant by `:run`; the latest one when not given.
    pub run: Option<&'a str>,
    /// Further parameters by name, without the colon.
    pub params: &'a [(String, Value)],
    /// Rows to hand out at most.
    pub limit: Option<u64>,
    /// Time SQLite may compute, not counting what the sink takes.
    pub time_limit: Duration,
    /// Ends the query as soon as it is true.
    pub stop: Option<Arc<AtomicBool>>,
}

/// The statements of a text that end with `;`, and the beginning of one behind them. Quotes and comments are
/// seen for what they are.
pub fn statements(text: &str) -> (Vec<&str>, &str) {
    lexer::split(text)
}

impl<'a> SqlQuery<'a> {
    /// A query on the latest run, without a limit on rows, for at most a minute.
    pub fn new(text: &'a str) -> Self {
        let time_limit = Duration::from_secs(60);
        Self { text, run: None, params: &[], limit: None, time_limit, stop: None }
    }
}

/// Takes the rows of a query as they come.
pub trait RowSink {
    /// The names of the columns; comes first, also when there are no rows.
    fn columns(&mut self, names: &[String]);
    /// One row; `Break` ends the query.
    fn row(&mut self, values: Vec<Value>) -> ControlFlow<()>;
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlEnd {
    /// Rows handed out.
    pub rows: u64,
    /// Whether there were more than the limit.
    pub truncated: bool,
}

/// All rows of a query.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows in order.
    pub rows: Vec<Vec<Value>>,
}

impl RowSink for Table {
    fn columns(&mut self, names: &[String]) {
        self.columns = names.to_vec();
    }

    fn row(&mut self, values: Vec<Value>) -> ControlFlow<()> {
        self.rows.push(values);
        ControlFlow::Continue(())
    }
}

/// A table or a view people may ask.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// `view` or `table`.
    pub kind: String,
    /// Its columns.
    pub columns: Vec<String>,
}

impl Store {
    /// Runs a query of a person and hands its rows to `sink` as they are found.
    pub fn sql(&self, query: &SqlQuery<'_>, sink: &mut dyn RowSink) -> Result<SqlEnd, StoreError> {
        let parsed = lexer::parse(query.text)?;
        let arguments = self.bind(query, &parsed.parameters)?;
        let reader = self.reader()?;
        let mut inner = reader.lock();
        let Inner { runtime, conn } = &mut *inner;
        let clock = Clock::new(query.time_limit, query.stop.clone());
        let ticking = clock.clone();
        let result = runtime.block_on(async {
            conn.lock_handle().await?.set_progress_handler(CLOCK_EVERY, move || ticking.goes_on());
            let end = stream(conn, parsed.sql, arguments, query.limit, &clock, sink).await;
            conn.lock_handle().await?.remove_progress_handler();
            end
        });
        drop(inner);
        result.map_err(|error| self.query_error(query, error))
    }

    /// Runs a query and keeps all its rows.
    pub fn sql_table(&self, query: &SqlQuery<'_>) -> Result<Table, StoreError> {
        let mut table = Table::default();
        self.sql(query, &mut table)?;
        Ok(table)
    }

    /// What can be asked: the views first, then the tables under them.
    pub fn tables(&self) -> Result<Vec<TableInfo>, StoreError> {
        let rows: Vec<(Text, Text, Text)> = self.reader()?.all(query_as(
            "SELECT s.name, s.type, c.name FROM sqlite_schema s JOIN pragma_table_info(s.name) c
              WHERE s.type IN ('view', 'table') AND s.name NOT LIKE '\\_sqlx%' ESCAPE '\\'
                AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
              ORDER BY s.type DESC, s.name, c.cid",
        ))?;
        let mut tables: Vec<TableInfo> = Vec::new();
        for (Text(name), Text(kind), Text(column)) in rows {
            match tables.last_mut().filter(|table| table.name == name) {
                Some(table) => table.columns.push(column),
                None => tables.push(TableInfo { name, kind, columns: vec![column] }),
            }
        }
        Ok(tables)
    }

    fn bind(&self, query: &SqlQuery<'_>, names: &[String]) -> Result<SqliteArguments, StoreError> {
        let mut arguments = SqliteArguments::default();
        let mut run = None;
        for name in names {
            let given = query
                .params
                .iter()
                .find(|(given, _)| given == name)
                .map(|(_, value)| value.clone());
            let value = match (given, name.as_str()) {
                (Some(value), _) => value,
                (None, "run" | "run_id") => {
                    if run.is_none() {
                        run = Some(self.run(query.run.unwrap_or("latest"))?);
                    }
                    match &run {
                        Some(run) if name == "run" => Value::Text(run.name.clone()),
                        Some(run) => Value::Integer(run.run_id),
                        None => Value::Null,
                    }
                }
                (None, _) => {
                    return Err(StoreError::Query {
                        detail: format!("there is no value for `:{name}`"),
                        hint: "`:run` and `:run_id` are known; write other values into the query"
                            .into(),
                    });
                }
            };
            let added = match value {
                Value::Null => arguments.add(None::<i64>),
                Value::Integer(value) => arguments.add(value),
                Value::Real(value) => arguments.add(value),
                Value::Text(value) => arguments.add(value),
                Value::Blob(value) => arguments.add(value),
            };
            added.map_err(|error| StoreError::Query {
                detail: format!("`:{name}` cannot be bound: {error}"),
                hint: "use a number or a text".into(),
            })?;
        }
        Ok(arguments)
    }

    fn query_error(&self, query: &SqlQuery<'_>, error: sqlx::Error) -> StoreError {
        let code = primary_code(&error);
        let sqlx::Error::Database(database) = &error else {
            return StoreError::from_sqlx(self.path(), error);
        };
        let detail = database.message().to_owned();
        match code {
            Some(8) => StoreError::Writes { detail },
            Some(9) if query.is_stopped() => StoreError::Stopped,
            Some(9) => StoreError::Timeout {
                limit_ms: query.time_limit.as_millis().try_into().unwrap_or(u64::MAX),
            },
            Some(1 | 18 | 20 | 25) => {
                let hint = self.query_hint(query.text, &detail);
                StoreError::Query { detail, hint }
            }
            _ => StoreError::from_sqlx(self.path(), error),
        }
    }

    /// What somebody who misspelled a table or a column of a query may have meant.
    fn query_hint(&self, text: &str, detail: &str) -> String {
        let tables = self.tables().unwrap_or_default();
        let nearest = |wrong: &str, names: &mut dyn Iterator<Item = &String>| {
            names
                .map(|name| (strsim::jaro_winkler(wrong, name), name.clone()))
                .filter(|(score, _)| *score > 0.75)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, name)| format!("did you mean `{name}`? "))
                .unwrap_or_default()
        };
        if let Some(wrong) = detail.strip_prefix("no such table: ") {
            let meant = nearest(wrong, &mut tables.iter().map(|table| &table.name));
            let views: Vec<&str> = tables
                .iter()
                .filter(|table| table.kind == "view")
                .map(|table| table.name.as_str())
                .collect();
            return format!("{meant}views are {}", views.join(", "));
        }
        if let Some(wrong) = detail.strip_prefix("no such column: ") {
            let wrong = wrong.rsplit('.').next().unwrap_or(wrong);
            // A column that another table has is not meant here.
            let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let asked = tables.iter().filter(|table| words.contains(&table.name.as_str()));
            let asked: Vec<_> = asked.collect();
            let meant = nearest(wrong, &mut asked.iter().flat_map(|table| &table.columns));
            let columns = asked.iter().map(|table| {
                format!("{} has the columns {}", table.name, table.columns.join(", "))
            });
            let columns: Vec<String> = columns.collect();
            return match columns.as_slice() {
                [] => "`PRAGMA table_info(NAME)` lists the columns of a view".to_owned(),
                some => format!("{meant}{}", some.join("; ")),
            };
        }
        if detail.starts_with("no such function: ") {
            return "`SELECT DISTINCT name FROM pragma_function_list` lists those there are".into();
        }
        "see https://sqlite.org/lang_select.html".into()
    }
}

impl SqlQuery<'_> {
    fn is_stopped(&self) -> bool {
        is_set(self.stop.as_ref())
    }
}

fn is_set(stop: Option<&Arc<AtomicBool>>) -> bool {
    stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
}

/// Time a query may still take. The sink's own time is given back, so a slow terminal stops nothing.
#[derive(Clone)]
struct Clock {
    begun: Instant,
    limit_us: Arc<AtomicU64>,
    stop: Option<Arc<AtomicBool>>,
}

impl Clock {
    fn new(limit: Duration, stop: Option<Arc<AtomicBool>>) -> Self {
        let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Self { begun: Instant::now(), limit_us: Arc::new(AtomicU64::new(limit_us)), stop }
    }

    fn goes_on(&self) -> bool {
        !is_set(self.stop.as_ref())
            && self.begun.elapsed().as_micros() < u128::from(self.limit_us.load(Ordering::Relaxed))
    }

    fn give_back(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(0);
        self.limit_us.fetch_add(time, Ordering::Relaxed);
    }
}

async fn stream(
    conn: &mut sqlx::SqliteConnection,
    sql: String,
    arguments: SqliteArguments,
    limit: Option<u64>,
    clock: &Clock,
    sink: &mut dyn RowSink,
) -> Result<SqlEnd, sqlx::Error> {
    let sql = AssertSqlSafe(sql).into_sql_str();
    let statement = (&mut *conn).prepare(sql.clone()).await?;
    let names: Vec<String> =
        statement.columns().iter().map(|column| column.name().to_owned()).collect();
    drop(statement);
    sink.columns(&names);
    let mut end = SqlEnd { rows: 0, truncated: false };
    let mut rows = sqlx::query_with(sql, arguments).persistent(false).fetch(conn);
    while let Some(row) = rows.try_next().await? {
        if limit.is_some_and(|limit| end.rows >= limit) {
            end.truncated = true;
            break;
        }
        let values = values(&row)?;
        let handed = Instant::now();
        let flow = sink.row(values);
        clock.give_back(handed.elapsed());
        end.rows += 1;
        if flow.is_break() {
            break;
        }
    }
    Ok(end)
}

/// The values of a row.
pub(crate) fn values(row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
    (0..row.len()).map(|index| value(row.try_get_raw(index)?)).collect()
}

fn value(raw: SqliteValueRef<'_>) -> Result<Value, sqlx::Error> {
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = raw.type_info().name().to_owned();
    let decoded = match kind.as_str() {
        "INTEGER" => Decode::decode(raw).map(Value::Integer),
        "REAL" => Decode::decode(raw).map(Value::Real),
        // Whoever made the store may have put other bytes into a text; they are shown as what they are not.
        "TEXT" => Decode::decode(raw).map(|Text(text)| Value::Text(text)),
        _ => Decode::decode(raw).map(Value::Blob),
    };
    decoded.map_err(sqlx::Error::Decode)
}
