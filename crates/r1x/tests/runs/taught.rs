//! A run in which a student learns from the model of a stage: what the store has of it, and what is said before.

use super::bench::{Bench, TAUGHT, text};

#[test]
fn a_student_learns_from_a_teacher_and_what_it_writes_is_kept() {
    let bench = Bench::with_taught();
    let plan = bench.ok(&["plan", TAUGHT]);
    assert!(plan.contains("student: KL(teacher || student)"), "{plan}");
    assert!(plan.contains("the teacher is stage `rl`, which names 5 tokens"), "{plan}");
    let output = bench.output(&["run", TAUGHT]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let numbers = |sql: &str| -> Vec<f64> {
        bench.sql(sql).iter().map(|row| row["value"].as_f64().unwrap()).collect()
    };
    let curve = |stage: &str, metric: &str| {
        numbers(&format!(
            "SELECT value FROM v_metrics WHERE stage = '{stage}' AND metric = '{metric}' ORDER BY step"
        ))
    };
    let loss = curve("student", "loss");
    assert!(loss.len() == 4 && loss[3] < loss[0] && loss[3] > 0.0, "{loss:?}");
    assert_eq!(curve("on-its-own", "nll").len(), 4);
    // Two completions of six problems in four steps, which nobody judges or compares.
    let rollouts = bench.sql("SELECT reward, advantage FROM v_rollouts WHERE stage = 'on-its-own'");
    assert_eq!(rollouts.len(), 4 * 6 * 2);
    assert!(rollouts.iter().all(|row| row["reward"].is_null() && row["advantage"].is_null()));
    let shown = bench.ok(&["show"]);
    assert!(shown.contains("on-its-own"), "{shown}");
}
