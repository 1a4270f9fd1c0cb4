//! Checking one record: signature, signer, fields.

use super::chain::ALGORITHMS;
use super::file::FileRecord;
use super::heads::{History, causes};
use super::report::{Code, FieldReport, KeyNow, RecordReport, SignerReport};
use super::verdict::FieldLists;
use crate::reason::Reason;
use crate::statement::disclosure::Disclosure;
use crate::statement::header::{ContentType, Family};
use crate::statement::{Commitment, FieldProof, Statement, UnverifiedStatement};
use crate::system::registry::{KeyRow, PrincipalHistory, Registry};
use crate::tlog::{LeafHash, TreeSize};

/// What a record is checked against.
pub(super) struct Context<'a> {
    pub(super) registry: &'a Registry,
    pub(super) history: &'a History<'a>,
    pub(super) field_lists: &'a dyn FieldLists,
    pub(super) size: TreeSize,
}

/// What a record shows of its kind's fields.
struct Shown<'a> {
    fields: Vec<FieldReport>,
    names: &'a [String],
}

/// Why a record is refused.
type Refused = (Code, String);

impl Context<'_> {
    /// What the record shows, if it is in order. That it is in the log was checked before.
    pub(super) fn check(&self, record: &FileRecord) -> Result<RecordReport, Refused> {
        let unverified = UnverifiedStatement::parse_accepting(&record.statement, &ALGORITHMS)
            .map_err(|error| (Code::StatementMalformed, causes(&error)))?;
        let (statement, signer) = self.verify_signer(record, unverified)?;
        let content_type = &statement.header().content_type;
        let names = self.names(content_type)?;
        let commitment = statement.commitment().ok_or_else(|| {
            (
                Code::StatementMalformed,
                "evidence commits to its fields".to_owned(),
            )
        })?;
        let fields = check_fields(record, commitment, &names)?;
        Ok(self.report(
            record,
            &statement,
            signer,
            Shown {
                fields,
                names: &names,
            },
        ))
    }

    fn verify_signer(
        &self,
        record: &FileRecord,
        statement: UnverifiedStatement,
    ) -> Result<(Statement, SignerReport), Refused> {
        let header = statement.header();
        if header.content_type.family() != Family::Evidence {
            let sentence = "a system record stands in the chain, not among the records";
            return Err((Code::StatementMalformed, sentence.to_owned()));
        }
        let accepted = self
            .registry
            .genesis()
            .map_or(&[][..], |genesis| &genesis.algorithms);
        if !accepted.contains(&header.algorithm.id()) {
            let sentence = "genesis does not accept the algorithm of the signature";
            return Err((Code::StatementMalformed, sentence.to_owned()));
        }
        let signer = self.registry.evidence_signer(record.index, header);
        let (principal, row) = signer.map_err(|violations| match violations.reason() {
            Some(Reason::UnknownKey) => (Code::KeyNotInChain, violations.to_string()),
            _ => (Code::SignerNotAllowed, violations.to_string()),
        })?;
        let signer = SignerReport {
            organization: principal.organization.to_string(),
            principal: principal.principal.to_string(),
            holder: principal.holder.to_string(),
            roles: principal.roles.iter().map(ToString::to_string).collect(),
            agent_for: principal.acts_for.as_ref().map(ToString::to_string),
            on_behalf_of: header.on_behalf_of.clone(),
            key: header.key.to_string(),
            registered_at_index: row.registered_at.0,
            key_now: key_now(self.registry, row),
        };
        match statement.verify(&row.key) {
            Ok(statement) => Ok((statement, signer)),
            Err(error) => Err((Code::StatementWrongSignature, causes(&error))),
        }
    }

    fn names(&self, content_type: &ContentType) -> Result<Vec<String>, Refused> {
        let (kind, version) = (content_type.kind(), content_type.version());
        self.field_lists.field_list(kind, version).ok_or_else(|| {
            let sentence = format!("this program does not know the fields of {kind}.v{version}");
            (Code::KindUnknown, sentence)
        })
    }

    fn report(
        &self,
        record: &FileRecord,
        statement: &Statement,
        signer: SignerReport,
        shown: Shown<'_>,
    ) -> RecordReport {
        let header = statement.header();
        let kind = &header.content_type;
        RecordReport {
            index: record.index.0,
            size: self.size.0,
            entry_id: statement.entry_id().to_string(),
            kind: format!("{}.v{}", kind.kind(), kind.version()),
            subject: header.subject.clone(),
            time: self.history.bracket(record.index),
            signed_at_claim: header.issued.0,
            registered_at_ms_claim: record.registered_at.map(|time| time.0),
            register_number_claim: record.register_number,
            does_not_show: does_not_show(&shown, &signer.key_now),
            signer,
            fields_total: shown.names.len() as u64,
            fields: shown.fields,
            held_outside: self.history.held_outside(record.index),
        }
    }
}

/// The fields belong to the commitment, and each is the one that the list has at its index.
fn check_fields(
    record: &FileRecord,
    commitment: &Commitment,
    names: &[String],
) -> Result<Vec<FieldReport>, Refused> {
    let wrong = |sentence: String| (Code::FieldsWrong, sentence);
    let total = commitment.count().number();
    if total != names.len() {
        let listed = names.len();
        return Err(wrong(format!(
            "the statement commits to {total} fields, its kind has {listed}"
        )));
    }
    if record.fields.is_empty() {
        let spare = record.field_proof.len();
        return match spare {
            0 => Ok(Vec::new()),
            _ => Err(wrong(format!("{spare} hashes prove no field"))),
        };
    }
    let mut reports = Vec::with_capacity(record.fields.len());
    let mut leaves: Vec<LeafHash> = Vec::with_capacity(record.fields.len());
    for field in &record.fields {
        let disclosure = Disclosure::parse(field.disclosure.as_bytes())
            .map_err(|error| wrong(format!("field {}: {}", field.index, causes(&error))))?;
        let name = usize::try_from(field.index)
            .ok()
            .and_then(|index| names.get(index));
        if name.map(String::as_str) != Some(disclosure.name()) {
            let expected = name.map_or("no field", String::as_str);
            let (index, found) = (field.index, disclosure.name());
            return Err(wrong(format!(
                "field {index} is {expected} by the list, found {found}"
            )));
        }
        leaves.push(disclosure.leaf_hash());
        let value = serde_json::from_str(&disclosure.value().to_string())
            .map_err(|error| wrong(format!("field {}: {error}", field.index)))?;
        reports.push(FieldReport {
            index: field.index,
            name: disclosure.name().to_owned(),
            value,
        });
    }
    let proof = FieldProof {
        indices: record
            .fields
            .iter()
            .map(|field| u64::from(field.index))
            .collect(),
        hashes: record.field_proof.clone(),
    };
    commitment
        .verify_fields(&proof, &leaves)
        .map_err(|error| wrong(causes(&error)))?;
    Ok(reports)
}

/// How a key stands behind all entries of the file.
fn key_now(registry: &Registry, row: &KeyRow) -> KeyNow {
    let Some(retired) = row.retired_at else {
        return KeyNow::NotRetiredHere;
    };
    let owner = row.principal();
    let history = owner.and_then(|owner| registry.history(&owner.organization, &owner.principal));
    match history.and_then(PrincipalHistory::revoked) {
        Some(revoked) if revoked.at == retired => KeyNow::Revoked {
            at_index: retired.0,
            reason: revoked.reason.name(),
        },
        _ => KeyNow::Rotated {
            at_index: retired.0,
        },
    }
}

fn does_not_show(shown: &Shown<'_>, key_now: &KeyNow) -> Vec<String> {
    let is_shown = |name: &&String| shown.fields.iter().any(|field| field.name == **name);
    let hidden = shown.names.iter().filter(|name| !is_shown(name));
    let hidden: Vec<&str> = hidden.map(String::as_str).collect();
    let mut list = Vec::new();
    if !hidden.is_empty() {
        list.push(format!("hidden fields: {}", hidden.join(", ")));
    }
    list.push("later versions or corrections of the record".to_owned());
    if *key_now == KeyNow::NotRetiredHere {
        list.push("whether the signer's key was revoked or replaced later".to_owned());
    }
    list.push("whether what the record says is true".to_owned());
    list
}
