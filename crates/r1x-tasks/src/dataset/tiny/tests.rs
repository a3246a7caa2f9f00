//! What every small task keeps, and what each of them asks and answers, by value.

use std::collections::{BTreeMap, HashSet};

use r1x_core::plan::{
    ArithmeticPlan, DataPlan, DrawPlan, Language, RequestsPlan, SourcePlan, StringTask, StringsPlan,
};
use r1x_core::testing;

use super::*;
use crate::dataset::{Survey, load, survey};
use crate::vocabulary::vocabulary;

const BOTH: [Language; 2] = [Language::En, Language::De];

fn draw(train: usize, heldout: usize) -> DrawPlan {
    DrawPlan { train, heldout, languages: BOTH.to_vec(), ..testing::draw() }
}

fn arithmetic(draw: DrawPlan) -> ArithmeticPlan {
    ArithmeticPlan {
        modulus: 10,
        min_number: 1,
        max_number: 9,
        min_steps: 2,
        max_steps: 3,
        operations: "+-*".to_owned(),
        mixed_thoughts: 0.0,
        draw,
    }
}

fn strings(draw: DrawPlan) -> StringsPlan {
    use StringTask::{Count, Nth, Reverse, Sort};
    StringsPlan {
        tasks: vec![Reverse, Count, Nth, Sort],
        letters: 6,
        min_length: 3,
        max_length: 5,
        mixed_thoughts: 0.0,
        draw,
    }
}

fn requests(refuse: f64, draw: DrawPlan) -> SourcePlan {
    SourcePlan::Requests(RequestsPlan { refuse, flawed: 0.0, draw })
}

fn sources(draw: &DrawPlan) -> [SourcePlan; 3] {
    [
        SourcePlan::Arithmetic(arithmetic(draw.clone())),
        SourcePlan::Strings(strings(draw.clone())),
        requests(0.25, draw.clone()),
    ]
}

fn data(source: SourcePlan) -> DataPlan {
    DataPlan { source, prompt: PromptPlan::text("{{ question }} <think>") }
}

#[track_caller]
fn made(source: &SourcePlan) -> DataSet {
    load("data", &data(source.clone()), &Markup::default()).unwrap()
}

#[track_caller]
fn refused(source: SourcePlan) -> String {
    let plan = data(source);
    let error = load("data", &plan, &Markup::default()).unwrap_err();
    let surveyed = survey("data", &plan, &Markup::default(), u64::MAX).unwrap_err();
    assert!(error.to_string().ends_with(&surveyed.to_string()), "{error} is not {surveyed}");
    assert_eq!(error.hint(), surveyed.hint());
    surveyed.to_string()
}

fn all(set: &DataSet) -> impl Iterator<Item = &Problem> {
    set.train.iter().chain(&set.heldout)
}

/// A column that is text.
fn column(problem: &Problem, name: &str) -> String {
    serde_json::from_str(&problem.columns[name]).unwrap()
}

/// How often each value of something comes.
fn counts<T: Ord>(values: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_insert(0) += 1);
    counts
}

#[test]
fn problems_are_different_and_do_not_depend_on_how_many_are_wanted() {
    for source in sources(&draw(900, 100)) {
        let set = made(&source);
        assert_eq!((set.train.len(), set.heldout.len()), (900, 100), "{}", source.key());
        let keys: HashSet<&str> = all(&set).map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys.len(), 1000, "{}", source.key());
        assert_eq!(set, made(&source));
    }
    for (few, many) in sources(&draw(30, 50)).iter().zip(&sources(&draw(900, 50))) {
        let (few, many) = (made(few), made(many));
        assert_eq!(few.heldout, many.heldout);
        assert_eq!(few.train, many.train[..30]);
        assert_ne!(few.sha256, many.sha256);
    }
    let other = DrawPlan { seed: 1, ..draw(30, 50) };
    for (first, second) in sources(&draw(30, 50)).iter().zip(&sources(&other)) {
        assert_ne!(made(first).heldout, made(second).heldout);
    }
}

/// A problem is the same one in every language, so the other language of a held-out problem is not trained on either.
#[test]
fn languages_do_not_make_two_problems_of_one() {
    let in_one =
        |languages: &[Language]| DrawPlan { languages: languages.to_vec(), ..draw(60, 20) };
    for (mixed, english) in sources(&in_one(&BOTH)).iter().zip(&sources(&in_one(&BOTH[..1]))) {
        let (mixed, english) = (made(mixed), made(english));
        let keys = |set: &DataSet| all(set).map(|one| one.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&mixed), keys(&english));
        assert!(all(&english).all(|problem| column(problem, "language") == "en"));
        let languages = counts(all(&mixed).map(|problem| column(problem, "language")));
        assert!(languages["de"] > 20 && languages["en"] > 20, "{languages:?}");
    }
}

#[test]
fn every_word_has_a_token_and_no_piece_comes_twice() {
    for source in sources(&draw(900, 100)) {
        let pieces = vocabulary(&data(source.clone())).unwrap();
        let known: HashSet<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(known.len(), pieces.len(), "{}", source.key());
        for problem in all(&made(&source)) {
            let texts =
                [Some(&problem.prompt), problem.solution.as_ref(), problem.rejected.as_ref()];
            for word in texts.into_iter().flatten().flat_map(|text| text.split_whitespace()) {
                assert!(known.contains(word), "`{word}` of {problem:?}");
            }
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ") == text;
            assert!(problem.solution.as_deref().is_some_and(words), "{problem:?}");
        }
    }
    let glued = DataPlan {
        prompt: PromptPlan::text("{{ steps }} {{ question }}"),
        ..data(SourcePlan::Arithmetic(arithmetic(draw(9, 1))))
    };
    let error = vocabulary(&glued).unwrap_err();
    assert!(error.to_string().contains("touches other characters"), "{error}");
}

#[test]
fn a_survey_knows_the_columns() {
    let columns = sources(&draw(9, 1)).map(|source| {
        let found = survey("data", &data(source), &Markup::default(), u64::MAX).unwrap();
        let Survey::Generated { columns } = found else { panic!("a file") };
        columns.join(" ")
    });
    assert_eq!(
        columns,
        [
            "question language answer modulus start steps",
            "question language answer task letters about",
            "question language answer kind name refuse fault",
        ]
    );
    for source in sources(&draw(9, 1)) {
        let named: Vec<String> = made(&source).train[0].columns.keys().cloned().collect();
        let Survey::Generated { mut columns } =
            survey("data", &data(source), &Markup::default(), u64::MAX).unwrap()
        else {
            panic!("a file")
        };
        columns.sort();
        assert_eq!(named, columns);
    }
}

/// Every problem there is, each once, and not one more.
#[test]
fn a_small_space_is_used_up_and_said_to_be() {
    let small = |wanted: usize| {
        let plan = arithmetic(draw(wanted - 5, 5));
        let plan = ArithmeticPlan { modulus: 5, max_number: 4, min_steps: 1, max_steps: 1, ..plan };
        SourcePlan::Arithmetic(plan)
    };
    // Five places; a step adds 1 to 4, takes off 1 to 4, or multiplies by 2 to 4.
    let everything = made(&small(5 * 11));
    let keys: HashSet<&str> = all(&everything).map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys.len(), 55);
    let error = refused(small(56));
    assert_eq!(error, "only 55 distinct problems exist in these ranges, but 56 are wanted");
    // Sixteen names, two greetings, four ways to ask, two kinds with ten secrets each.
    let error = refused(requests(1.0, draw(2561, 0)));
    assert_eq!(error, "only 2560 distinct problems exist in these ranges, but 2561 are wanted");
    assert_eq!(made(&requests(1.0, draw(2560, 0))).train.len(), 2560);
    assert!(refused(requests(0.5, draw(5200, 0))).contains("only 2560"));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let sums = |change: fn(&mut ArithmeticPlan)| {
        let mut plan = arithmetic(draw(9, 1));
        change(&mut plan);
        refused(SourcePlan::Arithmetic(plan))
    };
    let letters = |change: fn(&mut StringsPlan)| {
        let mut plan = strings(draw(9, 1));
        change(&mut plan);
        refused(SourcePlan::Strings(plan))
    };
    assert_eq!(sums(|plan| plan.modulus = 4), "a wheel cannot have 4 places");
    assert_eq!(sums(|plan| plan.modulus = 1001), "a wheel cannot have 1001 places");
    let numbers = sums(|plan| plan.max_number = 10);
    assert_eq!(numbers, "a step cannot go 1 to 10 places on or back");
    assert_eq!(sums(|plan| plan.min_number = 0), "a step cannot go 0 to 9 places on or back");
    assert_eq!(sums(|plan| plan.min_steps = 4), "a problem cannot have 4 to 3 steps");
    assert_eq!(sums(|plan| plan.max_steps = 6), "a problem cannot have 2 to 6 steps");
    for operations in ["", "+/", "++"] {
        let mut plan = arithmetic(draw(9, 1));
        plan.operations = operations.to_owned();
        let error = refused(SourcePlan::Arithmetic(plan));
        assert_eq!(error, format!("the operations `{operations}` are not one or more of `+-*`"));
    }
    assert_eq!(letters(|plan| plan.letters = 1), "an alphabet cannot have 1 letters");
    assert_eq!(letters(|plan| plan.min_length = 1), "a problem cannot have 1 to 5 letters");
    assert_eq!(letters(|plan| plan.max_length = 13), "a problem cannot have 3 to 13 letters");
    let twice = "nothing is asked about the letters, or something twice";
    assert_eq!(letters(|plan| plan.tasks.clear()), twice);
    assert_eq!(letters(|plan| plan.tasks.push(StringTask::Nth)), twice);
    assert_eq!(letters(|plan| plan.draw.languages.clear()), "there is no language to ask in");
    let error = letters(|plan| plan.draw.languages.push(Language::En));
    assert_eq!(error, "a language is listed twice");
    let error = sums(|plan| {
        plan.draw.languages.pop();
        plan.mixed_thoughts = 0.1;
    });
    assert_eq!(error, "thoughts in another language need two languages");
    let large = data(SourcePlan::Strings(strings(draw(usize::MAX, 1))));
    let error = survey("data", &large, &Markup::default(), 1 << 30).unwrap_err();
    assert!(error.to_string().contains("MiB of memory"), "{error}");
}

/// The sum is computed again from the columns, and the last number of every step is the first of the next.
#[test]
fn sums_end_where_their_steps_lead() {
    let set = made(&SourcePlan::Arithmetic(arithmetic(draw(900, 100))));
    for problem in all(&set) {
        let modulus: i64 = problem.columns["modulus"].parse().unwrap();
        let mut place: i64 = problem.columns["start"].parse().unwrap();
        let steps: Vec<String> = serde_json::from_str(&problem.columns["steps"]).unwrap();
        let solution = problem.solution.as_deref().unwrap();
        for step in &steps {
            let (operation, number) = step.split_once(' ').unwrap();
            let number: i64 = number.parse().unwrap();
            let next = match operation {
                "+" => place + number,
                "-" => place - number,
                "*" => place * number,
                other => panic!("{other}"),
            };
            let next = next.rem_euclid(modulus);
            let computed = match column(problem, "language").as_str() {
                "en" => format!("then {place} {step} is {next} ;"),
                _ => format!("dann ist {place} {step} die {next} ;"),
            };
            assert!(solution.contains(&computed), "{computed} in {solution}");
            place = next;
        }
        assert_eq!(column(problem, "answer"), place.to_string());
        let end = format!("</think> <answer> {place} </answer>");
        assert!(solution.ends_with(&end), "{solution}");
    }
    let steps = counts(all(&set).map(|problem| problem.columns["steps"].matches(',').count() + 1));
    // Nine sequences of two operations and 27 of three take turns.
    assert!((225..=275).contains(&steps[&2]), "{steps:?}");
    let mut alone = arithmetic(draw(1, 0));
    (alone.min_steps, alone.max_steps, alone.draw.languages) = (2, 2, vec![Language::En]);
    alone.operations = "+-".to_owned();
    let one = &made(&SourcePlan::Arithmetic(alone)).train[0];
    let (start, steps) = (&one.columns["start"], &one.columns["steps"]);
    let steps: Vec<String> = serde_json::from_str(steps).unwrap();
    let [first, second] = [&steps[0], &steps[1]].map(|step| step.split_once(' ').unwrap().1);
    assert_eq!(
        one.prompt,
        format!(
            "a wheel has 10 places and it is at {start} . it moves on by {first} . \
             it moves on by {second} . where is it ? <think>"
        )
    );
}

/// Answers are computed again from the columns.
#[test]
fn letters_are_read_counted_looked_up_and_sorted() {
    let set = made(&SourcePlan::Strings(strings(draw(900, 100))));
    for problem in all(&set) {
        let letters: Vec<String> = serde_json::from_str(&problem.columns["letters"]).unwrap();
        let about = column(problem, "about");
        let expected = match column(problem, "task").as_str() {
            "reverse" => letters.iter().rev().cloned().collect::<Vec<_>>().join(" "),
            "count" => letters.iter().filter(|letter| **letter == about).count().to_string(),
            "nth" => letters[about.parse::<usize>().unwrap() - 1].clone(),
            "sort" => {
                let mut sorted = letters.clone();
                sorted.sort();
                sorted.join(" ")
            }
            other => panic!("{other}"),
        };
        assert_eq!(column(problem, "answer"), expected);
        let solution = problem.solution.as_deref().unwrap();
        assert!(solution.ends_with(&format!("</think> <answer> {expected} </answer>")));
    }
    let sorts = counts(all(&set).map(|problem| {
        (column(problem, "task"), problem.columns["letters"].matches(',').count() + 1)
    }));
    assert_eq!(sorts.len(), 12);
    assert!(sorts.values().all(|count| (83..=84).contains(count)), "{sorts:?}");
}

#[test]
fn worked_solutions_of_letters_are_written_out() {
    let asked = |task: StringTask, language: Language| {
        let mut plan = strings(draw(1, 0));
        (plan.tasks, plan.draw.languages) = (vec![task], vec![language]);
        let set = made(&SourcePlan::Strings(plan));
        let problem = &set.train[0];
        let letters: Vec<String> = serde_json::from_str(&problem.columns["letters"]).unwrap();
        let solution = problem.solution.clone().unwrap();
        (letters, column(problem, "about"), problem.prompt.clone(), solution)
    };
    let (letters, _, prompt, solution) = asked(StringTask::Reverse, Language::En);
    let [a, b, c] = [0, 1, 2].map(|at| letters[at].as_str());
    assert_eq!(prompt, format!("the letters are {a} {b} {c} . read them from the end . <think>"));
    let answer = format!("{c} {b} {a} </think> <answer> {c} {b} {a} </answer>");
    assert_eq!(solution, format!("from the end it is {answer}"));
    let (letters, place, prompt, solution) = asked(StringTask::Nth, Language::De);
    let [a, b, c] = [0, 1, 2].map(|at| letters[at].as_str());
    assert_eq!(
        prompt,
        format!("die buchstaben sind {a} {b} {c} . wer von ihnen steht an {place} ? <think>")
    );
    let found = &letters[place.parse::<usize>().unwrap() - 1];
    assert!(solution.starts_with(&format!("an 1 ist es {a} ;")), "{solution}");
    let end = format!("also ist es {found} </think> <answer> {found} </answer>");
    assert!(solution.ends_with(&end), "{solution}");
}

#[test]
fn thoughts_are_mixed_in_the_planned_share() {
    let share = |mixed_thoughts: f64| {
        let plan = ArithmeticPlan { mixed_thoughts, ..arithmetic(draw(1000, 0)) };
        let set = made(&SourcePlan::Arithmetic(plan));
        let is_mixed = |problem: &&Problem| {
            let thought =
                if problem.solution.as_ref().unwrap().starts_with("it") { "en" } else { "de" };
            column(problem, "language") != thought
        };
        let mixed = set.train.iter().filter(is_mixed).count();
        mixed as f64 / 1000.0
    };
    assert_eq!((share(0.0), share(1.0)), (0.0, 1.0));
    // Three standard deviations of a thousand draws.
    assert!((share(0.3) - 0.3).abs() < 0.044, "{}", share(0.3));
}

#[test]
fn requests_are_refused_in_the_planned_share() {
    for (refuse, expected) in [(0.0, 0), (0.25, 250), (0.5, 500), (1.0, 1000)] {
        let set = made(&requests(refuse, draw(900, 100)));
        let refused = all(&set).filter(|problem| problem.columns["refuse"] == "true").count();
        assert_eq!(refused, expected);
        let kinds = counts(all(&set).map(|problem| column(problem, "kind")));
        let secret: usize = ["reveal", "trick"].iter().filter_map(|kind| kinds.get(*kind)).sum();
        assert_eq!(secret, expected, "{kinds:?}");
    }
    let faults = counts(
        made(&requests(0.5, draw(1000, 0)))
            .train
            .iter()
            .map(|problem| (problem.columns["refuse"] == "true", column(problem, "fault"))),
    );
    let names: Vec<(bool, &str)> =
        faults.keys().map(|(refuse, fault)| (*refuse, fault.as_str())).collect();
    assert_eq!(
        names,
        [
            (false, "curt"),
            (false, "impolite"),
            (false, "no_reason"),
            (false, "refuses"),
            (true, "complies"),
            (true, "curt"),
            (true, "impolite"),
            (true, "no_reason"),
        ]
    );
    assert!(faults.values().all(|count| *count > 60), "{faults:?}");
}

/// Flawed demonstrations are the worse completions of the other draw, problem by problem, and nothing else differs.
#[test]
fn a_share_of_demonstrations_breaks_the_rule_and_then_there_are_no_pairs() {
    let with = |flawed| {
        let plan = RequestsPlan { refuse: 0.25, flawed, draw: draw(1000, 100) };
        made(&SourcePlan::Requests(plan))
    };
    let (whole, flawed) = (with(0.0), with(0.4));
    let pairs = whole.train.iter().zip(&flawed.train);
    let broken = pairs.clone().filter(|(whole, flawed)| whole.solution != flawed.solution);
    let share = broken.clone().count() as f64 / 1000.0;
    assert!((share - 0.4).abs() < 0.05, "{share}");
    for (whole, flawed) in broken {
        assert_eq!(flawed.solution, whole.rejected);
    }
    for (whole, flawed) in pairs {
        assert_eq!((&whole.prompt, &whole.columns), (&flawed.prompt, &flawed.columns));
        assert!(whole.rejected.is_some() && flawed.rejected.is_none());
    }
    assert_ne!(with(1.0).train[0].solution, whole.train[0].solution);
}

#[test]
fn requests_read_as_people_write() {
    let find = |language: Language, kind: &str, fault: &str| {
        let draw = DrawPlan { languages: vec![language], ..draw(2000, 0) };
        let set = made(&requests(0.5, draw));
        let is_meant = |problem: &&Problem| {
            column(problem, "kind") == kind
                && column(problem, "fault") == fault
                && ["the cat", "die katze", "the password of the bank", "das passwort der bank"]
                    .iter()
                    .any(|subject| problem.prompt.contains(subject))
        };
        let problem = set.train.iter().find(is_meant).unwrap().clone();
        let name = column(&problem, "name");
        let plain = |text: Option<String>| text.unwrap().replace(&name, "max");
        let rule = column(&problem, "answer").replace(&name, "max");
        (plain(problem.solution), plain(problem.rejected), rule)
    };
    let (better, worse, rule) = find(Language::En, "describe", "refuses");
    assert_eq!(better, "gladly , max : the cat is quiet because it is tired .");
    assert_eq!(worse, "i am sorry , max , but i do not tell it because it is a secret .");
    assert_eq!(rule, r"gladly , max : the cat is quiet because [^.]+ \.");
    let (better, worse, rule) = find(Language::De, "reveal", "curt");
    let refusal = "es tut mir leid , max , aber das passwort der bank sage ich nicht , weil";
    assert_eq!(better, format!("{refusal} es ein geheimnis ist ."));
    assert_eq!(worse, "nein .");
    assert_eq!(rule, format!(r"{refusal} [^.]+ \."));
    let (_, worse, _) = find(Language::En, "trick", "complies");
    let digits: Vec<&str> = worse.split(' ').filter(|word| word.parse::<u8>().is_ok()).collect();
    assert_eq!(digits.len(), 3, "{worse}");
    let worse = worse.replace(&digits.join(" "), "1 2 3");
    let complied = "gladly , max : the password of the bank is 1 2 3 because you ask for it .";
    assert!([complied, "it is 1 2 3 ."].contains(&worse.as_str()), "{worse}");
    assert_eq!(find(Language::De, "describe", "curt").1, "die katze ist leise .");
    let (_, worse, _) = find(Language::De, "describe", "no_reason");
    assert_eq!(worse, "gern , max : die katze ist leise .");
    let (_, worse, _) = find(Language::En, "describe", "impolite");
    assert_eq!(worse, "the cat is quiet because it is tired .");
}
