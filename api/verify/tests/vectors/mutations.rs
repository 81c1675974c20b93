//! Random damage to a receipt: to its bytes and to its parts.

use serde_json::{Value, json};

/// A small generator of its own, so that a failure can be had again from its number (`xorshift64*`).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`, which is not zero.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % sides.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.roll(from.len()))
    }
}

/// A damaged copy of `text`; `other` is a receipt from which parts may be taken.
pub(crate) fn damage(text: &str, other: &str, dice: &mut Dice) -> String {
    if dice.roll(4) == 0 {
        return damage_bytes(text, dice);
    }
    let mut receipt: Value = serde_json::from_str(text).unwrap();
    let other: Value = serde_json::from_str(other).unwrap();
    for _ in 0..=dice.roll(2) {
        damage_part(&mut receipt, &other, dice);
    }
    receipt.to_string()
}

fn damage_bytes(text: &str, dice: &mut Dice) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = dice.roll(bytes.len());
    let end = (at + 1 + dice.roll(80)).min(bytes.len());
    match dice.roll(4) {
        0 => bytes[at] ^= 1 << dice.roll(7),
        1 => drop(bytes.drain(at..end)),
        2 => {
            let copy = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, copy));
        }
        _ => bytes[at..end].reverse(),
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.replacen('A', "B", 1))
}

/// The paths of all parts of a value.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, part)| paths(part, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            (0..).zip(items).for_each(|(at_item, part): (usize, _)| {
                paths(part, &format!("{at}/{at_item}"), found);
            });
        }
        _ => {}
    }
}

fn all_paths(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    paths(value, "", &mut found);
    found
}

fn damage_part(receipt: &mut Value, other: &Value, dice: &mut Dice) {
    let path = dice.pick(&all_paths(receipt)).cloned().unwrap_or_default();
    let taken = match dice.roll(3) {
        // The same part of the other receipt, or any part of it.
        0 => other.pointer(&path).cloned(),
        1 => dice.pick(&all_paths(other)).and_then(|path| other.pointer(path)).cloned(),
        _ => None,
    };
    let Some(part) = receipt.pointer_mut(&path) else { return };
    if let Some(taken) = taken.filter(|_| !path.is_empty()) {
        *part = taken;
        return;
    }
    match part {
        Value::String(text) => *part = json!(damage_text(text, dice)),
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            let others = [number.wrapping_add(1), number.wrapping_sub(1), number ^ 2, 0, u64::MAX];
            *part = json!(others[dice.roll(others.len())]);
        }
        Value::Array(items) if !items.is_empty() => {
            let (one, two) = (dice.roll(items.len()), dice.roll(items.len()));
            match dice.roll(3) {
                0 => drop(items.remove(one)),
                1 => items.swap(one, two),
                _ => items.insert(two, items[one].clone()),
            }
        }
        Value::Object(members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            if let Some(name) = dice.pick(&names) {
                members.remove(name);
            }
        }
        _ => *part = json!("null"),
    }
}

fn damage_text(text: &str, dice: &mut Dice) -> String {
    const LETTERS: &[u8] = b"ABCDEFabcdef0123456789+/=\n -";
    let mut letters: Vec<char> = text.chars().collect();
    let letter = char::from(LETTERS[dice.roll(LETTERS.len())]);
    let at = dice.roll(letters.len());
    match dice.roll(5) {
        _ if letters.is_empty() => letters.push(letter),
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letter),
        2 => letters.swap(at, dice.roll(text.chars().count())),
        3 => return text.to_uppercase(),
        _ => letters[at] = letter,
    }
    letters.into_iter().collect()
}
