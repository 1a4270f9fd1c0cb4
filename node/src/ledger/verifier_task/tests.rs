//! The verifier follows apply and stops at what is wrong.

use std::sync::Mutex;

use super::*;
use crate::ledger::alarms::Probation;
use crate::ledger::progress::LedgerProgress;

/// Remembers what it was asked, and finds one entry wrong.
#[derive(Debug, Default)]
struct FakeVerifier {
    ranges: Mutex<Vec<(u64, u64)>>,
    wrong: Option<u64>,
}

impl EntryVerifier for FakeVerifier {
    fn verify_range(&self, from: u64, to: u64) -> Result<(), EntryFault> {
        self.ranges.lock().unwrap().push((from, to));
        match self.wrong.filter(|index| (from..to).contains(index)) {
            Some(index) => Err(EntryFault::Wrong {
                index,
                found: "forged".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

fn progress(size: u64) -> LedgerProgress {
    let mut progress = LedgerProgress::unfounded();
    progress.tree.size = TreeSize(size);
    progress
}

async fn verified_up_to(
    wrong: Option<u64>,
    mode: VerifyMode,
    until: u64,
) -> (Vec<(u64, u64)>, Alarms) {
    let verifier = Arc::new(FakeVerifier {
        wrong,
        ..FakeVerifier::default()
    });
    let (tell, progress) = watch::channel(progress(100));
    let (verified, mut seen) = watch::channel(TreeSize(40));
    let alarms = Alarms::new(Probation::Passed);
    let shutdown = CancellationToken::new();
    let parts = VerifierParts {
        verifier: Arc::<FakeVerifier>::clone(&verifier),
        mode,
        progress,
        alarms: alarms.clone(),
        shutdown: shutdown.clone(),
    };
    let task = tokio::spawn(run(parts, verified));
    if wrong.is_none() {
        seen.wait_for(|size| size.0 == 100).await.unwrap();
        tell.send_modify(|progress| progress.tree.size = TreeSize(until));
        seen.wait_for(|size| size.0 == until).await.unwrap();
    } else {
        let mut standing = alarms.subscribe();
        standing
            .wait_for(|standing| standing.corrupt.is_some())
            .await
            .unwrap();
        assert_eq!(
            *seen.borrow(),
            TreeSize(40),
            "the count stops before the wrong entry"
        );
    }
    shutdown.cancel();
    task.await.unwrap().unwrap();
    let ranges = verifier.ranges.lock().unwrap().clone();
    (ranges, alarms)
}

#[tokio::test]
async fn verifies_every_entry_once_in_stretches() {
    let (ranges, alarms) = verified_up_to(None, VerifyMode::All, 700).await;
    assert_eq!(ranges, [(40, 100), (100, 356), (356, 612), (612, 700)]);
    assert!(alarms.standing().may_sign());
}

#[tokio::test]
async fn weaker_mode_follows_without_work() {
    let (ranges, _) = verified_up_to(None, VerifyMode::Leader, 700).await;
    assert_eq!(ranges, []);
}

#[tokio::test]
async fn wrong_entry_stops_all_signing() {
    let (_, alarms) = verified_up_to(Some(77), VerifyMode::All, 700).await;
    let expected = Corrupt::Entry {
        index: 77,
        found: "forged".to_owned(),
    };
    assert_eq!(alarms.standing().corrupt, Some(expected));
    assert!(!alarms.standing().may_sign());
}
