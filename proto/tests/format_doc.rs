//! Recomputes every worked example of `docs/format.md` and compares.
//!
//! An example is a fenced block whose info string is `hex example: NAME` (bytes in hexadecimal, white
//! space is free) or `text example: NAME` (the exact text). Where something differs, the document
//! with the right examples is left in the target folder, and the failure says where.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy sees tests only in functions that bear the attribute"
)]

#[path = "format_doc/examples.rs"]
mod examples;
#[path = "format_doc/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// What an example shows.
enum Shown {
    Hex(Vec<u8>),
    Text(String),
}

impl Shown {
    fn fence(&self) -> &'static str {
        match self {
            Self::Hex(_) => "```hex example: ",
            Self::Text(_) => "```text example: ",
        }
    }

    /// The lines between the fences, each with its line feed.
    fn block(&self) -> String {
        match self {
            Self::Hex(bytes) => {
                let lines: Vec<String> = bytes.chunks(40).map(hex).collect();
                lines.join("\n") + "\n"
            }
            Self::Text(text) if text.ends_with('\n') => text.clone(),
            Self::Text(text) => format!("{text}\n"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The document with the blocks as they must be, and the names of those found.
fn filled(document: &str, examples: &BTreeMap<&'static str, Shown>) -> (String, Vec<String>) {
    let (mut text, mut found) = (String::new(), Vec::new());
    let mut lines = document.split_inclusive('\n');
    while let Some(line) = lines.next() {
        text.push_str(line);
        let Some((_, name)) = line.split_once(" example: ") else {
            continue;
        };
        if !line.starts_with("```") {
            continue;
        }
        let name = name.trim_end().to_owned();
        let example = examples.get(name.as_str());
        let example = example.unwrap_or_else(|| panic!("docs/format.md: no example is {name:?}"));
        assert_eq!(line, format!("{}{name}\n", example.fence()));
        let end = lines.find(|line| line.trim_end() == "```");
        text.push_str(&example.block());
        text.push_str(end.unwrap_or_else(|| panic!("the block of {name:?} does not end")));
        found.push(name);
    }
    (text, found)
}

#[test]
fn every_example_of_the_format_document_is_what_the_code_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format.md");
    let document = fs::read_to_string(&path).unwrap();
    let examples = examples::all();
    let (right, found) = filled(&document, &examples);
    let missing: Vec<_> = examples
        .keys()
        .filter(|name| !found.iter().any(|known| known == *name))
        .collect();
    assert!(missing.is_empty(), "docs/format.md lacks {missing:?}");
    if document != right {
        let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join("format.md");
        let mut file = File::create(&at).unwrap();
        file.write_all(right.as_bytes()).unwrap();
        panic!(
            "docs/format.md and the code differ; compare it with {}",
            at.display()
        );
    }
}
