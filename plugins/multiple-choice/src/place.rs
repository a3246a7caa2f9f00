//! Where a completion says its answer in words: "the answer is B", "答案是B", "so I choose (C)", a letter alone.
//!
//! Only so much of the text around such words is read that the work is bounded, however long a completion is.

use crate::lex::{Kind, Token, lex_end, lex_start};
use crate::reading::{Choices, Label, Reading, begun, denies, read};

/// Words for an answer: their bytes, which are compared without regard to the case of ASCII letters.
const NOUNS: &[&str] = &[
    "answer",
    "antwort",
    "ans",
    "respuesta",
    "réponse",
    "resposta",
    "risposta",
    "jawaban",
    "đáp án",
    "Đáp án",
    "cevap",
    "odpowiedź",
    "答案",
    "答え",
    "正解",
    "解答",
    "정답",
    "답",
    "ответ",
    "Ответ",
    "الإجابة",
    "उत्तर",
];

/// Bytes of a completion that are read after such a word, and before it.
const AFTER: usize = 400;
const BEFORE: usize = 60;
/// Bytes at the end in which weaker ways of saying it are looked for.
const END: usize = 2000;
/// How many mentions are looked at, from the last one back: enough, and it bounds the work.
const MENTIONS: usize = 200;

/// Words that introduce what an answer is to or of, before the verb comes.
const SPANS: &[&str] = &[
    "to", "for", "of", "in", "among", "from", "that", "which", "here", "given", "with", "based",
    "choice", "option", "letter", "using", "must", "i", "we",
];

const VERBS: &[&str] = &["is", "be", "ist", "est", "es", "é", "è"];

/// Words before "the answer" that make it none.
const OTHERS: &[&str] = &[
    "wrong",
    "incorrect",
    "false",
    "bad",
    "worst",
    "other",
    "another",
    "no",
    "not",
    "isn't",
    "if",
    "suppose",
    "assume",
    "assuming",
    "whether",
    "unless",
    "falsche",
    "say",
    "supposing",
];

/// What the completion says in words.
pub fn phrase(text: &str, choices: &Choices) -> Reading {
    match mentions(text, choices) {
        Reading::Nothing | Reading::Denied => {}
        said => return said,
    }
    let end = lex_end(text, END);
    match chosen(&end, choices) {
        Reading::Nothing | Reading::Denied => alone(text, choices),
        said => said,
    }
}

/// The last mention of an answer that says which.
fn mentions(text: &str, choices: &Choices) -> Reading {
    let bytes = text.as_bytes();
    let mut left = MENTIONS;
    for at in (0..bytes.len()).rev() {
        // Every word of the table begins with one of these bytes.
        if !matches!(bytes[at] | 0x20, b'a' | b'r' | b'j' | b'c' | b'o') && bytes[at] < 0x80 {
            continue;
        }
        let Some(noun) = NOUNS.iter().find(|noun| starts_with(&bytes[at..], noun)) else {
            continue;
        };
        if left == 0 {
            return Reading::Nothing;
        }
        left -= 1;
        match mention(text, at, noun.len(), choices) {
            Reading::Nothing | Reading::Denied => {}
            said => return said,
        }
    }
    Reading::Nothing
}

fn starts_with(bytes: &[u8], noun: &str) -> bool {
    bytes.get(..noun.len()).is_some_and(|start| start.eq_ignore_ascii_case(noun.as_bytes()))
}

/// What one mention of an answer says.
fn mention(text: &str, at: usize, length: usize, choices: &Choices) -> Reading {
    let before = lex_end(&text[..at], BEFORE);
    let latin = text.as_bytes()[at].is_ascii_alphabetic();
    if latin && text[..at].chars().next_back().is_some_and(char::is_alphanumeric) || turned(&before)
    {
        return Reading::Nothing;
    }
    let after = &text[at + length..];
    let joined = after.chars().next().filter(|c| latin && c.is_alphanumeric());
    let possessive = after.strip_prefix("'s").or_else(|| after.strip_prefix("’s"));
    if joined.is_some() {
        return Reading::Nothing;
    }
    let tokens = lex_start(possessive.unwrap_or(after), AFTER);
    if possessive.is_some() {
        return read(line(&tokens), choices, Label::Words);
    }
    announced(&tokens, length < 4, choices)
}

/// Whether the words before make it a wrong answer, or an answer only if something holds.
fn turned(before: &[Token]) -> bool {
    let own = |token: &&Token| {
        ["the", "correct", "right", "best", "final", "my", "true", "most"].contains(&token.word())
    };
    let last = before.iter().rev().find(|token| !own(token) && !token.is_any("\"("));
    let Some(last) = last else { return false };
    let chinese = |word: &str| {
        let ends: String = before
            .iter()
            .rev()
            .take(word.chars().count() + 1)
            .filter_map(|token| match token.kind {
                Kind::Han(c) if c != '的' => Some(c),
                _ => None,
            })
            .collect();
        let backwards: String = word.chars().rev().collect();
        ends.starts_with(&backwards)
    };
    OTHERS.contains(&last.word())
        || ["错误", "错", "误", "非", "不是", "如果", "若", "假设", "假如", "没有"]
            .iter()
            .any(|word| chinese(word))
}

/// The tokens up to the end of the line; a line that ends with the announcement goes on in the next.
fn line(tokens: &[Token]) -> &[Token] {
    let begin = tokens
        .iter()
        .position(|token| token.kind != Kind::Break && !token.is_any(":=-|>"))
        .unwrap_or(0);
    let verb = tokens.get(begin).is_some_and(|token| VERBS.contains(&token.word()));
    let begin = begin + usize::from(verb);
    let begin = begin
        + tokens[begin..]
            .iter()
            .take_while(|token| token.kind == Kind::Break || token.is_any(":"))
            .count();
    let end = tokens[begin..].iter().position(|token| token.kind == Kind::Break);
    &tokens[..end.map_or(tokens.len(), |end| begin + end)]
}

/// What stands after the word for an answer.
fn announced(tokens: &[Token], short: bool, choices: &Choices) -> Reading {
    // 【答案】 stands in brackets itself, and "Ans." is an abbreviation.
    let closing = tokens.iter().take_while(|token| token.is_any("])")).count();
    let dotted = short && tokens.first().is_some_and(|token| token.is_mark('.'));
    let closing = closing + usize::from(dotted);
    let tokens = &tokens[closing..];
    let Some(first) = tokens.first() else { return Reading::Nothing };
    if closing > 0 || first.is_any(":=|-→⇒➜>") || (first.kind == Kind::Break && first.closed)
    {
        return read(line(tokens), choices, Label::Colon);
    }
    if matches!(first.kind, Kind::Mark(mark) if !"([,".contains(mark)) || first.kind == Kind::Break
    {
        return Reading::Nothing;
    }
    let content = line(tokens);
    let colon = content.iter().take(4).any(|token| token.is_mark(':'));
    let said = read(content, choices, if colon { Label::Colon } else { Label::Words });
    if said != Reading::Nothing || !SPANS.contains(&first.word()) {
        return said;
    }
    // "The answer to the question is B": the verb comes later in the sentence.
    let span = content.iter().take(30).take_while(|token| !token.is_any(".!?;"));
    let verb =
        span.enumerate().find(|(_, token)| VERBS.contains(&token.word()) || token.is_mark(':'));
    match verb {
        Some((at, token)) => {
            let label = if token.is_mark(':') { Label::Colon } else { Label::Words };
            read(&content[at + 1..], choices, label)
        }
        None => Reading::Nothing,
    }
}

const PRAISE: &[&str] = &["correct", "right", "best", "true", "answer", "correctly"];

/// The last choice made in other words: "option B", "I choose B", "B is correct", "选B".
fn chosen(tokens: &[Token], choices: &Choices) -> Reading {
    let mut praised: Option<usize> = None;
    for at in (0..tokens.len()).rev() {
        let rest = rest_of_line(tokens, at + 1);
        let said = match tokens[at].kind {
            Kind::Word
                if ["option", "choice", "alternative", "opción", "opção", "opzione"]
                    .contains(&tokens[at].word()) =>
            {
                option(tokens, at, rest, choices)
            }
            Kind::Word if verb_of_choice(tokens, at) => read(rest, choices, Label::Words),
            Kind::Han('选' | '選')
                if !tokens[at.saturating_sub(2)..at]
                    .iter()
                    .any(|t| denies(t) || t.is_han("可待候筛挑")) =>
            {
                picked(rest, choices)
            }
            Kind::Han('确' | '確') if correct(tokens, at) => read(rest, choices, Label::Words),
            _ => Reading::Nothing,
        };
        match said {
            Reading::One(_) | Reading::Several => return said,
            _ => {}
        }
        if let Some(index) = praise(tokens, at, choices) {
            if praised.is_some_and(|other| other != index) {
                return Reading::Several;
            }
            praised = Some(index);
        }
    }
    praised.map_or(Reading::Nothing, Reading::One)
}

fn rest_of_line(tokens: &[Token], from: usize) -> &[Token] {
    let rest = &tokens[from..];
    // A colon at the end of a line announces the next.
    let start = match rest {
        [colon, next, ..] if colon.is_mark(':') && next.kind == Kind::Break => {
            rest[1..].iter().take_while(|token| token.kind == Kind::Break).count() + 1
        }
        _ => 0,
    };
    let end = rest[start..].iter().take(40).position(|token| token.kind == Kind::Break);
    &rest[start..end.map_or(rest.len().min(start + 40), |end| start + end)]
}

/// Words before "option B" that choose it.
const ANNOUNCING: &[&str] = &[
    "with",
    "choose",
    "select",
    "pick",
    "therefore",
    "thus",
    "hence",
    "so",
    "for",
    "answer",
    "to",
    "matches",
    "match",
    "namely",
];

/// "The correct option is B", "it is option B", "option B is right".
fn option(tokens: &[Token], at: usize, rest: &[Token], choices: &Choices) -> Reading {
    let Some(first) = rest.first() else { return Reading::Nothing };
    let before = tokens[..at].last();
    let says = VERBS.contains(&first.word())
        || ["must", "should", "would", "will"].contains(&first.word());
    if says || first.is_any(":=") {
        let other = turned(&tokens[..at]);
        let label = if says { Label::Words } else { Label::Colon };
        return if other { Reading::Nothing } else { read(rest, choices, label) };
    }
    if tokens[..at].iter().rev().take(4).take_while(|token| !token.is_any(".;!?")).any(denies) {
        return Reading::Nothing;
    }
    let concludes = |token: &Token| ["therefore", "thus", "hence", "so"].contains(&token.word());
    let before = before
        .filter(|token| !token.is_mark(',') || !tokens[..at - 1].last().is_some_and(concludes));
    let announced = before.is_none_or(|token| {
        VERBS.contains(&token.word())
            || ANNOUNCING.contains(&token.word())
            || token.is_any(":=>→")
            || token.kind == Kind::Break
    });
    let said = read(rest, choices, Label::Words);
    let Reading::One(_) = said else {
        return if announced && said == Reading::Several { said } else { Reading::Nothing };
    };
    let letter = rest.iter().take(3).position(|token| token.letter.is_some());
    let after = letter.map_or(&rest[..0], |letter| &rest[letter + 1..]);
    let ends = !after.iter().any(|token| token.kind == Kind::Word);
    // "Option C: Paris." explains one; as the last line's only words it is the answer.
    let verb = before.is_some_and(|token| token.kind == Kind::Word || token.is_any(":=>→"));
    if (announced && (verb || ends)) || praises(after) { said } else { Reading::Nothing }
}

fn verb_of_choice(tokens: &[Token], at: usize) -> bool {
    let (word, before) = (tokens[at].word(), tokens[..at].last().map_or("", Token::word));
    let verb = match word {
        "choose" | "select" | "pick" | "choosing" | "selecting" | "picking" => true,
        "with" => ["go", "going", "answer"].contains(&before),
        "for" => before == "opt",
        "on" => before == "settle",
        _ => false,
    };
    let earlier = tokens[..at].iter().rev().take(3);
    verb && !earlier
        .into_iter()
        .any(|token| denies(token) || ["why", "if", "whether"].contains(&token.word()))
}

/// What follows 选: the letter, 择 or 项 before it; an option that is only mentioned is none.
fn picked(rest: &[Token], choices: &Choices) -> Reading {
    let mentioned = rest.first().is_some_and(|token| token.is_han("项項"));
    let said = read(rest, choices, Label::Words);
    if !mentioned || rest.get(1).is_some_and(|token| token.is_han("是为為应") || token.is_mark(':'))
    {
        return said;
    }
    let letter = rest.iter().position(|token| token.letter.is_some());
    if letter.is_some_and(|letter| praises(&rest[letter + 1..])) { said } else { Reading::Nothing }
}

/// 正确的是B, 正确选项为B.
fn correct(tokens: &[Token], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| &tokens[at]);
    before(1).is_some_and(|token| token.is_han("正")) && !before(2).is_some_and(denies)
}

/// Whether a letter at this place is called right: "(B) is the correct answer", "B项正确".
fn praise(tokens: &[Token], at: usize, choices: &Choices) -> Option<usize> {
    let token = &tokens[at];
    let index = token.letter.filter(|index| *index < choices.count && token.upper)?;
    let closing = tokens[at + 1..].iter().take_while(|token| token.is_any(")]")).count();
    if !praises(&tokens[at + 1 + closing..]) {
        return None;
    }
    let before = tokens[..at].iter().rev().find(|token| !token.is_any("(["));
    let fits = before.is_none_or(|token| match token.kind {
        Kind::Word => [
            "so",
            "thus",
            "therefore",
            "hence",
            "option",
            "choice",
            "answer",
            "letter",
            "that",
            "only",
            "think",
            "believe",
            "conclude",
            "then",
            "means",
            "case",
        ]
        .contains(&token.word()),
        Kind::Mark(mark) => ".,:;!".contains(mark),
        Kind::Han(_) => !denies(token),
        Kind::Break => true,
    });
    fits.then_some(index)
}

/// "is the correct answer", "seems right", 正确, 是对的.
fn praises(after: &[Token]) -> bool {
    let chinese: String = after
        .iter()
        .take(6)
        .map_while(|token| match token.kind {
            Kind::Han(c) => Some(c),
            _ => None,
        })
        .collect();
    let stripped = chinese.trim_start_matches(['选', '项', '是', '为', '才', '最', '選', '項']);
    if ["正确", "正確", "对", "符合"].iter().any(|word| stripped.starts_with(word)) {
        return true;
    }
    let verb =
        after.first().is_some_and(|token| ["is", "seems", "must", "looks"].contains(&token.word()));
    let between = [
        "the",
        "be",
        "most",
        "clearly",
        "definitely",
        "indeed",
        "therefore",
        "thus",
        "only",
        "also",
        "our",
        "a",
    ];
    let next = after.iter().skip(1).find(|token| !between.contains(&token.word()));
    let end = after.iter().any(|token| token.is_any("?"));
    verb && !end && next.is_some_and(|token| PRAISE.contains(&token.word()))
}

/// A letter by itself: all of the completion, or its last line. A whole completion may also be a letter with the
/// text of its choice, or the text alone.
fn alone(text: &str, choices: &Choices) -> Reading {
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    let Some(last) = lines.next() else { return Reading::Nothing };
    let tokens = lex_start(last, AFTER);
    let is_letter = |line: &str| {
        let tokens = lex_start(line, AFTER);
        let mut words = tokens.iter().filter(|token| !token.is_any("().[]:,!"));
        words.next().is_some_and(|token| token.letter.is_some()) && words.next().is_none()
    };
    // "B is a letter" is a sentence about it.
    let sentence = matches!(&tokens[..], [letter, word, ..]
        if word.kind == Kind::Word && !letter.closed && letter.letter.is_some());
    match lines.next() {
        None if sentence => Reading::Nothing,
        None => begun(&tokens, choices),
        // A list of letters is no answer.
        Some(before) if is_letter(last) && !is_letter(before) => begun(&tokens, choices),
        Some(_) => Reading::Nothing,
    }
}
