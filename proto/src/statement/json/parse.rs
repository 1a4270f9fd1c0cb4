//! Reading JSON, strictly or freely. Depth is bounded, so recursion is.

use std::collections::BTreeSet;
use std::str;

use super::{INTEGER_MAX, Json, JsonError, JsonRule, is_name, is_special};

pub(super) fn strict(bytes: &[u8], depth_max: usize) -> Result<Json, JsonError> {
    let value = whole(bytes, depth_max, Profile::Strict)?;
    // The parser refuses every other form where it stands; this holds even if it had a hole.
    let mut printed = String::with_capacity(bytes.len());
    value.write_to(&mut printed);
    if printed.as_bytes() == bytes {
        Ok(value)
    } else {
        let offset = printed
            .bytes()
            .zip(bytes)
            .take_while(|(left, right)| left == *right)
            .count();
        Err(JsonError {
            offset,
            rule: JsonRule::OtherEscape,
        })
    }
}

pub(super) fn free(bytes: &[u8], depth_max: usize) -> Result<Json, JsonError> {
    whole(bytes, depth_max, Profile::Free)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Strict,
    Free,
}

fn whole(bytes: &[u8], depth_max: usize, profile: Profile) -> Result<Json, JsonError> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            return Err(JsonError {
                offset: error.valid_up_to(),
                rule: JsonRule::NotUtf8,
            });
        }
    };
    let mut parser = Parser {
        text,
        position: 0,
        profile,
    };
    parser.space()?;
    let value = parser.value(depth_max)?;
    parser.space()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error(JsonRule::Trailing)),
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    profile: Profile,
}

impl Parser<'_> {
    /// One value with at most `depth` containers around its scalars.
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        match self.peek() {
            None => Err(self.error(JsonRule::Truncated)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.integer().map(Json::Integer),
            Some(b'[') => self.array(self.deeper(depth)?),
            Some(b'{') => self.object(self.deeper(depth)?),
            Some(_) => Err(self.error(JsonRule::Unexpected)),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, JsonError> {
        depth
            .checked_sub(1)
            .ok_or_else(|| self.error(JsonRule::TooDeep))
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        self.position += 1;
        self.space()?;
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            self.space()?;
            items.push(self.value(depth)?);
            self.space()?;
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut fields = Vec::new();
        let mut names = BTreeSet::new();
        self.position += 1;
        self.space()?;
        if self.take(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            self.space()?;
            let offset = self.position;
            if self.peek().is_some_and(|byte| byte != b'"') {
                return Err(self.error(JsonRule::Unexpected));
            }
            let name = self.string()?;
            if self.profile == Profile::Strict && !is_name(&name) {
                return Err(JsonError {
                    offset,
                    rule: JsonRule::NameForm,
                });
            }
            if !names.insert(name.clone()) {
                return Err(JsonError {
                    offset,
                    rule: JsonRule::DuplicateName,
                });
            }
            self.space()?;
            self.expect(b':')?;
            self.space()?;
            fields.push((name, self.value(depth)?));
            self.space()?;
            if self.take(b'}') {
                return Ok(Json::Object(fields));
            }
            self.expect(b',')?;
        }
    }

    fn integer(&mut self) -> Result<i64, JsonError> {
        let start = self.position;
        let negative = self.take(b'-');
        let digits = self.position;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.position += 1;
        }
        let error = |rule| JsonError {
            offset: start,
            rule,
        };
        match self.peek() {
            Some(b'.' | b'e' | b'E') => return Err(error(JsonRule::NotInteger)),
            None if digits == self.position => return Err(self.error(JsonRule::Truncated)),
            Some(_) if digits == self.position => return Err(self.error(JsonRule::Unexpected)),
            _ => {}
        }
        let text = self.text.get(digits..self.position).unwrap_or_default();
        if text.starts_with('0') && (text.len() > 1 || negative) {
            return Err(error(JsonRule::IntegerForm));
        }
        match text.parse::<i64>() {
            Ok(size) if size <= INTEGER_MAX => Ok(if negative { -size } else { size }),
            _ => Err(error(JsonRule::IntegerRange)),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.expect(b'"')?;
        let mut string = String::new();
        loop {
            let rest = self.text.get(self.position..).unwrap_or_default();
            let Some(length) = rest.bytes().position(is_special) else {
                self.position = self.text.len();
                return Err(self.error(JsonRule::Truncated));
            };
            let plain = rest.get(..length).unwrap_or_default();
            self.position += length;
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    // Nearly every string has no escape: one allocation of the right size.
                    return Ok(if string.is_empty() {
                        plain.to_owned()
                    } else {
                        string + plain
                    });
                }
                Some(b'\\') => {
                    string.push_str(plain);
                    string.push(self.escape()?);
                }
                _ => return Err(self.error(JsonRule::ControlCharacter)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let offset = self.position;
        let kind = self.text.as_bytes().get(offset + 1).copied();
        self.position += 2;
        let character = match kind {
            None => {
                return Err(JsonError {
                    offset,
                    rule: JsonRule::Truncated,
                });
            }
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'b') => '\u{8}',
            Some(b't') => '\t',
            Some(b'n') => '\n',
            Some(b'f') => '\u{c}',
            Some(b'r') => '\r',
            Some(b'/') => '/',
            Some(b'u') => self.unicode(offset)?,
            Some(_) => {
                return Err(JsonError {
                    offset,
                    rule: JsonRule::InvalidEscape,
                });
            }
        };
        let written = self.text.get(offset..self.position).unwrap_or_default();
        if self.profile == Profile::Strict && !is_canonical_escape(written, character) {
            return Err(JsonError {
                offset,
                rule: JsonRule::OtherEscape,
            });
        }
        Ok(character)
    }

    /// What follows `\u`: four digits, and a second escape where they are a high surrogate.
    fn unicode(&mut self, offset: usize) -> Result<char, JsonError> {
        let invalid = JsonError {
            offset,
            rule: JsonRule::InvalidEscape,
        };
        let first = self.hex4().ok_or(invalid)?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(invalid);
        }
        let escaped = self
            .text
            .get(self.position..)
            .is_some_and(|rest| rest.starts_with("\\u"));
        if !escaped {
            return Err(invalid);
        }
        self.position += 2;
        match self.hex4() {
            Some(second @ 0xdc00..0xe000) => {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                char::from_u32(code).ok_or(invalid)
            }
            _ => Err(invalid),
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self
            .text
            .get(self.position..self.position.checked_add(4)?)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.position += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        if rest.starts_with(word) {
            self.position += word.len();
            Ok(value)
        } else if word.starts_with(rest) {
            self.position = self.text.len();
            Err(self.error(JsonRule::Truncated))
        } else {
            Err(self.error(JsonRule::Unexpected))
        }
    }

    /// White space is skipped where it is allowed, and refused where it is not.
    fn space(&mut self) -> Result<(), JsonError> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            if self.profile == Profile::Strict {
                return Err(self.error(JsonRule::WhiteSpace));
            }
            self.position += 1;
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.position += 1;
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.peek() {
            Some(found) if found == byte => {
                self.position += 1;
                Ok(())
            }
            Some(_) => Err(self.error(JsonRule::Unexpected)),
            None => Err(self.error(JsonRule::Truncated)),
        }
    }

    const fn error(&self, rule: JsonRule) -> JsonError {
        JsonError {
            offset: self.position,
            rule,
        }
    }
}

/// Whether `written` is the one escape of `character`; characters without one have none.
fn is_canonical_escape(written: &str, character: char) -> bool {
    match character {
        '"' => written == "\\\"",
        '\\' => written == "\\\\",
        '\u{8}' => written == "\\b",
        '\t' => written == "\\t",
        '\n' => written == "\\n",
        '\u{c}' => written == "\\f",
        '\r' => written == "\\r",
        control if u32::from(control) < 0x20 => written == format!("\\u{:04x}", u32::from(control)),
        _ => false,
    }
}
