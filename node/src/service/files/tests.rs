//! Evidence files of a ledger whose policy changed, as verifiers with older and newer policies read
//! them.

use super::*;
use crate::ledger::command::{Command, Item};
use crate::ledger::outcome::{ItemOutcome, Outcome};
use crate::ledger::testing::{Change, Engine, START_MS, World, signed_over};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::statement::Commitment;
use aimslog_proto::statement::evidence::{EvidenceFile, Options, Report, verify};
use aimslog_proto::system::{OrganizationChange, Role, RoleChange};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{LeafHash, Policy};
use tokio::sync::Semaphore;

/// Cosigners of the policies one after the other: each changes one node.
const PLACES: [[usize; 3]; 4] = [[0, 1, 2], [1, 2, 3], [0, 2, 3], [0, 1, 3]];
/// Of the newest policy, and no two of the first or the third.
const NEWEST: [usize; 2] = [1, 3];

fn log(engine: &mut Engine, statement: bytes::Bytes) {
    let item = Item {
        statement,
        payload: None,
        attachments: Vec::new(),
    };
    let outcome = engine.batch(vec![item]).remove(0);
    assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
}

fn publish(world: &World, engine: &mut Engine, places: &[usize]) -> Outcome {
    let head = engine.core().frontier.head();
    engine.run(&Command::Publish(world.publish_by(
        head.size.0,
        head.root,
        places,
    )))
}

fn record(world: &World, id: u64) -> bytes::Bytes {
    let kind = RuleBundle::v1().kind("oversight_decision", 1).unwrap();
    let leaves: Vec<LeafHash> = kind
        .field_names()
        .map(|name| LeafHash::of(name.as_bytes()))
        .collect();
    signed_over(
        &world.header(11, id),
        11,
        &Commitment::build(&leaves).unwrap(),
    )
}

/// A ledger whose policy changed three times; its newest head has the newest policy's cosigners alone.
/// Returns it with the index of a record that was logged before the changes.
fn changed_thrice(world: &World) -> (Engine, u64) {
    let mut engine = Engine::with_acme(world);
    let index = engine.core().frontier.size().0;
    log(&mut engine, record(world, 1));
    let published = publish(world, &mut engine, &[0, 1]);
    assert!(matches!(published, Outcome::Published { .. }));
    for (id, pair) in (2..).zip(PLACES.windows(2)) {
        let [before, after] = [pair[0], pair[1]].map(|places| world.policy(places));
        log(&mut engine, world.policy_change(&before, after));
        let (common, new): (Vec<usize>, Vec<usize>) = pair[1]
            .into_iter()
            .partition(|place| pair[0].contains(place));
        let refused = publish(world, &mut engine, &[new[0], common[0]]);
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
        let led_over = publish(world, &mut engine, &common);
        assert!(matches!(led_over, Outcome::Published { .. }));
        log(&mut engine, record(world, id));
        publish(world, &mut engine, &common);
    }
    log(&mut engine, record(world, 10));
    let published = publish(world, &mut engine, &NEWEST);
    assert!(matches!(published, Outcome::Published { .. }));
    (engine, index)
}

fn file(engine: &Engine, index: u64) -> Vec<u8> {
    file_with(engine, index, Signers::UntilHead)
}

fn file_with(engine: &Engine, index: u64, signers: Signers) -> Vec<u8> {
    let record = WantedRecord::at(&engine.rows, index, Fields::All).unwrap();
    let wanted = Wanted {
        records: BTreeMap::from([(index, record)]),
        since: 0,
        head: HeadChoice::Newest,
        signers,
    };
    build(&engine.rows, &engine.registry, &wanted).unwrap()
}

fn check(file: &[u8], policy: &str) -> Report {
    let options = Options {
        now: UnixSeconds(START_MS / 1000 + 60),
        saved_heads: &[],
        field_lists: RuleBundle::v1(),
        statement: None,
        checkpoint: None,
        receipt_key: None,
    };
    verify(file, &Policy::parse(policy.as_bytes()).unwrap(), &options)
}

#[test]
fn whoever_holds_an_earlier_policy_is_led_to_the_newest() {
    let world = World::new();
    let (engine, index) = changed_thrice(&world);
    let bytes = file(&engine, index);
    let steps = EvidenceFile::parse(&bytes).unwrap().policy_steps;
    assert_eq!(steps.len(), 3);
    for (number, places) in PLACES.into_iter().enumerate() {
        let report = check(&bytes, &world.policy(places).trust);
        assert!(report.verdict.is_verified(), "policy {number}: {report}");
    }
}

#[test]
fn a_file_that_ends_with_its_record_verifies_and_tells_nothing_of_the_signer_since() {
    let world = World::new();
    let mut engine = Engine::with_acme(&world);
    let role = |change| world.role("worker", change, (70, 10));
    log(
        &mut engine,
        role(RoleChange::Grant(Role::new("monitor").unwrap())),
    );
    let index = engine.core().frontier.size().0;
    log(&mut engine, record(&world, 1));
    let revoke = Change::Revoke { name: "worker" };
    log(&mut engine, world.principal("acme", revoke, 10));
    let approvals = Vec::new();
    let suspend = OrganizationChange::Suspend { approvals };
    log(&mut engine, world.standing(suspend, (71, 2)));
    let published = publish(&world, &mut engine, &[0, 1]);
    assert!(matches!(published, Outcome::Published { .. }));
    let chain = |signers| {
        let bytes = file_with(&engine, index, signers);
        let report = check(&bytes, &world.policy([0, 1, 2]).trust);
        assert!(report.verdict.is_verified(), "{report}");
        let chain = EvidenceFile::parse(&bytes).unwrap().chain;
        chain.iter().map(|entry| entry.index.0).collect::<Vec<_>>()
    };
    let then = chain(Signers::UntilRecord);
    assert_eq!(
        then.last(),
        Some(&(index - 1)),
        "with the role of that time"
    );
    let now = chain(Signers::UntilHead);
    assert_eq!(now, [then, vec![index + 1, index + 2]].concat());
}

#[test]
fn a_policy_of_strangers_leads_nowhere() {
    let world = World::new();
    let (engine, index) = changed_thrice(&world);
    let bytes = file(&engine, index);
    let strangers = world.policy_of_strangers();
    let report = check(&bytes, &strangers.trust);
    assert!(!report.verdict.is_verified(), "{report}");
}

#[test]
fn heads_that_led_over_outlive_all_others_of_their_hour() {
    let world = World::new();
    let (mut engine, index) = changed_thrice(&world);
    for minute in 0..48 * 60 {
        engine.time_ms += 60_000;
        engine.run(&Command::Tick {
            time_ms: engine.time_ms,
        });
        if minute % 20 == 0 {
            publish(&world, &mut engine, &NEWEST);
        }
    }
    let before = crate::ledger::reader::head(&engine.rows, 0).unwrap();
    assert!(before.is_none(), "an ordinary head of that hour is kept");
    let report = check(&file(&engine, index), &world.policy(PLACES[0]).trust);
    assert!(report.verdict.is_verified(), "{report}");
}

/// A stream of three pieces that holds the only turn.
async fn three(stop: &CancellationToken) -> (Arc<Semaphore>, ChunkStream<u8>) {
    let turns = Arc::new(Semaphore::new(1));
    let turn = Arc::clone(&turns).acquire_owned().await.unwrap();
    let stream = sending((&TaskTracker::new(), stop), 1..=3, turn);
    (turns, stream)
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_a_file_gets_all_of_it_and_gives_the_turn_back() {
    let (turns, stream) = three(&CancellationToken::new()).await;
    let pieces: Vec<u8> = stream.map(Result::unwrap).collect().await;
    assert_eq!(pieces, [1, 2, 3]);
    assert!(turns.acquire().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_off_never_looks_whole() {
    let stop = CancellationToken::new();
    for stops in [false, true] {
        let (turns, mut stream) = three(&stop).await;
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        if stops {
            stop.cancel();
        }
        // Nobody takes the rest; the turn comes back all the same.
        assert!(turns.acquire().await.is_ok());
        let rest: Vec<Result<u8, Status>> = stream.collect().await;
        let last = rest.last().unwrap();
        assert_eq!(
            last.as_ref().unwrap_err().code(),
            tonic::Code::ResourceExhausted
        );
    }
}
