//! The hospital of a demo: an administrator, and the office that signs its records.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use aimslog_client::admin::Cluster;
use aimslog_client::author::{Author, Identity, Referred, Surroundings};
use aimslog_client::{FinishedStatement, Ledger, Outcome, Wait, clock};
use aimslog_proto::aims::submission::Target;
use aimslog_proto::statement::header::Origin as RecordOrigin;
use aimslog_proto::statement::id::{EntryId, StatementId};
use aimslog_proto::statement::key::Signer;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{
    Admission, FirstAdministrator, Holder, Making, Organization, OrganizationId, Principal,
    PrincipalChange, PrincipalId, Role, prove_principal_key, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::Origin;
use anyhow::{Context as _, Result, bail};

use crate::demo::data::RECORDS;
use crate::demo::folder::DemoFolder;
use crate::demo::nodes::ORIGIN;
use crate::keys;
use crate::records::{FileRecord, read_records};

/// The hospital's id.
pub(super) const HOSPITAL: &str = "st-fictitia";
/// Who signs its records.
const OFFICE: &str = "quality-office";

/// A record, signed, with the id of its entry.
#[derive(Debug, Clone)]
pub(super) struct SignedRecord {
    pub(super) entry: EntryId,
    pub(super) kind: String,
    pub(super) statement: FinishedStatement,
}

/// The hospital, registered.
#[derive(Debug)]
pub(super) struct Hospital {
    pub(super) office: Arc<dyn Signer>,
}

impl Hospital {
    /// The operator registers the hospital with its administrator; the administrator registers the
    /// office.
    pub(super) async fn register(
        folder: &DemoFolder,
        admin: &Cluster,
        ledger: &Ledger,
    ) -> Result<Self> {
        let origin = Origin::new(ORIGIN)?;
        let operator = keys::load_plain(&folder.join("cluster/operator-1/operator.seed"))?;
        let administrator = keys::generate(&folder.join("hospital/administrator.seed"), None)?;
        let office = keys::generate(&folder.join("hospital/quality-office.seed"), None)?;
        let organization = OrganizationId::new(HOSPITAL)?;
        let administrator_id = PrincipalId::new("administrator")?;
        let first = FirstAdministrator {
            possession: prove_principal_key(
                &origin,
                &organization,
                &administrator_id,
                &administrator,
            )?,
            administrator: administrator_id,
            holder: Holder::new("holder-a")?,
            key: administrator.public_key(),
        };
        let record = Organization::register(organization.clone(), first);
        let statement = sign_record(&record, &making(&origin), &operator)?;
        admin
            .submit_system(statement.bytes())
            .await
            .context("registering the hospital")?;

        let principal = PrincipalId::new(OFFICE)?;
        let mut roles = Vec::new();
        for role in ["internal_auditor", "process_owner", "submitter"] {
            roles.push(Role::new(role)?);
        }
        let admission = Admission {
            holder: Holder::new("holder-b")?,
            key: office.public_key(),
            possession: prove_principal_key(&origin, &organization, &principal, &office)?,
            roles,
            acts_for: None,
        };
        let change = PrincipalChange::Admit(Box::new(admission));
        let record = Principal {
            organization,
            principal,
            change,
        };
        let statement = sign_record(&record, &making(&origin), &administrator)?;
        submit_one(ledger, statement.bytes().to_vec())
            .await
            .context("registering the office")?;
        Ok(Self {
            office: Arc::new(office),
        })
    }

    /// Reads and signs all records of the demo, in order.
    pub(super) fn sign_records(&self, folder: &DemoFolder) -> Result<Vec<SignedRecord>> {
        let files: Vec<PathBuf> = RECORDS
            .iter()
            .map(|(name, _)| folder.join(&format!("records/{name}")))
            .collect();
        let records = read_records(&files)?;
        if let Some(invalid) = records.invalid.first() {
            bail!(
                "{}:{} is invalid: {:?}",
                invalid.file.display(),
                invalid.line,
                invalid.violations
            );
        }
        let author = Author {
            key: Arc::clone(&self.office),
            organization: HOSPITAL.to_owned(),
            service_id: ORIGIN.to_owned(),
            origin: RecordOrigin::Person,
            on_behalf_of: None,
        };
        let mut known = BTreeMap::new();
        records
            .valid
            .iter()
            .map(|record| sign(&author, record, &mut known))
            .collect()
    }
}

fn sign(
    author: &Author,
    record: &FileRecord,
    known: &mut BTreeMap<String, Referred>,
) -> Result<SignedRecord> {
    let submission = &record.submission;
    let mut surroundings = Surroundings {
        now: UnixSeconds(clock::unix_seconds()),
        salt: &mut rand::random,
        resolve: &|target| match target {
            Target::Key(key) => known.get(key).copied(),
            Target::Entry(_) => None,
        },
    };
    let statement = author
        .finish(submission, Identity::OfRecord, &mut surroundings)
        .with_context(|| record.name())?;
    let entry = statement.entry_id();
    if let Some(key) = &submission.key {
        let parsed = UnverifiedStatement::parse(&statement.statement)?;
        let entity = parsed
            .header()
            .revision
            .as_ref()
            .map_or(entry, |revision| revision.entity);
        known.insert(key.clone(), Referred { entry, entity });
    }
    Ok(SignedRecord {
        entry,
        kind: submission.record.kind().to_owned(),
        statement,
    })
}

fn making(origin: &Origin) -> Making<'_> {
    let now = clock::unix_seconds();
    Making {
        origin,
        issued: UnixSeconds(now),
        expires: Some(UnixSeconds(now + 3_600)),
        id: StatementId::from_bytes(rand::random()),
    }
}

async fn submit_one(ledger: &Ledger, statement: Vec<u8>) -> Result<()> {
    let finished = FinishedStatement {
        statement,
        disclosures: Vec::new(),
        digest_only: Vec::new(),
    };
    match ledger
        .submit(&[finished], Wait::Committed)
        .await?
        .as_slice()
    {
        [Outcome::Logged { .. }] => Ok(()),
        other => bail!("refused: {other:?}"),
    }
}
