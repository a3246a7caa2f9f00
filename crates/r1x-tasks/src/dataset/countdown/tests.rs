//! Tests of generator, solver and traces against evaluators written apart from them.

use std::collections::{BTreeSet, HashSet};

use r1x_core::plan::TraceStyle;
use r1x_core::testing;

use super::*;

const PROMPT: &str = "{{ nums | join(' ') }} -> {{ target }} <think>";

fn plan() -> CountdownPlan {
    CountdownPlan {
        min_count: 3,
        max_count: 3,
        min_number: 1,
        max_number: 20,
        min_target: 1,
        max_target: 100,
        operations: "+-*/".to_owned(),
        train: 1_500,
        heldout: 500,
        trace: TraceStyle::Steps,
        ..testing::countdown()
    }
}

fn generated(plan: &CountdownPlan) -> Result<DataSet, TaskError> {
    generate(plan, &writer(&PromptPlan::text(PROMPT), &Markup::default())?)
}

fn checked(plan: &CountdownPlan) -> Result<(), TaskError> {
    check(plan, &writer(&PromptPlan::text(PROMPT), &Markup::default())?)
}

fn rules(plan: &CountdownPlan) -> Rules {
    Rules::new(plan).unwrap()
}

/// A fraction in an evaluator that shares nothing with the solver.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fraction(i128, i128);

impl Fraction {
    fn apply(self, symbol: &str, other: Fraction) -> Fraction {
        let Fraction(a, b) = self;
        let Fraction(c, d) = other;
        match symbol {
            "+" => Fraction(a * d + c * b, b * d),
            "-" => Fraction(a * d - c * b, b * d),
            "*" => Fraction(a * c, b * d),
            "/" => Fraction(a * d, b * c),
            other => panic!("`{other}` is no operation"),
        }
    }

    fn is(self, whole: u32) -> bool {
        self.1 != 0 && self.0 == i128::from(whole) * self.1
    }
}

/// Evaluates infix words with the usual precedence; collects the numbers used.
struct Infix<'a> {
    words: Vec<&'a str>,
    at: usize,
    used: Vec<u32>,
}

impl<'a> Infix<'a> {
    fn evaluate(text: &'a str) -> (Fraction, Vec<u32>) {
        let mut infix = Infix { words: text.split(' ').collect(), at: 0, used: Vec::new() };
        let value = infix.sum();
        assert_eq!(infix.at, infix.words.len(), "words left over in `{text}`");
        infix.used.sort_unstable();
        (value, infix.used)
    }

    fn next_is(&self, symbols: [&str; 2]) -> bool {
        self.words.get(self.at).is_some_and(|word| symbols.contains(word))
    }

    fn take(&mut self) -> &'a str {
        self.at += 1;
        self.words[self.at - 1]
    }

    fn sum(&mut self) -> Fraction {
        let mut value = self.product();
        while self.next_is(["+", "-"]) {
            let symbol = self.take();
            value = value.apply(symbol, self.product());
        }
        value
    }

    fn product(&mut self) -> Fraction {
        let mut value = self.operand();
        while self.next_is(["*", "/"]) {
            let symbol = self.take();
            value = value.apply(symbol, self.operand());
        }
        value
    }

    fn operand(&mut self) -> Fraction {
        let word = self.take();
        if word != "(" {
            let number: u32 = word.parse().unwrap();
            self.used.push(number);
            return Fraction(i128::from(number), 1);
        }
        let value = self.sum();
        assert_eq!(self.take(), ")");
        value
    }
}

/// Follows one line of steps: each takes numbers that are there and puts its result back. Returns what is
/// left, which must be one number.
fn follow(line: &str, numbers: &[u32], bound: u32) -> u32 {
    let mut there = numbers.to_vec();
    for step in line.split(" ; ") {
        let words: Vec<&str> = step.split(' ').collect();
        let [left, symbol, right, "=", result] = words[..] else { panic!("`{step}` is no step") };
        let [left, right, result] = [left, right, result].map(|word| word.parse::<u32>().unwrap());
        for operand in [left, right] {
            let at = there.iter().position(|&number| number == operand);
            there.swap_remove(at.unwrap_or_else(|| panic!("{operand} is not there in `{line}`")));
        }
        let value = Fraction(i128::from(left), 1).apply(symbol, Fraction(i128::from(right), 1));
        assert!(value.is(result), "`{step}` is wrong");
        assert!((1..=bound).contains(&result), "`{step}` leaves the range");
        there.push(result);
    }
    assert_eq!(there.len(), 1, "`{line}` does not use every number");
    there[0]
}

/// Checks one problem's solution word by word; returns how many failed tries it has.
fn check_solution(problem: &Problem, bound: u32) -> usize {
    let numbers: Vec<u32> = serde_json::from_str(&problem.columns["nums"]).unwrap();
    let target: u32 = problem.columns["target"].parse().unwrap();
    let solution = problem.solution.as_deref().unwrap();
    let (thought, answer) = solution.split_once(" </think> <answer> ").unwrap();
    let (value, used) = Infix::evaluate(answer.strip_suffix(" </answer>").unwrap());
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    assert!(value.is(target), "{problem:?}");
    assert_eq!(used, sorted, "{problem:?}");
    assert_eq!(problem.answer, Some(target.to_string()));
    let lines: Vec<&str> = thought.split(" no ; ").collect();
    let (last, failed) = lines.split_last().unwrap();
    assert_eq!(follow(last, &numbers, bound), target, "{problem:?}");
    for line in failed {
        assert_ne!(follow(line, &numbers, bound), target, "{problem:?}");
    }
    failed.len()
}

fn canonical(problem: &Problem) -> (Vec<u32>, String) {
    let mut numbers: Vec<u32> = serde_json::from_str(&problem.columns["nums"]).unwrap();
    numbers.sort_unstable();
    (numbers, problem.columns["target"].clone())
}

#[test]
fn every_worked_solution_is_right_in_both_styles_and_sizes() {
    for (count, numbers, target) in [(3, 20, 100), (4, 13, 24), (4, 40, 999)] {
        for trace in [TraceStyle::Steps, TraceStyle::Search] {
            let plan = CountdownPlan {
                min_count: count,
                max_count: count,
                max_number: numbers,
                max_target: target,
                trace,
                ..plan()
            };
            let set = generated(&plan).unwrap();
            assert_eq!((set.train.len(), set.heldout.len()), (1_500, 500));
            let mut tries = [0; 4];
            for problem in set.train.iter().chain(&set.heldout) {
                tries[check_solution(problem, rules(&plan).bound)] += 1;
            }
            match trace {
                TraceStyle::Steps => assert_eq!(tries, [2_000, 0, 0, 0]),
                TraceStyle::Search => {
                    assert_eq!(tries[0], 0);
                    assert!(tries[1..].iter().all(|&n| (550..800).contains(&n)), "{tries:?}");
                }
            }
        }
    }
}

#[test]
fn problems_are_distinct_and_splits_disjoint_by_canonical_form() {
    let plan = CountdownPlan { train: 8_000, heldout: 1_000, ..plan() };
    let set = generated(&plan).unwrap();
    let forms: HashSet<_> = set.train.iter().chain(&set.heldout).map(canonical).collect();
    let keys: HashSet<_> = set.train.iter().chain(&set.heldout).map(|p| p.key.clone()).collect();
    assert_eq!((forms.len(), keys.len()), (9_000, 9_000));
    for (numbers, target) in &forms {
        assert!(numbers.iter().all(|number| (1..=20).contains(number)));
        assert!((1..=100).contains(&target.parse::<u32>().unwrap()));
    }
    let shown_unsorted = set.train.iter().filter(|problem| {
        serde_json::from_str::<Vec<u32>>(&problem.columns["nums"]).unwrap() != canonical(problem).0
    });
    assert!(shown_unsorted.count() > 4_000, "numbers are shown in the order drawn");
}

#[test]
fn the_same_plan_gives_the_same_bits_and_another_seed_others() {
    let first = generated(&plan()).unwrap();
    assert_eq!(first, generated(&plan()).unwrap());
    let other = generated(&CountdownPlan { seed: 1, ..plan() }).unwrap();
    assert_ne!(first.sha256, other.sha256);
    // What a release generated, a later one generates: runs on the same plan stay comparable.
    let shown: Vec<&str> = first.train.iter().take(2).map(|p| p.prompt.as_str()).collect();
    let worked = first.train[0].solution.as_deref().unwrap();
    assert_eq!(shown, PINNED_PROMPTS);
    assert_eq!(worked, PINNED_SOLUTION);
}

const PINNED_PROMPTS: [&str; 2] = ["4 12 18 -> 66 <think>", "8 9 20 -> 52 <think>"];
const PINNED_SOLUTION: &str =
    "4 * 12 = 48 ; 48 + 18 = 66 </think> <answer> ( 4 * 12 ) + 18 </answer>";

#[test]
fn heldout_problems_do_not_depend_on_the_number_of_training_problems() {
    let few = generated(&CountdownPlan { train: 10, ..plan() }).unwrap();
    let many = generated(&CountdownPlan { train: 5_000, ..plan() }).unwrap();
    assert_eq!(few.heldout, many.heldout);
    assert_eq!(few.train, many.train[..10]);
}

#[test]
fn targets_are_spread_over_what_is_reachable() {
    let plan = CountdownPlan { train: 4_000, heldout: 0, ..plan() };
    let set = generated(&plan).unwrap();
    let mut tens = [0; 10];
    for problem in &set.train {
        let target: usize = problem.columns["target"].parse().unwrap();
        tens[(target - 1) / 10] += 1;
    }
    // Small targets are reached by more sets of numbers; no part of the range is starved.
    assert!(tens.iter().all(|&n| n > 100), "{tens:?}");
    assert!(tens[0] < 1_600, "{tens:?}");
}

/// Every solution by brute force over orders of steps, as text with the operands of + and * sorted.
fn brute_force(
    there: &[(u32, String)],
    operations: &str,
    bound: u32,
    found: &mut BTreeSet<(u32, String)>,
) {
    if let [(value, text)] = there {
        found.insert((*value, text.clone()));
        return;
    }
    for i in 0..there.len() {
        for j in 0..there.len() {
            if i == j {
                continue;
            }
            let ((a, left), (b, right)) = (&there[i], &there[j]);
            for symbol in operations.chars() {
                let (value, sorted) = match symbol {
                    '+' => (a + b, true),
                    '*' => (a * b, true),
                    '-' if a > b => (a - b, false),
                    '/' if a % b == 0 => (a / b, false),
                    _ => continue,
                };
                if value > bound || (sorted && left > right) {
                    continue;
                }
                let others = (0..there.len()).filter(|&k| k != i && k != j);
                let mut next: Vec<_> = others.map(|k| there[k].clone()).collect();
                next.push((value, format!("({left}{symbol}{right})")));
                brute_force(&next, operations, bound, found);
            }
        }
    }
}

fn text(expression: &Expression) -> String {
    let Expression::Binary { operation, operands, .. } = expression else {
        return expression.value().to_string();
    };
    let (mut left, mut right) = (text(&operands.0), text(&operands.1));
    if operation.commutes() && left > right {
        std::mem::swap(&mut left, &mut right);
    }
    format!("({left}{}{right})", operation.symbol())
}

#[track_caller]
fn check_solver(numbers: &[u32], symbols: &str, bound: u32) {
    let mut expected = BTreeSet::new();
    let start: Vec<_> = numbers.iter().map(|n| (*n, n.to_string())).collect();
    brute_force(&start, symbols, bound, &mut expected);
    let table = Table::new(numbers, &operations(symbols).unwrap(), bound);
    let mut found = BTreeSet::new();
    for value in table.values() {
        let ways = table.ways(value);
        let listed: BTreeSet<_> = table.solutions(value).map(|s| (s.value(), text(&s))).collect();
        assert_eq!(listed.len() as u64, ways, "{numbers:?} reach {value} in distinct ways");
        assert_eq!(table.solution(value, ways), None);
        found.extend(listed);
    }
    assert_eq!(found, expected, "{numbers:?}");
}

#[test]
fn the_solver_finds_what_brute_force_finds_each_once() {
    check_solver(&[7], "+-*/", 999);
    check_solver(&[3, 5, 7], "+-*/", 999);
    check_solver(&[1, 1], "+-*/", 999);
    check_solver(&[2, 2, 2], "+-*/", 999);
    check_solver(&[6, 3, 6, 3], "+-*/", 999);
    check_solver(&[2, 2, 2, 2], "+-*/", 999);
    check_solver(&[9, 1, 4, 12], "+-*/", 100);
    check_solver(&[9, 1, 4, 12], "-/", 999);
    check_solver(&[2, 3, 2, 3, 1], "+-*/", 60);
    check_solver(&[5, 5, 5, 5, 5], "+*", 999);
    let mut chance = Rng::new(5).stream("test").at(&[]);
    for _ in 0..40 {
        let numbers: Vec<u32> = (0..4).map(|_| between(1, 12, &mut chance)).collect();
        check_solver(&numbers, "+-*/", 200);
    }
}

#[test]
fn six_numbers_are_solved_exactly() {
    let table = Table::new(&[1, 3, 7, 10, 25, 50], &Operation::ALL, 999);
    let mut chance = Rng::new(5).stream("test").at(&[]);
    assert!(table.ways(765) > 0);
    for _ in 0..50 {
        let solution = table.solution(765, chance.below(table.ways(765))).unwrap();
        assert_eq!((solution.value(), solution.operations()), (765, 5));
    }
}

#[track_caller]
fn check_trace(numbers: &[u32], target: u32, expected: &[&str]) {
    let table = Table::new(numbers, &Operation::ALL, 999);
    let stream = Rng::new(1).stream("test");
    let drawn: BTreeSet<String> =
        (0..200).map(|i| worked_steps(&table, numbers, target, &mut stream.at(&[i]))).collect();
    assert_eq!(drawn, expected.iter().map(|&text| text.to_owned()).collect());
}

#[test]
fn steps_are_written_with_the_larger_part_first_and_parentheses_inside_only() {
    check_trace(
        &[3, 5, 7],
        22,
        &["3 * 5 = 15 ; 15 + 7 = 22 </think> <answer> ( 3 * 5 ) + 7 </answer>"],
    );
    check_trace(
        &[7, 5, 3],
        8,
        &["5 * 3 = 15 ; 15 - 7 = 8 </think> <answer> ( 5 * 3 ) - 7 </answer>"],
    );
    check_trace(
        &[20, 2, 9],
        2,
        &[
            "2 * 9 = 18 ; 20 - 18 = 2 </think> <answer> 20 - ( 2 * 9 ) </answer>",
            "20 - 2 = 18 ; 18 / 9 = 2 </think> <answer> ( 20 - 2 ) / 9 </answer>",
        ],
    );
    check_trace(&[4, 4], 1, &["4 / 4 = 1 </think> <answer> 4 / 4 </answer>"]);
}

#[test]
fn solutions_are_drawn_evenly() {
    let table = Table::new(&[2, 4, 8], &Operation::ALL, 999);
    let ways = table.ways(1);
    assert!(ways > 1);
    let stream = Rng::new(1).stream("test");
    let mut counts = std::collections::BTreeMap::new();
    for i in 0..2_000 {
        *counts
            .entry(worked_steps(&table, &[2, 4, 8], 1, &mut stream.at(&[i])))
            .or_insert(0_u64) += 1;
    }
    let mean = 2_000 / ways;
    assert_eq!(counts.len() as u64, ways);
    assert!(counts.values().all(|n| n.abs_diff(mean) < mean / 4), "{counts:?}");
}

#[test]
fn a_search_without_other_values_has_no_failed_tries() {
    let table = Table::new(&[2, 3], &[Operation::Add], 999);
    let mut chance = Rng::new(1).stream("test").at(&[]);
    assert_eq!(
        worked_search(&table, &[2, 3], 5, &mut chance),
        "2 + 3 = 5 </think> <answer> 2 + 3 </answer>"
    );
    assert_eq!(worked_search(&table, &[2, 3], 6, &mut chance), "", "out of reach");
}

#[test]
fn a_small_space_is_used_up_to_its_last_problem() {
    let small = CountdownPlan {
        min_count: 2,
        max_count: 3,
        max_number: 5,
        max_target: 9,
        train: 0,
        heldout: 0,
        ..plan()
    };
    let TaskError::TooFewProblems { found, .. } =
        generated(&CountdownPlan { train: 100_000, ..small.clone() }).unwrap_err()
    else {
        panic!("another error");
    };
    let all = CountdownPlan { train: found - 20, heldout: 20, ..small.clone() };
    let set = generated(&all).unwrap();
    let forms: BTreeSet<_> = set.train.iter().chain(&set.heldout).map(canonical).collect();
    assert_eq!(forms.len(), found);
    let one_more = CountdownPlan { train: found - 19, ..all };
    assert!(checked(&one_more).is_err());
    let error = generated(&one_more).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "only {found} distinct problems exist in these ranges, but {} are wanted",
            found + 1
        )
    );
    // The count by brute force over all sets of numbers.
    let mut expected = 0;
    for count in 2..=3 {
        let sets: BTreeSet<Vec<u32>> = (0..125)
            .map(|code: u32| {
                let mut numbers: Vec<u32> =
                    (0..count).map(|k| code / 5_u32.pow(k) % 5 + 1).collect();
                numbers.sort_unstable();
                numbers
            })
            .collect();
        for numbers in sets {
            let mut found = BTreeSet::new();
            let start: Vec<_> = numbers.iter().map(|n| (*n, n.to_string())).collect();
            brute_force(&start, "+-*/", rules(&small).bound, &mut found);
            let targets: BTreeSet<u32> = found.into_iter().map(|(value, _)| value).collect();
            expected += targets.into_iter().filter(|target| *target <= 9).count();
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn rare_targets_in_a_large_space_end_in_an_error() {
    let rare = CountdownPlan {
        min_number: 20_000,
        max_number: 60_000,
        min_target: 7,
        max_target: 7,
        operations: "*".to_owned(),
        ..plan()
    };
    let error = generated(&rare).unwrap_err();
    assert_eq!(error.to_string(), "only 0 of the 2000 wanted problems turned up in 40000 draws");
}

#[track_caller]
fn check_rules(change: impl Fn(&mut CountdownPlan), expected: &str) {
    let mut plan = plan();
    change(&mut plan);
    let error = checked(&plan).unwrap_err();
    assert_eq!(format!("{error}; {}", error.hint()), expected);
}

#[test]
fn plans_that_describe_no_game_are_refused() {
    check_rules(
        |p| p.max_count = 2,
        "a problem cannot have 3 to 2 numbers; choose counts from 2 to 6",
    );
    check_rules(
        |p| p.min_count = 1,
        "a problem cannot have 1 to 3 numbers; choose counts from 2 to 6",
    );
    check_rules(
        |p| p.max_count = 7,
        "a problem cannot have 3 to 7 numbers; choose counts from 2 to 6",
    );
    check_rules(
        |p| p.min_number = 0,
        "numbers cannot range from 0 to 20; write the smaller end first, from 1 to 65000",
    );
    check_rules(
        |p| p.max_target = 70_000,
        "targets cannot range from 1 to 70000; write the smaller end first, from 1 to 65000",
    );
    for wrong in ["", "+x", "++", "^"] {
        let refused = format!(
            "the operations `{wrong}` are not one or more of `+-*/`, each once; write for example `+-*/`"
        );
        check_rules(|p| p.operations = wrong.to_owned(), &refused);
    }
}

#[test]
fn the_bound_covers_numbers_and_targets() {
    let bound = |number, target| {
        rules(&CountdownPlan { max_number: number, max_target: target, ..plan() }).bound
    };
    assert_eq!(bound(20, 100), 100);
    assert_eq!(bound(2_000, 100), 2_000);
    assert_eq!(bound(99, 5_000), 5_000);
}
