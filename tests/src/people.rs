//! Who submits in tests: an organisation, its administrator, and records with nothing in them but
//! what makes them valid and different.

use std::sync::Arc;

use aimslog_client::author::{Author, Identity, Surroundings};
use aimslog_client::{FinishedStatement, ReadKey, clock};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Submission, parse};
use aimslog_proto::statement::header::Origin as RecordOrigin;
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::system::{
    Admission, FirstAdministrator, Holder, Making, NewKey, Organization, OrganizationChange,
    OrganizationId, Payload, Principal, PrincipalChange, PrincipalId, Role, prove_principal_key,
    prove_read_key, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::Origin;
use base64::Engine as _;

use crate::cluster::{Cluster, ORIGIN};

/// The principal that submits.
const OFFICE: &str = "office-1";

/// An organisation with an administrator, and an office that submits, audits and reads.
#[derive(Debug, Clone)]
pub struct Hospital {
    /// The office's key.
    pub key: Arc<SigningKey>,
    /// The administrator's key.
    pub administrator: Arc<SigningKey>,
    /// The organisation's id.
    pub id: String,
}

impl Hospital {
    /// An organisation of this id, and the statements that register it and its office at the cluster.
    pub fn unregistered(cluster: &Cluster, id: &str) -> (Self, [Vec<u8>; 2]) {
        let [key, administrator] =
            [(); 2].map(|()| Arc::new(SigningKey::from_seed(&rand::random())));
        let organization = organization_statement(cluster, id, &administrator);
        let roles = ["internal_auditor", "process_owner", "submitter"];
        let admission = admission(id, (OFFICE, &roles), &key);
        let office = system_record(&principal(id, OFFICE, admission), &administrator);
        let hospital = Self {
            key,
            administrator,
            id: id.to_owned(),
        };
        (hospital, [organization, office])
    }

    /// Registers an organisation of this id at the cluster.
    pub async fn register(cluster: &Cluster, id: &str) -> Self {
        let leader = cluster.leader().await;
        Self::register_at(cluster, id, leader).await
    }

    /// The same by asking one node, which need not lead.
    pub async fn register_at(cluster: &Cluster, id: &str, position: usize) -> Self {
        let (hospital, statements) = Self::unregistered(cluster, id);
        for statement in statements {
            if let Err(error) = cluster.admin_of(position).submit_system(&statement).await {
                panic!("the organisation is refused: {error}\n{}", cluster.logs());
            }
        }
        hospital
    }

    /// The key as readers need it.
    pub fn read_key(&self) -> ReadKey {
        Arc::clone(&self.key) as ReadKey
    }

    /// The author of this organisation's records.
    pub fn author(&self) -> Author {
        Author {
            key: self.read_key(),
            organization: self.id.clone(),
            service_id: ORIGIN.to_owned(),
            origin: RecordOrigin::Person,
            on_behalf_of: None,
        }
    }

    /// An oversight decision that no other number gives.
    pub fn decision(&self, number: u64) -> FinishedStatement {
        self.finish(&decision_json(number))
    }

    /// Several of them.
    pub fn decisions(&self, numbers: std::ops::Range<u64>) -> Vec<FinishedStatement> {
        numbers.map(|number| self.decision(number)).collect()
    }

    /// A statement of the record in this submission file.
    pub fn finish(&self, json: &str) -> FinishedStatement {
        self.finish_as(&self.submission(json), Identity::OfRecord)
    }

    /// One more statement of the same record. Takes half the time of another record's.
    pub fn finish_again(&self, submission: &Submission) -> FinishedStatement {
        self.finish_as(submission, Identity::Fresh(rand::random()))
    }

    fn finish_as(&self, submission: &Submission, identity: Identity) -> FinishedStatement {
        let mut surroundings = Surroundings {
            now: UnixSeconds(clock::unix_seconds()),
            salt: &mut rand::random,
            resolve: &|_| None,
        };
        self.author()
            .finish(submission, identity, &mut surroundings)
            .unwrap()
    }

    /// The submission that this text says.
    pub fn submission(&self, json: &str) -> Submission {
        parse(RuleBundle::v1(), json.as_bytes()).unwrap_or_else(|violations| {
            let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
            panic!("the sample record is invalid:\n{}", lines.join("\n"))
        })
    }
}

/// The operator's record of an organisation with this administrator's key.
pub fn organization_statement(cluster: &Cluster, id: &str, key: &SigningKey) -> Vec<u8> {
    let seed = std::fs::read_to_string(cluster.folder().join("operator-1/operator.seed")).unwrap();
    let operator = SigningKey::parse_seed_file(&seed).unwrap();
    let origin = Origin::new(ORIGIN).unwrap();
    let organization = OrganizationId::new(id).unwrap();
    let administrator = PrincipalId::new("admin-1").unwrap();
    let first = FirstAdministrator {
        possession: prove_principal_key(&origin, &organization, &administrator, key).unwrap(),
        administrator,
        holder: Holder::new("holder-1").unwrap(),
        key: key.public_key(),
    };
    let record = Organization::register(organization, first);
    system_record(&record, &operator)
}

/// The change by which a principal gets this key and these roles.
pub fn admission(
    organization: &str,
    (id, roles): (&str, &[&str]),
    key: &SigningKey,
) -> PrincipalChange {
    let origin = Origin::new(ORIGIN).unwrap();
    let organization = OrganizationId::new(organization).unwrap();
    let id = PrincipalId::new(id).unwrap();
    let roles = roles.iter().map(|role| Role::new(role).unwrap());
    PrincipalChange::Admit(Box::new(Admission {
        holder: Holder::new("holder-2").unwrap(),
        key: key.public_key(),
        possession: prove_principal_key(&origin, &organization, &id, key).unwrap(),
        roles: roles.collect(),
        acts_for: None,
    }))
}

/// The change by which a principal gets this key for reading.
pub fn read_key(organization: &str, id: &str, key: &SigningKey) -> PrincipalChange {
    let origin = Origin::new(ORIGIN).unwrap();
    let organization = OrganizationId::new(organization).unwrap();
    let id = PrincipalId::new(id).unwrap();
    PrincipalChange::ReadKey(NewKey {
        key: key.public_key(),
        possession: prove_read_key(&origin, &organization, &id, key).unwrap(),
    })
}

/// The record by which operators suspend an organisation, without approvals.
pub fn suspension(organization: &str) -> Organization {
    Organization {
        organization: OrganizationId::new(organization).unwrap(),
        change: OrganizationChange::Suspend {
            approvals: Vec::new(),
        },
    }
}

/// A record about a principal.
pub fn principal(organization: &str, id: &str, change: PrincipalChange) -> Principal {
    Principal {
        organization: OrganizationId::new(organization).unwrap(),
        principal: PrincipalId::new(id).unwrap(),
        change,
    }
}

/// A system record, signed by this key now.
pub fn system_record(record: &impl Payload, signer: &SigningKey) -> Vec<u8> {
    let origin = Origin::new(ORIGIN).unwrap();
    let now = clock::unix_seconds();
    let making = Making {
        origin: &origin,
        issued: UnixSeconds(now),
        expires: Some(UnixSeconds(now + 3_600)),
        id: StatementId::from_bytes(rand::random()),
    };
    let signed = sign_record(record, &making, signer).unwrap();
    signed.bytes().to_vec()
}

/// The key of a seed file, as the log's own signatures use it.
pub fn dalek_key(seed_file: &str) -> ed25519_dalek::SigningKey {
    let encoded = seed_file.trim().rsplit(' ').next().unwrap();
    let seed = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .unwrap();
    ed25519_dalek::SigningKey::from_bytes(&seed.try_into().unwrap())
}

/// A valid oversight decision as a submission file.
pub fn decision_json(number: u64) -> String {
    let digest = "0".repeat(64);
    format!(
        r#"{{"meta":{{"kind":"oversight_decision","subject":"sys-test-1"}},
        "record":{{"occurred_at":"2026-03-02T08:00:00Z","actor":{{"id":"p-1","role":"reviewer"}},
        "confidentiality":"INTERNAL","personal_data":false,"system":"sys-test-1",
        "system_version":"1.0","decision":"APPROVE","reviewer":"p-1","reviewer_role":"reviewer",
        "request_reference":"request-{number}","output_digest":"{digest}",
        "context_digest":"{digest}","risk_class":"HIGH",
        "justification":"test record number {number}",
        "presented_at":"2026-03-02T07:59:00Z","decided_at":"2026-03-02T08:00:00Z"}}}}"#
    )
}
