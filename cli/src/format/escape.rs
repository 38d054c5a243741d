//! Escapes in arguments: `\n`, `\t`, `\r`, `\0`, `\\` and `\xHH`.

/// Replaces the escapes of `text` by what they stand for.
///
/// # Errors
///
/// A sentence, if one stands for nothing.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                match (digit(rest.next()), digit(rest.next())) {
                    // Two digits are a byte.
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(format!("{text:?}: \\x needs two hexadecimal digits")),
                }
            }
            _ => {
                return Err(format!(
                    "{text:?}: after a backslash comes n, t, r, 0, xHH or another backslash"
                ));
            }
        });
    }
    Ok(bytes)
}

/// Bytes given as an argument with escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escaped(pub Vec<u8>);

impl std::str::FromStr for Escaped {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        unescape(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(
            unescape(r"a\tb\n\\\x00\xff").expect("valid"),
            b"a\tb\n\\\x00\xff"
        );
        assert_eq!(unescape("é").expect("valid"), "é".as_bytes());
        for wrong in [r"\", r"\q", r"\x1", r"\xzz"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }
}
