//! What this node's own door has verified lately.
//!
//! The verifier behind apply checks every entry before this node cosigns. On the leader that would
//! be the second time for whatever came through its own door a moment ago: there it is enough to
//! see that what was logged is, byte for byte, what the door has verified.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aimslog_proto::aims::kind::Kind;
use aimslog_proto::statement::EntryId;
use sha2::{Digest as _, Sha256};

/// Most entries that are remembered; the oldest make room. Of records with their
/// fields, more than may wait in the queue of the sequencer at a time, so that under load nothing is
/// forgotten before it is applied.
const REMEMBERED_MAX: usize = 32_768;

/// Signature and content of a statement that the door has found right.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The statement: its signature was checked with the key that it names.
    pub id: EntryId,
    /// Its encoded disclosures, which were checked against commitment, kind and header.
    pub payload: Option<&'a [u8]>,
    /// The kind that they were checked against.
    pub kind: &'static Kind,
}

#[derive(Debug)]
struct Known {
    payload: Option<[u8; 32]>,
    kind: &'static Kind,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<[u8; 32], Known>,
    order: VecDeque<[u8; 32]>,
}

/// A bounded memory of what the door let in. Losing an entry of it costs a second verification.
#[derive(Debug, Default)]
pub struct DoorMemory {
    inner: Mutex<Inner>,
}

impl DoorMemory {
    /// Keeps in mind that the door has verified this.
    pub fn remember(&self, seen: &Seen<'_>) {
        let known = Known {
            payload: seen.payload.map(digest),
            kind: seen.kind,
        };
        let id = *seen.id.as_bytes();
        let mut inner = self.lock();
        if inner.known.insert(id, known).is_none() {
            inner.order.push_back(id);
        }
        if inner.order.len() > REMEMBERED_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.known.remove(&oldest);
        }
    }

    /// Whether the door has verified exactly this. Asked once for each entry: it is forgotten then.
    pub fn recall(&self, seen: &Seen<'_>) -> bool {
        let id = seen.id.as_bytes();
        let known = self.lock().known.remove(id);
        known.is_some_and(|known| {
            known.payload == seen.payload.map(digest) && std::ptr::eq(known.kind, seen.kind)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whatever a panic left half done costs a verification and decides nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(payload: &[u8]) -> [u8; 32] {
    Sha256::digest(payload).into()
}

#[cfg(test)]
mod tests {
    use aimslog_proto::aims::bundle::RuleBundle;

    use super::*;

    fn seen(statement: &[u8], payload: Option<&'static [u8]>) -> Seen<'static> {
        Seen {
            id: EntryId::of(statement),
            payload,
            kind: kind("finding"),
        }
    }

    fn kind(name: &str) -> &'static Kind {
        RuleBundle::v1().kind(name, 1).unwrap()
    }

    #[test]
    fn recalls_exactly_what_was_verified_and_once() {
        let memory = DoorMemory::default();
        memory.remember(&seen(b"a", Some(b"content")));
        assert!(memory.recall(&seen(b"a", Some(b"content"))));
        assert!(
            !memory.recall(&seen(b"a", Some(b"content"))),
            "a second time"
        );
    }

    #[test]
    fn anything_else_is_unknown() {
        let other_kind = Seen {
            kind: kind("ai_system"),
            ..seen(b"a", Some(b"content"))
        };
        for (what, asked) in [
            ("another statement", seen(b"b", Some(b"content"))),
            ("other content", seen(b"a", Some(b"contenu"))),
            ("no content", seen(b"a", None)),
            ("another kind", other_kind),
        ] {
            let memory = DoorMemory::default();
            memory.remember(&seen(b"a", Some(b"content")));
            assert!(!memory.recall(&asked), "{what}");
        }
    }

    #[test]
    fn the_oldest_make_room_and_repeats_take_none() {
        let memory = DoorMemory::default();
        let name = |number: usize| number.to_string().into_bytes();
        memory.remember(&seen(b"first", None));
        memory.remember(&seen(b"first", None));
        for number in 1..REMEMBERED_MAX {
            memory.remember(&seen(&name(number), None));
        }
        assert!(
            memory
                .lock()
                .known
                .contains_key(EntryId::of(b"first").as_bytes())
        );
        memory.remember(&seen(b"last", None));
        assert!(!memory.recall(&seen(b"first", None)));
        assert!(memory.recall(&seen(b"last", None)));
        assert!(memory.lock().order.len() <= REMEMBERED_MAX);
    }
}
