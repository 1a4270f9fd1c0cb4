//! Files of JSON, one record or one a line, and the lines of what is wrong in them.

use super::{Submission, read};
use crate::aims::bundle::RuleBundle;
use crate::limits::SUBMISSION_FILE_BYTES_MAX;
use crate::reason::{Reason, Violation};
use crate::statement::json::Json;
use crate::statement::json::locate::{line_of, offset_of};

/// What is wrong with one record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// 1-based line of the file where the record starts.
    pub line: usize,
    /// Everything that is wrong with it, at least one.
    pub violations: Vec<Located>,
}

/// What is wrong, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// 1-based line of the file: that of the field, or of what surrounds it where it is not there.
    pub line: usize,
    /// What is wrong.
    pub violation: Violation,
}

impl RecordError {
    /// One violation of a whole record or file.
    pub fn at(line: usize, violation: Violation) -> Self {
        let violations = vec![Located { line, violation }];
        Self { line, violations }
    }
}

/// Reads a wrapper that starts at `line`; `line_of` knows where the parts of it are written.
pub fn read_at(
    bundle: &RuleBundle,
    (line, json): (usize, Json),
    line_of: impl Fn(&str) -> Option<usize>,
) -> Result<Submission, RecordError> {
    let status = status_path(bundle, &json);
    read(bundle, json).map_err(|found| {
        let located = found.into_iter().map(|violation| Located {
            line: locate(&violation.field, status.as_deref(), &line_of).unwrap_or(line),
            violation,
        });
        let violations = located.collect();
        RecordError { line, violations }
    })
}

/// The path of the field that says in which state the record is, as far as the kind is known.
pub fn status_path(bundle: &RuleBundle, wrapper: &Json) -> Option<String> {
    let Json::Text(kind) = wrapper.field("meta")?.field("kind")? else {
        return None;
    };
    let field = bundle.newest_kind(kind).ok()?.status_field()?;
    Some(format!("record.{field}"))
}

/// Where a violation's field is written: the place of the longest part of its path that has one.
/// `status` is the path of the field that says what the header's transition says.
pub fn locate<P>(
    field: &str,
    status: Option<&str>,
    place_of: impl Fn(&str) -> Option<P>,
) -> Option<P> {
    let written = match field {
        "header.content_type" => "meta.kind",
        "header.sub" => "meta.subject",
        "header.links" => "meta.links",
        "header.controls" => "meta.controls",
        "header.transition" => match place_of("meta.transition") {
            Some(place) => return Some(place),
            None => status.unwrap_or("meta"),
        },
        field => field.strip_prefix("file.").unwrap_or(field),
    };
    let mut path = Some(written);
    while let Some(tried) = path {
        if let Some(place) = place_of(tried) {
            return Some(place);
        }
        path = tried.rfind(['.', '[']).and_then(|end| tried.get(..end));
    }
    None
}

/// Reads a file of submissions: one result for each record, in order.
pub fn parse_file(bundle: &RuleBundle, bytes: &[u8]) -> Vec<Result<Submission, RecordError>> {
    drafts(bytes)
        .into_iter()
        .map(|draft| {
            let Draft { json, text, line } = draft?;
            read_at(bundle, (line, json), |path| line_in(text, line, path))
        })
        .collect()
}

/// The line of a file at which the value under `path` stands, in a text that starts at `first`.
pub fn line_in(text: &str, first: usize, path: &str) -> Option<usize> {
    Some(first - 1 + line_of(text, offset_of(text, path)?))
}

/// A wrapper that is well-formed JSON, and the text of it.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The wrapper.
    pub json: Json,
    /// What was read.
    pub text: &'a str,
    /// The line of the file where the text starts.
    pub line: usize,
}

/// The wrappers of a file of JSON, in order.
pub fn drafts(bytes: &[u8]) -> Vec<Result<Draft<'_>, RecordError>> {
    if bytes.len() > SUBMISSION_FILE_BYTES_MAX {
        let rule = "a file of submissions has at most 64 MiB";
        let violation = Violation::new(Reason::BatchTooLarge, "file", rule).found(bytes.len());
        return vec![Err(RecordError::at(1, violation))];
    }
    // One object over many lines is no JSON line each; so the whole file is tried first.
    let whole = Json::parse_free(bytes);
    if let (Ok(json), Ok(text)) = (&whole, str::from_utf8(bytes)) {
        let json = json.clone();
        return vec![Ok(Draft {
            json,
            text,
            line: 1,
        })];
    }
    let lines: Vec<(usize, &[u8])> = (1..)
        .zip(bytes.split(|byte| *byte == b'\n'))
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
        .collect();
    let drafts: Vec<_> = lines
        .into_iter()
        .map(|(line, text)| draft(line, text))
        .collect();
    match whole {
        // No line of it is a record: it is one object over many lines, with one mistake.
        Err(error) if drafts.len() > 1 && drafts.iter().all(Result::is_err) => {
            let before = bytes
                .iter()
                .take(error.offset)
                .filter(|byte| **byte == b'\n');
            vec![Err(RecordError::at(1 + before.count(), malformed(error)))]
        }
        _ => drafts,
    }
}

fn draft(line: usize, bytes: &[u8]) -> Result<Draft<'_>, RecordError> {
    let json = Json::parse_free(bytes);
    let json = json.map_err(|error| RecordError::at(line, malformed(error)))?;
    let text = str::from_utf8(bytes).unwrap_or_default();
    Ok(Draft { json, text, line })
}

fn malformed(error: crate::statement::json::JsonError) -> Violation {
    let rule = "one JSON value without fractions, doubled names and large integers";
    Violation::new(error.reason(), "file", rule).found(error)
}
