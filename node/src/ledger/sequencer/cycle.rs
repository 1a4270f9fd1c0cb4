//! The loop of the sequencer: what waits becomes commands, commands fly, answers go home.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use aimslog_proto::limits::{COMMAND_BYTES_MAX, COMMAND_ITEMS_MAX, TIME_STEP_MS_MAX};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::FuturesUnordered,
};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    CATCH_UP_STEPS_MAX, Control, Pace, Propose, Request, Room, SequencerConfig, SubmitError,
    TIME_RETRIES_MAX, TRICKLE_INTERVAL, TRICKLE_ITEMS,
};
use crate::{
    clock::Clock,
    ledger::{
        command::{Batch, BlobChunk, Command, Genesis, Item},
        outcome::{ItemOutcome, Outcome},
        progress::LedgerProgress,
    },
};

/// What the loop works with.
#[derive(Debug)]
pub struct SequencerParts<P> {
    /// Where commands go.
    pub propose: P,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What is applied here.
    pub progress: watch::Receiver<LedgerProgress>,
    /// How much is taken in and let go.
    pub pace: watch::Receiver<Pace>,
}

/// The loop of the sequencer: one per node, owned by whoever started the node.
#[derive(Debug)]
pub struct SequencerLoop<P> {
    parts: SequencerParts<P>,
    config: SequencerConfig,
    incoming: mpsc::Receiver<Request>,
    /// Cuts and heads, which do not queue behind statements.
    urgent: VecDeque<Job>,
    queue: VecDeque<Job>,
    queued_bytes: usize,
    /// Statements in flight.
    flying: usize,
    /// When statements were last handed over.
    departed: Instant,
    /// Who waits for the statement with this digest, whether it is queued or in flight.
    waiters: BTreeMap<[u8; 32], Vec<Waiter>>,
    /// The time of the newest command handed over, and the term in which that was.
    last: Stamp,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stamp {
    time_ms: u64,
    term: Option<u64>,
}

#[derive(Debug)]
enum Job {
    Item {
        item: Item,
        id: [u8; 32],
        retries: u32,
    },
    Control {
        control: Control,
        answer: oneshot::Sender<Result<Outcome, SubmitError>>,
        retries: u32,
    },
}

#[derive(Debug)]
struct Waiter {
    answer: oneshot::Sender<Result<ItemOutcome, SubmitError>>,
    /// Held until the answer is on its way.
    _room: Room,
}

/// One command in flight, with the jobs that it holds.
type Flight = BoxFuture<'static, (Vec<Job>, Result<Outcome, SubmitError>)>;

impl<P: Propose> SequencerLoop<P> {
    pub(super) fn new(
        parts: SequencerParts<P>,
        config: SequencerConfig,
        incoming: mpsc::Receiver<Request>,
    ) -> Self {
        Self {
            parts,
            config,
            incoming,
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            flying: 0,
            departed: Instant::now(),
            waiters: BTreeMap::new(),
            last: Stamp::default(),
        }
    }

    /// Runs until `shutdown` resolves or every handle is gone. What is in flight then is reported
    /// as unknown to its waiters.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut flights: FuturesUnordered<Flight> = FuturesUnordered::new();
        let mut tick = Instant::now() + self.config.tick;
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            if self.depart(&mut flights).await {
                tick = Instant::now() + self.config.tick;
            }
            let held = self.held_until(flights.len());
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                Some((jobs, result)) = flights.next(), if !flights.is_empty() => {
                    self.land(jobs, result);
                }
                request = self.incoming.recv() => match request {
                    Some(request) => self.take(request),
                    None if flights.is_empty() => return,
                    None => {
                        let Some((jobs, result)) = flights.next().await else { return };
                        self.land(jobs, result);
                    }
                },
                // Looked at again above.
                () = released(&mut self.parts.pace, held) => {}
                () = tokio::time::sleep_until(tick) => {
                    tick = Instant::now() + self.config.tick;
                    self.tick(&mut flights).await;
                }
            }
        }
    }

    /// Takes a request, and all others that are already there: they share a command.
    fn take(&mut self, request: Request) {
        self.enqueue(request);
        while let Ok(request) = self.incoming.try_recv() {
            self.enqueue(request);
        }
    }

    fn enqueue(&mut self, request: Request) {
        match request {
            Request::Item { item, room, answer } => {
                let id = Sha256::digest(&item.statement).into();
                let waiter = Waiter {
                    answer,
                    _room: room,
                };
                let waiters = self.waiters.entry(id).or_default();
                waiters.push(waiter);
                if waiters.len() == 1 {
                    self.queued_bytes += item.encoded_len();
                    self.queue.push_back(Job::Item {
                        item,
                        id,
                        retries: 0,
                    });
                }
            }
            Request::Control { control, answer } => {
                self.queue_of(&control).push_back(Job::Control {
                    control,
                    answer,
                    retries: 0,
                });
            }
        }
    }

    /// Where a control command waits. The age of the newest head depends on cuts and heads.
    fn queue_of(&mut self, control: &Control) -> &mut VecDeque<Job> {
        match control {
            Control::Cut | Control::Publish(_) => &mut self.urgent,
            Control::Genesis(_) | Control::Blob(_) | Control::Level(_) => &mut self.queue,
        }
    }

    /// Hands over as many commands as may go now; true if any did.
    async fn depart(&mut self, flights: &mut FuturesUnordered<Flight>) -> bool {
        let mut departed = false;
        while self.may_depart(flights.len()) {
            let now = self.stamp(flights).await;
            let jobs = self.next_jobs();
            let items = items_in(&jobs);
            if items > 0 {
                self.flying += items;
                self.departed = Instant::now();
            }
            let command = assemble(&jobs, now);
            let flight = self.fly(command, jobs).await;
            flights.push(flight);
            departed = true;
        }
        departed
    }

    fn may_depart(&self, in_flight: usize) -> bool {
        // Cuts and heads are what others wait for: they wait neither for a batch to fill nor for
        // statements to land. There is one of them at a time.
        !self.urgent.is_empty()
            || (self.is_ready(in_flight) && self.held_until(in_flight).is_none())
    }

    /// Whether there is a command's worth in the queue, and a place for it in the window.
    fn is_ready(&self, in_flight: usize) -> bool {
        let filled = match self.queue.front() {
            None => false,
            Some(Job::Control { .. }) => true,
            Some(Job::Item { .. }) => {
                in_flight == 0 || self.queued_bytes >= self.config.batch_bytes_goal
            }
        };
        filled && in_flight < self.config.window
    }

    /// Until when statements that are ready wait all the same, because a quorum has enough to verify.
    fn held_until(&self, in_flight: usize) -> Option<Instant> {
        let is_statement = matches!(self.queue.front(), Some(Job::Item { .. }));
        if !is_statement || !self.is_ready(in_flight) || self.growth() > 0 {
            return None;
        }
        let until = self.departed + TRICKLE_INTERVAL;
        (Instant::now() < until).then_some(until)
    }

    /// How many statements the pace lets go now.
    fn growth(&self) -> usize {
        let tree_size = self.parts.progress.borrow().tree.size.0;
        let allowed = self.parts.pace.borrow().tree_size.saturating_sub(tree_size);
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        allowed.saturating_sub(self.flying)
    }

    /// The jobs of the next command: one control command, or as many statements as fit.
    fn next_jobs(&mut self) -> Vec<Job> {
        if let Some(job) = self.urgent.pop_front() {
            return vec![job];
        }
        let items_max = match self.growth() {
            0 => TRICKLE_ITEMS,
            growth => growth.min(COMMAND_ITEMS_MAX),
        };
        let mut jobs = Vec::new();
        let mut bytes = Batch::OVERHEAD;
        while let Some(job) = self.queue.pop_front() {
            match &job {
                Job::Control { .. } if jobs.is_empty() => {
                    jobs.push(job);
                    break;
                }
                Job::Item { item, .. }
                    if jobs.len() < items_max
                        && bytes + item.encoded_len() <= COMMAND_BYTES_MAX =>
                {
                    bytes += item.encoded_len();
                    self.queued_bytes = self.queued_bytes.saturating_sub(item.encoded_len());
                    jobs.push(job);
                }
                Job::Control { .. } | Job::Item { .. } => {
                    self.queue.push_front(job);
                    break;
                }
            }
        }
        jobs
    }

    /// The registration time of the next command: the clock's, never before the newest known and,
    /// within a term, never further from it than apply accepts. After a long pause of the process
    /// the distance is made up in ticks.
    async fn stamp(&mut self, flights: &mut FuturesUnordered<Flight>) -> u64 {
        let applied = self.parts.progress.borrow().clone();
        let term = self.parts.propose.leading_term();
        let now = self.parts.clock.unix_millis();
        let last_ms = self.last.time_ms.max(applied.time.0);
        let first_of_term = term != self.last.term && term != applied.time_term;
        let mut time_ms = now.max(last_ms);
        if applied.founded && !first_of_term {
            let mut reached = last_ms;
            for _ in 0..CATCH_UP_STEPS_MAX {
                if time_ms - reached <= TIME_STEP_MS_MAX {
                    break;
                }
                reached += TIME_STEP_MS_MAX;
                let tick = Command::Tick { time_ms: reached };
                let flight = self.fly(tick, Vec::new()).await;
                flights.push(flight);
            }
            time_ms = time_ms.min(reached + TIME_STEP_MS_MAX);
        }
        self.last = Stamp { time_ms, term };
        time_ms
    }

    /// Proposes now, and waits for the outcome in the returned future.
    async fn fly(&self, command: Command, jobs: Vec<Job>) -> Flight {
        let pending = match self.parts.propose.submit(command.encode()).await {
            Ok(pending) => pending,
            Err(error) => return ready((jobs, Err(error.into()))).boxed(),
        };
        let limit = self.config.commit_timeout;
        async move {
            let result = match timeout(limit, pending).await {
                Ok(Ok(committed)) => Outcome::decode(&committed.outcome).map_err(|error| {
                    tracing::error!(%error, "an outcome of our own cannot be read");
                    SubmitError::OutcomeUnknown
                }),
                Ok(Err(error)) => Err(error.into()),
                Err(_elapsed) => Err(SubmitError::OutcomeUnknown),
            };
            (jobs, result)
        }
        .boxed()
    }

    async fn tick(&mut self, flights: &mut FuturesUnordered<Flight>) {
        let founded = self.parts.progress.borrow().founded;
        if founded && self.parts.propose.leading_term().is_some() && flights.is_empty() {
            let time_ms = self.stamp(flights).await;
            let flight = self.fly(Command::Tick { time_ms }, Vec::new()).await;
            flights.push(flight);
        }
    }

    /// Answers everybody who waited for this command, or queues its jobs again where only its time
    /// was refused: another leader had taken a later one.
    fn land(&mut self, jobs: Vec<Job>, result: Result<Outcome, SubmitError>) {
        self.flying = self.flying.saturating_sub(items_in(&jobs));
        let result = match result {
            Ok(Outcome::TimeRefused { last_ms }) => {
                self.last.time_ms = self.last.time_ms.max(last_ms);
                return self.again(jobs);
            }
            other => other,
        };
        let mut items = match &result {
            Ok(Outcome::Batch(items)) => items.clone(),
            _ => Vec::new(),
        }
        .into_iter();
        for job in jobs {
            match job {
                Job::Control { answer, .. } => reply(answer, result.clone()),
                Job::Item { id, .. } => {
                    let outcome = match &result {
                        Ok(Outcome::Refused(violations)) => {
                            Ok(ItemOutcome::Refused(violations.clone()))
                        }
                        Ok(_) => items.next().ok_or(SubmitError::OutcomeUnknown),
                        Err(error) => Err(error.clone()),
                    };
                    self.answer(id, &outcome);
                }
            }
        }
    }

    fn again(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            match job {
                Job::Item { item, id, retries } if retries < TIME_RETRIES_MAX => {
                    self.queued_bytes += item.encoded_len();
                    self.queue.push_front(Job::Item {
                        item,
                        id,
                        retries: retries + 1,
                    });
                }
                Job::Control {
                    control,
                    answer,
                    retries,
                } if retries < TIME_RETRIES_MAX => {
                    self.queue_of(&control).push_front(Job::Control {
                        control,
                        answer,
                        retries: retries + 1,
                    });
                }
                Job::Item { id, .. } => self.answer(id, &Err(SubmitError::OutcomeUnknown)),
                Job::Control { answer, .. } => reply(answer, Err(SubmitError::OutcomeUnknown)),
            }
        }
    }

    /// The first who waits gets the outcome; the others sent the same bytes again.
    fn answer(&mut self, id: [u8; 32], outcome: &Result<ItemOutcome, SubmitError>) {
        let repeated = match outcome {
            Ok(ItemOutcome::Logged(logged)) => Ok(ItemOutcome::AlreadyLogged(*logged)),
            other => other.clone(),
        };
        let waiters = self.waiters.remove(&id).unwrap_or_default();
        for (place, waiter) in waiters.into_iter().enumerate() {
            let outcome = if place == 0 {
                outcome.clone()
            } else {
                repeated.clone()
            };
            reply(waiter.answer, outcome);
        }
    }
}

/// Resolves when the pace may have changed, or statements have been held back long enough; never
/// where none are.
async fn released(pace: &mut watch::Receiver<Pace>, held: Option<Instant>) {
    let Some(until) = held else {
        return std::future::pending().await;
    };
    // A pace that nobody sets any more stays as it is.
    let changed = timeout_at(until, pace.changed()).await;
    if matches!(changed, Ok(Err(_))) {
        tokio::time::sleep_until(until).await;
    }
}

fn items_in(jobs: &[Job]) -> usize {
    let items = jobs.iter().filter(|job| matches!(job, Job::Item { .. }));
    items.count()
}

/// Sends an answer; who stopped waiting does not need it.
fn reply<T>(answer: oneshot::Sender<T>, value: T) {
    if answer.send(value).is_err() {
        tracing::trace!("nobody waits for this outcome any more");
    }
}

/// The command of one departure.
fn assemble(jobs: &[Job], time_ms: u64) -> Command {
    if let [Job::Control { control, .. }] = jobs {
        return match control.clone() {
            Control::Genesis(genesis) => Command::Genesis(Genesis { time_ms, ..genesis }),
            Control::Cut => Command::Cut { time_ms },
            Control::Publish(publish) => Command::Publish(publish),
            Control::Blob(chunk) => Command::Blob(BlobChunk { time_ms, ..chunk }),
            Control::Level(level) => Command::Level(level),
        };
    }
    let items = jobs
        .iter()
        .filter_map(|job| match job {
            Job::Item { item, .. } => Some(item.clone()),
            Job::Control { .. } => None,
        })
        .collect();
    Command::Batch(Batch { time_ms, items })
}
