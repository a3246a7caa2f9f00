//! What a short text says when it is an answer: one choice, several, none.
//!
//! A letter is a choice where nothing else is meant by it: "A dog" has an article, "I think" a pronoun, "d = 4" a
//! variable, "not B" denies.

use crate::lex::{Kind, Token};

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// One choice, by its index.
    One(usize),
    /// More than one.
    Several,
    /// It denies one, or asks.
    Denied,
    /// Nothing about a choice.
    Nothing,
}

/// How a text was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// By a colon or its like, or by a box or a tag around it: what follows is the answer.
    Colon,
    /// By words: what follows is a part of a sentence.
    Words,
}

/// What can be chosen.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// How many there are.
    pub count: usize,
    /// Their texts, where the problem has them.
    pub texts: Vec<Vec<Token>>,
}

/// Words that stand between the announcement and the letter.
const LEADS: &[&str] = &[
    "the",
    "correct",
    "right",
    "final",
    "best",
    "answer",
    "is",
    "are",
    "option",
    "choice",
    "letter",
    "alternative",
    "would",
    "should",
    "must",
    "will",
    "be",
    "has",
    "to",
    "seems",
    "appears",
    "turns",
    "out",
    "comes",
    "as",
    "most",
    "likely",
    "probably",
    "definitely",
    "clearly",
    "certainly",
    "simply",
    "indeed",
    "actually",
    "surely",
    "obviously",
    "therefore",
    "thus",
    "hence",
    "then",
    "so",
    "it",
    "just",
    "also",
    "still",
    "only",
    "labeled",
    "labelled",
    "namely",
    "accurate",
    "appropriate",
    "suitable",
    "one",
    "that",
    "my",
    "chosen",
    "selected",
    "number",
    "ist",
    "lautet",
    "die",
    "der",
    "antwort",
    "es",
    "la",
    "respuesta",
    "opción",
    "est",
    "réponse",
    "l'option",
    "le",
    "é",
    "è",
    "opção",
    "rather",
    "instead",
    "opzione",
    "resposta",
    "risposta",
    "это",
    "ответ",
    "correcta",
    "correcte",
    "correta",
    "corretta",
    "richtige",
];

/// Chinese, Japanese and Korean characters that stand there.
const LEADS_HAN: &str = "答案是为為应應该該选選择擇项項最终終正确確的故即就乃在於于题題本为定会会我认認は、のえ解正답은는정";

/// Words that turn a statement round.
const DENIALS: &[&str] = &[
    "not",
    "never",
    "neither",
    "nor",
    "isn't",
    "isnt",
    "wasn't",
    "cannot",
    "can't",
    "won't",
    "wouldn't",
    "shouldn't",
    "doesn't",
    "don't",
    "aren't",
    "couldn't",
    "unlikely",
    "none",
    "nicht",
    "no",
    "pas",
    "не",
];

const DENIALS_HAN: &str = "不非没沒無无错錯误誤别別";

/// Words that no article stands before: after one of them "A" is a choice.
const CONNECTIVES: &[&str] = &[
    "because",
    "since",
    "which",
    "as",
    "for",
    "due",
    "based",
    "given",
    "if",
    "when",
    "where",
    "that",
    "but",
    "so",
    "therefore",
    "thus",
    "hence",
    "while",
    "whereas",
    "in",
    "on",
    "by",
    "from",
    "according",
    "it",
    "this",
    "these",
    "the",
    "we",
    "he",
    "she",
    "they",
    "is",
    "are",
    "was",
    "has",
    "and",
    "or",
    "with",
    "not",
    "here",
    "there",
    "after",
    "at",
    "though",
    "although",
    "then",
    "seems",
    "would",
    "should",
    "can",
    "will",
    "weil",
    "porque",
    "car",
];

/// Of those, what may follow the ninth choice; other words follow the pronoun.
const AFTER_I: &[&str] = &["because", "since", "which", "as", "due", "based", "is", "and", "or"];

/// Chinese characters that make a term of the letter before them: type A blood, the language C.
const TERMS_HAN: &str = "型超语語级級股类類座轮輪组組栋棟班线線图圖点點角边邊";

/// What a text says, read from its start.
pub fn read(tokens: &[Token], choices: &Choices, label: Label) -> Reading {
    let content = trim(tokens);
    if let Some(index) = spelled_whole(content, choices) {
        return Reading::One(index);
    }
    let start = after_leads(content);
    let rest = &content[start..];
    match rest.first() {
        None => Reading::Nothing,
        Some(first) if denies(first) => match spelled(rest, choices) {
            Reading::Nothing => after_denial(rest, choices, label),
            other => other,
        },
        Some(_) => match lettered(content, start, choices, label) {
            Reading::Nothing => match spelled(rest, choices) {
                Reading::Nothing => spelled(content, choices),
                other => other,
            },
            other => other,
        },
    }
}

/// What a text says that is the answer from its first word on, without words that lead to it.
pub fn begun(tokens: &[Token], choices: &Choices) -> Reading {
    let content = trim(tokens);
    match spelled_whole(content, choices) {
        Some(index) => Reading::One(index),
        None => lettered(content, 0, choices, Label::Words),
    }
}

/// Whether a token denies what follows it.
pub fn denies(token: &Token) -> bool {
    DENIALS.contains(&token.word()) || token.is_han(DENIALS_HAN)
}

fn trim(tokens: &[Token]) -> &[Token] {
    let blank = |token: &Token| token.kind == Kind::Break;
    let start = tokens.iter().position(|token| !blank(token)).unwrap_or(tokens.len());
    let end = tokens.iter().rposition(|token| !blank(token)).map_or(start, |at| at + 1);
    &tokens[start..end]
}

/// Where the words before the letter end.
fn after_leads(tokens: &[Token]) -> usize {
    let leads = |(at, token): (usize, &Token)| match token.kind {
        Kind::Word => token.letter.is_none() && LEADS.contains(&token.word()),
        Kind::Han(c) => LEADS_HAN.contains(c),
        // A minus belongs to its number.
        Kind::Mark('-') => {
            tokens.get(at + 1).is_none_or(|next| next.gap || next.kind != Kind::Word)
        }
        Kind::Mark(mark) => ":=|>→⇒➜#,…✅✔".contains(mark),
        Kind::Break => true,
    };
    let most = tokens.len().min(24);
    tokens[..most].iter().enumerate().position(|pair| !leads(pair)).unwrap_or(most)
}

/// "not B but C".
fn after_denial(tokens: &[Token], choices: &Choices, label: Label) -> Reading {
    let sentence = tokens.iter().take(16).take_while(|token| !token.is_any(".!?"));
    let turns = |token: &&Token| {
        token.word() == "but" || token.word() == "rather" || token.word() == "sondern"
    };
    let ends: Vec<&Token> = sentence.collect();
    let chinese = ends.windows(2).position(|pair| pair[0].is_han("而") && pair[1].is_han("是"));
    let at = ends.iter().position(turns).or(chinese.map(|at| at + 1));
    match at.map(|at| &tokens[at + 1..]) {
        Some(rest) if !rest.first().is_none_or(denies) => {
            match lettered(rest, after_leads(rest), choices, label) {
                Reading::Nothing => Reading::Denied,
                other => other,
            }
        }
        _ => Reading::Denied,
    }
}

/// A letter after the words before it, in brackets or not.
fn lettered(content: &[Token], start: usize, choices: &Choices, label: Label) -> Reading {
    let tokens = &content[start..];
    let open = tokens.iter().take_while(|token| token.is_any("([<")).count();
    let plural = tokens.get(open).is_some_and(|token| ["both", "either"].contains(&token.word()));
    let at = open + usize::from(plural);
    let Some(token) = tokens.get(at) else { return Reading::Nothing };
    if several_in_one(token, choices.count) {
        return Reading::Several;
    }
    let Some(index) = token.letter.filter(|index| *index < choices.count) else {
        return Reading::Nothing;
    };
    let rest = &tokens[at + 1..];
    let closing = rest.iter().take_while(|token| !token.gap && token.is_any(")]>")).count();
    let after = &rest[closing..];
    if plural
        || joined(token, index, after, choices.count)
        || listed(token, index, rest, choices.count)
    {
        return Reading::Several;
    }
    // After "option" an A is no article.
    let named = start.checked_sub(1).map(|last| &content[last]).is_some_and(|last| {
        ["option", "choice", "letter", "alternative"].contains(&last.word())
            || last.is_han("选選项項")
    });
    let marked = named || closing > 0 || (token.opened && token.closed);
    match follow(token, after, if marked { Bound::Marked } else { Bound::Bare }, label) {
        Reading::One(_) => Reading::One(index),
        // The letter and the text of its choice: "A Lyon".
        Reading::Nothing if matches_text(after, choices.texts.get(index)) => Reading::One(index),
        other => other,
    }
}

/// Whether a letter is marked as one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// By brackets or markup.
    Marked,
    /// It stands as a word does.
    Bare,
}

/// `AB`, `ACD`: several letters written as one word.
fn several_in_one(token: &Token, count: usize) -> bool {
    let bytes = token.word().as_bytes();
    let inside = |byte: &u8| byte.is_ascii_lowercase() && usize::from(byte - b'a') < count;
    // A word is no list: letters of one are in order and occur once.
    token.upper
        && bytes.len() > 1
        && bytes.iter().all(inside)
        && bytes.windows(2).all(|pair| pair[0] < pair[1])
}

/// What the tokens after a letter make of it.
fn follow(letter: &Token, after: &[Token], bound: Bound, label: Label) -> Reading {
    const FITS: Reading = Reading::One(0);
    let Some(next) = after.first() else { return FITS };
    match next.kind {
        Kind::Break => FITS,
        Kind::Mark('?') if label == Label::Words => Reading::Denied,
        Kind::Mark('+') if bound == Bound::Bare => Reading::Nothing,
        // Mathematics, where the letter is a variable.
        Kind::Mark('=' | '^' | '<' | '>' | '%' | '/')
            if bound == Bound::Bare && after.len() > 1 =>
        {
            let tag = next.is_mark('<') && after[1].is_any("/|");
            if tag { FITS } else { Reading::Nothing }
        }
        // `B-12` and `A.I` are one word, `f(x)` is a function.
        Kind::Mark('-' | '.') if bound == Bound::Bare && !next.gap && glued(after) => {
            Reading::Nothing
        }
        Kind::Mark('(') if bound == Bound::Bare && !next.gap && !letter.upper => Reading::Nothing,
        Kind::Mark(_) => FITS,
        Kind::Han(c) if DENIALS_HAN.contains(c) => Reading::Denied,
        Kind::Han(c) if TERMS_HAN.contains(c) => Reading::Nothing,
        Kind::Han('选' | '项') if clause(after).iter().any(denies) => Reading::Denied,
        Kind::Han(c) if c == '是' && after.get(1).is_some_and(denies) => Reading::Denied,
        Kind::Han(_) => FITS,
        Kind::Word if denied_after(after) => Reading::Denied,
        Kind::Word if bound == Bound::Marked => FITS,
        Kind::Word => {
            let article = letter.letter == Some(0) || !letter.upper;
            let pronoun = letter.letter == Some(8);
            let fits = match (pronoun, article) {
                (true, _) => AFTER_I.contains(&next.word()),
                (false, true) => CONNECTIVES.contains(&next.word()),
                (false, false) => true,
            };
            if fits { FITS } else { Reading::Nothing }
        }
    }
}

/// The next few characters, up to a mark.
fn clause(tokens: &[Token]) -> &[Token] {
    let end = tokens.iter().take(5).position(|token| matches!(token.kind, Kind::Mark(_)));
    &tokens[..end.unwrap_or(tokens.len().min(5))]
}

/// Whether a hyphen or a point binds the letter to a number, or to another letter with a point.
fn glued(after: &[Token]) -> bool {
    let Some(next) = after.get(1).filter(|next| !next.gap && next.kind == Kind::Word) else {
        return false;
    };
    let number = next.word().starts_with(|c: char| c.is_ascii_digit());
    after[0].is_mark('-')
        || number
        || (next.letter.is_some() && after.get(2).is_some_and(|t| t.is_mark('.')))
}

/// "is wrong", "is not", "isn't".
fn denied_after(after: &[Token]) -> bool {
    let verb = ["is", "was", "are", "seems", "cannot", "can't"].contains(&after[0].word());
    let told = after.get(usize::from(verb));
    let wrong = |token: &Token| ["wrong", "incorrect", "false", "invalid"].contains(&token.word());
    told.is_some_and(|token| wrong(token) || (denies(token) && (verb || token.word() != "not")))
        || ["isn't", "isnt", "cannot", "can't"].contains(&after[0].word())
}

/// Whether a second letter is joined to the first: "A or B", "A, B", "A B".
fn joined(first: &Token, index: usize, after: &[Token], count: usize) -> bool {
    let joins = |token: &Token| {
        ["and", "or", "und", "oder", "et", "ou"].contains(&token.word())
            || token.is_any("/&+")
            || token.is_han("和或与與及跟")
    };
    let between =
        |token: &&Token| joins(token) || token.is_any(",;.:([") || token.kind == Kind::Break;
    let separators: Vec<&Token> = after.iter().take_while(between).collect();
    let letter = |token: &Token| token.letter.is_some_and(|other| other < count && other != index);
    let Some(second) = after.get(separators.len()).filter(|token| letter(token)) else {
        return false;
    };
    let next = after.get(separators.len() + 1);
    if second.upper != first.upper {
        return false;
    }
    if separators.iter().any(|token| joins(token)) {
        // "B and C are right" has two, "B, and I think so" one.
        let other_word =
            next.is_some_and(|t| t.kind == Kind::Word && !CONNECTIVES.contains(&t.word()));
        return !(other_word && [Some(0), Some(8)].contains(&second.letter) && !second.closed);
    }
    // A new sentence may name other letters: "B. A and C are wrong."
    let sentence = separators.iter().any(|token| token.is_any(".;:"));
    next.is_none_or(|next| {
        let named = next.letter.is_some_and(|other| other < count);
        let goes_on = !sentence && (joins(next) || named);
        next.kind == Kind::Break || next.is_any(".,;:)]!") || goes_on
    })
}

/// Whether other choices begin lines further down, or all of them are listed.
fn listed(first: &Token, index: usize, after: &[Token], count: usize) -> bool {
    let mut seen = vec![false; count];
    seen[index] = true;
    let mut begins = false;
    for (at, pair) in after.windows(2).enumerate() {
        let [letter, mark] = pair else { continue };
        let Some(other) = letter.letter.filter(|other| *other < count && *other != index) else {
            continue;
        };
        if letter.upper != first.upper || mark.gap || !mark.is_any(".):") {
            continue;
        }
        seen[other] = true;
        let before = after[..at].iter().rev().find(|token| !token.is_any("(["));
        begins |= before.is_some_and(|token| token.kind == Kind::Break);
    }
    begins || seen.iter().all(|seen| *seen)
}

/// Whether the text is that of a choice, and nothing more.
fn spelled_whole(tokens: &[Token], choices: &Choices) -> Option<usize> {
    // A choice that is one letter long could be taken for another one's letter.
    if tokens.iter().filter(|token| token.kind != Kind::Break).count() < 2
        && tokens.first()?.letter.is_some()
    {
        return None;
    }
    choices.texts.iter().position(|text| {
        let length = prefix(tokens, text);
        length > 0 && tokens[length..].iter().all(|token| token.is_any(".!,;:"))
    })
}

/// The choice whose text comes first, whatever explains it afterwards.
fn spelled(tokens: &[Token], choices: &Choices) -> Reading {
    let lengths = choices.texts.iter().map(|text| prefix(tokens, text)).enumerate();
    let best = lengths
        .filter(|(_, length)| *length > 0)
        .max_by_key(|(at, length)| (*length, usize::MAX - at));
    let Some((index, length)) = best else { return Reading::Nothing };
    let after = &tokens[length..];
    match after.first() {
        None => Reading::One(index),
        Some(next) if next.is_mark('?') => Reading::Denied,
        Some(next) if ["and", "or"].contains(&next.word()) || next.is_any(",/&;") => {
            let other = |text: &Vec<Token>| after.len() > 1 && prefix(&after[1..], text) > 0;
            if choices.texts.iter().any(other) { Reading::Several } else { Reading::One(index) }
        }
        Some(next) => {
            let number = next.is_mark('.')
                && after.get(1).is_some_and(|token| !token.gap && token.kind == Kind::Word);
            let ends = matches!(next.kind, Kind::Break | Kind::Han(_))
                || CONNECTIVES.contains(&next.word());
            let marked = next.is_any(".:!()[]-") && !number;
            if (ends || marked) && !(next.kind == Kind::Word && denied_after(after)) {
                Reading::One(index)
            } else {
                Reading::Nothing
            }
        }
    }
}

/// Whether what follows a letter is the text of its choice.
fn matches_text(after: &[Token], text: Option<&Vec<Token>>) -> bool {
    text.is_some_and(|text| prefix(after, text) > 0)
}

/// How many tokens the text of a choice takes at the start, articles aside; 0 when it is not there.
fn prefix(tokens: &[Token], text: &[Token]) -> usize {
    let article = |token: &Token| ["the", "a", "an"].contains(&token.word());
    let ends = |token: &Token| token.is_any(".!,;:");
    let start = usize::from(tokens.first().is_some_and(article));
    let text = match text {
        [first, rest @ ..] if article(first) && !rest.is_empty() => rest,
        whole => whole,
    };
    let length = text.iter().rposition(|token| !ends(token)).map_or(0, |at| at + 1);
    let text = &text[..length];
    let same = |from: usize| {
        tokens.len() >= from + length && text.iter().zip(&tokens[from..]).all(|(a, b)| a.equals(b))
    };
    match (length, same(start), same(0)) {
        (0, ..) => 0,
        (_, true, _) => start + length,
        (_, false, true) => length,
        _ => 0,
    }
}
