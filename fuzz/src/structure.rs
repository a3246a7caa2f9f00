//! Mutations of JSON as JSON: a value becomes an extreme one, deep, long, or one from elsewhere.

use r1x_core::rng::Position;
use serde_json::{Map, Number, Value};

/// Lists in lists.
const DEEP: usize = 120;
/// Characters of a long text.
const LONG: usize = 70_000;

/// The bytes with one value changed, where they are JSON, or one line of them where each line is. Another input lends
/// its values.
pub fn mutated(bytes: &[u8], other: &[u8], draws: &mut Position) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Ok(value) = serde_json::from_str(text) {
        let other = serde_json::from_slice(other).unwrap_or(Value::Null);
        return serde_json::to_vec(&changed(value, &other, draws)).ok();
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = draws.below(lines.len().max(1) as u64) as usize;
    let line = lines.get_mut(at)?;
    let value = serde_json::from_str(line).ok()?;
    *line = changed(value, &Value::Null, draws).to_string();
    Some(lines.join("\n").into_bytes())
}

fn changed(mut value: Value, other: &Value, draws: &mut Position) -> Value {
    let count = count(&value);
    let lent = nth(other, draws.below(self::count(other))).clone();
    let target = nth_mut(&mut value, &mut draws.below(count));
    if let Some(target) = target {
        change(target, lent, draws);
    }
    value
}

fn change(target: &mut Value, lent: Value, draws: &mut Position) {
    match target {
        Value::Object(entries) if draws.below(3) > 0 => {
            let keys: Vec<String> = entries.keys().cloned().collect();
            if keys.is_empty() {
                return;
            }
            let key = &keys[draws.below(keys.len() as u64) as usize];
            if draws.below(2) == 0 {
                entries.remove(key);
            } else if let Some(value) = entries.remove(key) {
                entries.insert(text(draws), value);
            }
        }
        Value::Array(list) if !list.is_empty() && draws.below(3) > 0 => {
            let at = draws.below(list.len() as u64) as usize;
            match draws.below(3) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                _ => {
                    let many = [3, 100, 5_000][draws.below(3) as usize];
                    let copies = std::iter::repeat_n(list[at].clone(), many);
                    let room = 10 * LONG / list[at].to_string().len();
                    list.splice(at..at, copies.take(room).collect::<Vec<_>>());
                }
            }
        }
        Value::Bool(switch) if draws.below(2) == 0 => *switch = !*switch,
        Value::String(old) if draws.below(2) == 0 => {
            *old = match draws.below(3) {
                0 => format!("{old}{}", text(draws)),
                1 => old.repeat(1 + draws.below(300) as usize).chars().take(LONG).collect(),
                _ => old.chars().rev().skip(1).collect(),
            };
        }
        _ if draws.below(4) == 0 => *target = lent,
        _ => *target = extreme(draws),
    }
}

fn extreme(draws: &mut Position) -> Value {
    const WHOLE: [u64; 9] =
        [0, 1, 255, 65_536, 1 << 31, u32::MAX as u64, 1 << 32, i64::MAX as u64, u64::MAX];
    match draws.below(9) {
        0 | 1 => Value::from(WHOLE[draws.below(WHOLE.len() as u64) as usize]),
        2 => Value::from([-1, i64::MIN, -4_294_967_296][draws.below(3) as usize]),
        3 => [1e308, -1e308, 1e-320, 0.5, 1e19]
            .get(draws.below(5) as usize)
            .and_then(|number| Number::from_f64(*number))
            .map_or(Value::Null, Value::Number),
        4 | 5 => Value::from(text(draws)),
        6 => (0..DEEP).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
        7 => (0..DEEP)
            .fold(Value::Null, |inner, _| Value::Object(Map::from_iter([("a".to_owned(), inner)]))),
        _ => [Value::Null, Value::Bool(true), Value::Array(Vec::new()), Value::Object(Map::new())]
            [draws.below(4) as usize]
            .clone(),
    }
}

fn text(draws: &mut Position) -> String {
    match draws.below(8) {
        0 => String::new(),
        1 => "a".repeat(LONG),
        2 => "\u{0}\n\u{1b}[2K".to_owned(),
        3 => "é😀\u{202e}\u{fdfa}".repeat(1 + draws.below(40) as usize),
        4 => "a\u{300}\u{301}".repeat(200),
        5 => "((((a+)+)+)+)+$".to_owned(),
        6 => " ".repeat(1 + draws.below(300) as usize),
        _ => char::from_u32(draws.next_u32() % 0x11_0000).map_or(String::new(), String::from),
    }
}

/// How many values there are, those inside of others included.
fn count(value: &Value) -> u64 {
    match value {
        Value::Array(list) => 1 + list.iter().map(count).sum::<u64>(),
        Value::Object(entries) => 1 + entries.values().map(count).sum::<u64>(),
        _ => 1,
    }
}

fn nth(value: &Value, mut at: u64) -> &Value {
    let mut value = value;
    'down: loop {
        if at == 0 {
            return value;
        }
        at -= 1;
        let inner: Vec<&Value> = match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(entries) => entries.values().collect(),
            _ => return value,
        };
        for one in inner {
            let size = count(one);
            if at < size {
                value = one;
                continue 'down;
            }
            at -= size;
        }
        return value;
    }
}

fn nth_mut<'v>(value: &'v mut Value, at: &mut u64) -> Option<&'v mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    let inner: Box<dyn Iterator<Item = &'v mut Value>> = match value {
        Value::Array(list) => Box::new(list.iter_mut()),
        Value::Object(entries) => Box::new(entries.values_mut()),
        _ => return None,
    };
    for one in inner {
        let size = count(one);
        if *at < size {
            return nth_mut(one, at);
        }
        *at -= size;
    }
    None
}
