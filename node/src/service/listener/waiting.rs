//! Callers that have not finished their handshake.
//!
//! One that says nothing costs a file descriptor and some memory for as long as it is waited for. So
//! there are at most so many, and where one more comes the oldest goes: a caller who means it needs
//! some round trips, and is through long before it is the oldest. The address with the most unfinished
//! callers pays, so that a crowd from one place does not push out those from another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::service::network::Network;

/// The unfinished handshakes of one listener.
#[derive(Debug)]
pub(super) struct Waiting {
    max: usize,
    callers: Mutex<Callers>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Callers {
    /// Numbers rise, so the first is the oldest.
    next: u64,
    by_number: BTreeMap<u64, Caller>,
}

#[derive(Debug)]
struct Caller {
    address: Network,
    task: AbortHandle,
}

/// Held by a handshake until it has finished.
#[derive(Debug)]
pub(super) struct Ticket {
    waiting: Arc<Waiting>,
    number: u64,
}

impl Waiting {
    /// At most so many at once; `tasks` knows when all have ended.
    pub(super) fn new(max: usize, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            max,
            callers: Mutex::default(),
            tasks,
        })
    }

    /// Ends all of them: nobody is served any more.
    pub(super) fn end(&self) {
        for caller in self.lock().by_number.values() {
            caller.task.abort();
        }
    }

    /// Runs a handshake on a task of its own; it drops the ticket when it has finished.
    pub(super) fn start<F>(self: &Arc<Self>, address: Network, handshake: impl FnOnce(Ticket) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut callers = self.lock();
        if callers.by_number.len() >= self.max {
            callers.give_one_up();
        }
        let number = callers.next;
        callers.next += 1;
        let ticket = Ticket {
            waiting: Arc::clone(self),
            number,
        };
        // The lock is held until the task is known, so its ticket cannot be dropped before.
        let task = self.tasks.spawn(handshake(ticket)).abort_handle();
        callers.by_number.insert(number, Caller { address, task });
    }

    fn lock(&self) -> MutexGuard<'_, Callers> {
        // A panic in here would leave one caller too many, whom the deadline ends.
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Callers {
    /// Ends the oldest handshake of the address that has the most.
    fn give_one_up(&mut self) {
        let mut counts: BTreeMap<Network, usize> = BTreeMap::new();
        for caller in self.by_number.values() {
            *counts.entry(caller.address).or_default() += 1;
        }
        let Some((crowded, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else {
            return;
        };
        let mut oldest_first = self.by_number.iter();
        let oldest = oldest_first.find(|(_, caller)| caller.address == crowded);
        if let Some(number) = oldest.map(|(number, _)| *number)
            && let Some(caller) = self.by_number.remove(&number)
        {
            caller.task.abort();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use tokio::sync::mpsc;

    /// Says its name when it ends, unless it is never asked to.
    struct Farewell(&'static str, mpsc::UnboundedSender<&'static str>);

    impl Drop for Farewell {
        fn drop(&mut self) {
            let _heard = self.1.send(self.0);
        }
    }

    #[tokio::test]
    async fn the_oldest_of_the_crowd_gives_way_and_nobody_else() {
        let waiting = Waiting::new(3, TaskTracker::new());
        let (ended, mut farewells) = mpsc::unbounded_channel();
        let [crowd, single] = [1, 2].map(|last| Network::of(IpAddr::from([127, 0, 0, last])));
        let call = |address, name| {
            let farewell = Farewell(name, ended.clone());
            waiting.start(address, |ticket| async move {
                let _held = (farewell, ticket);
                std::future::pending::<()>().await;
            });
        };
        call(single, "single");
        call(crowd, "first");
        call(crowd, "second");
        call(crowd, "third");
        assert_eq!(farewells.recv().await, Some("first"));
        call(crowd, "fourth");
        assert_eq!(farewells.recv().await, Some("second"));
        assert_eq!(waiting.lock().by_number.len(), 3);
    }

    #[tokio::test]
    async fn at_the_end_nobody_is_waited_for() {
        let tasks = TaskTracker::new();
        let waiting = Waiting::new(3, tasks.clone());
        for last in [1, 2] {
            waiting.start(
                Network::of(IpAddr::from([127, 0, 0, last])),
                |ticket| async move {
                    let _held = ticket;
                    std::future::pending::<()>().await;
                },
            );
        }
        waiting.end();
        tasks.close();
        tasks.wait().await;
        assert!(waiting.lock().by_number.is_empty());
    }

    #[tokio::test]
    async fn who_has_finished_is_not_waited_for() {
        let waiting = Waiting::new(1, TaskTracker::new());
        let (told, mut finished) = mpsc::unbounded_channel();
        for number in 0..100 {
            let told = told.clone();
            waiting.start(
                Network::of(IpAddr::from([127, 0, 0, 1])),
                move |ticket| async move {
                    drop(ticket);
                    let _heard = told.send(number);
                },
            );
            assert_eq!(finished.recv().await, Some(number));
        }
        assert!(waiting.lock().by_number.is_empty());
    }
}
