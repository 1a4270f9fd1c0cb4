//! Every example by its name. The names are those of `docs/format.md`.

use std::collections::BTreeMap;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::catalog::Catalogue;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::statement::cbor::Encoder;
use aimslog_proto::statement::evidence::{
    EvidenceFile, FieldLists, FileEntry, FileHead, FileRecord, Held, Options, Shown as Fields,
    Verdict, verify,
};
use aimslog_proto::statement::key::{
    PublicKey, RecordIdentity, Signature, Signer, SignerError, SigningKey, signed_secret,
};
use aimslog_proto::statement::{Disclosure, EntryId, FieldProof, UnverifiedStatement};
use aimslog_proto::system::{
    Access, AccessRead, Controls, Engagement, EngagementChange, EngagementId, Node, NodeChange,
    NodeEntry, NodeId, OperatorChange, OperatorRecord, Organization, OrganizationChange,
    OrganizationId, Payload as _, PolicyChange, Principal, PrincipalChange, PrincipalId,
    RevocationReason, Role, RoleChange, RoleRecord, Rules,
};
use aimslog_proto::time::{UnixMillis, UnixSeconds};
use aimslog_proto::tlog::{
    ConsistencyPlan, Frontier, Hash, InclusionPlan, LeafHash, LeafIndex, MultiPlan, TlogProof,
    TreeSize, cosignature,
};
use aimslog_proto::token;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Shown::{self, Hex, Text};
use super::world;

type Examples = Vec<(&'static str, Shown)>;

pub(crate) fn all() -> BTreeMap<&'static str, Shown> {
    [
        tree(),
        notes(),
        keys(),
        kinds(),
        statement(),
        system(),
        members(),
        catalogues(),
        proofs(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn tree() -> Examples {
    let leaf = |text: &str| LeafHash::of(text.as_bytes()).hash();
    let mut frontier = Frontier::EMPTY;
    for text in ["a", "b", "c"] {
        frontier.push(LeafHash::of(text.as_bytes())).unwrap();
    }
    vec![
        ("leaf-hash", Hex(leaf("aimslog").as_bytes().to_vec())),
        (
            "node-hash",
            Hex(Hash::node(&leaf("left"), &leaf("right"))
                .as_bytes()
                .to_vec()),
        ),
        ("root-of-3", Hex(frontier.root().as_bytes().to_vec())),
        ("frontier-of-3", Hex(frontier.encode())),
    ]
}

fn kinds() -> Examples {
    let bundle = RuleBundle::v1();
    let line = |kind: &Kind| {
        let names: Vec<&str> = kind.field_names().collect();
        format!("{}.v{}: {}\n", kind.name(), kind.version(), names.join(" "))
    };
    vec![
        ("field-lists", Text(bundle.kinds().map(line).collect())),
        ("rules-digest", Hex(bundle.digest().0.to_vec())),
    ]
}

fn notes() -> Examples {
    let entries = world::entries();
    let note = world::checkpoint(&entries);
    let message = cosignature::message(UnixSeconds(world::TIME + 101), note.text());
    vec![
        ("log-vkey", Text(world::log_vkey().to_string())),
        ("node-vkey", Text(world::node_vkey(1).to_string())),
        ("checkpoint", Text(note.to_string())),
        (
            "cosignature-message",
            Text(String::from_utf8(message).unwrap()),
        ),
        ("policy", Text(world::texts().publish)),
        (
            "policy-fingerprint",
            Hex(world::policy().fingerprint().to_vec()),
        ),
        ("policy-pair-digest", Hex(world::texts().digest().to_vec())),
    ]
}

fn keys() -> Examples {
    let key = world::key(world::REVIEWER);
    let public = key.public_key();
    let now = world::TIME + 200;
    let token = token::mint(&key, world::origin().as_str(), now, 300).unwrap();
    let PrincipalChange::Admit(admission) = world::principal().change else {
        unreachable!("the principal of the examples is admitted");
    };
    let identity = RecordIdentity {
        kind: "example.v1",
        subject: "urn:aimslog:acme:system:sys-7f3a",
        record: br#"{"title":"t","grade":null,"note":null}"#,
        previous: None,
    };
    let derived = key.derive_statement_id(&identity).unwrap();
    let previous = EntryId::from_bytes([0x11; 32]);
    let later = RecordIdentity {
        previous: Some(&previous),
        ..identity
    };
    let later = key.derive_statement_id(&later).unwrap();
    let in_token = InToken(world::key(world::REVIEWER));
    let in_token = in_token.derive_statement_id(&identity).unwrap();
    let approvals = world::genesis().approvals;
    let approval_head = approval_head();
    vec![
        ("key-file", Text(key.to_seed_file().as_str().to_owned())),
        ("public-key", Hex(public.as_bytes().to_vec())),
        ("cose-key", Hex(public.to_cose_key())),
        ("thumbprint", Hex(public.thumbprint().as_bytes().to_vec())),
        ("thumbprint-text", Text(public.thumbprint().to_string())),
        ("possession", Hex(admission.possession.as_bytes().to_vec())),
        ("approval-head", Hex(approval_head)),
        ("approval", Hex(approvals[0].signature.as_bytes().to_vec())),
        ("derived-cti", Hex(derived.as_bytes().to_vec())),
        ("derived-cti-later", Hex(later.as_bytes().to_vec())),
        ("derived-cti-token", Hex(in_token.as_bytes().to_vec())),
        ("read-token", Text(token)),
    ]
}

/// The array that an operator of the example hashes to approve genesis, up to the payload. What is
/// hashed and signed is made here from the text of the document alone.
fn approval_head() -> Vec<u8> {
    let genesis = world::genesis();
    let entry = world::entries().swap_remove(0);
    let header = UnverifiedStatement::parse(&entry).unwrap().header().clone();
    let payload = genesis.encode_unapproved();
    let mut array = Encoder::default();
    array.array(6).text("aimslog-approval/v2");
    array.text(&header.audience);
    array.text(&header.content_type.to_string());
    array.bytes(header.id.as_bytes());
    assert_eq!(header.expires, None);
    let array = array.null().bytes(&payload).finish();
    let digest = Sha256::digest(&array);
    let message = [b"aimslog-approval/v2\n".as_slice(), &digest].concat();
    let operator = world::key(world::OPERATORS[1]).public_key();
    let [approval] = genesis.approvals.as_slice() else {
        panic!("one operator approves the genesis of the examples");
    };
    operator.verify(&message, &approval.signature).unwrap();
    array.strip_suffix(payload.as_slice()).unwrap().to_vec()
}

/// A key that gives signatures and not its seed.
#[derive(Debug)]
struct InToken(SigningKey);

impl Signer for InToken {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        self.0.sign(message)
    }

    fn statement_id_secret(&self) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        signed_secret(self)
    }
}

fn statement() -> Examples {
    let disclosures = world::disclosures();
    let lines = disclosures
        .iter()
        .map(|field| format!("{}\n", String::from_utf8_lossy(field.bytes())));
    let leaves = world::leaves();
    let hashes = |hashes: &[Hash]| hashes.iter().flat_map(|h| *h.as_bytes()).collect();
    let all: Vec<Hash> = leaves.iter().map(LeafHash::hash).collect();
    let proof = FieldProof::build(&leaves, &[0, 2]).unwrap();
    let evidence = world::evidence();
    let id = evidence.entry_id();
    vec![
        ("disclosures", Text(lines.collect())),
        ("disclosure-leaves", Hex(hashes(&all))),
        ("commitment", Hex(world::commitment())),
        ("field-proof", Hex(hashes(&proof.hashes))),
        ("protected-header", Hex(world::header().encode().unwrap())),
        ("statement", Hex(evidence.bytes().to_vec())),
        ("entry-id", Hex(id.as_bytes().to_vec())),
        ("entry-id-text", Text(id.to_string())),
        (
            "entry-leaf-hash",
            Hex(evidence.leaf_hash().as_bytes().to_vec()),
        ),
    ]
}

fn system() -> Examples {
    let rotate_node = Node {
        change: NodeChange::Rotate {
            id: NodeId::new(3).unwrap(),
            cosigner: Box::new(world::other_vkey(3)),
            possession: world::other_possession(3),
        },
        approvals: Vec::new(),
    };
    let policy = PolicyChange {
        predecessor: world::texts().digest(),
        texts: world::texts(),
        approvals: Vec::new(),
    };
    let rules = Rules {
        predecessor: [7; 32],
        bundle: [8; 32],
        approvals: Vec::new(),
    };
    let admit = Node {
        change: NodeChange::Admit(Box::new(NodeEntry {
            id: NodeId::new(4).unwrap(),
            label: "n4.example.com:7001".to_owned(),
            cosigner: world::node_vkey(4),
        })),
        approvals: Vec::new(),
    };
    let remove = Node {
        change: NodeChange::Remove(NodeId::new(3).unwrap()),
        approvals: Vec::new(),
    };
    let operator = |change| {
        let record = OperatorRecord {
            name: "operator-3".to_owned(),
            change,
            approvals: Vec::new(),
        };
        record.encode()
    };
    let entries = world::entries();
    vec![
        ("genesis-payload", Hex(world::genesis().encode())),
        ("genesis-statement", Hex(entries[0].clone())),
        (
            "cluster-id",
            Hex(EntryId::of(&entries[0]).as_bytes().to_vec()),
        ),
        ("keys-payload", Hex(world::keys().encode())),
        ("log-keys-payload", Hex(world::log_keys().encode())),
        ("organization-payload", Hex(world::organization().encode())),
        ("principal-payload", Hex(world::principal().encode())),
        ("policy-payload", Hex(policy.encode())),
        ("rules-payload", Hex(rules.encode())),
        ("node-admit-payload", Hex(admit.encode())),
        ("node-remove-payload", Hex(remove.encode())),
        ("node-rotate-payload", Hex(rotate_node.encode())),
        (
            "operator-admit-payload",
            Hex(operator(OperatorChange::Admit(world::operator_key()))),
        ),
        (
            "operator-revoke-payload",
            Hex(operator(OperatorChange::Revoke(RevocationReason::Left))),
        ),
        (
            "operator-rotate-payload",
            Hex(operator(OperatorChange::Rotate(world::operator_key()))),
        ),
    ]
}

fn members() -> Examples {
    let of = |change| Principal {
        organization: world::acme(),
        principal: PrincipalId::new("p-2").unwrap(),
        change,
    };
    let suspend = Organization {
        organization: world::acme(),
        change: OrganizationChange::Suspend {
            approvals: Vec::new(),
        },
    };
    let role = RoleRecord {
        organization: world::acme(),
        principal: PrincipalId::new("p-2").unwrap(),
        change: RoleChange::Grant(Role::new("internal_auditor").unwrap()),
    };
    let engagement = |change| Engagement {
        organization: world::acme(),
        engagement: EngagementId::new("stage-1").unwrap(),
        change,
    };
    let access = Access {
        number: 1,
        reads: vec![AccessRead {
            organization: world::acme(),
            engagement: EngagementId::new("stage-1").unwrap(),
            principal: PrincipalId::new("auditor-1").unwrap(),
            entry: LeafIndex(4),
            time: UnixSeconds(world::TIME + 86_400),
        }],
    };
    let left = PrincipalChange::Revoke(RevocationReason::Left);
    vec![
        ("principal-revoke-payload", Hex(of(left).encode())),
        ("organization-suspend-payload", Hex(suspend.encode())),
        (
            "principal-rotate-payload",
            Hex(of(PrincipalChange::Rotate(world::next_key())).encode()),
        ),
        (
            "principal-read-key-payload",
            Hex(of(PrincipalChange::ReadKey(world::read_key())).encode()),
        ),
        (
            "principal-end-read-key-payload",
            Hex(of(PrincipalChange::EndReadKey).encode()),
        ),
        ("role-grant-payload", Hex(role.encode())),
        (
            "engagement-grant-payload",
            Hex(engagement(EngagementChange::Grant(Box::new(world::grant()))).encode()),
        ),
        (
            "engagement-end-payload",
            Hex(engagement(EngagementChange::End).encode()),
        ),
        ("access-payload", Hex(access.encode())),
    ]
}

fn catalogues() -> Examples {
    const OWN: &str = include_str!("../../../docs/examples/own-controls.toml");
    let catalogue = Catalogue::parse(OWN).unwrap();
    let digest = catalogue.digest().0.to_vec();
    let lines = catalogue.canonical_text();
    let record = Controls::new(OrganizationId::new("acme").unwrap(), catalogue).unwrap();
    vec![
        ("controls-payload", Hex(record.encode())),
        ("controls-lines", Text(lines)),
        ("controls-digest", Hex(digest)),
    ]
}

fn proofs() -> Examples {
    let entries = world::entries();
    let size = TreeSize(6);
    let plan = InclusionPlan::new(LeafIndex(3), size).unwrap();
    let inclusion = plan.build(&world::nodes(&entries, plan.nodes())).unwrap();
    let receipt = world::receipt(&entries).assemble(&inclusion);
    let proof = TlogProof::new(inclusion, world::checkpoint(&entries), None).unwrap();
    let plan = ConsistencyPlan::new(TreeSize(3), size).unwrap();
    let consistency = plan.build(&world::nodes(&entries, plan.nodes())).unwrap();
    let lines = consistency.hashes().iter().map(|hash| format!("{hash}\n"));
    vec![
        ("tlog-proof", Text(proof.to_string())),
        ("consistency-3-6", Text(lines.collect())),
        (
            "receipt-protected",
            Hex(world::receipt(&entries).protected().to_vec()),
        ),
        ("receipt", Hex(receipt)),
        ("evidence-file", Text(evidence_file(&entries))),
    ]
}

/// The kind of the examples is in no rule bundle.
struct ExampleKind;

impl FieldLists for ExampleKind {
    fn field_list(&self, kind: &str, version: u32) -> Option<Vec<String>> {
        let names = world::FIELDS.map(str::to_owned).to_vec();
        (kind == "example" && version == 1).then_some(names)
    }
}

fn evidence_file(entries: &[Vec<u8>]) -> String {
    let disclosures = world::disclosures();
    let bytes: Vec<&[u8]> = disclosures.iter().map(Disclosure::bytes).collect();
    let held = Held {
        index: LeafIndex(4),
        statement: &entries[4],
        disclosures: &bytes,
        registered_at: Some(UnixMillis((world::TIME + 60) * 1000)),
        register_number: Some(1),
    };
    let chain = (0..4).zip(entries).map(|(index, statement)| FileEntry {
        index: LeafIndex(index),
        statement: statement.clone(),
    });
    let mut file = EvidenceFile {
        origin: world::origin(),
        head: FileHead {
            checkpoint: world::checkpoint(entries).to_string(),
            receipt: world::receipt(entries),
        },
        records: vec![FileRecord::show(&held, Fields::Only(&[0, 2])).unwrap()],
        chain: chain.collect(),
        proof: Vec::new(),
        heads: Vec::new(),
        policy_steps: Vec::new(),
    };
    let plan = MultiPlan::new(file.indices(), TreeSize(6)).unwrap();
    let nodes = world::nodes(entries, plan.nodes());
    file.proof = plan.build(&nodes).unwrap().hashes().to_vec();
    let text = file.print().unwrap();
    let options = Options {
        now: UnixSeconds(world::TIME + 300),
        saved_heads: &[],
        field_lists: &ExampleKind,
        statement: None,
        checkpoint: None,
        receipt_key: None,
    };
    let report = verify(text.as_bytes(), &world::policy(), &options);
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits, "{report}");
    text
}
