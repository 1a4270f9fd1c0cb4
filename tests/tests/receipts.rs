//! What a submitter gets with a receipt, and what somebody else gets who repeats the statement.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use aimslog_client::{FinishedStatement, Ledger, Outcome, Wait, clock, verifier};
use aimslog_proto::statement::evidence::{EvidenceFile, Report};
use aimslog_proto::system::{OrganizationId, PrincipalId, Role, RoleChange, RoleRecord};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::LeafIndex;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::people::{Hospital, system_record};

/// Submits one statement for a receipt: the evidence file that comes with it, and whether it had been logged.
async fn evidence(ledger: &Ledger, statement: &FinishedStatement) -> (Vec<u8>, bool) {
    let outcomes = ledger
        .submit(std::slice::from_ref(statement), Wait::Receipt)
        .await
        .unwrap();
    match outcomes.as_slice() {
        [
            Outcome::Logged {
                evidence: Some(file),
                already,
                ..
            },
        ] => (file.clone(), *already),
        other => panic!("no evidence: {other:?}"),
    }
}

/// The same, verified.
async fn receipt(
    cluster: &Cluster,
    ledger: &Ledger,
    statement: &FinishedStatement,
) -> (Report, bool) {
    let (file, already) = evidence(ledger, statement).await;
    let now = UnixSeconds(clock::unix_seconds());
    (verifier::verify(&file, &cluster.policy(), now), already)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_shows_content_to_those_alone_who_had_it() {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let ledger = cluster.ledger();
    let statement = hospital.decision(1);
    let (first, already) = receipt(&cluster, &ledger, &statement).await;
    assert!(first.verdict.is_verified(), "{first}");
    assert!(!already);
    assert_eq!(
        first.records[0].fields.len() as u64,
        first.records[0].fields_total
    );

    // The same bytes again: the first result, from any node.
    for position in 0..3 {
        let (again, already) = receipt(&cluster, &cluster.ledger_of(position), &statement).await;
        assert!(already && again.verdict.is_verified(), "{again}");
        assert_eq!(again.records[0].index, first.records[0].index);
    }

    // Who has the statement and not the disclosures gets the proof and no content.
    let bare = FinishedStatement {
        disclosures: Vec::new(),
        ..statement.clone()
    };
    let (stranger, already) = receipt(&cluster, &ledger, &bare).await;
    assert!(already && stranger.verdict.is_verified(), "{stranger}");
    assert!(
        stranger.records[0].fields.is_empty(),
        "content was handed to a stranger"
    );

    // A later record lies between two heads.
    let (second, _) = receipt(&cluster, &ledger, &hospital.decision(2)).await;
    let time = &second.records[0].time;
    let (after, not_later) = (time.after.unwrap(), time.not_later_than.unwrap());
    assert!(after <= not_later, "{second}");

    // What the log has of the signer since is for those who may read it.
    let role = RoleRecord {
        organization: OrganizationId::new("hospital").unwrap(),
        principal: PrincipalId::new("office-1").unwrap(),
        change: RoleChange::Withdraw(Role::new("internal_auditor").unwrap()),
    };
    let role = system_record(&role, &hospital.administrator);
    let leader = cluster.leader().await;
    cluster.admin_of(leader).submit_system(&role).await.unwrap();
    receipt(&cluster, &ledger, &hospital.decision(3)).await;
    let (file, already) = evidence(&ledger, &bare).await;
    assert!(already);
    let file = EvidenceFile::parse(&file).unwrap();
    let later: Vec<LeafIndex> = file.chain.iter().map(|entry| entry.index).collect();
    assert!(
        later.iter().all(|index| *index < file.records[0].index),
        "{later:?}"
    );
}
