//! System records that are refused: wrong signers, keys, proofs, times, forms.

use aimslog_client::clock;
use aimslog_proto::pb::admin::v1::SubmitSystemRequest;
use aimslog_proto::reason::Reason as R;
use aimslog_proto::statement::Header;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::cbor::{self, Encoder};
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::statement::statement::sign;
use aimslog_proto::system::{
    Engagement, EngagementChange, EngagementId, Grant, Making, Node, NodeChange, NodeId,
    OperatorChange, OperatorRecord, OrganizationId, PolicyChange, PolicyTexts, PrincipalChange,
    PrincipalId, RevocationReason, Role, RoleChange, RoleRecord, Rules, prove_node_key,
    sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Origin, VerifierKey};
use futures::FutureExt as _;
use tonic::{Code, Status};

use super::FaultyCall;
use super::calls::status;
use super::scene::Scene;
use crate::cluster::ORIGIN;
use crate::forger::node_name;
use crate::people::{admission, organization_statement, principal, system_record};
use crate::wire::{admin, within};

/// A row whose record is sent through a follower.
macro_rules! row {
    ($name:literal, $code:ident, $reason:ident, $fields:expr, $scene:ident => $statement:expr) => {
        FaultyCall {
            name: $name,
            code: Code::$code,
            reason: R::$reason,
            fields: $fields,
            call: |$scene| {
                let statement = $statement;
                async move { status(send($scene, statement).await) }.boxed()
            },
        }
    };
}

async fn send(scene: &Scene, statement: Vec<u8>) -> Result<(), Status> {
    let request = SubmitSystemRequest { statement };
    let mut service = admin(&scene.cluster, scene.follower);
    let request = within(request, std::time::Duration::from_secs(20));
    service.submit_system(request).await.map(drop)
}

fn fresh() -> SigningKey {
    SigningKey::from_seed(&rand::random())
}

/// A record of an organisation, its parts changed and signed again by the operator.
fn resigned(
    scene: &Scene,
    change: impl FnOnce(&mut Header),
    payload: impl FnOnce(Vec<u8>) -> Vec<u8>,
) -> Vec<u8> {
    let good = organization_statement(&scene.cluster, "another", &fresh());
    let good = UnverifiedStatement::parse(&good).unwrap();
    let mut header = good.header().clone();
    change(&mut header);
    let payload = payload(good.payload().to_vec());
    let signed = sign(&header, &payload, scene.operator.as_ref()).unwrap();
    signed.bytes().to_vec()
}

/// The payload of an organisation with other bytes as value of one key.
fn with_entry(payload: &[u8], key: i64, bytes: &[u8]) -> Vec<u8> {
    let item = cbor::parse(payload).unwrap();
    let entries = item.map("").unwrap();
    let mut changed = vec![payload[0]];
    for (name, value) in entries {
        changed.extend(name.bytes);
        if name.as_int() == Some(key) {
            changed.extend(Encoder::new().bytes(bytes).finish());
        } else {
            changed.extend(value.bytes);
        }
    }
    changed
}

fn expired(scene: &Scene) -> Vec<u8> {
    let now = clock::unix_seconds();
    let record = principal(
        "hospital",
        "p-new",
        admission("hospital", ("p-new", &[]), &fresh()),
    );
    let origin = Origin::new(ORIGIN).unwrap();
    let making = Making {
        origin: &origin,
        issued: UnixSeconds(now - 100),
        expires: Some(UnixSeconds(now - 50)),
        id: StatementId::from_bytes(rand::random()),
    };
    let signed = sign_record(&record, &making, scene.hospital.administrator.as_ref()).unwrap();
    signed.bytes().to_vec()
}

fn policy(scene: &Scene) -> Vec<u8> {
    let texts = PolicyTexts {
        publish: "no policy\n".to_owned(),
        trust: "no policy\n".to_owned(),
    };
    let change = PolicyChange {
        predecessor: [1; 32],
        texts,
        approvals: Vec::new(),
    };
    system_record(&change, &scene.operator)
}

fn rules(scene: &Scene) -> Vec<u8> {
    let request = Rules {
        predecessor: aimslog_proto::aims::bundle::RuleBundle::v1().digest().0,
        bundle: [9; 32],
        approvals: Vec::new(),
    };
    system_record(&request, &scene.operator)
}

fn grant_of(id: &str, role: &str) -> RoleRecord {
    RoleRecord {
        organization: OrganizationId::new("hospital").unwrap(),
        principal: PrincipalId::new(id).unwrap(),
        change: RoleChange::Grant(Role::new(role).unwrap()),
    }
}

/// An organisation lets the clinic read about a system of the owner.
fn engagement(organization: &str, owner: &str) -> Engagement {
    let grant = Grant {
        body: OrganizationId::new("clinic").unwrap(),
        kinds: None,
        subjects: Some(vec![format!("urn:aimslog:{owner}:system:sys-test-1")]),
        fields: None,
        claimed_from: None,
        claimed_to: None,
        valid_from: UnixSeconds(1),
        valid_to: UnixSeconds(2),
    };
    Engagement {
        organization: OrganizationId::new(organization).unwrap(),
        engagement: EngagementId::new("e-1").unwrap(),
        change: EngagementChange::Grant(Box::new(grant)),
    }
}

/// The next cosigner key of node 1, with the proof of another key.
fn rotation(scene: &Scene) -> Vec<u8> {
    let (origin, id) = (Origin::new(ORIGIN).unwrap(), NodeId::new(1).unwrap());
    let key = ed25519_dalek::SigningKey::from_bytes(&rand::random()).verifying_key();
    let change = NodeChange::Rotate {
        id,
        cosigner: Box::new(VerifierKey::cosignature_v1(node_name(1), &key)),
        possession: prove_node_key(&origin, id, &fresh()).unwrap(),
    };
    let record = Node {
        change,
        approvals: Vec::new(),
    };
    system_record(&record, &scene.operator)
}

/// What is refused of system records, here sent through a follower.
pub const ROWS: &[FaultyCall] = &[
    row!("SubmitSystem: bytes that are no statement", InvalidArgument, CborMalformed,
        &["statement"], _scene => vec![0xd2, 0x84, 0x01]),
    row!("SubmitSystem: more bytes than anybody looks at", InvalidArgument, StatementTooLarge,
        &["statement"], _scene => vec![0; 100_000]),
    row!("SubmitSystem: evidence", InvalidArgument, UnknownKind, &["header.content_type"],
        scene => scene.draft().statement()),
    row!("SubmitSystem: a payload that is no map", InvalidArgument, InvalidField, &["payload"],
        scene => resigned(scene, |_| {}, |_| vec![0x01])),
    row!("SubmitSystem: a payload without a field", InvalidArgument, MissingField,
        &["payload.organization"], scene => resigned(scene, |_| {}, |_| vec![0xa0])),
    row!("SubmitSystem: a key that is no point", InvalidArgument, InvalidKey, &["payload.key"],
        scene => resigned(scene, |_| {}, |payload| with_entry(&payload, 4, &[0xff; 32]))),
    row!("SubmitSystem: possession of another key", InvalidArgument, WrongPossession,
    &["payload.possession"],
    scene => resigned(scene, |_| {}, |payload| {
        with_entry(&payload, 4, fresh().public_key().as_bytes())
    })),
    row!("SubmitSystem: a node's next key, proven by another", InvalidArgument, WrongPossession,
        &["payload.possession"], scene => rotation(scene)),
    row!("SubmitSystem: a signer that nobody registered", PermissionDenied, UnknownKey,
        &["header.kid"],
        _scene => system_record(&principal("hospital", "p-new",
            admission("hospital", ("p-new", &[]), &fresh())), &fresh())),
    row!("SubmitSystem: a signature over other bytes", InvalidArgument, WrongSignature,
    &["signature"],
    scene => {
        let mut bytes = organization_statement(&scene.cluster, "another", &fresh());
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    }),
    row!("SubmitSystem: an operator's record that never expires", InvalidArgument, MissingHeader,
        &["header.exp"], scene => resigned(scene, |header| header.expires = None, |payload| payload)),
    row!("SubmitSystem: an operator's record that waits for days", InvalidArgument, InvalidHeader,
        &["header.exp"], scene => resigned(scene, |header| {
            header.expires = Some(UnixSeconds(header.issued.0 + 100_000));
        }, |payload| payload)),
    row!("SubmitSystem: an operator appoints a principal", PermissionDenied, NotPermitted,
        &["header.kid"],
        scene => system_record(&principal("hospital", "p-new",
            admission("hospital", ("p-new", &[]), &fresh())), &scene.operator)),
    row!("SubmitSystem: an administrator of another organisation", PermissionDenied, NotPermitted,
        &["header.kid"],
        scene => system_record(&principal("hospital", "p-new",
            admission("hospital", ("p-new", &[]), &fresh())), &scene.clinic.administrator)),
    row!("SubmitSystem: a key that is registered already", AlreadyExists, KeyInUse,
        &["payload.key"],
        scene => organization_statement(&scene.cluster, "another", &scene.clinic.administrator)),
    row!("SubmitSystem: an organisation again", AlreadyExists, IdConflict,
        &["payload.organization"],
        scene => organization_statement(&scene.cluster, "clinic", &fresh())),
    row!("SubmitSystem: both", AlreadyExists, IdConflict,
        &["payload.organization", "payload.key"],
        scene => organization_statement(&scene.cluster, "clinic", &scene.hospital.key)),
    row!("SubmitSystem: the last administrator goes", FailedPrecondition, LastAdministrator,
        &["payload.principal"],
        scene => system_record(&principal("hospital", "admin-1", PrincipalChange::Revoke(RevocationReason::Left)),
            &scene.hospital.administrator)),
    row!("SubmitSystem: the last operator goes", FailedPrecondition, LastOperator,
        &["payload.name"],
        scene => system_record(&OperatorRecord {
            name: "operator-1".to_owned(),
            change: OperatorChange::Revoke(RevocationReason::Left),
            approvals: Vec::new(),
        }, &scene.operator)),
    row!("SubmitSystem: a principal that there is not", NotFound, NotFound, &["payload.principal"],
        scene => system_record(&principal("hospital", "p-nobody", PrincipalChange::Revoke(RevocationReason::Left)),
            &scene.hospital.administrator)),
    row!("SubmitSystem: a principal again", AlreadyExists, IdConflict, &["payload.principal"],
        scene => system_record(&principal("hospital", "office-1",
            admission("hospital", ("office-1", &[]), &fresh())), &scene.hospital.administrator)),
    row!("SubmitSystem: a role of somebody who may grant none", PermissionDenied, NotPermitted,
        &["header.kid"],
        scene => system_record(&grant_of("office-1", "administrator"), &scene.hospital.key)),
    row!("SubmitSystem: a role of somebody who was revoked", NotFound, NotFound,
        &["payload.principal"],
        scene => system_record(&grant_of("p-gone", "submitter"), &scene.hospital.administrator)),
    row!("SubmitSystem: signed with a key for reading", PermissionDenied, KeyPurpose,
        &["header.kid"],
        scene => system_record(&grant_of("office-1", "monitor"), &scene.reads)),
    row!("SubmitSystem: an organisation that is suspended", FailedPrecondition,
        OrganizationSuspended, &["header.iss"],
        scene => system_record(&principal("asleep", "p-new",
            admission("asleep", ("p-new", &[]), &fresh())), &scene.asleep.administrator)),
    row!("SubmitSystem: others' records shown to others", PermissionDenied, ForeignRecords,
        &["payload.subjects"],
        scene => system_record(&engagement("hospital", "clinic"), &scene.hospital.administrator)),
    row!("SubmitSystem: others' engagement", PermissionDenied, ForeignRecords,
        &["payload.organization"],
        scene => system_record(&engagement("hospital", "hospital"), &scene.clinic.administrator)),
    row!("SubmitSystem: expired", FailedPrecondition, Expired, &["header.exp"],
        scene => expired(scene)),
    row!("SubmitSystem: issuer, subject and audience", PermissionDenied, WrongIssuer,
        &["header.iss", "header.sub", "header.aud"],
        scene => resigned(scene, |header| {
            "https://ledger.example.com/another".clone_into(&mut header.issuer);
            "urn:aimslog:another".clone_into(&mut header.subject);
            "ledger.example.com/another".clone_into(&mut header.audience);
        }, |payload| payload)),
    row!("SubmitSystem: policies that are none, after others than those in force",
        FailedPrecondition, VersionConflict,
        &["payload.predecessor", "payload.publish", "payload.trust"], scene => policy(scene)),
    row!("SubmitSystem: rules that no program has", FailedPrecondition, RulesOutdated,
        &["payload.bundle"], scene => rules(scene)),
];
