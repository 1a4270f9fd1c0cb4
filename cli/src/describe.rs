//! Entries, heads and times in words, and as data: what `get`, `list`, `watch`, `prove` and
//! `checkpoint` print.

use std::ffi::OsString;

use aimslog_client::trust::SignedHead;
use aimslog_client::{EntryKey, ListedRecord};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::pb::v1::PayloadStatus;
use aimslog_proto::statement::commitment::Commitment;
use aimslog_proto::statement::disclosure::{Disclosure, DisclosureSet};
use aimslog_proto::statement::header::{Change, ContentType, Family, Header, Origin};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::tlog::{LeafHash, LeafIndex};
use anyhow::{Context as _, Result};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::exit::UserError;
use crate::verb::key::hex;

/// Stands before an id that begins with a hyphen on its way through the parser of flags.
const MARK: &str = "id:";

/// Ids of entries and thumbprints of keys may begin with a hyphen, and one in 64 does; unmarked, it
/// would be taken for a flag.
pub(crate) fn mark_id(argument: OsString) -> OsString {
    match argument.to_str() {
        Some(text) if text.starts_with('-') && EntryId::parse(text).is_ok() => {
            format!("{MARK}{text}").into()
        }
        _ => argument,
    }
}

/// The id without its mark.
pub(crate) fn unmarked(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// An entry as people name it: its id, or its index where it is a number.
pub(crate) fn entry_key(text: &str) -> Result<EntryKey, String> {
    // An entry id has 43 characters, so that no number of 64 bits can be one.
    if !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let index = text
            .parse()
            .map_err(|_too_large| format!("{text} is no index"))?;
        return Ok(EntryKey::Index(LeafIndex(index)));
    }
    EntryId::parse(unmarked(text))
        .map(EntryKey::Id)
        .map_err(|error| format!("{error}; or an index"))
}

/// An entry id as people name it.
pub(crate) fn entry_id(text: &str) -> Result<EntryId, String> {
    EntryId::parse(unmarked(text)).map_err(|error| error.to_string())
}

/// RFC 3339 in UTC, or the number where no calendar has it.
pub(crate) fn time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

/// `1 record`, `2 records`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Kind and version: `oversight_decision.v1`, or `ledger.genesis.v1` for what the ledger says of
/// itself.
pub(crate) fn kind(content_type: &ContentType) -> String {
    let family = match content_type.family() {
        Family::Ledger => "ledger.",
        Family::Evidence => "",
    };
    format!(
        "{family}{}.v{}",
        content_type.kind(),
        content_type.version()
    )
}

/// A head that the policy accepts.
#[derive(Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: String,
    pub(crate) cosigners: Vec<Cosigner>,
}

/// Who cosigned a head, and when.
#[derive(Debug, Serialize)]
pub(crate) struct Cosigner {
    pub(crate) name: String,
    pub(crate) time: String,
}

impl Head {
    pub(crate) fn of(head: &SignedHead) -> Self {
        let cosigned = head.cosigned();
        Self {
            origin: cosigned.checkpoint().checkpoint().origin().to_string(),
            size: head.head().size.0,
            root: head.head().root.hash().to_base64(),
            cosigners: cosigned
                .cosigners()
                .iter()
                .map(|cosigner| Cosigner {
                    name: cosigner.name.to_string(),
                    time: time(cosigner.time.0),
                })
                .collect(),
        }
    }

    /// The names of who cosigned it.
    pub(crate) fn cosigned_by(&self) -> String {
        let names: Vec<&str> = self.cosigners.iter().map(|c| c.name.as_str()).collect();
        if names.is_empty() {
            "nobody (the policy asks for no cosignature)".to_owned()
        } else {
            names.join(", ")
        }
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "log {}, {} entries, root {}",
            self.origin, self.size, self.root
        )?;
        self.cosigners.iter().try_for_each(|cosigner| {
            writeln!(f, "  cosigned by {} at {}", cosigner.name, cosigner.time)
        })
    }
}

/// What the header of a statement says: claims of its signer.
#[derive(Debug, Serialize)]
pub(crate) struct Claims {
    pub(crate) kind: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audience: String,
    pub(crate) signed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    pub(crate) id: String,
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rules: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_behalf_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transition: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) controls: Vec<String>,
}

/// Which version of which entity a record follows.
#[derive(Debug, Serialize)]
pub(crate) struct Version {
    pub(crate) change: &'static str,
    pub(crate) entity: String,
    pub(crate) previous: String,
}

/// Another entry that a record refers to.
#[derive(Debug, Serialize)]
pub(crate) struct Link {
    pub(crate) relation: String,
    pub(crate) target: String,
}

impl Claims {
    pub(crate) fn of(header: &Header) -> Self {
        Self {
            kind: kind(&header.content_type),
            issuer: header.issuer.clone(),
            subject: header.subject.clone(),
            audience: header.audience.clone(),
            signed_at: time(header.issued.0),
            expires: header.expires.map(|expires| time(expires.0)),
            id: hex(header.id.as_bytes()),
            key: header.key.to_string(),
            rules: header.rules.map(|digest| hex(&digest)),
            origin: header.origin.map(origin),
            on_behalf_of: header.on_behalf_of.clone(),
            version: header.revision.map(|revision| Version {
                change: change(revision.change),
                entity: revision.entity.to_string(),
                previous: revision.previous.to_string(),
            }),
            transition: header.transition.clone(),
            links: header
                .links
                .iter()
                .map(|link| Link {
                    relation: link.relation.clone(),
                    target: link.target.to_string(),
                })
                .collect(),
            controls: header
                .controls
                .iter()
                .map(|control| format!("{} {}", control.scheme, control.id))
                .collect(),
        }
    }
}

pub(crate) fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Person => "person",
        Origin::System => "system",
        Origin::AiAgent => "ai_agent",
    }
}

pub(crate) fn change(change: Change) -> &'static str {
    match change {
        Change::Amend => "amend",
        Change::Correct => "correct",
        Change::Retract => "retract",
    }
}

/// What became of an entry's disclosures.
pub(crate) fn payload(status: PayloadStatus) -> &'static str {
    match status {
        PayloadStatus::Present => "present",
        PayloadStatus::Sealed => "sealed",
        PayloadStatus::Erased => "erased",
        PayloadStatus::Public => "public",
        PayloadStatus::Withheld => "by evidence file",
        PayloadStatus::Unspecified => "unknown",
    }
}

/// A field of a record.
#[derive(Debug, Serialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// `null` where the field is absent.
    pub(crate) value: serde_json::Value,
}

/// The fields of a record, which are exactly those that its statement commits to; none where they
/// are not there.
pub(crate) fn fields(
    statement: &UnverifiedStatement,
    disclosures: &[Vec<u8>],
) -> Result<Vec<Field>> {
    if disclosures.is_empty() {
        return Ok(Vec::new());
    }
    let header = statement.header();
    let kind = RuleBundle::v1().kind(header.content_type.kind(), header.content_type.version());
    let leaves: Vec<LeafHash> = match kind {
        Ok(kind) => {
            let names: Vec<&str> = kind.field_names().collect();
            DisclosureSet::parse(disclosures, &names)
                .map_err(|violations| UserError::not_verified(format!("the fields: {violations}")))?
                .leaf_hashes()
        }
        // Without the field list of the kind the commitment alone is left to hold them.
        Err(_unknown_kind) => disclosures
            .iter()
            .map(|bytes| Ok(Disclosure::parse(bytes)?.leaf_hash()))
            .collect::<Result<_>>()?,
    };
    let commitment = Commitment::build(&leaves).context("the fields")?;
    if statement.commitment() != Some(&commitment) {
        return Err(UserError::not_verified(
            "the fields that the ledger gave are not those that the statement commits to",
        ));
    }
    disclosures
        .iter()
        .map(|bytes| {
            let (_salt, name, value): (String, String, serde_json::Value) =
                serde_json::from_slice(bytes)?;
            Ok(Field { name, value })
        })
        .collect()
}

/// One record of a list. Index, time and number are the ledger's claims here; `get` and `prove`
/// check them.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) index: u64,
    pub(crate) entry_id: String,
    pub(crate) kind: String,
    pub(crate) subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<&'static str>,
    pub(crate) payload: &'static str,
    pub(crate) registered_at_claim: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) register_number_claim: Option<u64>,
}

impl Row {
    pub(crate) fn of(record: &ListedRecord) -> Result<Self> {
        let statement = UnverifiedStatement::parse(&record.statement)
            .with_context(|| format!("the entry at index {}", record.entry.index))?;
        let header = statement.header();
        Ok(Self {
            index: record.entry.index.0,
            entry_id: record.entry.entry_id.to_string(),
            kind: kind(&header.content_type),
            subject: header.subject.clone(),
            change: header.revision.map(|revision| change(revision.change)),
            payload: payload(record.payload),
            registered_at_claim: time(record.entry.registered_at.0 / 1000),
            register_number_claim: Some(record.entry.register_number).filter(|number| *number > 0),
        })
    }

    /// The titles of the columns.
    pub(crate) fn titles() -> String {
        format!(
            "{:>8} {:<20} {:<24} {:>6} {:<8} {:<43} {}",
            "INDEX", "REGISTERED (CLAIM)", "KIND", "NUMBER", "CHANGE", "ENTRY ID", "ABOUT"
        )
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = self.register_number_claim.map(|number| number.to_string());
        write!(
            f,
            "{:>8} {:<20} {:<24} {:>6} {:<8} {:<43} {}",
            self.index,
            self.registered_at_claim,
            self.kind,
            number.unwrap_or_default(),
            self.change.unwrap_or_default(),
            self.entry_id,
            short_subject(&self.subject)
        )
    }
}

/// `system:sys-7f3a` of `urn:aimslog:hospital:system:sys-7f3a`.
pub(crate) fn short_subject(subject: &str) -> &str {
    subject
        .strip_prefix("urn:aimslog:")
        .and_then(|rest| rest.split_once(':'))
        .map_or(subject, |(_organization, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_indices_and_everything_else_is_an_id() {
        assert_eq!(entry_key("0"), Ok(EntryKey::Index(LeafIndex(0))));
        let most = u64::MAX.to_string();
        assert_eq!(entry_key(&most), Ok(EntryKey::Index(LeafIndex(u64::MAX))));
        let id = EntryId::from_bytes([7; 32]);
        assert_eq!(entry_key(&id.to_string()), Ok(EntryKey::Id(id)));
        for bad in ["", "-1", "1x", "99999999999999999999", "é"] {
            assert!(entry_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_that_begin_with_a_hyphen_are_no_flags() {
        let id = EntryId::from_bytes([0xf8; 32]).to_string();
        assert!(id.starts_with('-'), "{id}");
        let marked = mark_id(id.clone().into()).into_string().unwrap();
        assert!(!marked.starts_with('-'), "{marked}");
        assert_eq!(entry_id(&marked).unwrap().to_string(), id);
        for flag in ["--json", "-o", "-", "--accept-receipt-key"] {
            assert_eq!(mark_id(flag.into()), OsString::from(flag));
        }
    }

    #[test]
    fn one_is_one() {
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(0, "record"), "0 records");
    }

    #[test]
    fn times_read_as_rfc_3339() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_800_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(time(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn a_subject_is_shortened_to_what_it_names() {
        assert_eq!(
            short_subject("urn:aimslog:hospital:system:s-1"),
            "system:s-1"
        );
        assert_eq!(short_subject("something else"), "something else");
    }

    #[test]
    fn rows_line_up_with_their_titles() {
        let row = Row {
            index: 7,
            entry_id: EntryId::from_bytes([7; 32]).to_string(),
            kind: "finding.v1".to_owned(),
            subject: "urn:aimslog:hospital:aims:audit".to_owned(),
            change: None,
            payload: "present",
            registered_at_claim: time(0),
            register_number_claim: Some(3),
        };
        let (line, titles) = (row.to_string(), Row::titles());
        assert_eq!(line.find("aims:audit"), titles.find("ABOUT"));
        assert_eq!(line.find("finding"), titles.find("KIND"));
    }
}
