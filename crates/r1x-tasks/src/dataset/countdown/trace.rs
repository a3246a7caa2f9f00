//! Worked solutions as text: steps, and searches with failed tries.
//!
//! Words are separated by single blanks; what stands before `</think>` is one step after another, and the answer
//! composes them into one expression.

use r1x_core::Position;
use r1x_core::plan::TraceStyle;

use super::solve::{Expression, Table};

/// Most failed tries in a search.
const MOST_TRIES: u64 = 3;

/// A solution for `target`, drawn uniformly among the distinct ones and written in the planned style.
pub(crate) fn worked(
    table: &Table,
    numbers: &[u32],
    target: u32,
    style: TraceStyle,
    chance: &mut Position,
) -> String {
    match style {
        TraceStyle::Steps => worked_steps(table, numbers, target, chance),
        TraceStyle::Search => worked_search(table, numbers, target, chance),
    }
}

/// `3 * 5 = 15 ; 15 + 7 = 22 </think> <answer> ( 3 * 5 ) + 7 </answer>`; `numbers` in the order shown decides
/// which operand of `+` and `*` is written first. Empty when the target is out of reach.
pub fn worked_steps(table: &Table, numbers: &[u32], target: u32, chance: &mut Position) -> String {
    let Some(solution) = any_way(table, numbers, target, chance) else {
        return String::new();
    };
    let mut words = Vec::new();
    write_steps(&solution, &mut words);
    write_answer(&solution, &mut words);
    words.join(" ")
}

/// One to three failed tries, each a line of legal steps through all numbers to another value and marked
/// `no ;`, then the solution: `3 + 5 = 8 ; 8 + 7 = 15 no ; 3 * 5 = 15 ; ...`. Numbers that reach nothing but
/// the target have no failed tries. Empty when the target is out of reach.
pub fn worked_search(table: &Table, numbers: &[u32], target: u32, chance: &mut Position) -> String {
    let Some(solution) = any_way(table, numbers, target, chance) else {
        return String::new();
    };
    let mut wrong: Vec<u32> = table.values().filter(|&value| value != target).collect();
    chance.shuffle(&mut wrong);
    wrong.truncate(1 + chance.below(MOST_TRIES) as usize);
    let mut words = Vec::new();
    for value in wrong {
        if let Some(failed) = any_way(table, numbers, value, chance) {
            write_steps(&failed, &mut words);
            words.extend(["no".to_owned(), ";".to_owned()]);
        }
    }
    write_steps(&solution, &mut words);
    write_answer(&solution, &mut words);
    words.join(" ")
}

fn any_way(
    table: &Table,
    numbers: &[u32],
    value: u32,
    chance: &mut Position,
) -> Option<Expression> {
    let ways = table.ways(value);
    let solution = (ways > 0).then(|| table.solution(value, chance.below(ways)))??;
    Some(arranged(solution, numbers))
}

/// Puts the operands of `+` and `*` in one order: the one with more operations first, else the one whose
/// first number is shown first. One way of writing a solution is easier to learn than many.
fn arranged(expression: Expression, numbers: &[u32]) -> Expression {
    let Expression::Binary { operation, operands, value } = expression else {
        return expression;
    };
    let left = arranged(operands.0, numbers);
    let right = arranged(operands.1, numbers);
    let swap = operation.commutes() && rank(&right, numbers) < rank(&left, numbers);
    let operands = Box::new(if swap { (right, left) } else { (left, right) });
    Expression::Binary { operation, operands, value }
}

fn rank(expression: &Expression, numbers: &[u32]) -> (usize, Option<usize>) {
    let mut first = expression;
    while let Expression::Binary { operands, .. } = first {
        first = &operands.0;
    }
    let shown = numbers.iter().position(|&number| number == first.value());
    (usize::MAX - expression.operations(), shown)
}

fn write_steps(expression: &Expression, words: &mut Vec<String>) {
    let Expression::Binary { operation, operands, value } = expression else {
        return;
    };
    for operand in [&operands.0, &operands.1] {
        if operand.operations() > 0 {
            write_steps(operand, words);
            words.push(";".to_owned());
        }
    }
    words.extend([
        operands.0.value().to_string(),
        operation.symbol().to_string(),
        operands.1.value().to_string(),
        "=".to_owned(),
        value.to_string(),
    ]);
}

fn write_answer(expression: &Expression, words: &mut Vec<String>) {
    words.extend(["</think>".to_owned(), "<answer>".to_owned()]);
    write_expression(expression, words);
    words.push("</answer>".to_owned());
}

/// Infix, with parentheses around every expression inside another.
fn write_expression(expression: &Expression, words: &mut Vec<String>) {
    let Expression::Binary { operation, operands, .. } = expression else {
        words.push(expression.value().to_string());
        return;
    };
    let operand = |operand: &Expression, words: &mut Vec<String>| {
        let inner = operand.operations() > 0;
        if inner {
            words.push("(".to_owned());
        }
        write_expression(operand, words);
        if inner {
            words.push(")".to_owned());
        }
    };
    operand(&operands.0, words);
    words.push(operation.symbol().to_string());
    operand(&operands.1, words);
}
