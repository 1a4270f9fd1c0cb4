//! Records that a node gives, honest and not.

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::parse;
use aimslog_proto::statement::header::Origin;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::LeafIndex;

use super::*;
use crate::FinishedStatement;
use crate::author::{Author, Identity, Surroundings};

fn finished(finding: &str) -> FinishedStatement {
    let json = SUBMISSION.replace("REFERENCE", finding);
    let submission = parse(RuleBundle::v1(), json.as_bytes()).unwrap();
    let author = Author {
        key: std::sync::Arc::new(SigningKey::from_seed(&[7; 32])),
        organization: "hospital".to_owned(),
        service_id: "ledger.example/a".to_owned(),
        origin: Origin::Person,
        on_behalf_of: None,
    };
    let mut salt = 0;
    let mut surroundings = Surroundings {
        now: UnixSeconds(1_800_000_000),
        salt: &mut || {
            salt += 1;
            [salt; 16]
        },
        resolve: &|_| None,
    };
    author
        .finish(&submission, Identity::OfRecord, &mut surroundings)
        .unwrap()
}

const SUBMISSION: &str = r#"{"meta":{"kind":"oversight_decision","subject":"sys-test-1"},
    "record":{"occurred_at":"2026-03-02T08:00:00Z","actor":{"id":"p-1","role":"reviewer"},
    "confidentiality":"INTERNAL","personal_data":false,"system":"sys-test-1",
    "system_version":"1.0","decision":"APPROVE","reviewer":"p-1","reviewer_role":"reviewer",
    "request_reference":"REFERENCE",
    "output_digest":"0000000000000000000000000000000000000000000000000000000000000000",
    "context_digest":"0000000000000000000000000000000000000000000000000000000000000000",
    "risk_class":"HIGH","justification":"a test",
    "presented_at":"2026-03-02T07:59:00Z","decided_at":"2026-03-02T08:00:00Z"}}"#;

/// What an honest node says of the statement at index 5.
fn message(statement: &FinishedStatement) -> v1::Record {
    v1::Record {
        entry: Some(v1::EntryRef {
            index: 5,
            entry_id: statement.entry_id().as_bytes().to_vec(),
            leaf_hash: LeafHash::of(&statement.statement)
                .hash()
                .as_bytes()
                .to_vec(),
            registered_at: Some(<_>::default()),
            ..v1::EntryRef::default()
        }),
        statement: statement.statement.clone(),
        payload_status: v1::PayloadStatus::Present.into(),
        disclosures: statement.disclosures.clone(),
    }
}

fn why(asked: Option<EntryKey>, message: v1::Record) -> String {
    match listed("n1", asked, Some(message)) {
        Err(ClientError::Unverified { endpoint, why }) => {
            assert_eq!(endpoint, "n1");
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_record_than_the_one_asked_for_is_refused() {
    let [mine, other] = ["one", "two"].map(finished);
    let index = |index| EntryKey::Index(LeafIndex(index));
    for asked in [None, Some(EntryKey::Id(mine.entry_id())), Some(index(5))] {
        let record = listed("n1", asked, Some(message(&mine))).unwrap();
        assert_eq!(record.disclosures, mine.disclosures);
    }
    for asked in [EntryKey::Id(other.entry_id()), index(4)] {
        let why = why(Some(asked), message(&mine));
        assert!(why.contains("another than the one"), "{why}");
    }
}

#[test]
fn fields_are_those_that_the_statement_commits_to() {
    let [mine, other] = ["one", "two"].map(finished);
    let sealed = v1::Record {
        disclosures: Vec::new(),
        ..message(&mine)
    };
    listed("n1", None, Some(sealed)).unwrap();
    let mut missing = mine.disclosures.clone();
    missing.pop();
    let mut turned = mine.disclosures.clone();
    turned.reverse();
    let bytes = vec![b"no disclosure".to_vec()];
    for disclosures in [other.disclosures, missing, turned, bytes] {
        let wrong = v1::Record {
            disclosures,
            ..message(&mine)
        };
        let _refused = why(None, wrong);
    }
}

#[test]
fn statement_id_and_leaf_hash_belong_together() {
    let [mine, other] = ["one", "two"].map(finished);
    let swapped = v1::Record {
        statement: other.statement.clone(),
        ..message(&mine)
    };
    assert!(why(None, swapped).contains("entry id"));
    let mut leaf = message(&mine);
    leaf.entry.as_mut().unwrap().leaf_hash = vec![0; 32];
    assert!(why(None, leaf).contains("leaf hash"));
}
