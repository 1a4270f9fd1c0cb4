//! From a record to a finished statement: disclosures, commitment, header, signature.

use std::sync::Arc;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Submission, Target};
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::commitment::{Commitment, CommitmentError};
use aimslog_proto::statement::disclosure::{Disclosure, DisclosureError, DisclosureSet, Salt};
use aimslog_proto::statement::header::{
    Algorithm, ContentType, ControlRef, Family, Header, Link, Origin, Revision,
};
use aimslog_proto::statement::id::{EntryId, StatementId};
use aimslog_proto::statement::json::Json;
use aimslog_proto::statement::key::{RecordIdentity, Signer, SignerError};
use aimslog_proto::statement::statement::{self, SignError};
use aimslog_proto::time::UnixSeconds;

use crate::error::violations_text;
use crate::finished::FinishedStatement;

/// How long after it was signed a statement may be registered, in seconds: seven days, so that one
/// that was refused or forgotten does not surface years later.
const EXPIRES_AFTER_SECONDS: u64 = 7 * 24 * 3600;

/// Where a submission names the version that it follows.
const AMENDS: &str = "meta.amends";

/// Who signs records, and for which ledger.
#[derive(Debug, Clone)]
pub struct Author {
    /// The key that signs.
    pub key: Arc<dyn Signer>,
    /// The organisation that the key belongs to.
    pub organization: String,
    /// The ledger that the statements are for.
    pub service_id: String,
    /// A person, a system or an AI agent.
    pub origin: Origin,
    /// For an AI agent: the principal for whom it acts.
    pub on_behalf_of: Option<String>,
}

/// An entry that a record refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Referred {
    /// The entry itself.
    pub entry: EntryId,
    /// The entity that it is a version of: the id of its first version.
    pub entity: EntryId,
}

/// Whether the same record, sent again, is the same submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The id is derived from key and record: sending it again by accident logs nothing twice.
    OfRecord,
    /// A new id: the same record is to be logged once more.
    Fresh([u8; 16]),
}

/// What is drawn or looked up outside.
pub struct Surroundings<'a> {
    /// The claimed signing time.
    pub now: UnixSeconds,
    /// Gives 16 new random bytes at each call.
    pub salt: &'a mut dyn FnMut() -> [u8; 16],
    /// Finds the entry that a link or an amendment leads to.
    pub resolve: &'a dyn Fn(&Target) -> Option<Referred>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// Why a record cannot become a statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// The record or what it refers to breaks a rule.
    #[error("the record is refused{}", violations_text(.0))]
    Violations(Vec<Violation>),
    /// A disclosure could not be made.
    #[error("cannot disclose a field")]
    Disclosure(#[from] DisclosureError),
    /// The commitment could not be made.
    #[error("cannot commit to the fields")]
    Commitment(#[from] CommitmentError),
    /// The id could not be derived.
    #[error("cannot derive the statement's id")]
    Identity(#[from] SignerError),
    /// The signature could not be made.
    #[error("cannot sign")]
    Sign(#[from] SignError),
}

impl Author {
    /// Discloses, commits to and signs a record. The result is final: what is sent, kept in the
    /// outbox, and sent again.
    pub fn finish(
        &self,
        submission: &Submission,
        identity: Identity,
        surroundings: &mut Surroundings<'_>,
    ) -> Result<FinishedStatement, ComposeError> {
        let bundle = RuleBundle::v1();
        let record = &submission.record;
        let kind = bundle
            .kind(record.kind(), record.version())
            .map_err(|violation| ComposeError::Violations(vec![violation]))?;
        let mut disclosures = Vec::new();
        for (name, value) in record.fields(kind) {
            let salt = Salt::new(&(surroundings.salt)())?;
            disclosures.push(Disclosure::new(&salt, name, value.unwrap_or(&Json::Null))?);
        }
        let names: Vec<&str> = kind.field_names().collect();
        let set = DisclosureSet::new(disclosures, &names)
            .map_err(|violations| ComposeError::Violations(violations.into_vec()))?;
        let commitment = Commitment::build(&set.leaf_hashes())?;
        let header = self.header(submission, identity, surroundings)?;
        let signed = statement::sign(&header, &commitment.encode(), self.key.as_ref())?;
        Ok(FinishedStatement {
            statement: signed.bytes().to_vec(),
            disclosures: set
                .as_slice()
                .iter()
                .map(|field| field.bytes().to_vec())
                .collect(),
            digest_only: Vec::new(),
        })
    }

    /// The id that the key derives for a record: the same for the same record, kind, subject and
    /// previous version.
    pub fn statement_id(
        &self,
        submission: &Submission,
        resolve: &dyn Fn(&Target) -> Option<Referred>,
    ) -> Result<StatementId, ComposeError> {
        let previous = match &submission.amends {
            Some((target, _)) => Some(resolved(target, AMENDS, resolve)?.entry),
            None => None,
        };
        let kind = RuleBundle::v1()
            .kind(submission.record.kind(), submission.record.version())
            .map_err(|violation| ComposeError::Violations(vec![violation]))?;
        Ok(self.key.derive_statement_id(&RecordIdentity {
            kind: &format!("{}.v{}", kind.name(), kind.version()),
            subject: &self.subject(submission),
            record: &submission.record.canonical_bytes(kind),
            previous: previous.as_ref(),
        })?)
    }

    fn subject(&self, submission: &Submission) -> String {
        let subject = &submission.subject;
        format!(
            "urn:aimslog:{}:{}:{}",
            self.organization,
            subject.class(),
            subject.id()
        )
    }

    fn header(
        &self,
        submission: &Submission,
        identity: Identity,
        surroundings: &Surroundings<'_>,
    ) -> Result<Header, ComposeError> {
        let (kind, version) = (submission.record.kind(), submission.record.version());
        let unknown_kind = || {
            let rule = "a kind is a name of a-z, 0-9 and _";
            ComposeError::Violations(vec![Violation::new(Reason::UnknownKind, "kind", rule)])
        };
        let content_type =
            ContentType::new(Family::Evidence, kind, version).ok_or_else(unknown_kind)?;
        let id = match identity {
            Identity::Fresh(bytes) => StatementId::from_bytes(bytes),
            Identity::OfRecord => self.statement_id(submission, surroundings.resolve)?,
        };
        let controls = submission.controls.iter().map(|(scheme, id)| ControlRef {
            scheme: scheme.clone(),
            id: id.clone(),
        });
        Ok(Header {
            algorithm: Algorithm::EdDsa,
            content_type,
            key: self.key.public_key().thumbprint(),
            issuer: format!("https://{}/o/{}", self.service_id, self.organization),
            subject: self.subject(submission),
            audience: self.service_id.clone(),
            expires: Some(UnixSeconds(
                surroundings.now.0.saturating_add(EXPIRES_AFTER_SECONDS),
            )),
            issued: surroundings.now,
            id,
            rules: Some(RuleBundle::v1().digest().0),
            catalogues: submission.catalogues.clone(),
            revision: revision(submission, surroundings)?,
            transition: submission.transition.clone(),
            links: links(submission, surroundings)?,
            origin: Some(self.origin),
            on_behalf_of: self.on_behalf_of.clone(),
            controls: controls.collect(),
        })
    }
}

fn revision(
    submission: &Submission,
    surroundings: &Surroundings<'_>,
) -> Result<Option<Revision>, ComposeError> {
    let Some((target, change)) = &submission.amends else {
        return Ok(None);
    };
    let previous = resolved(target, AMENDS, surroundings.resolve)?;
    Ok(Some(Revision {
        entity: previous.entity,
        previous: previous.entry,
        change: *change,
    }))
}

fn links(
    submission: &Submission,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<Link>, ComposeError> {
    let mut links = Vec::with_capacity(submission.links.len());
    for link in &submission.links {
        let target = resolved(&link.target, "meta.links", surroundings.resolve)?;
        links.push(Link {
            relation: link.relation.clone(),
            target: target.entry,
            origin: None,
        });
    }
    Ok(links)
}

fn resolved(
    target: &Target,
    field: &str,
    resolve: &dyn Fn(&Target) -> Option<Referred>,
) -> Result<Referred, ComposeError> {
    resolve(target).ok_or_else(|| {
        let rule =
            "the target is an entry of the log, or `key:NAME` of a record earlier in this run";
        let found = match target {
            Target::Entry(id) => id.to_string(),
            Target::Key(name) => format!("key:{name}"),
        };
        let violation = Violation::new(Reason::MissingLinkTarget, field, rule).found(found);
        ComposeError::Violations(vec![violation])
    })
}
