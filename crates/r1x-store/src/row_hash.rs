//! Hashes over rows, so that what is read from a store can be compared with what was written.
//!
//! The hash of a step or an evaluation is a sum over hashes of its rows: rows have no order that every store gives them.
//! Numbers that mean something in one store alone (of rollouts, prompts, names) are replaced by what they stand for, so
//! rows that were imported keep their hash. Floats are hashed as SQLite gives them back: zero without a sign, and what is
//! no number as NULL.

use futures_util::TryStreamExt;
use r1x_core::digest::hex;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnection;

use crate::sql::{Value, values};
use crate::writer::Cell;

/// A sum of hashes of rows, as four numbers of 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowHash([u64; 4]);

/// The names of tables in hashes; they never change.
pub(crate) mod table {
    pub const METRIC: &str = "metric";
    pub const GROUP: &str = "group";
    pub const ROLLOUT: &str = "rollout";
    pub const PAYLOAD: &str = "payload";
    pub const SELECTION: &str = "selection";
    pub const REWARD: &str = "reward";
    pub const SAMPLE: &str = "sample";
    pub const SAMPLE_REWARD: &str = "sample reward";
    pub const RESULT: &str = "result";
}

impl RowHash {
    /// Adds a row: where it belongs, and its other cells.
    pub fn add(&mut self, table: &str, place: &[Cell], cells: &[Cell]) {
        let mut hash = Sha256::new();
        feed(&mut hash, 3, table.as_bytes());
        place.iter().chain(cells).for_each(|cell| cell_into(&mut hash, cell));
        let row = hash.finalize();
        for (sum, bytes) in self.0.iter_mut().zip(row.chunks_exact(8)) {
            let part = bytes.iter().fold(0, |part, byte| (part << 8) | u64::from(*byte));
            *sum = sum.wrapping_add(part);
        }
    }

    /// The sum with the rows of another one.
    pub fn with(mut self, other: Self) -> Self {
        for (sum, part) in self.0.iter_mut().zip(other.0) {
            *sum = sum.wrapping_add(part);
        }
        self
    }

    /// The sum without the rows of another one.
    pub fn without(mut self, other: Self) -> Self {
        for (sum, part) in self.0.iter_mut().zip(other.0) {
            *sum = sum.wrapping_sub(part);
        }
        self
    }

    /// A hash from its text; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut sum = [0; 4];
        for (at, part) in sum.iter_mut().enumerate() {
            *part = u64::from_str_radix(&text[at * 16..(at + 1) * 16], 16).ok()?;
        }
        Some(Self(sum))
    }

    /// The hash as text, hex.
    pub fn finish(self) -> String {
        let bytes: Vec<u8> = self.0.iter().flat_map(|part| part.to_be_bytes()).collect();
        hex(&bytes)
    }
}

fn feed(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn cell_into(hash: &mut Sha256, cell: &Cell) {
    match cell {
        Cell::Real(value) if !value.is_nan() => {
            // A sum with zero has the sign that SQLite gives to zero.
            feed(hash, 2, &(value + 0.0).to_bits().to_le_bytes());
        }
        Cell::Null | Cell::Real(_) => feed(hash, 0, &[]),
        Cell::Int(value) => feed(hash, 1, &value.to_le_bytes()),
        Cell::Text(text) => feed(hash, 3, text.as_bytes()),
        Cell::Blob(bytes) => feed(hash, 4, bytes),
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Integer(value) => Cell::Int(value),
        Value::Real(value) => Cell::Real(value),
        Value::Text(text) => Cell::Text(text),
        Value::Blob(bytes) => Cell::Blob(bytes),
    }
}

/// The rows of a step (2) of an attempt of a stage (1), in the order of cells in which they are hashed when they are
/// written.
const OF_STEP: [(&str, &str); 6] = [
    (
        table::METRIC,
        "SELECT k.name, m.idx, m.value, m.kind FROM metric m JOIN metric_key k USING (key_id)
          WHERE m.stage_id = ?1 AND m.step = ?2",
    ),
    (
        table::GROUP,
        "SELECT g.grp, p.key, g.zero_signal, g.prompt_ids, g.data
           FROM rollout_group g LEFT JOIN prompt p USING (prompt_id) WHERE g.stage_id = ?1 AND g.step = ?2",
    ),
    (
        table::ROLLOUT,
        "SELECT o.grp, o.sample, p.key, o.n_tokens, o.finish, o.reward, o.advantage, o.logp_sum, o.ref_diff,
                o.entropy_mean, o.unclipped
           FROM rollout o LEFT JOIN prompt p USING (prompt_id) WHERE o.stage_id = ?1 AND o.step = ?2",
    ),
    PAYLOADS,
    (
        table::SELECTION,
        "SELECT o.grp, o.sample, s.dropped_by
           FROM rollout o JOIN selection s USING (rollout_id) WHERE o.stage_id = ?1 AND o.step = ?2",
    ),
    (
        table::REWARD,
        "SELECT o.grp, o.sample, k.name, w.value, w.status, w.parts, w.info, w.clipped, w.gate, w.counted,
                w.weight, w.normalized
           FROM rollout o JOIN reward w USING (rollout_id) LEFT JOIN reward_key k USING (key_id)
          WHERE o.stage_id = ?1 AND o.step = ?2",
    ),
];

/// What the rollouts of a step (2) of an attempt of a stage (1) said.
const PAYLOADS: (&str, &str) = (
    table::PAYLOAD,
    "SELECT o.grp, o.sample, x.text, x.token_ids, x.logp, x.ref_logp, x.entropy
       FROM rollout o JOIN rollout_payload x USING (rollout_id) WHERE o.stage_id = ?1 AND o.step = ?2",
);

/// The rows of an evaluation (1), in the order of cells in which they are hashed when they are written.
const OF_EVALUATION: [(&str, &str); 3] = [
    (
        table::SAMPLE,
        "SELECT s.item, s.sample, p.key, s.score, s.status, s.correct, s.n_tokens, s.finish, s.text, s.token_ids,
                s.logp, s.value, s.gate
           FROM eval_sample s LEFT JOIN prompt p USING (prompt_id) WHERE s.eval_id = ?1",
    ),
    (
        table::SAMPLE_REWARD,
        "SELECT s.item, s.sample, k.name, w.value, w.status, w.parts, w.info
           FROM eval_sample s JOIN eval_reward w USING (eval_sample_id) LEFT JOIN reward_key k USING (key_id)
          WHERE s.eval_id = ?1",
    ),
    (
        table::RESULT,
        "SELECT metric, idx, value, stderr, n_items, n_samples FROM eval_result WHERE eval_id = ?1",
    ),
];

/// The hash over the rows of a step as they are in the store.
pub(crate) async fn step(
    conn: &mut SqliteConnection,
    stage_id: i64,
    step: i64,
) -> Result<String, sqlx::Error> {
    Ok(sum(conn, &OF_STEP, &[stage_id, step]).await?.finish())
}

/// The sum over what the rollouts of a step say, as it is in the store.
pub(crate) async fn payloads(
    conn: &mut SqliteConnection,
    stage_id: i64,
    step: i64,
) -> Result<RowHash, sqlx::Error> {
    sum(conn, &[PAYLOADS], &[stage_id, step]).await
}

/// The hash over the rows of an evaluation as they are in the store.
pub(crate) async fn evaluation(
    conn: &mut SqliteConnection,
    eval_id: i64,
) -> Result<String, sqlx::Error> {
    Ok(sum(conn, &OF_EVALUATION, &[eval_id]).await?.finish())
}

async fn sum(
    conn: &mut SqliteConnection,
    queries: &[(&'static str, &'static str)],
    ids: &[i64],
) -> Result<RowHash, sqlx::Error> {
    let mut hash = RowHash::default();
    for (table, sql) in queries {
        let mut query = sqlx::query(*sql);
        for id in ids {
            query = query.bind(*id);
        }
        let mut rows = query.fetch(&mut *conn);
        while let Some(row) = rows.try_next().await? {
            let cells: Vec<Cell> = values(&row)?.into_iter().map(cell).collect();
            hash.add(table, &cells, &[]);
        }
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(rows: &[&[Cell]]) -> String {
        let mut hash = RowHash::default();
        rows.iter().for_each(|row| hash.add("metric", row, &[]));
        hash.finish()
    }

    #[test]
    fn rows_have_no_order_and_cells_have_one() {
        let (a, b) = ([Cell::Int(1), Cell::Real(0.5)], [Cell::Int(2), Cell::Null]);
        assert_eq!(hash(&[&a, &b]), hash(&[&b, &a]));
        assert_ne!(hash(&[&a]), hash(&[&[Cell::Real(0.5), Cell::Int(1)]]));
        assert_ne!(hash(&[&a]), hash(&[&a, &a]), "a row that is there twice counts twice");
        assert_eq!(hash(&[&a]).len(), 64);
    }

    #[test]
    fn a_row_that_goes_is_taken_off_the_sum() {
        let (a, b) = ([Cell::Int(1), Cell::Real(0.5)], [Cell::Int(2), Cell::Null]);
        let whole = RowHash::parse(&hash(&[&a, &b])).unwrap();
        let gone = RowHash::parse(&hash(&[&a])).unwrap();
        assert_eq!(whole.without(gone).finish(), hash(&[&b]));
        assert_eq!(RowHash::parse("00"), None);
        assert_eq!(RowHash::parse(&"g".repeat(64)), None);
    }

    #[test]
    fn numbers_are_hashed_as_sqlite_gives_them_back() {
        assert_eq!(hash(&[&[Cell::Real(-0.0)]]), hash(&[&[Cell::Real(0.0)]]));
        assert_eq!(hash(&[&[Cell::Real(-f64::NAN)]]), hash(&[&[Cell::Null]]));
        assert_ne!(hash(&[&[Cell::Real(1.0)]]), hash(&[&[Cell::Int(1)]]));
    }
}
