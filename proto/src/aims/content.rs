//! What stands behind a commitment: fields, values, and the attachments that they name.

use crate::aims::kind::Kind;
use crate::aims::record::{HeaderView, Record, check_against_header, check_given};
use crate::limits::{ATTACHMENTS_MAX, RECORD_BYTES_MAX, RECORD_FIELDS_MAX};
use crate::reason::{Reason, Violation};
use crate::statement::{Disclosure, DisclosureSet, Json, UnverifiedStatement};
use crate::system::PrincipalId;
use crate::tlog::LeafHash;

/// The record behind the disclosures, `None` for a sealed one: fields of the kind, values, and
/// agreement with commitment, header and signer. Otherwise everything that is wrong. `signer` is the
/// principal whose key the header names, where that is known; whoever may take a record back is not
/// asked to be named by it.
pub fn check_content(
    kind: &Kind,
    statement: &UnverifiedStatement,
    disclosures: &[Vec<u8>],
    signer: Option<&PrincipalId>,
) -> Result<Option<Record>, Vec<Violation>> {
    if disclosures.is_empty() {
        if kind.is_sealed_allowed() {
            return Ok(None);
        }
        let rule = format!("a record of {} comes with all its fields", kind.name());
        return Err(vec![Violation::new(
            Reason::MissingField,
            "disclosures",
            rule,
        )]);
    }
    let mut violations = Vec::new();
    if let Err(found) = check_against_commitment(statement, disclosures) {
        violations.extend(found);
    }
    let header = statement.header();
    let transition = header.transition.as_deref();
    let view =
        HeaderView::new(&header.subject, transition, &header.controls).map(|view| HeaderView {
            signed_by: signer
                .filter(|_| !header.is_retraction())
                .map(PrincipalId::as_str),
            ..view
        });
    if view.is_none() {
        let rule = "urn:aimslog:<organisation>:<system or aims>:<id>";
        violations
            .push(Violation::new(Reason::InvalidHeader, "header.sub", rule).found(&header.subject));
    }
    let names: Vec<&str> = kind.field_names().collect();
    let set = match DisclosureSet::parse(disclosures, &names) {
        Ok(set) => set,
        Err(found) => {
            violations.extend(found.into_vec());
            violations.extend(check_readable(kind, view, disclosures));
            return Err(violations);
        }
    };
    let values = set.into_values().map(Some).collect();
    match Record::new(kind, values) {
        Ok(record) => {
            let mismatches = view.map(|view| check_against_header(kind, &record, view));
            violations.extend(mismatches.into_iter().flatten());
            if violations.is_empty() {
                Ok(Some(record))
            } else {
                Err(violations)
            }
        }
        Err(found) => {
            violations.extend(found);
            let mut mismatches = check_readable(kind, view, disclosures);
            mismatches.retain(|violation| !violations.contains(violation));
            violations.extend(mismatches);
            Err(violations)
        }
    }
}

/// Whether these are, byte for byte, the disclosures that the statement commits to.
pub fn check_against_commitment(
    statement: &UnverifiedStatement,
    disclosures: &[Vec<u8>],
) -> Result<(), Vec<Violation>> {
    let leaves: Vec<LeafHash> = disclosures
        .iter()
        .map(|bytes| LeafHash::of(bytes))
        .collect();
    let commitment = statement.commitment();
    if commitment.is_some_and(|commitment| commitment.is_over(&leaves)) {
        return Ok(());
    }
    let rule = "the disclosures hash to the commitment that is signed";
    Err(vec![Violation::new(
        Reason::CommitmentMismatch,
        "payload",
        rule,
    )])
}

/// The values of those disclosures that can be read.
fn check_readable(
    kind: &Kind,
    header: Option<HeaderView<'_>>,
    disclosures: &[Vec<u8>],
) -> Vec<Violation> {
    let read = readable(disclosures);
    let given: Vec<(&str, &Json)> = read
        .iter()
        .map(|disclosure| (disclosure.name(), disclosure.value()))
        .collect();
    check_given(kind, header, &given)
}

/// More than a record may have is not looked at.
fn readable(disclosures: &[Vec<u8>]) -> Vec<Disclosure> {
    let total: usize = disclosures.iter().map(Vec::len).sum();
    if disclosures.len() > RECORD_FIELDS_MAX || total > RECORD_BYTES_MAX {
        return Vec::new();
    }
    disclosures
        .iter()
        .filter_map(|bytes| Disclosure::parse(bytes).ok())
        .collect()
}

/// The digests of the attachments that a record names, in its order.
pub fn digests_of(record: &Record) -> Vec<[u8; 32]> {
    named_digests(record.values().iter().flatten())
}

/// The same for disclosures that are no record, as far as they can be read: no more than a valid
/// record can name, for the others are too many, which is said already.
pub fn digests_in(disclosures: &[Vec<u8>]) -> Vec<[u8; 32]> {
    let read = readable(disclosures);
    let mut digests = named_digests(read.iter().map(Disclosure::value));
    digests.truncate(ATTACHMENTS_MAX);
    digests
}

/// The names of the fields that name this attachment, as far as they can be read.
pub fn fields_naming(digest: &[u8; 32], disclosures: &[Vec<u8>]) -> Vec<String> {
    let read = readable(disclosures);
    let naming = read.iter().filter(|field| {
        let digests = named_digests(std::iter::once(field.value()));
        digests.contains(digest)
    });
    naming.map(|field| field.name().to_owned()).collect()
}

fn named_digests<'a>(values: impl Iterator<Item = &'a Json>) -> Vec<[u8; 32]> {
    let lists = values.filter_map(|value| match value {
        Json::Array(elements) => Some(elements),
        _ => None,
    });
    lists.flatten().filter_map(attachment_digest).collect()
}

/// The digest, if the value has the members of an attachment; no other message has these.
fn attachment_digest(value: &Json) -> Option<[u8; 32]> {
    let Json::Object(members) = value else {
        return None;
    };
    let member = |name: &str| members.iter().find(|(member, _)| member == name);
    let (Some(_), Some(_), Some((_, Json::Text(digest)))) =
        (member("media_type"), member("size"), member("digest"))
    else {
        return None;
    };
    let (pairs, rest) = digest.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?))
        .collect();
    rest.is_empty().then_some(bytes?)?.try_into().ok()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
