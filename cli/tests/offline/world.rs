//! A log of four entries with fixed keys: genesis, receipt key, an organisation, and one record of
//! the demo, under one cosigned head; and the evidence file of the record.

use std::sync::Arc;

use aimslog_client::author::{Author, Identity, Surroundings};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::parse_file;
use aimslog_proto::statement::evidence::{
    EvidenceFile, FileEntry, FileHead, FileRecord, Held, Shown,
};
use aimslog_proto::statement::header::Origin as Maker;
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::system::{
    FirstAdministrator, Genesis, Holder, Keys, Making, NodeEntry, NodeId, Operator, Organization,
    OrganizationId, Payload, PolicyTexts, PrincipalId, ReceiptKey, add_approval, approve_record,
    prove_principal_key, prove_receipt_key, sign_record,
};
use aimslog_proto::time::{UnixMillis, UnixSeconds};
use aimslog_proto::tlog::{
    Checkpoint, Frontier, KeyName, LeafHash, LeafIndex, Origin, VerifierKey, cosignature,
};
use ed25519_dalek::SigningKey as NoteKey;

const ORIGIN: &str = "ledger.example.com/offline";
const START: u64 = 1_760_000_000;
const RECORDS: &[u8] = include_bytes!("../../demo/01-inventory.jsonl");

/// What an auditor has.
pub(crate) struct World {
    /// The policy file.
    pub(crate) policy: String,
    /// The evidence file.
    pub(crate) evidence: String,
    /// The head alone.
    pub(crate) checkpoint: String,
}

struct Keyring {
    operators: [SigningKey; 2],
    service: SigningKey,
    receipt: SigningKey,
    administrator: SigningKey,
    log: NoteKey,
    node: NoteKey,
    witness: NoteKey,
}

impl Keyring {
    fn new() -> Self {
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]);
        let note = |seed: u8| NoteKey::from_bytes(&[seed; 32]);
        Self {
            operators: [key(1), key(2)],
            service: key(3),
            receipt: key(4),
            administrator: key(5),
            log: note(6),
            node: note(7),
            witness: note(8),
        }
    }

    fn log_vkey(&self) -> VerifierKey {
        VerifierKey::ed25519(name(ORIGIN), &self.log.verifying_key())
    }

    fn node_vkey(&self) -> VerifierKey {
        let node = name(&format!("{ORIGIN}/node/1"));
        VerifierKey::cosignature_v1(node, &self.node.verifying_key())
    }

    fn witness_vkey(&self) -> VerifierKey {
        VerifierKey::cosignature_v1(name("witness.example/w"), &self.witness.verifying_key())
    }

    /// The node for every head, and the witness as well for those who verify.
    fn policies(&self) -> PolicyTexts {
        let nodes = format!("log {}\nwitness n1 {}\n", self.log_vkey(), self.node_vkey());
        PolicyTexts {
            trust: format!(
                "{nodes}witness w {}\ngroup both all n1 w\nquorum both\n",
                self.witness_vkey()
            ),
            publish: nodes + "quorum n1\n",
        }
    }
}

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

fn origin() -> Origin {
    Origin::new(ORIGIN).unwrap()
}

fn making(origin: &Origin, id: u8) -> Making<'_> {
    Making {
        origin,
        issued: UnixSeconds(START),
        expires: None,
        id: StatementId::from_bytes([id; 16]),
    }
}

fn signed(record: &impl Payload, id: u8, key: &SigningKey) -> Vec<u8> {
    let origin = origin();
    let statement = sign_record(record, &making(&origin, id), key).unwrap();
    statement.bytes().to_vec()
}

fn genesis(keys: &Keyring) -> Vec<u8> {
    let operator = |(number, key): (usize, &SigningKey)| Operator {
        name: format!("operator-{number}"),
        key: key.public_key(),
    };
    let record = Genesis {
        origin: origin(),
        created: START,
        operators: keys.operators.iter().enumerate().map(operator).collect(),
        operators_required: 2,
        nodes: vec![NodeEntry {
            id: NodeId::new(1).unwrap(),
            label: "n1:7000".to_owned(),
            cosigner: keys.node_vkey(),
        }],
        policy: keys.policies(),
        log_key: keys.log_vkey(),
        receipt_key: keys.receipt.public_key(),
        service_key: keys.service.public_key(),
        level: 1,
        rule_bundle: RuleBundle::v1().digest().0,
        algorithms: vec![-8],
        approvals: Vec::new(),
    };
    let [first, second] = &keys.operators;
    let approval = approve_record(&record, &making(&origin(), 0), second).unwrap();
    signed(&add_approval(record, approval), 0, first)
}

fn receipt_key(keys: &Keyring) -> Vec<u8> {
    let record = Keys {
        receipt: vec![ReceiptKey {
            key: keys.receipt.public_key(),
            possession: prove_receipt_key(&origin(), &keys.receipt).unwrap(),
        }],
        log: Vec::new(),
        approvals: Vec::new(),
    };
    signed(&record, 1, &keys.service)
}

fn organization(keys: &Keyring) -> Vec<u8> {
    let organization = OrganizationId::new("hospital").unwrap();
    let administrator = PrincipalId::new("admin-1").unwrap();
    let key = &keys.administrator;
    let possession = prove_principal_key(&origin(), &organization, &administrator, key);
    let first = FirstAdministrator {
        administrator,
        holder: Holder::new("holder-1").unwrap(),
        key: key.public_key(),
        possession: possession.unwrap(),
    };
    let record = Organization::register(organization, first);
    let [operator, _] = &keys.operators;
    signed(&record, 2, operator)
}

/// The first record of the demo, signed by the administrator: statement and disclosures.
fn record() -> (Vec<u8>, Vec<Vec<u8>>) {
    let submission = parse_file(RuleBundle::v1(), RECORDS)
        .swap_remove(0)
        .unwrap();
    let author = Author {
        key: Arc::new(SigningKey::from_seed(&[5; 32])),
        organization: "hospital".to_owned(),
        service_id: ORIGIN.to_owned(),
        origin: Maker::Person,
        on_behalf_of: None,
    };
    let mut salts = 0_u8;
    let mut salt = || {
        salts += 1;
        [salts; 16]
    };
    let mut surroundings = Surroundings {
        now: UnixSeconds(START),
        salt: &mut salt,
        resolve: &|_| None,
    };
    let finished = author.finish(&submission, Identity::OfRecord, &mut surroundings);
    let finished = finished.unwrap();
    (finished.statement, finished.disclosures)
}

impl World {
    pub(crate) fn new() -> Self {
        let keys = Keyring::new();
        let (statement, disclosures) = record();
        let chain = [genesis(&keys), receipt_key(&keys), organization(&keys)];
        let mut frontier = Frontier::EMPTY;
        for entry in chain.iter().chain([&statement]) {
            frontier.push(LeafHash::of(entry)).unwrap();
        }
        let head = frontier.head();
        let mut note = Checkpoint::new(origin(), head).sign(&keys.log).unwrap();
        for (vkey, key) in [
            (keys.node_vkey(), &keys.node),
            (keys.witness_vkey(), &keys.witness),
        ] {
            let time = UnixSeconds(START + 60);
            let line = cosignature::sign(note.text(), time, vkey.name(), key).unwrap();
            note.add(line).unwrap();
        }
        let checkpoint = note.to_string();
        let time = UnixSeconds(START + 60);
        let receipt = HeadReceipt::sign(&keys.receipt, &origin(), &head.root, time).unwrap();
        let held = Held {
            index: LeafIndex(3),
            statement: &statement,
            disclosures: &disclosures,
            registered_at: Some(UnixMillis((START + 1) * 1000)),
            register_number: Some(1),
        };
        let entries = (0..).zip(chain).map(|(index, statement)| FileEntry {
            index: LeafIndex(index),
            statement,
        });
        let file = EvidenceFile {
            origin: origin(),
            head: FileHead {
                checkpoint: checkpoint.clone(),
                receipt,
            },
            records: vec![FileRecord::show(&held, Shown::All).unwrap()],
            chain: entries.collect(),
            // All leaves are in the file: nothing is left to be proven by hashes.
            proof: Vec::new(),
            heads: Vec::new(),
            policy_steps: Vec::new(),
        };
        Self {
            policy: keys.policies().trust,
            evidence: file.print().unwrap(),
            checkpoint,
        }
    }
}
