//! A small log in memory, made of fixed seeds: the same bytes on every run.

use std::fmt::Write as _;

use ed25519_dalek::SigningKey as NoteKey;

use super::{EvidenceFile, FieldLists, FileEntry, FileHead, FileRecord, Held, OtherHead, Shown};
use crate::statement::header::{Algorithm, Header, Origin as MadeBy};
use crate::statement::key::{Signature, SigningKey};
use crate::statement::receipt::HeadReceipt;
use crate::statement::{Commitment, Disclosure, Json, Salt, Statement, StatementId};
use crate::system::registry::Registry;
use crate::system::{
    Admission, FirstAdministrator, Genesis, Holder, Keys, Making, NodeEntry, NodeId as LedgerNode,
    Operator, Organization, OrganizationId, Payload, PolicyTexts, Principal, PrincipalChange,
    PrincipalId, ReceiptKey, Role, add_approval, approve_record, prove_principal_key,
    prove_receipt_key, sign_record,
};
use crate::time::{UnixMillis, UnixSeconds};
use crate::tlog::tree::NodeId;
use crate::tlog::{
    Checkpoint, ConsistencyPlan, Frontier, Hash, InclusionPlan, InclusionProof, KeyName, LeafHash,
    LeafIndex, MultiPlan, Note, Origin, Policy, TreeHead, TreeSize, VerifierKey, cosignature,
};

pub(crate) const START: u64 = 1_800_000_000;
pub(crate) const FIELDS: [&str; 3] = ["title", "grade", "note"];

pub(crate) mod seed {
    pub(crate) const OPERATOR_A: u8 = 1;
    pub(crate) const OPERATOR_B: u8 = 2;
    pub(crate) const LOG: u8 = 3;
    pub(crate) const RECEIPT: u8 = 4;
    pub(crate) const SERVICE: u8 = 5;
    pub(crate) const NEXT_LOG: u8 = 6;
    pub(crate) const NODE: u8 = 10;
    pub(crate) const WITNESS: u8 = 40;
    pub(crate) const ADMIN: u8 = 20;
    pub(crate) const REVIEWER: u8 = 21;
    pub(crate) const AGENT: u8 = 22;
    pub(crate) const OTHER_ADMIN: u8 = 30;
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(crate) fn note_key(seed: u8) -> NoteKey {
    NoteKey::from_bytes(&[seed; 32])
}

pub(crate) fn origin() -> Origin {
    Origin::new("ledger.example/test").unwrap()
}

pub(crate) fn org(id: &str) -> OrganizationId {
    OrganizationId::new(id).unwrap()
}

pub(crate) fn principal(id: &str) -> PrincipalId {
    PrincipalId::new(id).unwrap()
}

pub(crate) struct Lists;

impl FieldLists for Lists {
    fn field_list(&self, kind: &str, version: u32) -> Option<Vec<String>> {
        (kind == "finding" && version == 1).then(|| FIELDS.map(str::to_owned).to_vec())
    }
}

/// The entries of the log with the disclosures of its evidence.
pub(crate) struct World {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) disclosures: Vec<Vec<Vec<u8>>>,
    pub(crate) registry: Registry,
}

fn node_name(id: u64) -> KeyName {
    KeyName::new(format!("{}/node/{id}", origin())).unwrap()
}

pub(crate) fn node_vkey(id: u8) -> VerifierKey {
    let key = note_key(seed::NODE + id).verifying_key();
    VerifierKey::cosignature_v1(node_name(u64::from(id)), &key)
}

pub(crate) fn witness_vkey() -> VerifierKey {
    let name = KeyName::new("witness.example/w").unwrap();
    VerifierKey::cosignature_v1(name, &note_key(seed::WITNESS).verifying_key())
}

pub(crate) fn log_vkey() -> VerifierKey {
    log_vkey_of(seed::LOG)
}

/// The key of this seed, as one of the log.
pub(crate) fn log_vkey_of(seed: u8) -> VerifierKey {
    VerifierKey::ed25519(origin().key_name().clone(), &note_key(seed).verifying_key())
}

/// Two of three nodes; `trust` asks for the witness as well.
pub(crate) fn policies() -> PolicyTexts {
    let mut publish = format!("log {}\n", log_vkey());
    for id in 1..=3 {
        writeln!(publish, "witness n{id} {}", node_vkey(id)).unwrap();
    }
    publish += "group nodes 2 n1 n2 n3\n";
    let trust = format!(
        "{publish}witness w {}\ngroup all all nodes w\nquorum all\n",
        witness_vkey()
    );
    PolicyTexts {
        publish: publish + "quorum nodes\n",
        trust,
    }
}

pub(crate) fn trust() -> Policy {
    Policy::parse(policies().trust.as_bytes()).unwrap()
}

pub(crate) fn publish() -> Policy {
    Policy::parse(policies().publish.as_bytes()).unwrap()
}

pub(crate) fn making(origin: &Origin, id: u8) -> Making<'_> {
    Making {
        origin,
        issued: UnixSeconds(START),
        expires: None,
        id: StatementId::from_bytes([id; 16]),
    }
}

/// Entry 0: approved as the statement with the id 0.
pub(crate) fn genesis(operators: &[u8], required: u64) -> Genesis {
    let genesis = Genesis {
        origin: origin(),
        created: START,
        operators: operators
            .iter()
            .map(|seed| Operator {
                name: format!("op-{seed}"),
                key: key(*seed).public_key(),
            })
            .collect(),
        operators_required: required,
        nodes: (1..=3)
            .map(|id| NodeEntry {
                id: LedgerNode::new(u64::from(id)).unwrap(),
                label: format!("n{id}:7001"),
                cosigner: node_vkey(id),
            })
            .collect(),
        policy: policies(),
        log_key: log_vkey(),
        receipt_key: key(seed::RECEIPT).public_key(),
        service_key: key(seed::SERVICE).public_key(),
        level: 1,
        rule_bundle: [7; 32],
        algorithms: vec![-8],
        approvals: Vec::new(),
    };
    operators.iter().skip(1).fold(genesis, |genesis, seed| {
        let approval = approve_record(&genesis, &making(&origin(), 0), &key(*seed)).unwrap();
        add_approval(genesis, approval)
    })
}

pub(crate) fn organization(id: &str, seed: u8) -> Organization {
    let admin = principal("p-admin");
    let possession = prove_principal_key(&origin(), &org(id), &admin, &key(seed)).unwrap();
    let first = FirstAdministrator {
        administrator: admin,
        holder: Holder::new("h-admin").unwrap(),
        key: key(seed).public_key(),
        possession,
    };
    Organization::register(org(id), first)
}

pub(crate) fn admit(id: &str, seed: u8, acts_for: Option<&str>) -> Principal {
    let (organization, name) = (org("acme"), principal(id));
    let possession = prove_principal_key(&origin(), &organization, &name, &key(seed)).unwrap();
    Principal {
        organization,
        principal: name,
        change: PrincipalChange::Admit(Box::new(Admission {
            holder: Holder::new(&format!("h-{id}")).unwrap(),
            key: key(seed).public_key(),
            possession,
            roles: vec![Role::new("reviewer").unwrap()],
            acts_for: acts_for.map(principal),
        })),
    }
}

pub(crate) fn keys_record() -> Keys {
    let possession: Signature = prove_receipt_key(&origin(), &key(seed::RECEIPT)).unwrap();
    Keys {
        receipt: vec![ReceiptKey {
            key: key(seed::RECEIPT).public_key(),
            possession,
        }],
        log: Vec::new(),
        approvals: Vec::new(),
    }
}

impl World {
    /// Genesis, keys, organisation `acme`, its reviewer and its agent: five entries.
    pub(crate) fn new(operators: &[u8], required: u64) -> Self {
        let mut world = Self {
            entries: Vec::new(),
            disclosures: Vec::new(),
            registry: Registry::new(),
        };
        world.system(&genesis(operators, required), operators[0]);
        world.system(&keys_record(), seed::SERVICE);
        world.system(&organization("acme", seed::ADMIN), operators[0]);
        world.system(&admit("p-reviewer", seed::REVIEWER, None), seed::ADMIN);
        world.system(
            &admit("p-agent", seed::AGENT, Some("p-reviewer")),
            seed::ADMIN,
        );
        world
    }

    pub(crate) fn standard() -> Self {
        let mut world = Self::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
        for number in 0..4 {
            world.finding(number, seed::REVIEWER);
        }
        world
    }

    /// Signs and appends a system record that the registry accepts.
    pub(crate) fn system(&mut self, record: &impl Payload, signer: u8) -> LeafIndex {
        let origin = origin();
        let id = u8::try_from(self.entries.len()).unwrap();
        let statement = sign_record(record, &making(&origin, id), &key(signer)).unwrap();
        let index = LeafIndex(self.entries.len() as u64);
        let unverified = statement.into_unverified();
        self.registry.apply(index, &unverified).unwrap();
        self.push(unverified.bytes().to_vec(), Vec::new())
    }

    /// The same by two operators: the second approves, the first signs.
    pub(crate) fn agreed(
        &mut self,
        record: impl Payload,
        (signer, approver): (u8, u8),
    ) -> LeafIndex {
        let origin = origin();
        let id = u8::try_from(self.entries.len()).unwrap();
        let approval = approve_record(&record, &making(&origin, id), &key(approver)).unwrap();
        self.system(&add_approval(record, approval), signer)
    }

    /// Signs and appends a system record, whatever the registry says of it.
    pub(crate) fn unchecked(&mut self, record: &impl Payload, signer: u8) -> LeafIndex {
        let id = u8::try_from(self.entries.len()).unwrap();
        let statement = sign_record(record, &making(&origin(), id), &key(signer)).unwrap();
        self.push(statement.bytes().to_vec(), Vec::new())
    }

    /// Appends an entry, whatever it is.
    pub(crate) fn push(&mut self, entry: Vec<u8>, disclosures: Vec<Vec<u8>>) -> LeafIndex {
        self.entries.push(entry);
        self.disclosures.push(disclosures);
        LeafIndex(self.entries.len() as u64 - 1)
    }

    /// Appends a finding signed with the key of this seed, as one of `acme`.
    pub(crate) fn finding(&mut self, number: u8, signer: u8) -> LeafIndex {
        let (statement, disclosures) = finding(number, signer);
        self.push(statement.bytes().to_vec(), disclosures)
    }

    fn leaves(&self, size: u64) -> Vec<LeafHash> {
        let size = usize::try_from(size).unwrap();
        self.entries[..size]
            .iter()
            .map(|entry| LeafHash::of(entry))
            .collect()
    }

    pub(crate) fn head(&self, size: u64) -> TreeHead {
        let mut frontier = Frontier::EMPTY;
        for leaf in self.leaves(size) {
            frontier.push(leaf).unwrap();
        }
        frontier.head()
    }

    fn node(&self, node: NodeId) -> Hash {
        match node.children() {
            Some((left, right)) => Hash::node(&self.node(left), &self.node(right)),
            None => LeafHash::of(&self.entries[usize::try_from(node.index()).unwrap()]).hash(),
        }
    }

    fn nodes(&self, nodes: &[NodeId]) -> Vec<Hash> {
        nodes.iter().map(|node| self.node(*node)).collect()
    }

    /// The note at a size, cosigned by these seeds, one second apart from `time` on.
    pub(crate) fn checkpoint(&self, size: u64, time: u64, cosigners: &[u8]) -> Note {
        self.checkpoint_by(&[seed::LOG], (size, time), cosigners)
    }

    /// The same, signed by these keys of the log, a line for each.
    pub(crate) fn checkpoint_by(
        &self,
        logs: &[u8],
        (size, time): (u64, u64),
        cosigners: &[u8],
    ) -> Note {
        let checkpoint = Checkpoint::new(origin(), self.head(size));
        let mut note = Note::new(checkpoint.to_string()).unwrap();
        for seed in logs {
            let line = crate::tlog::note::sign(note.text(), origin().key_name(), &note_key(*seed));
            note.add(line).unwrap();
        }
        for (position, seed) in cosigners.iter().enumerate() {
            let name = if *seed == seed::WITNESS {
                witness_vkey().name().clone()
            } else {
                node_name(u64::from(seed - seed::NODE))
            };
            let time = UnixSeconds(time + position as u64);
            let line = cosignature::sign(note.text(), time, &name, &note_key(*seed));
            note.add(line.unwrap()).unwrap();
        }
        note
    }

    /// Cosigned by nodes 1 and 2 and the witness.
    pub(crate) fn full_checkpoint(&self, size: u64, time: u64) -> String {
        let cosigners = [seed::NODE + 1, seed::NODE + 2, seed::WITNESS];
        self.checkpoint(size, time, &cosigners).to_string()
    }

    pub(crate) fn receipt(&self, size: u64, time: u64) -> HeadReceipt {
        let root = self.head(size).root;
        HeadReceipt::sign(&key(seed::RECEIPT), &origin(), &root, UnixSeconds(time)).unwrap()
    }

    pub(crate) fn inclusion(&self, index: LeafIndex, size: u64) -> InclusionProof {
        let plan = InclusionPlan::new(index, TreeSize(size)).unwrap();
        plan.build(&self.nodes(plan.nodes())).unwrap()
    }

    pub(crate) fn other_head(&self, size: u64, time: u64) -> OtherHead {
        let now = TreeSize(self.entries.len() as u64);
        let plan = ConsistencyPlan::new(TreeSize(size), now).unwrap();
        let proof = plan.build(&self.nodes(plan.nodes())).unwrap();
        OtherHead {
            checkpoint: self.full_checkpoint(size, time),
            consistency: proof.hashes().to_vec(),
        }
    }

    pub(crate) fn record(&self, index: u64, shown: Shown<'_>) -> FileRecord {
        let at = usize::try_from(index).unwrap();
        let held = Held {
            index: LeafIndex(index),
            statement: &self.entries[at],
            disclosures: &self.disclosures[at],
            registered_at: Some(UnixMillis((START + 50) * 1000)),
            register_number: Some(index - 4),
        };
        FileRecord::show(&held, shown).unwrap()
    }

    /// The file of these records with the chain at these positions, under the newest head.
    pub(crate) fn file_with(&self, records: Vec<FileRecord>, chain: &[u64]) -> EvidenceFile {
        let size = self.entries.len() as u64;
        let chain = chain.iter().map(|index| FileEntry {
            index: LeafIndex(*index),
            statement: self.entries[usize::try_from(*index).unwrap()].clone(),
        });
        let mut file = EvidenceFile {
            origin: origin(),
            head: FileHead {
                checkpoint: self.full_checkpoint(size, START + 100),
                receipt: self.receipt(size, START + 100),
            },
            records,
            chain: chain.collect(),
            proof: Vec::new(),
            heads: Vec::new(),
            policy_steps: Vec::new(),
        };
        let plan = MultiPlan::new(file.indices(), TreeSize(size)).unwrap();
        file.proof = plan
            .build(&self.nodes(plan.nodes()))
            .unwrap()
            .hashes()
            .to_vec();
        file
    }

    /// Records 5 (all fields), 6 (fields 0 and 2) and 8 (none), bracketed by the head of size 5.
    pub(crate) fn file(&self) -> EvidenceFile {
        let records = vec![
            self.record(5, Shown::All),
            self.record(6, Shown::Only(&[0, 2])),
            self.record(8, Shown::Only(&[1])),
        ];
        let mut file = self.file_with(records, &[0, 1, 2, 3]);
        file.heads = vec![
            self.other_head(5, START + 10),
            self.other_head(7, START + 60),
        ];
        file
    }
}

/// A finding of `acme` and its disclosures.
pub(crate) fn finding(number: u8, signer: u8) -> (Statement, Vec<Vec<u8>>) {
    let values = [
        Json::Text(format!("finding {number}")),
        Json::Text("MINOR".to_owned()),
        Json::Null,
    ];
    let disclosures: Vec<Disclosure> = FIELDS
        .iter()
        .zip(values)
        .enumerate()
        .map(|(field, (name, value))| {
            let salt = Salt::new(&[number, u8::try_from(field).unwrap()].repeat(8)).unwrap();
            Disclosure::new(&salt, name, &value).unwrap()
        })
        .collect();
    let leaves: Vec<_> = disclosures.iter().map(Disclosure::leaf_hash).collect();
    let payload = Commitment::build(&leaves).unwrap().encode();
    let header = finding_header(number, signer);
    let statement = crate::statement::statement::sign(&header, &payload, &key(signer)).unwrap();
    (
        statement,
        disclosures
            .iter()
            .map(|disclosure| disclosure.bytes().to_vec())
            .collect(),
    )
}

pub(crate) fn finding_header(number: u8, signer: u8) -> Header {
    let agent = signer == seed::AGENT;
    Header {
        algorithm: Algorithm::EdDsa,
        content_type: crate::statement::header::ContentType::parse(
            "application/vnd.aimslog.finding.v1+json",
        )
        .unwrap(),
        key: key(signer).public_key().thumbprint(),
        issuer: format!("https://{}/o/acme", origin()),
        subject: "urn:aimslog:acme:system:sys-1".to_owned(),
        audience: origin().to_string(),
        expires: Some(UnixSeconds(START + 604_800)),
        issued: UnixSeconds(START + 40),
        id: StatementId::from_bytes([100 + number; 16]),
        rules: Some([7; 32]),
        catalogues: Vec::new(),
        revision: None,
        transition: None,
        links: Vec::new(),
        origin: Some(if agent {
            MadeBy::AiAgent
        } else {
            MadeBy::Person
        }),
        on_behalf_of: agent.then(|| "p-reviewer".to_owned()),
        controls: Vec::new(),
    }
}
