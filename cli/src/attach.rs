//! Files that are attached to a record on the command line: the record need not name them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::json::Json;
use anyhow::{Context as _, Result};

use crate::exit::UserError;
use crate::records::digest_of;
use crate::verb::key::hex;

/// Media types by extension; what is not here is bytes.
const MEDIA_TYPES: [(&str, &str); 24] = [
    ("csv", "text/csv"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("eml", "message/rfc822"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("parquet", "application/vnd.apache.parquet"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("svg", "image/svg+xml"),
    ("toml", "application/toml"),
    ("txt", "text/plain"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("zip", "application/zip"),
];

/// A file given with `--attach`, as a record names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    name: String,
    digest: [u8; 32],
    media_type: &'static str,
    size: i64,
}

/// The files given with `--attach`, and where each is.
pub(crate) fn read_given(files: &[PathBuf]) -> Result<(Vec<Given>, BTreeMap<String, PathBuf>)> {
    let mut given = Vec::with_capacity(files.len());
    let mut paths = BTreeMap::new();
    for file in files {
        let one = Given::read(file)?;
        if let Some(other) = paths.insert(one.name.clone(), file.clone()) {
            return Err(UserError::usage(format!(
                "--attach {}: {} has the same name, and a record names its files by it",
                file.display(),
                other.display()
            )));
        }
        given.push(one);
    }
    Ok((given, paths))
}

impl Given {
    fn read(file: &Path) -> Result<Self> {
        let about = || format!("cannot read {}", file.display());
        let metadata = fs::metadata(file).with_context(about)?;
        let name = file.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|_| metadata.is_file()) else {
            return Err(UserError::usage(format!(
                "--attach {}: this is no file with a name in UTF-8",
                file.display()
            )));
        };
        Ok(Self {
            name: name.to_owned(),
            digest: digest_of(file)?,
            media_type: media_type(file),
            size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
        })
    }

    fn members(&self) -> [(&'static str, Json); 4] {
        [
            ("name", Json::Text(self.name.clone())),
            ("digest", Json::Text(hex(&self.digest))),
            ("media_type", Json::Text(self.media_type.to_owned())),
            ("size", Json::Integer(self.size)),
        ]
    }
}

fn media_type(file: &Path) -> &'static str {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let known = MEDIA_TYPES.iter().find(|(known, _)| *known == extension);
    known.map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// The files that records of a table may name: those given one by one, and those that lie in folders.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    folders: Vec<PathBuf>,
    /// Files that were looked at, by their names.
    known: BTreeMap<String, Option<Given>>,
    /// Those given one by one that no record has named yet.
    unnamed: BTreeSet<String>,
}

impl Shelf {
    pub(crate) fn new(files: &[PathBuf], folders: Vec<PathBuf>) -> Result<Self> {
        let (given, _) = read_given(files)?;
        let unnamed = given.iter().map(|one| one.name.clone()).collect();
        let known = given.into_iter().map(|one| (one.name.clone(), Some(one)));
        Ok(Self {
            folders,
            known: known.collect(),
            unnamed,
        })
    }

    /// Fills in what the record of a wrapper does not say of the files that it names and that are there.
    pub(crate) fn complete(&mut self, wrapper: &mut Json) -> Result<Vec<Violation>> {
        let record = member(wrapper, "record");
        let list = record.and_then(|record| member(record, "attachments"));
        let Some(Json::Array(named)) = list else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for (index, named) in named.iter_mut().enumerate() {
            let Some(Json::Text(name)) = named.field("name") else {
                continue;
            };
            if let Some(given) = self.look_up(&name.clone())? {
                found.extend(complete(named, index, given));
            }
        }
        Ok(found)
    }

    /// The names of files given one by one that no record has named.
    pub(crate) fn unnamed(&self) -> impl Iterator<Item = &str> {
        self.unnamed.iter().map(String::as_str)
    }

    fn look_up(&mut self, name: &str) -> Result<Option<&Given>> {
        self.unnamed.remove(name);
        if !self.known.contains_key(name) {
            // What is a path is no name, and not looked for.
            let is_name = Path::new(name).file_name().is_some_and(|file| file == name);
            let mut folders = self.folders.iter().filter(|_| is_name);
            let path = folders.find_map(|folder| Some(folder.join(name)).filter(|it| it.is_file()));
            let given = path.map(|path| Given::read(&path)).transpose()?;
            self.known.insert(name.to_owned(), given);
        }
        Ok(self.known.get(name).and_then(Option::as_ref))
    }
}

/// Lets the record of a wrapper name the files: one that it names already is completed, and refused
/// where it is another file.
pub(crate) fn attach(wrapper: &mut Json, given: &[Given]) -> Result<(), Vec<Violation>> {
    let Some(record) = member(wrapper, "record").filter(|record| is_object(record)) else {
        // The reader says what is wrong with it.
        return Ok(());
    };
    if given.is_empty() {
        return Ok(());
    }
    let Some(list) = member_or(record, "attachments", Json::Array(Vec::new())) else {
        return Ok(());
    };
    if *list == Json::Null {
        *list = Json::Array(Vec::new());
    }
    let Json::Array(named) = list else {
        return Ok(());
    };
    let mut found = Vec::new();
    for one in given {
        let is_same = |named: &Json| named.field("name") == Some(&Json::Text(one.name.clone()));
        let mut places = named.iter_mut().enumerate();
        if let Some((index, named)) = places.find(|(_, named)| is_same(named)) {
            found.extend(complete(named, index, one));
        } else {
            let members = one.members().map(|(name, value)| (name.to_owned(), value));
            named.push(Json::Object(members.into()));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn is_object(json: &Json) -> bool {
    matches!(json, Json::Object(_))
}

/// Fills in what the record does not say of the file; the name of a member may be in `camelCase`.
fn complete(named: &mut Json, index: usize, given: &Given) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, value) in given.members() {
        let written = if name == "media_type" && named.field("mediaType").is_some() {
            "mediaType"
        } else {
            name
        };
        let Some(member) = member_or(named, written, Json::Null) else {
            continue;
        };
        match member {
            Json::Null => *member = value,
            // The media type is a matter of taste, the others are the file's.
            said if *said != value && name != "media_type" => {
                let rule = "the file that is attached is the one that the record names";
                let field = format!("record.attachments[{index}].{name}");
                let violation = Violation::new(Reason::BlobMismatch, field, rule);
                found.push(violation.found(said.to_string()).nearest(value.to_string()));
            }
            _ => {}
        }
    }
    found
}

fn member<'a>(json: &'a mut Json, name: &str) -> Option<&'a mut Json> {
    match json {
        Json::Object(members) => members
            .iter_mut()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value),
        _ => None,
    }
}

/// The member, put there where it is missing.
fn member_or<'a>(json: &'a mut Json, name: &str, missing: Json) -> Option<&'a mut Json> {
    if json.field(name).is_none() {
        match json {
            Json::Object(members) => members.push((name.to_owned(), missing)),
            _ => return None,
        }
    }
    member(json, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        Given {
            name: "policy.pdf".to_owned(),
            digest: [0xab; 32],
            media_type: "application/pdf",
            size: 7,
        }
    }

    fn attached(text: &str) -> Result<String, Vec<Violation>> {
        let mut json = Json::parse_free(text.as_bytes()).unwrap();
        attach(&mut json, &[given()]).map(|()| json.to_string())
    }

    #[test]
    fn a_file_is_named_where_the_record_does_not() {
        let whole = format!(
            r#"{{"name":"policy.pdf","digest":"{}","media_type":"application/pdf","size":7}}"#,
            "ab".repeat(32)
        );
        for text in [
            r#"{"record":{}}"#,
            r#"{"record":{"attachments":null}}"#,
            r#"{"record":{"attachments":[{"name":"policy.pdf"}]}}"#,
        ] {
            let said = attached(text).unwrap();
            assert_eq!(
                said,
                format!(r#"{{"record":{{"attachments":[{whole}]}}}}"#),
                "{text}"
            );
        }
        let said = attached(r#"{"record":{"attachments":[{"name":"other.txt"}]}}"#).unwrap();
        assert!(
            said.contains(r#"[{"name":"other.txt"},{"name":"policy.pdf""#),
            "{said}"
        );
        let own =
            r#"{"record":{"attachments":[{"name":"policy.pdf","mediaType":"application/x-own"}]}}"#;
        assert!(attached(own).unwrap().contains("application/x-own"));
    }

    #[test]
    fn another_file_of_the_same_name_is_refused() {
        let text = r#"{"record":{"attachments":[{"name":"a"},{"name":"policy.pdf","size":8}]}}"#;
        let found = attached(text).unwrap_err();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].field, "record.attachments[1].size");
        assert_eq!(found[0].nearest.as_deref(), Some("7"));
    }

    #[test]
    fn files_that_records_name_are_found_on_the_shelf() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plan.pdf", "given.pdf"] {
            fs::write(folder.path().join(name), "1234567").unwrap();
        }
        let files = [folder.path().join("given.pdf")];
        let mut shelf = Shelf::new(&files, vec![folder.path().to_owned()]).unwrap();
        let mut complete = |name: &str| {
            let text = format!(r#"{{"record":{{"attachments":[{{"name":"{name}"}}]}}}}"#);
            let mut json = Json::parse_free(text.as_bytes()).unwrap();
            assert!(shelf.complete(&mut json).unwrap().is_empty());
            json.to_string()
                .contains(r#""media_type":"application/pdf","size":7"#)
        };
        assert!(complete("plan.pdf"));
        assert!(!complete("other.pdf"));
        let outside = format!(
            "../{}/plan.pdf",
            folder.path().file_name().unwrap().display()
        );
        assert!(!complete(&outside), "a path is no name");
        assert_eq!(shelf.unnamed().collect::<Vec<_>>(), ["given.pdf"]);
        let text = br#"{"record":{"attachments":[{"name":"given.pdf","size":8}]}}"#;
        let mut json = Json::parse_free(text).unwrap();
        let found = shelf.complete(&mut json).unwrap();
        assert_eq!(found[0].field, "record.attachments[0].size");
        assert_eq!(shelf.unnamed().count(), 0);
    }

    #[test]
    fn what_is_no_record_is_left_to_its_reader() {
        for text in [
            "{}",
            "[]",
            r#"{"record":3}"#,
            r#"{"record":{"attachments":"x"}}"#,
        ] {
            assert_eq!(attached(text).unwrap(), text);
        }
    }

    #[test]
    fn media_types_follow_the_extension() {
        assert_eq!(media_type(Path::new("a/Policy.PDF")), "application/pdf");
        assert_eq!(
            media_type(Path::new("model.onnx")),
            "application/octet-stream"
        );
        assert_eq!(media_type(Path::new("LICENSE")), "application/octet-stream");
        let mut sorted = MEDIA_TYPES;
        sorted.sort_unstable();
        assert_eq!(sorted, MEDIA_TYPES);
    }
}
