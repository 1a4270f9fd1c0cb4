//! Where a value stands in a JSON text, for messages to people.
//!
//! Called with texts that [`Json::parse_free`](super::Json::parse_free) has read, so the depth is
//! bounded; on any other text it answers nothing, or a wrong place.

/// The byte at which the value under `path` begins: names and `[index]`, as in `record.results[2].note`.
/// An object's member begins with its name, which may be written in `snake_case` or `camelCase`.
pub fn offset_of(text: &str, path: &str) -> Option<usize> {
    let mut walker = Walker {
        bytes: text.as_bytes(),
        at: 0,
    };
    walker.space();
    let mut found = walker.at;
    for step in steps(path) {
        found = match step {
            Step::Member(name) => walker.enter_member(name)?,
            Step::Element(index) => walker.enter_element(index)?,
        };
    }
    Some(found)
}

/// The 1-based line of a byte.
pub fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The member with this name.
    Member(&'a str),
    /// The element at this index.
    Element(usize),
}

/// The steps of a path such as `record.results[2].note`.
pub fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let parts = path.split(['.', '[']).filter(|part| !part.is_empty());
    parts.map(|part| match part.strip_suffix(']').map(str::parse) {
        Some(Ok(index)) => Step::Element(index),
        _ => Step::Member(part),
    })
}

/// Whether a name is `name`, or the `camelCase` spelling of it.
pub fn is_spelling_of(found: &str, name: &str) -> bool {
    if found == name {
        return true;
    }
    let mut camel = String::with_capacity(name.len());
    let mut is_start = false;
    for letter in name.chars() {
        match letter {
            '_' => is_start = true,
            letter if is_start => {
                camel.push(letter.to_ascii_uppercase());
                is_start = false;
            }
            letter => camel.push(letter),
        }
    }
    found == camel
}

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walker<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Goes to the value of a member, and gives the place of its name.
    fn enter_member(&mut self, name: &str) -> Option<usize> {
        self.take(b'{')?;
        loop {
            self.space();
            let start = self.at;
            let found = self.string()?;
            self.take(b':')?;
            self.space();
            if is_spelling_of(&found, name) {
                return Some(start);
            }
            self.skip()?;
            self.take(b',')?;
        }
    }

    /// Goes to an element, and gives its place.
    fn enter_element(&mut self, index: usize) -> Option<usize> {
        self.take(b'[')?;
        for _ in 0..index {
            self.skip()?;
            self.take(b',')?;
        }
        self.space();
        (self.peek()? != b']').then_some(self.at)
    }

    /// The string here as it is written, without its quotation marks.
    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let written = self.bytes.get(start..self.at)?;
        self.at += 1;
        Some(String::from_utf8_lossy(written).into_owned())
    }

    /// Goes past the value here.
    fn skip(&mut self) -> Option<()> {
        self.space();
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
            self.space();
            if depth == 0 && matches!(self.peek(), None | Some(b',' | b'}' | b']')) {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n \"meta\": {\"kind\": \"a, {b\"},\n \"record\": {\n  \"isOpen\": true,\n  \
        \"results\": [\n   1,\n   {\"note\": \"x\\\"]\",\n    \"other_note\": [[]]},\n   3]}}";

    #[test]
    fn every_value_is_found_on_its_line() {
        for (path, line) in [
            ("meta", Some(2)),
            ("meta.kind", Some(2)),
            ("record", Some(3)),
            ("record.is_open", Some(4)),
            ("record.results", Some(5)),
            ("record.results[0]", Some(6)),
            ("record.results[1].note", Some(7)),
            ("record.results[1].other_note", Some(8)),
            ("record.results[1].other_note[0]", Some(8)),
            ("record.results[2]", Some(9)),
            ("record.results[3]", None),
            ("record.nothing", None),
            ("meta.kind.deeper", None),
        ] {
            let found = offset_of(TEXT, path).map(|offset| line_of(TEXT, offset));
            assert_eq!(found, line, "{path}");
        }
    }

    #[test]
    fn other_texts_end_the_search() {
        for text in [
            "",
            "{",
            "{\"a",
            "{\"a\\",
            "[1,",
            "{\"a\":",
            "]",
            "{\"a\" 1}",
            "nonsense",
        ] {
            for path in ["a", "[1]", "a.b", ""] {
                let _no_panic = offset_of(text, path);
            }
        }
        assert_eq!(offset_of("", "a"), None);
    }
}
