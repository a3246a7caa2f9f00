//! What a look for trouble asks about a stage of a run.

use sqlx::query_as;

use crate::error::StoreError;
use crate::store::Store;
use crate::text::Text;

/// How the values of two rewards go together.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardPair {
    /// Id of one reward.
    pub first: String,
    /// Id of the other one.
    pub second: String,
    /// Rollouts that both have judged.
    pub rollouts: u64,
    /// Pearson's correlation of the values, from -1 to 1.
    pub correlation: f64,
}

/// Groups of a stage whose completions all earned the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SilentGroups {
    /// How many.
    pub groups: u64,
    /// Of them those that earned the most that any completion of the stage did, where some earned less.
    pub best: u64,
}

impl Store {
    /// Each pair of rewards of a stage, the place of which is the number of its run and its position in the plan, over the
    /// newest `rollouts`. A pair of which one says the same of every rollout has no correlation and is left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn reward_pairs(
        &self,
        (run_id, stage): (i64, i64),
        rollouts: u64,
    ) -> Result<Vec<RewardPair>, StoreError> {
        type Row = (Text, Text, i64, f64, f64, f64, f64, f64);
        let query = query_as(
            "WITH newest AS MATERIALIZED (
                 SELECT o.rollout_id FROM stage st JOIN rollout o USING (stage_id)
                  WHERE st.run_id = ?1 AND st.idx = ?2 AND (st.superseded_from IS NULL OR o.step < st.superseded_from)
                  ORDER BY o.step DESC, o.grp DESC LIMIT ?3)
             SELECT ka.name, kb.name, count(*), avg(a.value), avg(b.value), avg(a.value * a.value), avg(b.value * b.value),
                    avg(a.value * b.value)
               FROM newest JOIN reward a USING (rollout_id) JOIN reward b USING (rollout_id)
               JOIN reward_key ka ON ka.key_id = a.key_id JOIN reward_key kb ON kb.key_id = b.key_id
              WHERE ka.name < kb.name AND a.value IS NOT NULL AND b.value IS NOT NULL
              GROUP BY ka.name, kb.name",
        );
        let query = query.bind(run_id).bind(stage).bind(rollouts.cast_signed());
        let rows: Vec<Row> = self.reader()?.all(query)?;
        let pair = |(Text(first), Text(second), count, a, b, aa, bb, ab): Row| {
            let spread = (aa - a * a).max(0.0) * (bb - b * b).max(0.0);
            // Rounding leaves a spread where there is none.
            let is_spread = spread > 1e-12 * aa.max(1e-300) * bb.max(1e-300);
            let correlation = is_spread.then(|| (ab - a * b) / spread.sqrt())?;
            Some(RewardPair { first, second, rollouts: count.cast_unsigned(), correlation })
        };
        Ok(rows.into_iter().filter_map(pair).collect())
    }

    /// Groups without a signal in a stage, the place of which is the number of its run and its position in the plan, from a
    /// step on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn silent_groups(
        &self,
        (run_id, stage): (i64, i64),
        from_step: u64,
    ) -> Result<SilentGroups, StoreError> {
        let query = query_as(
            "WITH earned AS MATERIALIZED (
                 SELECT min(lowest) AS least, max(highest) AS most FROM v_groups WHERE run_id = ?1 AND stage_idx = ?2)
             SELECT total(zero_signal), total(zero_signal AND lowest >= most AND most > least)
               FROM earned, v_groups WHERE run_id = ?1 AND stage_idx = ?2 AND step >= ?3",
        );
        let query = query.bind(run_id).bind(stage).bind(from_step.cast_signed());
        let row: Option<(f64, f64)> = self.reader()?.first(query)?;
        Ok(row.map_or_else(SilentGroups::default, |(groups, best)| SilentGroups {
            groups: groups as u64,
            best: best as u64,
        }))
    }
}
