//! The data that stages of a run have made: the rollouts that were kept, as worked problems.

use r1x_core::problem::PromptForm;

use super::*;

/// A kept rollout and the problem it answers.
#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(try_from = "Text")]
    stage: String,
    #[sqlx(try_from = "Text")]
    key: String,
    #[sqlx(try_from = "Text")]
    prompt: String,
    #[sqlx(try_from = "MaybeText")]
    answer: Option<String>,
    #[sqlx(try_from = "Text")]
    columns: String,
    #[sqlx(try_from = "MaybeText")]
    text: Option<String>,
    token_ids: Option<Vec<u8>>,
}

/// The rows of the stage at a position, of the steps before `before_step` that count, in their order.
pub(crate) async fn made(
    tx: &mut Tx<'_>,
    run_id: i64,
    stage: usize,
    before_step: u64,
) -> Result<Vec<Problem>, StoreError> {
    let rows: Vec<Row> = tx
        .fetch_all(
            "SELECT st.name AS stage, p.key, p.text AS prompt, p.answer, p.columns, x.text, x.token_ids
               FROM stage st JOIN rollout o USING (stage_id) JOIN selection s USING (rollout_id)
                    JOIN prompt p USING (prompt_id) LEFT JOIN rollout_payload x USING (rollout_id)
              WHERE st.run_id = ? AND st.idx = ? AND o.step < ? AND s.dropped_by IS NULL
                AND (st.superseded_from IS NULL OR o.step < st.superseded_from)
              ORDER BY o.step, o.grp, o.sample",
            [run_id.into(), stage.into(), before_step.into()],
        )
        .await?;
    let mut problems = Vec::with_capacity(rows.len());
    for row in rows {
        let (Some(text), Some(tokens)) = (row.text, row.token_ids) else {
            return Err(tx.internal("a completion that was kept has no text".into()));
        };
        let columns = serde_json::from_str(&row.columns)
            .map_err(|error| tx.internal(format!("columns of a prompt: {error}")))?;
        problems.push(Problem {
            data: row.stage,
            key: row.key,
            prompt: row.prompt,
            form: PromptForm::Text,
            solution: Some(text),
            solution_tokens: Some(u32_list(&tokens)),
            answer: row.answer,
            columns,
        });
    }
    Ok(problems)
}
