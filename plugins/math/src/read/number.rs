//! Numbers as they are written: thousands, decimals, repeating decimals, bases.

use r1x_plugin::integer::Integer;
use r1x_plugin::rational::Rational;

use super::Reader;
use crate::node::Node;

/// Longest number, digits.
const MAX_DIGITS: usize = 1200;

impl Reader {
    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(c) = self.peek().filter(char::is_ascii_digit) {
            digits.push(c);
            self.at += 1;
        }
        digits
    }

    /// `,ddd` where a comma can group thousands.
    fn thousand(&self) -> bool {
        let at = |offset: usize| self.chars.get(self.at + offset).copied();
        let digit = |offset: usize| at(offset).is_some_and(|c| c.is_ascii_digit());
        self.brackets == 0 && at(0) == Some(',') && (1..4).all(digit) && !digit(4)
    }

    /// A number without a sign.
    pub(super) fn number(&mut self) -> Option<Node> {
        let mut whole = self.digits();
        if !whole.is_empty() && whole.len() <= 3 && !whole.starts_with('0') {
            while self.thousand() {
                self.at += 1;
                whole.push_str(&self.digits());
            }
        }
        let pointed = self.peek() == Some('.')
            && (self.chars.get(self.at + 1).is_some_and(char::is_ascii_digit)
                || self.starts_with(".\\overline ")
                || self.starts_with(".\\bar ")
                || self.starts_with(".\\dot ")
                || self.starts_with(".("));
        if pointed {
            self.at += 1;
            return self.decimal(&whole);
        }
        if whole.is_empty() || whole.len() > MAX_DIGITS {
            return None;
        }
        if self.peek() == Some('_') {
            return self.based(whole);
        }
        let value = Rational::parse(&whole)?;
        let decimal = self.is_scientific();
        Some(Node::Number(self.scientific(value)?, decimal))
    }

    /// `e-5` right after a number: a power of ten, as programs write it.
    fn is_scientific(&self) -> bool {
        let at = |offset: usize| self.chars.get(self.at + offset).copied();
        let signed = usize::from(matches!(at(1), Some('+' | '-')));
        matches!(at(0), Some('e' | 'E')) && at(1 + signed).is_some_and(|c| c.is_ascii_digit())
    }

    fn scientific(&mut self, value: Rational) -> Option<Rational> {
        if !self.is_scientific() {
            return Some(value);
        }
        self.at += 1;
        let negative = self.peek() == Some('-');
        self.at += usize::from(matches!(self.peek(), Some('+' | '-')));
        let power: i64 = self.digits().parse().ok().filter(|power| *power <= 1200)?;
        value.times(&Rational::from(10).power(if negative { -power } else { power })?)
    }

    /// A number that takes nothing but digits and a point: an exponent.
    pub(super) fn plain_number(&mut self) -> Option<Node> {
        let whole = self.digits();
        if whole.is_empty() || whole.len() > MAX_DIGITS {
            return None;
        }
        Some(Node::Number(Rational::parse(&whole)?, false))
    }

    fn decimal(&mut self, whole: &str) -> Option<Node> {
        let fraction = self.digits();
        if whole.len() + fraction.len() > MAX_DIGITS {
            return None;
        }
        let mut value = Rational::parse(&format!("{whole}.{fraction}0"))?;
        if let Some(period) = self.period(&fraction)? {
            // 0.1(6) = 0.1 + 6 / 90
            let power = |digits: usize| Rational::from(10).power(i64::try_from(digits).ok()?);
            let nines = power(period.len())?.minus(&Rational::from(1))?;
            let below = nines.times(&power(fraction.len())?)?;
            value = value.plus(&Rational::parse(&period)?.over(&below)?)?;
        }
        Some(Node::Number(self.scientific(value)?, true))
    }

    /// The digits that repeat, if some do: `0.1\overline{6}`, `0.1(6)`, `0.1666...`. `None` outside for what
    /// begins so and goes on otherwise.
    fn period(&mut self, fraction: &str) -> Option<Option<String>> {
        let start = self.at;
        if self.eat("\\ldots ") {
            // Dots go on with a digit that has been there three times.
            let last = fraction.chars().next_back()?;
            let repeated = fraction.chars().rev().take_while(|c| *c == last).count() >= 3;
            return if repeated { Some(Some(last.to_string())) } else { None };
        }
        let line = self.eat("\\overline ") || self.eat("\\bar ") || self.eat("\\dot ");
        let close = match (line, self.peek()) {
            (true, Some('{')) => "}",
            (true, _) => "",
            (false, Some('(')) => ")",
            (false, _) => return Some(None),
        };
        self.at += close.len();
        let period = self.digits();
        if !line && (!self.starts_with(")") || period.is_empty()) {
            // A bracket that is a factor.
            self.at = start;
            return Some(None);
        }
        let fits = !period.is_empty() && period.len() <= MAX_DIGITS && self.eat(close);
        fits.then_some(Some(period))
    }

    /// `2516_8`: digits in a base.
    fn based(&mut self, digits: String) -> Option<Node> {
        self.at += 1;
        let base = match self.base_in_words() {
            Some(base) => base,
            None => {
                let Node::Number(base, false) = self.script()? else { return None };
                u32::try_from(base.whole()?.to_u64()?).ok()?
            }
        };
        if !(2..=36).contains(&base) {
            return None;
        }
        let mut value = Integer::default();
        for digit in digits.chars() {
            let digit = digit.to_digit(base)?;
            value = value
                .times(&Integer::from(i128::from(base)))
                .plus(&Integer::from(i128::from(digit)));
        }
        Some(Node::Based(digits, base, Rational::new(value, Integer::from(1))?))
    }

    /// `\text{eight}` below the line.
    fn base_in_words(&mut self) -> Option<u32> {
        const WORDS: &[&str] = &[
            "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
            "twelve", "thirteen", "fourteen", "fifteen", "sixteen",
        ];
        let start = self.at;
        let braced = self.eat("{");
        let text = self.text().map(|text| text.trim().to_lowercase());
        let at = text.and_then(|text| WORDS.iter().position(|word| *word == text));
        if let Some(at) = at.filter(|_| !braced || self.eat("}")) {
            return u32::try_from(at + 2).ok();
        }
        self.at = start;
        None
    }

    /// One digit, for `\frac43`.
    pub(super) fn single_digit(&mut self) -> Option<Node> {
        let digit = self.peek()?.to_digit(10)?;
        self.at += 1;
        Some(Node::whole(i128::from(digit)))
    }
}
