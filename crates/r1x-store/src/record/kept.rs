//! The completions that stages of a run have kept.

use r1x_core::select::Kept;

use super::*;

/// A completion, with the data set and the key of what it answers.
type Row = (MaybeText, Text, MaybeText, Option<Vec<u8>>);

/// What the stage at a position has kept, of the steps before `before_step` that count, in their order.
pub(crate) async fn kept(
    tx: &mut Tx<'_>,
    run_id: i64,
    stage: usize,
    before_step: u64,
) -> Result<Vec<Kept>, StoreError> {
    let rows: Vec<Row> = tx
        .fetch_all(
            "SELECT g.data, p.key, x.text, x.token_ids
               FROM stage st JOIN rollout o USING (stage_id) JOIN selection s USING (rollout_id)
                    JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
                    JOIN prompt p ON p.prompt_id = o.prompt_id LEFT JOIN rollout_payload x USING (rollout_id)
              WHERE st.run_id = ? AND st.idx = ? AND o.step < ? AND s.dropped_by IS NULL
                AND (st.superseded_from IS NULL OR o.step < st.superseded_from)
              ORDER BY o.step, o.grp, o.sample",
            [run_id.into(), stage.into(), before_step.into()],
        )
        .await?;
    let mut all = Vec::with_capacity(rows.len());
    for (MaybeText(data), Text(key), MaybeText(text), tokens) in rows {
        let (Some(data), Some(text), Some(tokens)) = (data, text, tokens) else {
            return Err(tx.internal("a completion that was kept is not whole".into()));
        };
        all.push(Kept { data, key, text, tokens: u32_list(&tokens) });
    }
    Ok(all)
}
