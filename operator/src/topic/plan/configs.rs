//! Configs of a topic, and when two values of one are the same.

use std::collections::BTreeMap;

/// Values by name.
pub type Configs = BTreeMap<String, String>;

/// Whether two texts are one value. Brokers tell a value in a form of their own: `60000` for `060000`,
/// `compact,delete` for `compact, delete`. One that is told so would otherwise be set again for ever.
pub fn is_same(one: &str, other: &str) -> bool {
    one == other || form(one) == form(other)
}

#[derive(PartialEq)]
enum Form {
    Whole(i128),
    Fraction(f64),
    Truth(bool),
    List(Vec<String>),
}

fn form(text: &str) -> Form {
    let text = text.trim();
    if let Ok(whole) = text.parse() {
        return Form::Whole(whole);
    }
    if let Ok(fraction) = text.parse() {
        return Form::Fraction(fraction);
    }
    if let Ok(truth) = text.to_ascii_lowercase().parse() {
        return Form::Truth(truth);
    }
    let mut list: Vec<String> = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
        if !list.iter().any(|known| known == entry) {
            list.push(entry.to_owned());
        }
    }
    Form::List(list)
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn values_are_compared_and_not_texts() {
        for (one, other) in [
            ("60000", "060000"),
            ("0.5", "0.50"),
            ("1", "+1"),
            ("true", "TRUE"),
            ("compact,delete", " compact, delete,compact"),
            ("", ""),
            ("lz4", "lz4"),
        ] {
            assert!(is_same(one, other), "{one:?} and {other:?}");
            assert!(is_same(other, one), "{other:?} and {one:?}");
        }
        for (one, other) in [
            ("9007199254740993", "9007199254740992"),
            ("true", "false"),
            ("compact,delete", "compact"),
            ("delete", "compact"),
            ("-1", "1"),
            ("", "0"),
        ] {
            assert!(!is_same(one, other), "{one:?} and {other:?}");
        }
    }
}
