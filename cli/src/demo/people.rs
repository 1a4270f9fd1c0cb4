//! The hospital of a demo: an administrator, and those who sign its records. What needs two people is
//! signed by two, as the sample says.

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
use serde::Deserialize;

use crate::demo::data::{MANIFEST, PEOPLE, RECORDS};
use crate::demo::folder::DemoFolder;
use crate::demo::nodes::ORIGIN;
use crate::keys;
use crate::records::{Additions, FileRecord, read_records};

/// The hospital's id.
pub(super) const HOSPITAL: &str = "st-fictitia";
/// Who reads for the hospital, and whose key the demo's context has: sees all records.
pub(super) const OFFICE: &str = "p-240";

#[derive(Debug, Deserialize)]
struct People {
    organization: Vec<Party>,
}

#[derive(Debug, Deserialize)]
struct Party {
    id: String,
    /// The administrator first.
    principal: Vec<Person>,
}

#[derive(Debug, Deserialize)]
struct Person {
    id: String,
    holder: String,
    roles: Vec<String>,
    origin: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    step: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    file: String,
    signer: String,
}

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
    /// Who signs, by their ids.
    authors: BTreeMap<String, Author>,
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
        let people = staff()?;
        let (boss, others) = people.split_first().context("nobody administers")?;
        let operator = keys::load_plain(&folder.join("cluster/operator-1/operator.seed"))?;
        let administrator = keys::generate(&seed_file(folder, &boss.id), None)?;
        let organization = OrganizationId::new(HOSPITAL)?;
        let administrator_id = PrincipalId::new(&boss.id)?;
        let first = FirstAdministrator {
            possession: prove_principal_key(
                &origin,
                &organization,
                &administrator_id,
                &administrator,
            )?,
            administrator: administrator_id,
            holder: Holder::new(&boss.holder)?,
            key: administrator.public_key(),
        };
        let record = Organization::register(organization, first);
        let statement = sign_record(&record, &making(&origin), &operator)?;
        admin
            .submit_system(statement.bytes())
            .await
            .context("registering the hospital")?;

        let mut authors = BTreeMap::new();
        for person in others {
            let key = keys::generate(&seed_file(folder, &person.id), None)?;
            let record = admission(person, &origin, &key)?;
            let statement = sign_record(&record, &making(&origin), &administrator)?;
            submit_one(ledger, statement.bytes().to_vec())
                .await
                .with_context(|| format!("registering {}", person.id))?;
            authors.insert(person.id.clone(), author(person, Arc::new(key)));
        }
        authors.insert(boss.id.clone(), author(boss, Arc::new(administrator)));
        let office = authors.get(OFFICE).context("nobody reads")?;
        Ok(Self {
            office: Arc::clone(&office.key),
            authors,
        })
    }

    /// Reads and signs all records of the demo, in order.
    pub(super) fn sign_records(&self, folder: &DemoFolder) -> Result<Vec<SignedRecord>> {
        let manifest: Manifest = toml::from_str(MANIFEST)?;
        let mut known = BTreeMap::new();
        let mut signed = Vec::new();
        for (name, _) in RECORDS {
            let step = manifest.step.iter().find(|step| step.file == name);
            let step = step.with_context(|| format!("{name} is not in the manifest"))?;
            let author = self.authors.get(&step.signer);
            let author = author.with_context(|| format!("{} has no key", step.signer))?;
            let records = read_records(
                &[folder.join(&format!("records/{name}"))],
                Additions::default(),
            )?;
            if let Some(invalid) = records.invalid.first() {
                bail!(
                    "{}:{} is invalid: {:?}",
                    invalid.file.display(),
                    invalid.line,
                    invalid.violations
                );
            }
            for record in &records.valid {
                signed.push(sign(author, record, &mut known)?);
            }
        }
        Ok(signed)
    }
}

/// The people of the hospital, its administrator first.
fn staff() -> Result<Vec<Person>> {
    let people: People = toml::from_str(PEOPLE)?;
    let hospital = people.organization.into_iter();
    let mut hospital = hospital.filter(|party| party.id == HOSPITAL);
    Ok(hospital.next().context("there is no hospital")?.principal)
}

fn seed_file(folder: &DemoFolder, id: &str) -> PathBuf {
    folder.join(&format!("hospital/{id}.seed"))
}

fn author(person: &Person, key: Arc<dyn Signer>) -> Author {
    let is_program = person.origin.as_deref() == Some("system");
    Author {
        key,
        organization: HOSPITAL.to_owned(),
        service_id: ORIGIN.to_owned(),
        origin: if is_program {
            RecordOrigin::System
        } else {
            RecordOrigin::Person
        },
        on_behalf_of: None,
    }
}

/// The statement by which the administrator registers somebody.
fn admission(person: &Person, origin: &Origin, key: &dyn Signer) -> Result<Principal> {
    let organization = OrganizationId::new(HOSPITAL)?;
    let principal = PrincipalId::new(&person.id)?;
    let admission = Admission {
        holder: Holder::new(&person.holder)?,
        key: key.public_key(),
        possession: prove_principal_key(origin, &organization, &principal, key)?,
        roles: person
            .roles
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
