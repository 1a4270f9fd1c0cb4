//! Turns at the door: so many submissions are judged at once, and of those who wait the organisations
//! take turns, so that one which sends thousands delays another that sends one by one turn and not by
//! thousands.
//!
//! Whose turn it is follows from the key that a submission names, before its signature is checked.
//! Whoever names a key of somebody else waits in the line of that organisation and can make it longer,
//! never anybody else's.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Whose line: an organisation's, or that of all who belong to none.
pub type Line = Option<String>;

/// The turns of a node.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Never holds an empty line.
    waiting: BTreeMap<Line, VecDeque<oneshot::Sender<Turn>>>,
    /// Whose turn it was last.
    last: Line,
}

/// A turn; dropped, it goes to the next who waits.
#[derive(Debug)]
pub struct Turn {
    /// `None` once the turn was passed on.
    turns: Option<Arc<Turns>>,
}

impl Turns {
    /// So many at once.
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: count.max(1),
                waiting: BTreeMap::new(),
                last: None,
            }),
        })
    }

    /// Waits for a turn in this line. Whoever stops waiting loses nothing for the others.
    pub async fn take(self: &Arc<Self>, line: Line) -> Turn {
        let receiver = {
            let mut state = self.lock();
            // Nobody waits while a turn is free.
            if state.free > 0 {
                state.free -= 1;
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                state.waiting.entry(line).or_default().push_back(sender);
                Some(receiver)
            }
        };
        match receiver {
            None => self.turn(),
            Some(receiver) => match receiver.await {
                Ok(turn) => turn,
                // A sender is dropped only together with these turns, which `self` holds.
                Err(_dropped) => Turn { turns: None },
            },
        }
    }

    fn turn(self: &Arc<Self>) -> Turn {
        Turn {
            turns: Some(Arc::clone(self)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(self: &Arc<Self>) {
        loop {
            let next = self.lock().next();
            let Some(next) = next else { return };
            match next.send(self.turn()) {
                Ok(()) => return,
                // This one waits no more; its turn must not be passed on a second time.
                Err(mut turn) => turn.turns = None,
            }
        }
    }
}

impl State {
    /// Who is first in the line after the one whose turn it was; without anybody a turn is free.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let after = (Bound::Excluded(self.last.clone()), Bound::Unbounded);
        let line = self.waiting.range(after).next();
        let line = line.or_else(|| self.waiting.first_key_value());
        let Some((line, _)) = line else {
            self.free += 1;
            return None;
        };
        let line = line.clone();
        let in_line = self.waiting.get_mut(&line)?;
        let first = in_line.pop_front();
        if in_line.is_empty() {
            self.waiting.remove(&line);
        }
        self.last = line;
        first
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    /// One who waits already, when this returns.
    fn waiting(turns: &Arc<Turns>, name: &str) -> BoxFuture<'static, Turn> {
        let (turns, line) = (Arc::clone(turns), Some(name.to_owned()));
        let mut future = async move { turns.take(line).await }.boxed();
        assert!((&mut future).now_or_never().is_none(), "a turn was free");
        future
    }

    #[tokio::test]
    async fn organisations_take_turns_whatever_each_has_waiting() {
        let turns = Turns::new(1);
        let held = turns.take(None).await;
        let mut loud: VecDeque<_> = (0..100).map(|_| waiting(&turns, "loud")).collect();
        let mut quiet: VecDeque<_> = (0..2).map(|_| waiting(&turns, "quiet")).collect();
        drop(held);
        for _ in 0..2 {
            drop(loud.pop_front().unwrap().now_or_never().unwrap());
            drop(quiet.pop_front().unwrap().now_or_never().unwrap());
        }
        for left in loud {
            drop(left.now_or_never().unwrap());
        }
        assert_eq!(turns.lock().free, 1);
        assert!(turns.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_turn_along() {
        let turns = Turns::new(1);
        let held = turns.take(None).await;
        let gone = waiting(&turns, "acme");
        let stays = waiting(&turns, "acme");
        drop(gone);
        let given_up = waiting(&turns, "zeta");
        // The next line is the other one's, which gets a turn that it never looks at.
        drop(held);
        drop(given_up);
        drop(stays.now_or_never().unwrap());
        assert_eq!(turns.lock().free, 1);
    }

    #[tokio::test]
    async fn so_many_at_once() {
        let turns = Turns::new(2);
        let first = turns.take(None).await;
        let _second = turns.take(Some("acme".to_owned())).await;
        let third = waiting(&turns, "acme");
        drop(first);
        assert!(third.now_or_never().is_some());
    }
}
