//! What the tests of this module share: a small ledger whose keys come from fixed seeds.

pub(crate) mod plan;

use std::{fmt::Write, sync::Arc};

use aimslog_proto::{
    aims::bundle::RuleBundle,
    statement::{
        Commitment, EntryId, Header, Statement, StatementId,
        header::{Algorithm, ContentType, Family, Issuer, Origin as MadeBy},
        key::{PublicKey, SigningKey},
        receipt::HeadReceipt,
        statement::sign,
    },
    system::{
        Admission, Engagement, EngagementChange, EngagementId, FirstAdministrator, Genesis, Holder,
        Keys, LogKey, Making, NewKey, NodeEntry, NodeId, Operator, Organization,
        OrganizationChange, OrganizationId, Payload, PolicyChange, PolicyTexts, Principal,
        PrincipalChange, PrincipalId, ReceiptKey, RevocationReason, Role, RoleChange, RoleRecord,
        add_approval, approve_record, prove_log_key, prove_principal_key, prove_receipt_key,
        registry::Registry, sign_record,
    },
    time::UnixSeconds,
    tlog::{
        Checkpoint, Hash, KeyName, LeafHash, Note, Origin, Policy, RootHash, TreeHead, VerifierKey,
        cosignature, note,
    },
};
use bytes::Bytes;

use super::{
    apply::{ApplyError, State, apply},
    command::{self, Batch, Command, Item, Publish},
    outcome::{ItemOutcome, Outcome},
    row::Core,
    state::{MemoryRows, Overlay, TypedRows},
};
use crate::raft::Position;

pub(crate) mod counting;
pub(crate) mod log;

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Registration time of genesis, milliseconds.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// The keys and names of a test ledger.
pub(crate) struct World {
    pub(crate) origin: Origin,
    pub(crate) operators: [SigningKey; 2],
    pub(crate) service: SigningKey,
    pub(crate) receipt: SigningKey,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn dalek(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

const GENESIS_ID: u8 = 1;
pub(crate) const LOG_SEED: u8 = 40;
/// Nodes 1 to 3 are there from genesis on; node 4 takes part in [`World::policy`] alone.
const NODE_SEEDS: [u8; 4] = [41, 42, 43, 44];

impl World {
    pub(crate) fn new() -> Self {
        Self {
            origin: Origin::new("ledger.example.com/test").unwrap(),
            operators: [key(1), key(2)],
            service: key(3),
            receipt: key(4),
        }
    }

    fn making(&self, id: u8) -> Making<'_> {
        Making {
            origin: &self.origin,
            issued: UnixSeconds(START_MS / 1000),
            expires: Some(UnixSeconds(START_MS / 1000 + 3_600)),
            id: StatementId::from_bytes([id; 16]),
        }
    }

    fn node_name(&self, place: usize) -> KeyName {
        KeyName::new(format!("{}/node/{}", self.origin, place + 1)).unwrap()
    }

    fn log_key(&self) -> VerifierKey {
        key(LOG_SEED).public_key().to_log_key(&self.origin)
    }

    /// The policy of genesis with the log key of another seed.
    pub(crate) fn policy_with_log_key(&self, seed: u8) -> PolicyTexts {
        let [before, after] = [LOG_SEED, seed].map(|seed| {
            let key = key(seed).public_key().to_log_key(&self.origin);
            key.to_string()
        });
        let texts = self.policy([0, 1, 2]);
        PolicyTexts {
            publish: texts.publish.replace(&before, &after),
            trust: texts.trust.replace(&before, &after),
        }
    }

    /// Both operators name the log keys of these seeds, and no others; unique by `id`.
    pub(crate) fn log_keys(&self, seeds: &[u8], id: u8) -> Bytes {
        let named = |seed: &u8| LogKey {
            key: key(*seed).public_key(),
            possession: prove_log_key(&self.origin, &key(*seed)).unwrap(),
        };
        let record = Keys {
            receipt: Vec::new(),
            log: seeds.iter().map(named).collect(),
            approvals: Vec::new(),
        };
        let approval = approve_record(&record, &self.making(id), &self.operators[1]).unwrap();
        self.record(&add_approval(record, approval), id, &self.operators[0])
    }

    fn cosigner(&self, place: usize) -> VerifierKey {
        let key = dalek(NODE_SEEDS[place]).verifying_key();
        VerifierKey::cosignature_v1(self.node_name(place), &key)
    }

    /// Two of the nodes at these places, counted from 0. Genesis has `[0, 1, 2]`.
    pub(crate) fn policy(&self, places: [usize; 3]) -> PolicyTexts {
        self.two_of(&places.map(|place| self.cosigner(place)))
    }

    fn two_of(&self, cosigners: &[VerifierKey]) -> PolicyTexts {
        let policy = Policy::threshold(&self.log_key(), cosigners, 2).unwrap();
        let policy = String::from_utf8(policy.as_bytes().to_vec()).unwrap();
        PolicyTexts {
            publish: policy.clone(),
            trust: policy,
        }
    }

    /// Two of three cosigners that this ledger never had.
    pub(crate) fn policy_of_strangers(&self) -> PolicyTexts {
        let cosigners = [91, 92, 93].map(|seed| {
            let name = KeyName::new(format!("{}/node/{seed}", self.origin)).unwrap();
            VerifierKey::cosignature_v1(name, &dalek(seed).verifying_key())
        });
        self.two_of(&cosigners)
    }

    /// Both operators put `texts` in force after `before`.
    pub(crate) fn policy_change(&self, before: &PolicyTexts, texts: PolicyTexts) -> Bytes {
        let change = PolicyChange {
            predecessor: before.digest(),
            texts,
            approvals: Vec::new(),
        };
        let id = change.texts.digest()[0];
        let approval = approve_record(&change, &self.making(id), &self.operators[1]).unwrap();
        let change = add_approval(change, approval);
        self.record(&change, id, &self.operators[0])
    }

    fn genesis_record(&self) -> Genesis {
        let cosigners: Vec<VerifierKey> = (0..3).map(|place| self.cosigner(place)).collect();
        let nodes = (1..).zip(cosigners).map(|(id, cosigner)| NodeEntry {
            id: NodeId::new(id).unwrap(),
            label: format!("n{id}"),
            cosigner,
        });
        let operators = [
            ("first", &self.operators[0]),
            ("second", &self.operators[1]),
        ];
        let record = Genesis {
            origin: self.origin.clone(),
            created: START_MS / 1000,
            operators: operators
                .map(|(name, key)| Operator {
                    name: name.to_owned(),
                    key: key.public_key(),
                })
                .to_vec(),
            operators_required: 2,
            nodes: nodes.collect(),
            policy: self.policy([0, 1, 2]),
            log_key: self.log_key(),
            receipt_key: self.receipt.public_key(),
            service_key: self.service.public_key(),
            level: 1,
            rule_bundle: RuleBundle::v1().digest().0,
            algorithms: vec![-8],
            approvals: Vec::new(),
        };
        let making = self.making(GENESIS_ID);
        let approval = approve_record(&record, &making, &self.operators[1]).unwrap();
        add_approval(record, approval)
    }

    pub(crate) fn genesis(&self) -> command::Genesis {
        let possession = prove_receipt_key(&self.origin, &self.receipt).unwrap();
        let keys = Keys {
            receipt: vec![ReceiptKey {
                key: self.receipt.public_key(),
                possession,
            }],
            log: Vec::new(),
            approvals: Vec::new(),
        };
        command::Genesis {
            time_ms: START_MS,
            genesis: self.record(&self.genesis_record(), GENESIS_ID, &self.operators[0]),
            keys: self.record(&keys, 2, &self.service),
        }
    }

    fn record<P: Payload>(&self, record: &P, id: u8, signer: &SigningKey) -> Bytes {
        let statement = sign_record(record, &self.making(id), signer).unwrap();
        Bytes::copy_from_slice(statement.bytes())
    }

    /// Registers an organisation whose administrator `boss` has the key of `seed`.
    pub(crate) fn organization(&self, name: &str, seed: u8) -> Bytes {
        let organization = OrganizationId::new(name).unwrap();
        let administrator = PrincipalId::new("boss").unwrap();
        let signer = key(seed);
        let first = FirstAdministrator {
            possession: prove_principal_key(&self.origin, &organization, &administrator, &signer)
                .unwrap(),
            administrator,
            holder: Holder::new("holder-1").unwrap(),
            key: signer.public_key(),
        };
        let record = Organization::register(organization, first);
        self.record(&record, seed, &self.operators[0])
    }

    /// The organisation `acme` (administrator's key from seed 10) and its principal `worker` (seed 11),
    /// in every role that the kinds ask for.
    pub(crate) fn acme(&self) -> [Bytes; 2] {
        let worker = Change::Admit {
            name: "worker",
            seed: 11,
            roles: &["internal_auditor", "process_owner", "submitter"],
            acts_for: None,
        };
        [
            self.organization("acme", 10),
            self.principal("acme", worker, 10),
        ]
    }

    /// Grants or withdraws a role of a principal of `acme`, signed by `boss`; unique by `id`.
    pub(crate) fn role(&self, name: &str, change: RoleChange, (id, boss): (u8, u8)) -> Bytes {
        let record = RoleRecord {
            organization: OrganizationId::new("acme").unwrap(),
            principal: PrincipalId::new(name).unwrap(),
            change,
        };
        self.record(&record, id, &key(boss))
    }

    /// A change of an engagement by `acme`; unique by `id`.
    pub(crate) fn engagement(&self, name: &str, change: EngagementChange, id: u8) -> Bytes {
        let record = Engagement {
            organization: OrganizationId::new("acme").unwrap(),
            engagement: EngagementId::new(name).unwrap(),
            change,
        };
        self.record(&record, id, &key(10))
    }

    /// Suspends `acme`, or resumes it, by so many operators; unique by `id`.
    pub(crate) fn standing(
        &self,
        change: OrganizationChange,
        (id, operators): (u8, usize),
    ) -> Bytes {
        let mut record = Organization {
            organization: OrganizationId::new("acme").unwrap(),
            change,
        };
        for operator in self.operators.iter().take(operators).skip(1) {
            let approval = approve_record(&record, &self.making(id), operator).unwrap();
            record = add_approval(record, approval);
        }
        self.record(&record, id, &self.operators[0])
    }

    /// Admits (with the key of `seed`), rotates or revokes the principal `name`, signed by `boss`.
    pub(crate) fn principal(&self, organization: &str, change: Change<'_>, boss: u8) -> Bytes {
        let organization = OrganizationId::new(organization).unwrap();
        let (id, name) = match change {
            Change::Admit { name, seed, .. } | Change::Rotate { name, seed } => (seed, name),
            Change::Revoke { name } => (99, name),
        };
        let principal = PrincipalId::new(name).unwrap();
        let change = match change {
            Change::Revoke { .. } => PrincipalChange::Revoke(RevocationReason::Left),
            Change::Rotate { seed, .. } => {
                let proof =
                    prove_principal_key(&self.origin, &organization, &principal, &key(seed));
                PrincipalChange::Rotate(NewKey {
                    key: key(seed).public_key(),
                    possession: proof.unwrap(),
                })
            }
            Change::Admit {
                seed,
                roles,
                acts_for,
                ..
            } => PrincipalChange::Admit(Box::new(Admission {
                holder: Holder::new(&format!("holder-{seed}")).unwrap(),
                key: key(seed).public_key(),
                possession: prove_principal_key(
                    &self.origin,
                    &organization,
                    &principal,
                    &key(seed),
                )
                .unwrap(),
                roles: roles.iter().map(|role| Role::new(role).unwrap()).collect(),
                acts_for: acts_for.map(|id| PrincipalId::new(id).unwrap()),
            })),
        };
        self.record(
            &Principal {
                organization,
                principal,
                change,
            },
            id,
            &key(boss),
        )
    }

    /// The header of an oversight decision of `acme`, by the key of `seed`; unique by `id`.
    pub(crate) fn header(&self, seed: u8, id: u64) -> Header {
        let issuer = Issuer::Organization {
            origin: self.origin.as_str(),
            organization: "acme",
        };
        let mut cti = [7; 16];
        cti[..8].copy_from_slice(&id.to_be_bytes());
        Header {
            algorithm: Algorithm::EdDsa,
            content_type: ContentType::new(Family::Evidence, "oversight_decision", 1).unwrap(),
            key: public(seed).thumbprint(),
            issuer: issuer.to_string(),
            subject: "urn:aimslog:acme:system:triage".to_owned(),
            audience: self.origin.as_str().to_owned(),
            expires: Some(UnixSeconds(START_MS / 1000 + 7 * 86_400)),
            issued: UnixSeconds(START_MS / 1000),
            id: StatementId::from_bytes(cti),
            rules: Some(RuleBundle::v1().digest().0),
            catalogues: Vec::new(),
            revision: None,
            transition: None,
            links: Vec::new(),
            origin: Some(MadeBy::Person),
            on_behalf_of: None,
            controls: Vec::new(),
        }
    }

    /// A cosigned note over this head, by so many nodes, with its receipt.
    pub(crate) fn publish(&self, size: u64, root: RootHash, cosigners: usize) -> Publish {
        let places: Vec<usize> = (0..cosigners).collect();
        self.publish_by(size, root, &places)
    }

    /// A cosigned note over this head, by the nodes at these places, with its receipt.
    pub(crate) fn publish_by(&self, size: u64, root: RootHash, places: &[usize]) -> Publish {
        self.publish_logged((size, root), places, &[LOG_SEED])
    }

    /// The same, signed with the log keys of these seeds.
    pub(crate) fn publish_logged(
        &self,
        (size, root): (u64, RootHash),
        places: &[usize],
        log_seeds: &[u8],
    ) -> Publish {
        let head = TreeHead {
            size: aimslog_proto::tlog::TreeSize(size),
            root,
        };
        let mut note = Note::new(Checkpoint::new(self.origin.clone(), head).to_string()).unwrap();
        for seed in log_seeds {
            let line = note::sign(note.text(), self.origin.key_name(), &dalek(*seed));
            note.add(line).unwrap();
        }
        for place in places.iter().copied() {
            let name = self.node_name(place);
            let time = UnixSeconds(START_MS / 1000);
            let key = dalek(NODE_SEEDS[place]);
            note.add(cosignature::sign(note.text(), time, &name, &key).unwrap())
                .unwrap();
        }
        let time = UnixSeconds(START_MS / 1000);
        let receipt = HeadReceipt::sign(&self.receipt, &self.origin, &root, time).unwrap();
        Publish {
            note: note.to_string().into_bytes().into(),
            receipt_iat: time.0,
            receipt_signature: *receipt.signature().as_bytes(),
        }
    }
}

/// A change of a principal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    Admit {
        name: &'a str,
        seed: u8,
        /// In ascending order.
        roles: &'a [&'a str],
        acts_for: Option<&'a str>,
    },
    Rotate {
        name: &'a str,
        seed: u8,
    },
    Revoke {
        name: &'a str,
    },
}

pub(crate) fn public(seed: u8) -> PublicKey {
    key(seed).public_key()
}

/// Signs with the key of `seed`, over a commitment that nothing at apply opens.
pub(crate) fn signed(header: &Header, seed: u8) -> Bytes {
    let commitment = Commitment::build(&[LeafHash::of(b"field")]).unwrap();
    signed_over(header, seed, &commitment)
}

pub(crate) fn signed_over(header: &Header, seed: u8, commitment: &Commitment) -> Bytes {
    let statement: Statement = sign(header, &commitment.encode(), &key(seed)).unwrap();
    Bytes::copy_from_slice(statement.bytes())
}

pub(crate) fn item(statement: Bytes) -> Item {
    Item {
        statement,
        payload: Some(Bytes::from_static(b"payload")),
        attachments: Vec::new(),
    }
}

pub(crate) fn id_of(statement: &[u8]) -> EntryId {
    EntryId::of(statement)
}

/// A ledger in memory.
pub(crate) struct Engine {
    pub(crate) rows: MemoryRows,
    pub(crate) registry: Arc<Registry>,
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) time_ms: u64,
}

impl Engine {
    pub(crate) fn empty() -> Self {
        Self {
            rows: MemoryRows::default(),
            registry: Arc::new(Registry::new()),
            term: 1,
            index: 0,
            time_ms: START_MS,
        }
    }

    /// Founded, with the organisation `acme` (administrator's key from seed 10) and its principal
    /// `worker` (seed 11). Entries 0 to 3.
    pub(crate) fn with_acme(world: &World) -> Self {
        let mut engine = Self::empty();
        let outcome = engine.run(&Command::Genesis(world.genesis()));
        assert!(matches!(outcome, Outcome::Batch(_)), "{outcome:?}");
        for record in world.acme() {
            let outcome = engine.submit(record);
            assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
        }
        engine
    }

    pub(crate) fn try_run(&mut self, command: &Command) -> Result<Outcome, ApplyError> {
        let mut state = State {
            rows: Overlay::new(&self.rows),
            registry: Arc::clone(&self.registry),
        };
        let position = Position {
            term: self.term,
            leader: 1,
            index: self.index,
        };
        let outcome = apply(&mut state, command, position)?;
        let State { rows, registry } = state;
        let writes = rows.into_writes();
        self.rows.write(writes);
        self.registry = registry;
        self.index += 1;
        Ok(outcome)
    }

    pub(crate) fn run(&mut self, command: &Command) -> Outcome {
        self.try_run(command).unwrap()
    }

    pub(crate) fn batch(&mut self, items: Vec<Item>) -> Vec<ItemOutcome> {
        match self.run(&Command::Batch(Batch {
            time_ms: self.time_ms,
            items,
        })) {
            Outcome::Batch(outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn submit(&mut self, statement: Bytes) -> ItemOutcome {
        self.batch(vec![item(statement)]).remove(0)
    }

    pub(crate) fn core(&self) -> Core {
        self.rows.core().unwrap().unwrap()
    }
}

/// Another root than any tree here has.
pub(crate) fn other_root() -> RootHash {
    RootHash::from_hash(Hash::from_bytes([9; 32]))
}
