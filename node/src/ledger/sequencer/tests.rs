//! The sequencer against a Raft that the test drives by hand.

use std::{collections::VecDeque, sync::Mutex};

use futures::future::ready;

use super::*;
use crate::{
    clock::{Clock, FixedClock},
    ledger::{command::Command, outcome::Logged, progress::LedgerProgress},
    raft::Position,
};

const NOW: u64 = 1_800_000_000_000;

/// Takes commands and answers them when the test says so.
#[derive(Debug, Clone, Default)]
struct FakeRaft {
    commands: Arc<Mutex<VecDeque<(Command, Answer)>>>,
    arrived: Arc<tokio::sync::Notify>,
}

type Answer = oneshot::Sender<Result<Committed, ProposeError>>;

impl Propose for FakeRaft {
    fn submit(&self, command: Bytes) -> BoxFuture<'_, Result<Pending, ProposeError>> {
        let (answer, outcome) = oneshot::channel();
        let command = Command::decode(&command).unwrap();
        self.commands.lock().unwrap().push_back((command, answer));
        self.arrived.notify_one();
        let pending: Pending =
            async move { outcome.await.unwrap_or(Err(ProposeError::Unknown)) }.boxed();
        ready(Ok(pending)).boxed()
    }

    fn leading_term(&self) -> Option<u64> {
        Some(1)
    }
}

impl FakeRaft {
    async fn next(&self) -> (Command, Answer) {
        loop {
            let next = self.commands.lock().unwrap().pop_front();
            if let Some(next) = next {
                return next;
            }
            self.arrived.notified().await;
        }
    }

    fn waiting(&self) -> usize {
        self.commands.lock().unwrap().len()
    }
}

struct Bench {
    raft: FakeRaft,
    sequencer: Sequencer,
    clock: Arc<FixedClock>,
    pace: watch::Sender<Pace>,
    progress: watch::Sender<LedgerProgress>,
}

fn bench(config: SequencerConfig) -> Bench {
    let raft = FakeRaft::default();
    let clock = Arc::new(FixedClock::at_millis(NOW));
    let pace = watch::Sender::new(Pace::FREE);
    let progress = watch::Sender::new(LedgerProgress {
        founded: true,
        time: aimslog_proto::time::UnixMillis(NOW),
        time_term: Some(1),
        ..LedgerProgress::unfounded()
    });
    let parts = SequencerParts {
        propose: raft.clone(),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        progress: progress.subscribe(),
        pace: pace.subscribe(),
    };
    let (sequencer, run) = Sequencer::new(parts, config);
    tokio::spawn(run.run(std::future::pending()));
    Bench {
        raft,
        sequencer,
        clock,
        pace,
        progress,
    }
}

fn item(text: &str) -> Item {
    Item {
        statement: Bytes::copy_from_slice(text.as_bytes()),
        ..Item::default()
    }
}

fn result(index: u64) -> ItemOutcome {
    ItemOutcome::Logged(Logged {
        index,
        leaf_hash: [0; 32],
        time_ms: NOW,
        number: 1,
    })
}

fn commit(answer: Answer, outcome: &Outcome) {
    let position = Position {
        term: 1,
        leader: 1,
        index: 1,
    };
    answer
        .send(Ok(Committed {
            position,
            outcome: outcome.encode(),
        }))
        .unwrap();
}

fn statements(command: &Command) -> Vec<&[u8]> {
    match command {
        Command::Batch(batch) => batch.items.iter().map(|item| &item.statement[..]).collect(),
        other => panic!("{other:?}"),
    }
}

/// Submits in a task of its own; the queue has it once this returns.
async fn submit(
    bench: &Bench,
    text: &str,
) -> tokio::task::JoinHandle<Result<ItemOutcome, SubmitError>> {
    let sequencer = bench.sequencer.clone();
    let item = item(text);
    let before = sequencer.load_bytes();
    let task = tokio::spawn(async move { sequencer.submit(item).await });
    while bench.sequencer.load_bytes() == before && !task.is_finished() {
        tokio::task::yield_now().await;
    }
    // The loop has taken it once it had nothing else to do.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test(start_paused = true)]
async fn one_submission_goes_at_once_and_the_rest_share_the_next_command() {
    let bench = bench(SequencerConfig::default());
    let first = submit(&bench, "a").await;
    let (command, answer) = bench.raft.next().await;
    assert_eq!(statements(&command), [b"a"]);
    let rest = [submit(&bench, "b").await, submit(&bench, "c").await];
    assert_eq!(bench.raft.waiting(), 0, "they wait for the first command");
    commit(answer, &Outcome::Batch(vec![result(1)]));
    assert_eq!(first.await.unwrap(), Ok(result(1)));
    let (command, answer) = bench.raft.next().await;
    assert_eq!(statements(&command), [b"b", b"c"]);
    commit(answer, &Outcome::Batch(vec![result(2), result(3)]));
    for (task, index) in rest.into_iter().zip(2..) {
        assert_eq!(task.await.unwrap(), Ok(result(index)));
    }
    assert_eq!(bench.sequencer.load_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn full_batches_are_pipelined_up_to_the_window() {
    let config = SequencerConfig {
        window: 2,
        batch_bytes_goal: 1,
        ..SequencerConfig::default()
    };
    let bench = bench(config);
    let mut tasks = Vec::new();
    for text in ["a", "b", "c"] {
        tasks.push(submit(&bench, text).await);
    }
    assert_eq!(bench.raft.waiting(), 2);
    let (first, answer_first) = bench.raft.next().await;
    let (second, answer_second) = bench.raft.next().await;
    assert_eq!(
        (statements(&first), statements(&second)),
        (vec![&b"a"[..]], vec![&b"b"[..]])
    );
    commit(answer_second, &Outcome::Batch(vec![result(2)]));
    let (third, answer_third) = bench.raft.next().await;
    assert_eq!(statements(&third), [b"c"]);
    commit(answer_first, &Outcome::Batch(vec![result(1)]));
    commit(answer_third, &Outcome::Batch(vec![result(3)]));
    for (task, index) in tasks.into_iter().zip(1..) {
        assert_eq!(task.await.unwrap(), Ok(result(index)));
    }
}

#[tokio::test(start_paused = true)]
async fn equal_statements_under_way_are_proposed_once() {
    let bench = bench(SequencerConfig::default());
    let first = submit(&bench, "same").await;
    let again = submit(&bench, "same").await;
    let (command, answer) = bench.raft.next().await;
    assert_eq!(statements(&command).len(), 1);
    commit(answer, &Outcome::Batch(vec![result(7)]));
    assert_eq!(first.await.unwrap(), Ok(result(7)));
    let ItemOutcome::Logged(logged) = result(7) else {
        panic!()
    };
    assert_eq!(again.await.unwrap(), Ok(ItemOutcome::AlreadyLogged(logged)));
    assert_eq!(bench.raft.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_raft_has_its_error() {
    let table = [
        (
            ProposeError::NotLeader { leader: Some(2) },
            SubmitError::NotLeader { leader: Some(2) },
        ),
        (ProposeError::NoQuorum, SubmitError::NoQuorum),
        (ProposeError::Unknown, SubmitError::OutcomeUnknown),
        (ProposeError::Stopped, SubmitError::Stopped),
    ];
    let bench = bench(SequencerConfig::default());
    for (error, expected) in table {
        let task = submit(&bench, "a").await;
        let (_, answer) = bench.raft.next().await;
        answer.send(Err(error)).unwrap();
        assert_eq!(task.await.unwrap(), Err(expected));
    }
    let silent = submit(&bench, "a").await;
    let (_, _answer) = bench.raft.next().await;
    assert_eq!(
        silent.await.unwrap(),
        Err(SubmitError::OutcomeUnknown),
        "the commit timed out"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_the_brake_makes_it_full_sooner() {
    let bench = bench(SequencerConfig::default());
    bench.pace.send_replace(Pace {
        queue_bytes: 20,
        ..Pace::FREE
    });
    let first = submit(&bench, "a").await;
    let second = submit(&bench, "b").await;
    let third = submit(&bench, "c").await;
    let refused = third.await.unwrap();
    assert!(
        matches!(refused, Err(SubmitError::Overloaded { limit: 20, .. })),
        "{refused:?}"
    );
    let (_, answer) = bench.raft.next().await;
    commit(answer, &Outcome::Batch(vec![result(1)]));
    first.await.unwrap().unwrap();
    let (_, answer) = bench.raft.next().await;
    commit(answer, &Outcome::Batch(vec![result(2)]));
    second.await.unwrap().unwrap();
}

/// An unreadable command in the log would stop every node for good.
#[tokio::test(start_paused = true)]
async fn what_no_node_could_read_is_never_proposed() {
    let bench = bench(SequencerConfig::default());
    let with_attachments = |count| Item {
        attachments: vec![[7; 32]; count],
        ..item("a")
    };
    for refused in [
        Item {
            statement: vec![0; COMMAND_BYTES_MAX].into(),
            ..Item::default()
        },
        with_attachments(ATTACHMENTS_MAX + 1),
    ] {
        let refused = bench.sequencer.submit(refused).await;
        assert!(matches!(refused, Err(SubmitError::TooLarge { .. })));
    }
    let chunk = |length: usize| {
        Control::Blob(BlobChunk {
            time_ms: 0,
            organization: "acme".to_owned(),
            digest: [7; 32],
            offset: 0,
            total: length as u64,
            bytes: vec![1; length].into(),
        })
    };
    let refused = bench
        .sequencer
        .control(chunk(BLOB_CHUNK_BYTES_MAX + 1))
        .await;
    assert!(matches!(refused, Err(SubmitError::TooLarge { .. })));
    assert_eq!(bench.raft.waiting(), 0);

    // At the limits it is proposed; the Raft of this test decodes what it takes.
    let sequencer = bench.sequencer.clone();
    let item = with_attachments(ATTACHMENTS_MAX);
    let task = tokio::spawn(async move { sequencer.submit(item).await });
    let (command, answer) = bench.raft.next().await;
    assert!(matches!(command, Command::Batch(batch) if batch.items[0].attachments.len() == 32));
    commit(answer, &Outcome::Batch(vec![result(1)]));
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_leader_ticks_in_silence() {
    let bench = bench(SequencerConfig::default());
    bench.clock.set_millis(NOW + 30_000);
    let (command, answer) = bench.raft.next().await;
    assert_eq!(
        command,
        Command::Tick {
            time_ms: NOW + 30_000
        }
    );
    commit(answer, &Outcome::Done);
}

#[tokio::test(start_paused = true)]
async fn time_never_goes_back_and_catches_up_in_steps() {
    let bench = bench(SequencerConfig::default());
    bench.clock.set_millis(NOW - 5_000);
    let task = submit(&bench, "a").await;
    let (command, answer) = bench.raft.next().await;
    assert_eq!(command.time_ms(), Some(NOW));
    commit(answer, &Outcome::Batch(vec![result(1)]));
    task.await.unwrap().unwrap();

    bench.clock.set_millis(NOW + 150_000);
    let task = submit(&bench, "b").await;
    for expected in [NOW + 60_000, NOW + 120_000] {
        let (command, answer) = bench.raft.next().await;
        assert_eq!(command, Command::Tick { time_ms: expected });
        commit(answer, &Outcome::Done);
    }
    let (command, answer) = bench.raft.next().await;
    assert_eq!(command.time_ms(), Some(NOW + 150_000));
    commit(answer, &Outcome::Batch(vec![result(2)]));
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_time_is_tried_again_with_a_later_one() {
    let bench = bench(SequencerConfig::default());
    let task = submit(&bench, "a").await;
    let (_, answer) = bench.raft.next().await;
    commit(answer, &Outcome::TimeRefused { last_ms: NOW + 700 });
    let (command, answer) = bench.raft.next().await;
    assert_eq!(command.time_ms(), Some(NOW + 700));
    assert_eq!(statements(&command), [b"a"]);
    commit(answer, &Outcome::Batch(vec![result(1)]));
    assert_eq!(task.await.unwrap(), Ok(result(1)));
}

#[tokio::test(start_paused = true)]
async fn control_commands_do_not_wait_for_a_batch_to_fill() {
    let bench = bench(SequencerConfig::default());
    let item = submit(&bench, "a").await;
    let (_, answer_item) = bench.raft.next().await;
    let sequencer = bench.sequencer.clone();
    let cut = tokio::spawn(async move { sequencer.control(Control::Cut).await });
    let (command, answer) = bench.raft.next().await;
    assert_eq!(command, Command::Cut { time_ms: NOW });
    let outcome = Outcome::Cut {
        size: 4,
        root: [1; 32],
    };
    commit(answer, &outcome);
    assert_eq!(cut.await.unwrap(), Ok(outcome));
    commit(answer_item, &Outcome::Batch(vec![result(1)]));
    item.await.unwrap().unwrap();
    assert_eq!(bench.progress.receiver_count(), 1);
}

fn pace_up_to(bench: &Bench, tree_size: u64) {
    bench.pace.send_replace(Pace {
        tree_size,
        ..Pace::FREE
    });
}

/// What a quorum has not verified makes heads old, so no more is ordered than it verifies soon.
#[tokio::test(start_paused = true)]
async fn statements_wait_until_a_quorum_has_verified_enough() {
    let bench = bench(SequencerConfig::default());
    pace_up_to(&bench, 1);
    let first = submit(&bench, "a").await;
    let second = submit(&bench, "b").await;
    let (command, answer) = bench.raft.next().await;
    assert_eq!(statements(&command), [b"a"]);
    bench
        .progress
        .send_modify(|progress| progress.tree.size.0 = 1);
    commit(answer, &Outcome::Batch(vec![result(0)]));
    first.await.unwrap().unwrap();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.raft.waiting(), 0, "it is held back");
    let before = tokio::time::Instant::now();
    pace_up_to(&bench, 2);
    let (command, answer) = bench.raft.next().await;
    assert_eq!(statements(&command), [b"b"]);
    assert!(before.elapsed() < TRICKLE_INTERVAL, "it went at once");
    commit(answer, &Outcome::Batch(vec![result(1)]));
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_few_statements_go_even_if_nobody_verifies() {
    let bench = bench(SequencerConfig::default());
    pace_up_to(&bench, 0);
    let mut tasks = Vec::new();
    for number in 0..=TRICKLE_ITEMS {
        tasks.push(submit(&bench, &format!("statement {number}")).await);
    }
    for expected in [TRICKLE_ITEMS, 1] {
        let before = tokio::time::Instant::now();
        let (command, answer) = bench.raft.next().await;
        assert_eq!(statements(&command).len(), expected);
        assert!(before.elapsed() <= TRICKLE_INTERVAL);
        commit(answer, &Outcome::Batch(vec![result(1); expected]));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn cuts_and_heads_overtake_what_waits() {
    let config = SequencerConfig {
        window: 1,
        ..SequencerConfig::default()
    };
    let bench = bench(config);
    let first = submit(&bench, "a").await;
    let (_, answer) = bench.raft.next().await;
    let second = submit(&bench, "b").await;
    let sequencer = bench.sequencer.clone();
    let cut = tokio::spawn(async move { sequencer.control(Control::Cut).await });
    let (command, answer_cut) = bench.raft.next().await;
    assert_eq!(
        command,
        Command::Cut { time_ms: NOW },
        "also beyond the window"
    );
    let outcome = Outcome::Cut {
        size: 4,
        root: [1; 32],
    };
    commit(answer_cut, &outcome);
    assert_eq!(cut.await.unwrap(), Ok(outcome));
    commit(answer, &Outcome::Batch(vec![result(1)]));
    first.await.unwrap().unwrap();
    let (_, answer) = bench.raft.next().await;
    commit(answer, &Outcome::Batch(vec![result(2)]));
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn room_of_a_batch_is_taken_once_and_given_back_in_parts() {
    let bench = bench(SequencerConfig::default());
    bench.pace.send_replace(Pace {
        queue_bytes: 100,
        ..Pace::FREE
    });
    let mut room = bench.sequencer.room(90).unwrap();
    assert!(matches!(
        bench.sequencer.room(20),
        Err(SubmitError::Overloaded {
            waiting: 90,
            limit: 100
        })
    ));
    let (part, rest) = (room.part(60), room.part(60));
    drop(room);
    assert_eq!(bench.sequencer.load_bytes(), 90);
    drop(part);
    assert_eq!(bench.sequencer.load_bytes(), 30, "no more than there was");
    drop(rest);
    assert_eq!(
        (
            bench.sequencer.load_bytes(),
            bench.sequencer.answered_bytes()
        ),
        (0, 90)
    );
    assert!(
        bench.sequencer.room(1_000).is_ok(),
        "one always goes through"
    );
}
