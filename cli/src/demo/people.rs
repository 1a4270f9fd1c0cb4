//! The hospital of a demo: an administrator, and those who sign its records. What needs two people is
//! signed by two: the office records, the auditors judge, the management takes note.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use aimslog_client::admin::Cluster;
use aimslog_client::author::{Author, Identity, Referred, Surroundings};
use aimslog_client::{FinishedStatement, Ledger, Outcome, Wait, clock};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind;
use aimslog_proto::aims::submission::{Submission, Target};
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
use anyhow::{Context as _, Result, anyhow, bail};

use crate::demo::data::RECORDS;
use crate::demo::folder::DemoFolder;
use crate::demo::nodes::ORIGIN;
use crate::keys;
use crate::records::{Additions, FileRecord, read_records};

/// The hospital's id.
pub(super) const HOSPITAL: &str = "st-fictitia";
/// Who signs its records, as key, holder and roles: each record is signed by the first whose role its kind
/// asks for.
const SIGNERS: [(&str, &str, &[&str]); 3] = [
    (
        "quality-office",
        "holder-b",
        &["process_owner", "submitter"],
    ),
    ("internal-audit", "holder-c", &["internal_auditor"]),
    ("board", "holder-d", &["top_management"]),
];

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
    /// Reads for the hospital.
    pub(super) office: Arc<dyn Signer>,
    /// The keys, with the roles of their holders.
    signers: Vec<(Arc<dyn Signer>, &'static [&'static str])>,
}

impl Hospital {
    /// The operator registers the hospital with its administrator; the administrator registers those who
    /// sign.
    pub(super) async fn register(
        folder: &DemoFolder,
        admin: &Cluster,
        ledger: &Ledger,
    ) -> Result<Self> {
        let origin = Origin::new(ORIGIN)?;
        let operator = keys::load_plain(&folder.join("cluster/operator-1/operator.seed"))?;
        let administrator = keys::generate(&folder.join("hospital/administrator.seed"), None)?;
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
        let record = Organization::register(organization, first);
        let statement = sign_record(&record, &making(&origin), &operator)?;
        admin
            .submit_system(statement.bytes())
            .await
            .context("registering the hospital")?;

        let mut signers: Vec<(Arc<dyn Signer>, &'static [&'static str])> = Vec::new();
        for (name, holder, roles) in SIGNERS {
            let key = keys::generate(&folder.join(&format!("hospital/{name}.seed")), None)?;
            let record = admission((name, holder, roles), &origin, &key)?;
            let statement = sign_record(&record, &making(&origin), &administrator)?;
            submit_one(ledger, statement.bytes().to_vec())
                .await
                .with_context(|| format!("registering {name}"))?;
            signers.push((Arc::new(key), roles));
        }
        let office = signers.first().context("nobody signs")?;
        Ok(Self {
            office: Arc::clone(&office.0),
            signers,
        })
    }

    /// Reads and signs all records of the demo, in order.
    pub(super) fn sign_records(&self, folder: &DemoFolder) -> Result<Vec<SignedRecord>> {
        let files: Vec<PathBuf> = RECORDS
            .iter()
            .map(|(name, _)| folder.join(&format!("records/{name}")))
            .collect();
        let records = read_records(&files, Additions::default())?;
        if let Some(invalid) = records.invalid.first() {
            bail!(
                "{}:{} is invalid: {:?}",
                invalid.file.display(),
                invalid.line,
                invalid.violations
            );
        }
        let mut known = BTreeMap::new();
        records
            .valid
            .iter()
            .map(|record| sign(&self.author(&record.submission)?, record, &mut known))
            .collect()
    }

    /// Who signs a record: the first whose role its kind asks for in its state.
    fn author(&self, submission: &Submission) -> Result<Author> {
        let record = &submission.record;
        let known = RuleBundle::v1().kind(record.kind(), record.version());
        let known = known.map_err(|violation| anyhow!("{violation:?}"))?;
        let state = submission.transition.as_deref();
        let may = |roles: &[&'static str]| {
            let signer = kind::Signer {
                roles,
                is_agent: false,
            };
            known.check_signer(state, signer).is_empty()
        };
        let signer = self.signers.iter().find(|(_, roles)| may(roles));
        let (key, _) = signer.with_context(|| format!("nobody signs a {}", record.kind()))?;
        Ok(Author {
            key: Arc::clone(key),
            organization: HOSPITAL.to_owned(),
            service_id: ORIGIN.to_owned(),
            origin: RecordOrigin::Person,
            on_behalf_of: None,
        })
    }
}

/// The statement by which the administrator registers somebody.
fn admission(
    (name, holder, roles): (&str, &str, &[&str]),
    origin: &Origin,
    key: &dyn Signer,
) -> Result<Principal> {
    let organization = OrganizationId::new(HOSPITAL)?;
    let principal = PrincipalId::new(name)?;
    let admission = Admission {
        holder: Holder::new(holder)?,
        key: key.public_key(),
        possession: prove_principal_key(origin, &organization, &principal, key)?,
        roles: roles
            .iter()
            .map(|role| Role::new(role))
            .collect::<Result<_, _>>()?,
        acts_for: None,
    };
    Ok(Principal {
        organization,
        principal,
        change: PrincipalChange::Admit(Box::new(admission)),
    })
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
