//! Units, as they are written after a value.
//!
//! What they are worth is known to `equal/unit.rs`.

use super::Reader;

/// Short words that are units after a number.
const UNITS: &[&str] = &[
    "cm", "mm", "km", "ft", "kg", "mg", "mph", "kph", "rpm", "sq", "deg", "rad", "lb", "lbs", "oz",
    "hr", "hrs", "min", "mins", "sec", "secs", "yd", "yds", "yr", "yrs", "gal", "ml", "mol", "pts",
    "pct", "day", "days", "way", "ways", "mile", "inch", "per",
];

/// Units that go under several names; the first is kept.
const SAME_UNITS: &[&[&str]] = &[
    &["degree", "deg", "°", "度"],
    &["radian", "rad"],
    &["dollar", "$", "usd", "buck", "美元"],
    &["cent", "¢", "美分"],
    &["pound sterling", "£", "gbp"],
    &["euro", "€", "eur"],
    &["yen", "jpy", "円", "日元"],
    &["yuan", "¥", "cny", "rmb", "元", "人民币"],
    &["rupee", "₹", "inr", "rs"],
    &["inch", "in", "″"],
    &["foot", "feet", "ft"],
    &["yard", "yd"],
    &["mile", "mi"],
    &["millimeter", "mm", "millimetre", "毫米"],
    &["centimeter", "cm", "centimetre", "厘米"],
    &["meter", "m", "metre", "米"],
    &["kilometer", "km", "kilometre", "千米", "公里"],
    &["milligram", "mg"],
    &["gram", "g", "克"],
    &["kilogram", "kg", "kilo", "千克", "公斤"],
    &["ounce", "oz"],
    &["pound", "lb"],
    &["milliliter", "ml", "millilitre", "毫升"],
    &["liter", "l", "litre", "升"],
    &["gallon", "gal"],
    &["second", "sec", "s", "秒"],
    &["minute", "min", "分钟"],
    &["hour", "hr", "h", "小时"],
    &["day", "天"],
    &["week"],
    &["year", "yr", "年"],
    &["square", "sq", "平方"],
    &["percent", "%", "percentage", "pct", "％"],
    &["point", "pt"],
];

/// Words that belong to no unit: what has them is a sentence.
const NO_UNIT: &[&str] = &[
    "or",
    "and",
    "not",
    "is",
    "are",
    "if",
    "then",
    "but",
    "either",
    "maybe",
    "answer",
    "otherwise",
    "when",
    "where",
    "because",
    "for",
];

/// Signs of money before an amount, each with its unit.
const MONEY: &[(&str, &str)] = &[
    ("US$", "dollar"),
    ("$", "dollar"),
    ("£", "pound sterling"),
    ("€", "euro"),
    ("¥", "yuan"),
    ("₹", "rupee"),
];

impl Reader {
    /// The unit of a sign of money that stands here.
    pub(super) fn money(&mut self) -> Option<&'static str> {
        MONEY.iter().find(|(sign, _)| self.eat(sign)).map(|(_, unit)| *unit)
    }

    /// Whether the bare word here is a unit rather than variables.
    pub(super) fn is_unit_word(&self) -> bool {
        let word = self.word();
        let lower = word.to_lowercase();
        if UNITS.contains(&&*lower) {
            // "sec x" is a function, and so is "min(".
            let next = self.chars.get(self.at + word.len());
            let later = self.chars.get(self.at + word.len() + 1);
            return match &*lower {
                "sec" => !later.is_some_and(|c| c.is_ascii_alphanumeric() || *c == '('),
                "min" => next != Some(&'('),
                _ => true,
            };
        }
        // "2 m/s" is a speed, though "2 m" is a product.
        let speed = lower == "m"
            && self.chars[self.at..].starts_with(&['m', '/', 's'])
            && !self.chars.get(self.at + 3).is_some_and(char::is_ascii_alphanumeric);
        speed || word.len() > 3 && !Self::starts_with_name(&lower)
    }

    /// Whether `^` here starts a degree sign.
    pub(super) fn is_degree(&mut self) -> bool {
        let start = self.at;
        let found = self.eat("^")
            && (self.eat("\\circ ") || self.eat("°") || (self.eat("{") && self.eat("\\circ ")));
        self.at = start;
        found
    }

    /// Steps over a degree sign above the line.
    fn degree(&mut self) -> Option<()> {
        self.eat("^");
        let braced = self.eat("{");
        let _ = self.eat("\\circ ") || self.eat("°");
        (!braced || self.eat("}")).then_some(())
    }

    /// The letters beyond ASCII that start here, not consumed: a unit in another script.
    fn foreign_word(&self) -> String {
        let letters = self.chars[self.at..].iter();
        letters.take_while(|c| c.is_alphabetic() && !c.is_ascii()).collect()
    }

    /// The unit after a value, spelled in one way.
    pub(super) fn unit(&mut self) -> Option<String> {
        let mut spelled: Vec<String> = Vec::new();
        loop {
            let start = self.at;
            self.skip_spaces();
            let sign = ["%", "$", "£", "€", "¥", "₹", "¢"].into_iter().find(|sign| self.eat(sign));
            if self.is_degree() {
                self.degree()?;
                spelled.push("degree".to_owned());
            } else if self.eat("°") || self.eat("\\circ ") {
                spelled.push("degree".to_owned());
            } else if let Some(sign) = sign {
                spelled.push(one_unit(sign));
            } else if let Some(modulus) = self.modulus() {
                spelled.push(modulus);
            } else if self.is_conjunction() {
                break;
            } else if let Some(text) = self.text() {
                if !spell(&text, &mut spelled) {
                    self.at = start;
                    break;
                }
            } else if !spelled.is_empty() && self.starts_with("^") {
                self.at += 1;
                let start = self.at;
                self.script()?;
                let power: String =
                    self.chars[start..self.at].iter().filter(|c| c.is_ascii_digit()).collect();
                spelled.push(format!("^{power}"));
            } else if !spelled.is_empty() && self.eat("/") {
                spelled.push("/".to_owned());
            } else if !self.foreign_word().is_empty() {
                let word = self.foreign_word();
                self.at += word.chars().count();
                spelled.push(one_unit(&word));
            } else if self.peek().is_some_and(|c| c.is_ascii_alphabetic())
                && (!spelled.is_empty() || self.is_unit_word())
            {
                let word = self.word();
                self.at += word.len();
                if !spell(&word, &mut spelled) {
                    self.at = start;
                    break;
                }
            } else {
                break;
            }
        }
        spelled.retain(|word| !word.is_empty());
        power_last(&mut spelled);
        (!spelled.is_empty()).then(|| spelled.join(" "))
    }

    /// `\pmod{5}` and its like, as the unit "mod 5".
    fn modulus(&mut self) -> Option<String> {
        let start = self.at;
        let bracket = self.eat("(");
        let mark = self.eat("\\pmod ")
            || self.eat("\\mod ")
            || bracket && (self.eat("\\bmod ") || self.eat("mod "))
            || self.eat("mod ");
        let text = !mark && bracket && self.text().is_some_and(|text| text.trim() == "mod");
        if mark || text {
            self.skip_spaces();
            let from = self.at;
            if self.sum().is_some() {
                let written = self.chars[from..self.at].iter();
                let modulus: String = written.filter(|c| !matches!(c, ' ' | '{' | '}')).collect();
                if !bracket || self.eat(")") {
                    return Some(format!("mod {modulus}"));
                }
            }
        }
        self.at = start;
        None
    }
}

/// Adds the words of a text; `false` for words that are no unit.
fn spell(text: &str, spelled: &mut Vec<String>) -> bool {
    for word in text.split_whitespace() {
        let lower = word.to_lowercase();
        if NO_UNIT.contains(&lower.trim_matches(['.', ',']))
            || word.contains(|c: char| c.is_ascii_digit())
        {
            return false;
        }
        for (at, piece) in word.split('/').enumerate() {
            if at > 0 {
                spelled.push("/".to_owned());
            }
            match &*one_unit(piece) {
                "mph" => spelled.extend(["mile", "/", "hour"].map(str::to_owned)),
                "kph" => spelled.extend(["kilometer", "/", "hour"].map(str::to_owned)),
                unit => spelled.push(unit.to_owned()),
            }
        }
    }
    true
}

/// "square inch" and "inch squared" are "inch ^2".
fn power_last(spelled: &mut Vec<String>) {
    for (word, power) in [("square", "^2"), ("squared", "^2"), ("cubic", "^3"), ("cubed", "^3")] {
        if let Some(at) = spelled.iter().position(|other| other == word) {
            spelled.remove(at);
            let end = spelled[at.min(spelled.len())..].iter().position(|word| word == "/");
            let end = end.map_or(spelled.len(), |end| at + end);
            spelled.insert(end, power.to_owned());
        }
    }
}

/// A unit under its first name, in the singular.
fn one_unit(word: &str) -> String {
    let lower = word.trim_matches(['.', ',', '(', ')', ' ']).to_lowercase();
    let singular =
        match lower.strip_suffix("es").filter(|stem| stem.ends_with("ch") || stem.ends_with('x')) {
            Some(stem) => stem,
            None => lower
                .strip_suffix('s')
                .filter(|stem| stem.len() > 1 && !stem.ends_with('s'))
                .unwrap_or(&lower),
        };
    let same = SAME_UNITS.iter().find(|names| names.contains(&singular));
    match same.map_or(singular, |names| names[0]) {
        "per" => "/".to_owned(),
        // Words that name no unit.
        "unit" | "of" | "the" | "a" | "an" | "each" => String::new(),
        unit => unit.to_owned(),
    }
}
