//! The sample management system under `samples/hospital/`: who signs, in which order, and its records.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aimslog_client::author::{Author, Identity, Referred, Surroundings};
use aimslog_client::form::{Notation, read_file};
use aimslog_client::{FinishedStatement, ReadKey};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Submission, Target};
use aimslog_proto::statement::header::Origin as RecordOrigin;
use aimslog_proto::statement::id::{EntryId, StatementId};
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{
    Admission, Engagement, EngagementChange, EngagementId, FirstAdministrator, Grant, Holder,
    Making, Organization, OrganizationId, Payload, Principal, PrincipalChange, PrincipalId, Role,
    prove_principal_key, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::Origin;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

const ADMINISTRATOR: &str = "administrator";
/// How long the certification body may read, in seconds.
const ENGAGED_SECONDS: u64 = 3_600;

/// The sample as it stands in its folder.
#[derive(Debug)]
pub struct Sample {
    /// Who takes part.
    pub organizations: Vec<Party>,
    /// Its records, in the order in which they are submitted.
    pub records: Vec<SampleRecord>,
    folder: PathBuf,
}

/// One organisation of the sample.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it has to do with the rest.
    pub what: String,
    /// Who signs for it.
    #[serde(rename = "principal")]
    pub principals: Vec<Person>,
}

/// One principal of the sample.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Its id.
    pub id: String,
    /// Who holds the key.
    pub holder: String,
    /// What the holder is.
    pub title: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// `system` where it is the key of a program.
    pub origin: Option<String>,
    /// What it does in the sample.
    pub what: String,
}

/// A record, and whose key signs it.
#[derive(Debug)]
pub struct SampleRecord {
    /// The file that it stands in.
    pub file: String,
    /// The organisation.
    pub organization: String,
    /// The principal.
    pub signer: String,
    /// The record.
    pub submission: Submission,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct People {
    organization: Vec<Party>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    step: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    file: String,
    organization: String,
    signer: String,
    records: usize,
}

/// A log that the sample goes into, and the time at which all of it is signed.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its origin.
    pub origin: Origin,
    /// The time.
    pub now: u64,
}

impl Sample {
    /// Reads it. Ends the test, with file and line, where a record is none.
    pub fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/hospital");
        let people: People = read_toml(&folder, "people.toml");
        let manifest: Manifest = read_toml(&folder, "manifest.toml");
        let mut sample = Self {
            organizations: people.organization,
            records: Vec::new(),
            folder: folder.clone(),
        };
        for step in &manifest.step {
            let party = sample.party_of(&step.signer).id.clone();
            assert_eq!(party, step.organization, "who signs {}", step.file);
            let records = read_records(&folder, &step.file);
            assert_eq!(records.len(), step.records, "records of {}", step.file);
            sample
                .records
                .extend(records.into_iter().map(|submission| SampleRecord {
                    file: step.file.clone(),
                    organization: party.clone(),
                    signer: step.signer.clone(),
                    submission,
                }));
        }
        let listed: Vec<&String> = manifest.step.iter().map(|step| &step.file).collect();
        assert_eq!(
            listed.len(),
            yaml_files(&folder),
            "every file stands in the manifest"
        );
        sample
    }

    /// The files that records name, by their names.
    pub fn attachments(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.folder.join("attachments")).expect("attachments");
        let files = files.map(|file| file.expect("a file"));
        let read = files.map(|file| {
            let name = file.file_name().into_string().expect("a name in UTF-8");
            (
                name,
                fs::read(file.path()).expect("a file that can be read"),
            )
        });
        read.collect()
    }

    /// The statements that register all organisations and principals, and those by which the others
    /// let the certification body read all that they have.
    pub fn registration(&self, place: &Place, operator: &SigningKey) -> Vec<Vec<u8>> {
        let mut statements = Vec::new();
        for party in &self.organizations {
            let [administrator, others @ ..] = party.principals.as_slice() else {
                panic!("{} has nobody", party.id);
            };
            assert_eq!(administrator.roles, [ADMINISTRATOR], "{}", party.id);
            let boss = key_of(&administrator.id);
            statements.push(place.sign(&place.organization(party, administrator), operator));
            for person in others {
                statements.push(place.sign(&place.principal(party, person), &boss));
            }
        }
        let [audited @ .., body] = self.engagement_order();
        for party in audited {
            let boss = key_of(&party.principals[0].id);
            statements.push(place.sign(&place.engagement(party, body), &boss));
        }
        statements
    }

    /// All records, signed, each with its entry id.
    pub fn sign(&self, place: &Place) -> Vec<FinishedStatement> {
        let mut known: BTreeMap<String, Referred> = BTreeMap::new();
        let mut signed = Vec::with_capacity(self.records.len());
        for record in &self.records {
            let statement = self.finish(record, place, &known);
            let key = record.submission.key.as_ref();
            let key = key.unwrap_or_else(|| panic!("{}: a record without a key", record.file));
            let before = known.insert(key.clone(), referred(&statement));
            assert!(before.is_none(), "{}: the key {key} twice", record.file);
            signed.push(statement);
        }
        signed
    }

    fn finish(
        &self,
        record: &SampleRecord,
        place: &Place,
        known: &BTreeMap<String, Referred>,
    ) -> FinishedStatement {
        let person = self.person(&record.signer);
        let author = Author {
            key: key_of(&record.signer) as ReadKey,
            organization: record.organization.clone(),
            service_id: place.origin.to_string(),
            origin: match person.origin.as_deref() {
                None => RecordOrigin::Person,
                Some("system") => RecordOrigin::System,
                Some(other) => panic!("{}: the origin {other}", person.id),
            },
            on_behalf_of: None,
        };
        let mut surroundings = Surroundings {
            now: UnixSeconds(place.now),
            salt: &mut rand::random,
            resolve: &|target| match target {
                Target::Key(key) => known.get(key).copied(),
                Target::Entry(_) => None,
            },
        };
        author
            .finish(&record.submission, Identity::OfRecord, &mut surroundings)
            .unwrap_or_else(|error| panic!("{}: {error}", record.name()))
    }

    /// The organisation of a principal.
    pub fn party_of(&self, principal: &str) -> &Party {
        let has = |party: &&Party| party.principals.iter().any(|person| person.id == principal);
        let found = self.organizations.iter().find(has);
        found.unwrap_or_else(|| panic!("nobody is called {principal}"))
    }

    /// A principal.
    pub fn person(&self, principal: &str) -> &Person {
        let people = &mut self.party_of(principal).principals.iter();
        people
            .find(|person| person.id == principal)
            .expect("it is one of its organisation")
    }

    /// All organisations, the certification body last.
    fn engagement_order(&self) -> [&Party; 3] {
        let is_body = |party: &&Party| {
            let roles = party.principals.iter().flat_map(|person| &person.roles);
            roles
                .into_iter()
                .any(|role| role == "certification_body_auditor")
        };
        let (bodies, others): (Vec<&Party>, Vec<&Party>) =
            self.organizations.iter().partition(is_body);
        [others, bodies]
            .concat()
            .try_into()
            .expect("a hospital, a provider and a certification body")
    }
}

impl SampleRecord {
    /// How messages call it.
    pub fn name(&self) -> String {
        let key = self.submission.key.as_deref().unwrap_or_default();
        format!("{} ({key})", self.file)
    }
}

impl Place {
    fn organization(&self, party: &Party, administrator: &Person) -> Organization {
        let id = OrganizationId::new(&party.id).expect("an id");
        let principal = PrincipalId::new(&administrator.id).expect("an id");
        let key = key_of(&administrator.id);
        let first = FirstAdministrator {
            possession: prove_principal_key(&self.origin, &id, &principal, &*key)
                .expect("a key of this program signs"),
            administrator: principal,
            holder: Holder::new(&administrator.holder).expect("a holder"),
            key: key.public_key(),
        };
        Organization::register(id, first)
    }

    fn principal(&self, party: &Party, person: &Person) -> Principal {
        let organization = OrganizationId::new(&party.id).expect("an id");
        let principal = PrincipalId::new(&person.id).expect("an id");
        let key = key_of(&person.id);
        let roles = person
            .roles
            .iter()
            .map(|role| Role::new(role).expect("a role"));
        let mut roles: Vec<Role> = roles.collect();
        roles.sort();
        let admission = Admission {
            holder: Holder::new(&person.holder).expect("a holder"),
            key: key.public_key(),
            possession: prove_principal_key(&self.origin, &organization, &principal, &*key)
                .expect("a key of this program signs"),
            roles,
            acts_for: None,
        };
        Principal {
            organization,
            principal,
            change: PrincipalChange::Admit(Box::new(admission)),
        }
    }

    fn engagement(&self, party: &Party, body: &Party) -> Engagement {
        let grant = Grant {
            body: OrganizationId::new(&body.id).expect("an id"),
            kinds: None,
            subjects: None,
            fields: None,
            claimed_from: None,
            claimed_to: None,
            valid_from: UnixSeconds(self.now),
            valid_to: UnixSeconds(self.now + ENGAGED_SECONDS),
        };
        Engagement {
            organization: OrganizationId::new(&party.id).expect("an id"),
            engagement: EngagementId::new("certification-2026").expect("an id"),
            change: EngagementChange::Grant(Box::new(grant)),
        }
    }

    /// A registry statement of this key.
    pub fn sign(&self, record: &impl Payload, signer: &SigningKey) -> Vec<u8> {
        let making = Making {
            origin: &self.origin,
            issued: UnixSeconds(self.now),
            expires: Some(UnixSeconds(self.now + ENGAGED_SECONDS)),
            id: StatementId::from_bytes(rand::random()),
        };
        let signed = sign_record(record, &making, signer).expect("a key of this program signs");
        signed.bytes().to_vec()
    }
}

/// The key of a principal: for tests alone, and the same in each.
pub fn key_of(principal: &str) -> Arc<SigningKey> {
    let seed = Sha256::digest(format!("the sample's key of {principal}"));
    Arc::new(SigningKey::from_seed(&seed.into()))
}

fn read_toml<T: DeserializeOwned>(folder: &Path, name: &str) -> T {
    let text = fs::read_to_string(folder.join(name)).expect(name);
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn read_records(folder: &Path, file: &str) -> Vec<Submission> {
    let bytes = fs::read(folder.join(file)).expect(file);
    let records = read_file(RuleBundle::v1(), Notation::Yaml, &bytes);
    let read = records.into_iter().map(|record| {
        record.unwrap_or_else(|error| {
            let found = error.violations.iter();
            let lines: Vec<String> = found
                .map(|found| format!("{file}:{}: {}", found.line, found.violation))
                .collect();
            panic!("{}", lines.join("\n"))
        })
    });
    read.collect()
}

/// How many files of records the folder holds.
fn yaml_files(folder: &Path) -> usize {
    let quarters = ["q1", "q2", "q3", "q4"].map(|quarter| folder.join(quarter));
    let files = quarters.iter().map(|quarter| {
        let files = fs::read_dir(quarter).expect("a quarter");
        files.count()
    });
    files.sum()
}

/// An entry and the entity that it is a version of, read from its own header.
fn referred(statement: &FinishedStatement) -> Referred {
    let entry = statement.entry_id();
    let parsed = UnverifiedStatement::parse(&statement.statement).expect("it was just signed");
    let entity: EntryId = parsed
        .header()
        .revision
        .as_ref()
        .map_or(entry, |revision| revision.entity);
    Referred { entry, entity }
}
