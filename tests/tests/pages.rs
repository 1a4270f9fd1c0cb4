//! Large answers: they come in parts that every client can take, and say where they end.

use std::net::IpAddr;

use aimslog_client::{FinishedStatement, RecordFilter, Wait};
use aimslog_proto::limits::{PAGE_BYTES_GOAL, RECEIPTS_MAX};
use aimslog_proto::pb::v1;
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::TreeSize;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::people::{Hospital, decision_json};
use aimslog_tests::stall::Staller;
use aimslog_tests::wire::{Told, evidence};
use tonic::Code;

const RECORDS: u64 = 240;

/// A decision whose reasons fill a long page.
fn long(hospital: &Hospital, number: u64) -> FinishedStatement {
    let reasons = "a reason that takes its time ".repeat(560);
    let json = decision_json(number);
    let short = format!("test record number {number}");
    assert!(json.contains(&short));
    hospital.finish(&json.replace(&short, &reasons))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_ends_before_a_message_is_full() {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let ledger = cluster.ledger_as(hospital.read_key());
    let records: Vec<_> = (0..RECORDS).map(|number| long(&hospital, number)).collect();
    for some in records.chunks(20) {
        ledger.submit(some, Wait::Committed).await.unwrap();
    }
    ledger.checkpoint_covering(TreeSize(RECORDS)).await.unwrap();

    let filter = RecordFilter {
        organization: hospital.id.clone(),
        kind: Some("oversight_decision".to_owned()),
        ..RecordFilter::default()
    };
    let (mut pages, mut seen, mut token) = (0, Vec::new(), None);
    loop {
        let page = ledger.list(&filter, token.as_deref()).await.unwrap();
        let bytes: usize = page
            .records
            .iter()
            .flat_map(|record| &record.disclosures)
            .map(Vec::len)
            .sum();
        assert!(bytes < PAGE_BYTES_GOAL + (256 << 10), "{bytes}");
        pages += 1;
        seen.extend(page.records.iter().map(|record| record.entry.entry_id));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    let sent: Vec<_> = records.iter().map(FinishedStatement::entry_id).collect();
    assert_eq!(seen.len(), sent.len());
    assert!(sent.iter().all(|id| seen.contains(id)));
    assert!(pages > 1, "everything came on one page");
}

/// Each receipt is a whole evidence file, so there are fewer of them in one answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_of_many_records_are_asked_for_in_parts() {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let many = hospital.decisions(0..RECEIPTS_MAX as u64 + 1);
    let message = |statement: &FinishedStatement| v1::Submission {
        statement: statement.statement.clone(),
        disclosures: statement.disclosures.clone(),
        digest_only: Vec::new(),
    };
    let request = v1::SubmitRequest {
        submissions: many.iter().map(message).collect(),
        wait: v1::Wait::Receipt.into(),
    };
    let leader = cluster.leader().await;
    let refused = evidence(&cluster, leader)
        .submit(request)
        .await
        .unwrap_err();
    let told = Told::by(&refused);
    assert_eq!(told.reason, Some(Reason::BatchTooLarge), "{refused}");
    // The client knows, and asks in parts.
    let outcomes = cluster.ledger().submit(&many, Wait::Receipt).await.unwrap();
    assert_eq!(outcomes.len(), many.len());
}

/// Ten pages fill the share of a principal; what its caller does not read is not kept for it without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_no_answer_is_refused_at_its_share_and_takes_nothing_from_others() {
    let cluster = Cluster::start(1).await;
    let [hospital, other] = [
        Hospital::register(&cluster, "hospital").await,
        Hospital::register(&cluster, "other").await,
    ];
    let ledger = cluster.ledger_as(hospital.read_key());
    let records: Vec<_> = (0..RECORDS).map(|number| long(&hospital, number)).collect();
    for some in records.chunks(20) {
        ledger.submit(some, Wait::Committed).await.unwrap();
    }
    let before = cluster.memory(0);
    let home = IpAddr::from([127, 0, 0, 1]);
    let staller = Staller::connect(&cluster, 0, home).await;
    let page = v1::ListRecordsRequest {
        organization: hospital.id.clone(),
        page_size: 1_000,
        ..v1::ListRecordsRequest::default()
    };
    let unread = staller.ask(&page, (&*hospital.key, 40)).await;
    let more = cluster.memory(0).saturating_sub(before);
    assert!(
        more < 100 << 20,
        "{} MiB for answers that nobody reads",
        more >> 20
    );

    // Somebody else, over the same node and from the same address.
    let theirs = cluster.ledger_as(other.read_key());
    let filter = RecordFilter {
        organization: other.id.clone(),
        ..RecordFilter::default()
    };
    theirs.list(&filter, None).await.unwrap();
    let refused = unread.last().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.message().contains("by this principal"),
        "{refused:?}"
    );
    // Whoever is gone holds nothing any more.
    ledger
        .list(
            &RecordFilter {
                organization: hospital.id.clone(),
                ..filter
            },
            None,
        )
        .await
        .unwrap();
}
