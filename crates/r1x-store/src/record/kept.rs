//! The completions that stages of a run have kept.

use r1x_core::select::Kept;

use super::*;

/// A completion, with the data set and the key of what it answers.
pub(crate) type KeptRow = (MaybeText, Text, MaybeText, Option<Vec<u8>>);

/// What the stage of a run (1) at a position (2) has kept in the steps before one (3), in their order.
pub(crate) const KEPT: &str = "\
SELECT g.data, p.key, x.text, x.token_ids
  FROM stage st JOIN rollout o USING (stage_id) JOIN selection s USING (rollout_id)
       JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
       JOIN prompt p ON p.prompt_id = o.prompt_id LEFT JOIN rollout_payload x USING (rollout_id)
 WHERE st.run_id = ? AND st.idx = ? AND o.step < ? AND s.dropped_by IS NULL
   AND (st.superseded_from IS NULL OR o.step < st.superseded_from)
 ORDER BY o.step, o.grp, o.sample";

/// The completions of rows; `None` when one of them is not whole.
pub(crate) fn kept_of(rows: Vec<KeptRow>) -> Option<Vec<Kept>> {
    let completion = |(data, key, text, tokens): KeptRow| {
        Some(Kept { data: data.0?, key: key.0, text: text.0?, tokens: u32_list(&tokens?) })
    };
    rows.into_iter().map(completion).collect()
}

/// What the stage at a position has kept, of the steps before `before_step` that count, in their order.
pub(crate) async fn kept(
    tx: &mut Tx<'_>,
    run_id: i64,
    stage: usize,
    before_step: u64,
) -> Result<Vec<Kept>, StoreError> {
    let rows: Vec<KeptRow> =
        tx.fetch_all(KEPT, [run_id.into(), stage.into(), before_step.into()]).await?;
    kept_of(rows).ok_or_else(|| tx.internal("a completion that was kept is not whole".into()))
}
