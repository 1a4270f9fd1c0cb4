//! The core alone: what one entry costs a submitter, a node and a verifier.

#![expect(clippy::unwrap_used, reason = "the inputs of benches are constant")]

use std::hint::black_box;

use aimslog_proto::statement::evidence::{EvidenceFile, FieldLists, Options, verify};
use aimslog_proto::statement::header::{Algorithm, ContentType, Header, Origin as MadeBy};
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::statement::{
    Commitment, Disclosure, Json, Salt, Statement, StatementId, UnverifiedStatement, statement,
};
use aimslog_proto::system::{Genesis, Payload as _};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::tree::NodeId;
use aimslog_proto::tlog::{
    Frontier, Hash, InclusionPlan, LeafHash, LeafIndex, Policy, TreeHead, TreeSize,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LEAVES: u64 = 1 << 16;
const FIELDS: usize = 32;

fn leaf(index: u64) -> LeafHash {
    LeafHash::of(&index.to_be_bytes())
}

fn tree(c: &mut Criterion) {
    let mut group = c.benchmark_group("tree");
    group.throughput(Throughput::Elements(LEAVES));
    group.sample_size(20);
    group.bench_function("append 65536 leaf hashes", |b| {
        let leaves: Vec<LeafHash> = (0..LEAVES).map(leaf).collect();
        b.iter(|| {
            let mut frontier = Frontier::EMPTY;
            for leaf in &leaves {
                frontier.push(*leaf).unwrap();
            }
            black_box(frontier.root())
        });
    });
    group.finish();
}

/// All perfect nodes of a tree, level by level.
fn levels() -> Vec<Vec<Hash>> {
    let mut level: Vec<Hash> = (0..LEAVES).map(|index| leaf(index).hash()).collect();
    let mut levels = Vec::new();
    while level.len() > 1 {
        let (pairs, _) = level.as_chunks::<2>();
        let above = pairs.iter().map(|[left, right]| Hash::node(left, right));
        let above = above.collect();
        levels.push(std::mem::replace(&mut level, above));
    }
    levels.push(level);
    levels
}

fn inclusion(c: &mut Criterion) {
    let levels = levels();
    let read = |ids: &[NodeId]| -> Vec<Hash> {
        let at =
            |id: &NodeId| levels[usize::from(id.level())][usize::try_from(id.index()).unwrap()];
        ids.iter().map(at).collect()
    };
    let (index, size) = (LeafIndex(40_000), TreeSize(LEAVES - 1));
    let plan = InclusionPlan::new(index, size).unwrap();
    let proof = plan.build(&read(plan.nodes())).unwrap();
    let head = TreeHead {
        size,
        root: proof.root_of(leaf(index.0)),
    };
    c.bench_function("inclusion: prove", |b| {
        b.iter(|| {
            let plan = InclusionPlan::new(black_box(index), size).unwrap();
            plan.build(&read(plan.nodes())).unwrap()
        });
    });
    c.bench_function("inclusion: verify", |b| {
        b.iter(|| proof.verify(black_box(leaf(index.0)), &head).unwrap());
    });
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn disclosures() -> Vec<Disclosure> {
    let field = |number: usize| {
        let salt = Salt::new(&[u8::try_from(number).unwrap(); 16]).unwrap();
        let value = Json::Text(format!("the value of field {number}"));
        Disclosure::new(&salt, &format!("field_{number}"), &value).unwrap()
    };
    (0..FIELDS).map(field).collect()
}

fn leaves() -> Vec<LeafHash> {
    disclosures().iter().map(Disclosure::leaf_hash).collect()
}

fn sign(commitment: &[u8]) -> Statement {
    let header = Header {
        algorithm: Algorithm::EdDsa,
        content_type: ContentType::parse("application/vnd.aimslog.finding.v1+json").unwrap(),
        key: key().public_key().thumbprint(),
        issuer: "https://ledger.example.com/bench/o/acme".to_owned(),
        subject: "urn:aimslog:acme:system:sys-1".to_owned(),
        audience: "ledger.example.com/bench".to_owned(),
        expires: None,
        issued: UnixSeconds(1_800_000_000),
        id: StatementId::from_bytes([1; 16]),
        rules: Some([7; 32]),
        catalogues: Vec::new(),
        revision: None,
        transition: None,
        links: Vec::new(),
        origin: Some(MadeBy::Person),
        on_behalf_of: None,
        controls: Vec::new(),
    };
    statement::sign(&header, commitment, &key()).unwrap()
}

fn statements(c: &mut Criterion) {
    let leaves = leaves();
    let commitment = Commitment::build(&leaves).unwrap().encode();
    let entry = sign(&commitment).bytes().to_vec();
    let public = key().public_key();
    c.bench_function("commitment: build from 32 fields", |b| {
        b.iter(|| Commitment::build(black_box(&leaves)).unwrap());
    });
    c.bench_function("statement: sign", |b| {
        b.iter(|| sign(black_box(&commitment)));
    });
    c.bench_function("statement: parse and verify", |b| {
        b.iter(|| {
            let parsed = UnverifiedStatement::parse(black_box(&entry)).unwrap();
            parsed.verify(&public).unwrap()
        });
    });
}

/// The kinds of the evidence file that is frozen as golden file.
struct GoldenKinds;

impl FieldLists for GoldenKinds {
    fn field_list(&self, kind: &str, version: u32) -> Option<Vec<String>> {
        let names = ["title", "grade", "note"].map(str::to_owned).to_vec();
        (kind == "finding" && version == 1).then_some(names)
    }
}

/// The trust policy that genesis in the file states: here nobody has to be convinced.
fn policy_of(file: &[u8]) -> Policy {
    let file = EvidenceFile::parse(file).unwrap();
    let genesis = UnverifiedStatement::parse(&file.chain[0].statement).unwrap();
    let genesis = Genesis::decode(genesis.payload()).unwrap();
    Policy::parse(genesis.policy.trust.as_bytes()).unwrap()
}

fn evidence(c: &mut Criterion) {
    let file = include_bytes!("../../proto/tests/golden/evidence-v1.json");
    let policy = policy_of(file);
    let options = Options {
        now: UnixSeconds(1_800_001_000),
        saved_heads: &[],
        field_lists: &GoldenKinds,
        statement: None,
        checkpoint: None,
        receipt_key: None,
    };
    let report = verify(file, &policy, &options);
    assert!(report.verdict.is_verified(), "{report}");
    c.bench_function("evidence: verify a file of three records", |b| {
        b.iter(|| verify(black_box(file), &policy, &options));
    });
}

criterion_group!(core, tree, inclusion, statements, evidence);
criterion_main!(core);
