//! The ledger of the worked examples: six entries, made of fixed seeds and times.

use aimslog_proto::statement::header::{
    Algorithm, ContentType, ControlRef, Header, Link, Origin as MadeBy,
};
use aimslog_proto::statement::key::{Signature, SigningKey};
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::statement::{Commitment, Disclosure, EntryId, Json, Salt, Statement};
use aimslog_proto::statement::{StatementId, statement};
use aimslog_proto::system::{
    Admission, FirstAdministrator, Genesis, Grant, Holder, Keys, LogKey, Making, NewKey, NodeEntry,
    NodeId as LedgerNode, Operator, Organization, OrganizationId, Payload, PolicyTexts, Principal,
    PrincipalChange, PrincipalId, ReceiptKey, Role, add_approval, approve_record, prove_log_key,
    prove_node_key, prove_operator_key, prove_principal_key, prove_read_key, prove_receipt_key,
    sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::tree::NodeId;
use aimslog_proto::tlog::{
    Checkpoint, Frontier, Hash, KeyName, LeafHash, Note, Origin, Policy, TreeHead, VerifierKey,
    cosignature,
};

pub(crate) const TIME: u64 = 1_800_000_000;
pub(crate) const FIELDS: [&str; 3] = ["title", "grade", "note"];

/// Seeds: every byte of a seed is this number.
pub(crate) const OPERATORS: [u8; 2] = [1, 2];
pub(crate) const LOG: u8 = 3;
pub(crate) const RECEIPT: u8 = 4;
pub(crate) const SERVICE: u8 = 5;
pub(crate) const NODE: u8 = 10;
pub(crate) const ADMIN: u8 = 20;
pub(crate) const REVIEWER: u8 = 21;
pub(crate) const NEXT: u8 = 22;
pub(crate) const READS: u8 = 23;
pub(crate) const LATER_OPERATOR: u8 = 25;
pub(crate) const NEXT_LOG: u8 = 24;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(crate) fn note_key(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn origin() -> Origin {
    Origin::new("ledger.example.com/aims1").unwrap()
}

pub(crate) fn log_vkey() -> VerifierKey {
    let key = note_key(LOG).verifying_key();
    VerifierKey::ed25519(origin().key_name().clone(), &key)
}

pub(crate) fn node_name(id: u8) -> KeyName {
    KeyName::new(format!("{}/node/{id}", origin())).unwrap()
}

pub(crate) fn node_vkey(id: u8) -> VerifierKey {
    VerifierKey::cosignature_v1(node_name(id), &note_key(NODE + id).verifying_key())
}

pub(crate) fn policy() -> Policy {
    Policy::threshold(&log_vkey(), &[1, 2, 3].map(node_vkey), 2).unwrap()
}

pub(crate) fn texts() -> PolicyTexts {
    let text = String::from_utf8(policy().as_bytes().to_vec()).unwrap();
    PolicyTexts {
        publish: text.clone(),
        trust: text,
    }
}

pub(crate) fn genesis() -> Genesis {
    let nodes = (1..=3).map(|id| NodeEntry {
        id: LedgerNode::new(u64::from(id)).unwrap(),
        label: format!("n{id}.example.com:7001"),
        cosigner: node_vkey(id),
    });
    let genesis = Genesis {
        origin: origin(),
        created: TIME,
        operators: OPERATORS
            .iter()
            .map(|seed| Operator {
                name: format!("operator-{seed}"),
                key: key(*seed).public_key(),
            })
            .collect(),
        operators_required: 2,
        nodes: nodes.collect(),
        policy: texts(),
        log_key: log_vkey(),
        receipt_key: key(RECEIPT).public_key(),
        service_key: key(SERVICE).public_key(),
        level: 1,
        rule_bundle: [7; 32],
        algorithms: vec![-8],
        approvals: Vec::new(),
    };
    let approval = approve_record(&genesis, &making(&origin(), 0), &key(OPERATORS[1])).unwrap();
    add_approval(genesis, approval)
}

pub(crate) fn keys() -> Keys {
    Keys {
        receipt: vec![ReceiptKey {
            key: key(RECEIPT).public_key(),
            possession: prove_receipt_key(&origin(), &key(RECEIPT)).unwrap(),
        }],
        log: Vec::new(),
        approvals: Vec::new(),
    }
}

/// Names the log key of genesis and the next one.
pub(crate) fn log_keys() -> Keys {
    let log = |seed: u8| LogKey {
        key: key(seed).public_key(),
        possession: prove_log_key(&origin(), &key(seed)).unwrap(),
    };
    Keys {
        receipt: Vec::new(),
        log: vec![log(LOG), log(NEXT_LOG)],
        approvals: Vec::new(),
    }
}

pub(crate) fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

pub(crate) fn organization() -> Organization {
    let administrator = PrincipalId::new("p-1").unwrap();
    let possession = prove_principal_key(&origin(), &acme(), &administrator, &key(ADMIN)).unwrap();
    let first = FirstAdministrator {
        administrator,
        holder: Holder::new("h-1").unwrap(),
        key: key(ADMIN).public_key(),
        possession,
    };
    Organization::register(acme(), first)
}

/// The next key of the reviewer.
pub(crate) fn next_key() -> NewKey {
    let principal = PrincipalId::new("p-2").unwrap();
    NewKey {
        key: key(NEXT).public_key(),
        possession: prove_principal_key(&origin(), &acme(), &principal, &key(NEXT)).unwrap(),
    }
}

/// The key of a later operator, `operator-3`.
pub(crate) fn operator_key() -> NewKey {
    NewKey {
        key: key(LATER_OPERATOR).public_key(),
        possession: prove_operator_key(&origin(), "operator-3", &key(LATER_OPERATOR)).unwrap(),
    }
}

/// The key for reading of the reviewer.
pub(crate) fn read_key() -> NewKey {
    let principal = PrincipalId::new("p-2").unwrap();
    NewKey {
        key: key(READS).public_key(),
        possession: prove_read_key(&origin(), &acme(), &principal, &key(READS)).unwrap(),
    }
}

/// What a certification body may read for 30 days.
pub(crate) fn grant() -> Grant {
    Grant {
        body: OrganizationId::new("certifier").unwrap(),
        kinds: Some(vec!["finding".to_owned(), "internal_audit".to_owned()]),
        subjects: Some(vec!["urn:aimslog:acme:system:sys-7f3a".to_owned()]),
        fields: None,
        claimed_from: Some(UnixSeconds(TIME)),
        claimed_to: None,
        valid_from: UnixSeconds(TIME + 86_400),
        valid_to: UnixSeconds(TIME + 30 * 86_400),
    }
}

/// Another cosigner key of this node.
pub(crate) fn other_vkey(id: u8) -> VerifierKey {
    let key = note_key(NODE + 50 + id).verifying_key();
    VerifierKey::cosignature_v1(node_name(id), &key)
}

/// By that key.
pub(crate) fn other_possession(id: u8) -> Signature {
    let node = LedgerNode::new(u64::from(id)).unwrap();
    prove_node_key(&origin(), node, &key(NODE + 50 + id)).unwrap()
}

pub(crate) fn principal() -> Principal {
    let principal = PrincipalId::new("p-2").unwrap();
    let possession = prove_principal_key(&origin(), &acme(), &principal, &key(REVIEWER)).unwrap();
    Principal {
        organization: acme(),
        principal,
        change: PrincipalChange::Admit(Box::new(Admission {
            holder: Holder::new("h-2").unwrap(),
            key: key(REVIEWER).public_key(),
            possession,
            roles: vec![Role::new("reviewer").unwrap()],
            acts_for: None,
        })),
    }
}

pub(crate) fn disclosures() -> Vec<Disclosure> {
    let values = [
        Json::Text("Log \u{fc}ber \"A\"".to_owned()),
        Json::Object(vec![
            ("level".to_owned(), Json::Integer(2)),
            ("open".to_owned(), Json::Bool(true)),
        ]),
        Json::Null,
    ];
    let fields = FIELDS.iter().zip(values).zip(1_u8..);
    fields
        .map(|((name, value), salt)| {
            Disclosure::new(&Salt::new(&[salt; 16]).unwrap(), name, &value).unwrap()
        })
        .collect()
}

pub(crate) fn leaves() -> Vec<LeafHash> {
    disclosures().iter().map(Disclosure::leaf_hash).collect()
}

pub(crate) fn commitment() -> Vec<u8> {
    Commitment::build(&leaves()).unwrap().encode()
}

pub(crate) fn header() -> Header {
    Header {
        algorithm: Algorithm::EdDsa,
        content_type: ContentType::parse("application/vnd.aimslog.example.v1+json").unwrap(),
        key: key(REVIEWER).public_key().thumbprint(),
        issuer: format!("https://{}/o/acme", origin()),
        subject: "urn:aimslog:acme:system:sys-7f3a".to_owned(),
        audience: origin().to_string(),
        expires: Some(UnixSeconds(TIME + 604_800)),
        issued: UnixSeconds(TIME + 40),
        id: StatementId::from_bytes([0xc1; 16]),
        rules: Some([7; 32]),
        catalogues: Vec::new(),
        revision: None,
        transition: Some("open".to_owned()),
        links: vec![Link {
            relation: "follows".to_owned(),
            target: EntryId::from_bytes([0xe1; 32]),
            origin: None,
        }],
        origin: Some(MadeBy::Person),
        on_behalf_of: None,
        controls: vec![ControlRef {
            scheme: "iso42001-2023".to_owned(),
            id: "A.9.2".to_owned(),
        }],
    }
}

pub(crate) fn evidence() -> Statement {
    statement::sign(&header(), &commitment(), &key(REVIEWER)).unwrap()
}

/// The same fields once more, under another id.
fn second_evidence() -> Statement {
    let header = Header {
        id: StatementId::from_bytes([0xc2; 16]),
        ..header()
    };
    statement::sign(&header, &commitment(), &key(REVIEWER)).unwrap()
}

fn making(origin: &Origin, id: u8) -> Making<'_> {
    Making {
        origin,
        issued: UnixSeconds(TIME),
        expires: None,
        id: StatementId::from_bytes([id; 16]),
    }
}

pub(crate) fn system(record: &impl Payload, signer: u8, id: u8) -> Vec<u8> {
    let origin = origin();
    let statement = sign_record(record, &making(&origin, id), &key(signer)).unwrap();
    statement.bytes().to_vec()
}

/// Genesis, keys, organisation, principal, evidence twice.
pub(crate) fn entries() -> Vec<Vec<u8>> {
    vec![
        system(&genesis(), OPERATORS[0], 0),
        system(&keys(), SERVICE, 1),
        system(&organization(), OPERATORS[0], 2),
        system(&principal(), ADMIN, 3),
        evidence().bytes().to_vec(),
        second_evidence().bytes().to_vec(),
    ]
}

pub(crate) fn head(entries: &[Vec<u8>]) -> TreeHead {
    let mut frontier = Frontier::EMPTY;
    for entry in entries {
        frontier.push(LeafHash::of(entry)).unwrap();
    }
    frontier.head()
}

/// The hashes that a plan asks for, computed from the entries.
pub(crate) fn nodes(entries: &[Vec<u8>], wanted: &[NodeId]) -> Vec<Hash> {
    fn node(entries: &[Vec<u8>], id: NodeId) -> Hash {
        match id.children() {
            Some((left, right)) => Hash::node(&node(entries, left), &node(entries, right)),
            None => LeafHash::of(&entries[usize::try_from(id.index()).unwrap()]).hash(),
        }
    }
    wanted.iter().map(|id| node(entries, *id)).collect()
}

/// Signed by the log, cosigned by nodes 1 and 2.
pub(crate) fn checkpoint(entries: &[Vec<u8>]) -> Note {
    let checkpoint = Checkpoint::new(origin(), head(entries));
    let mut note = checkpoint.sign(&note_key(LOG)).unwrap();
    for id in [1, 2] {
        let time = UnixSeconds(TIME + 100 + u64::from(id));
        let line = cosignature::sign(note.text(), time, &node_name(id), &note_key(NODE + id));
        note.add(line.unwrap()).unwrap();
    }
    note
}

pub(crate) fn receipt(entries: &[Vec<u8>]) -> HeadReceipt {
    let root = head(entries).root;
    HeadReceipt::sign(&key(RECEIPT), &origin(), &root, UnixSeconds(TIME + 100)).unwrap()
}
