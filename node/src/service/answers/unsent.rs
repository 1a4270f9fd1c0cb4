//! The bytes of answers that are not sent: in all, for each address and for each principal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aimslog_proto::statement::key::Thumbprint;
use bytes::Bytes;

use crate::service::network::Network;

/// What one address gets of all: a quarter.
const ADDRESS_SHARES: usize = 4;
/// What one principal gets of all, from wherever it calls: an eighth.
const PRINCIPAL_SHARES: usize = 8;
/// How much a connection is given at a time: one frame of HTTP/2.
pub(super) const PIECE_BYTES: usize = 16 << 10;

/// Who is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    /// Callers without an address count as one.
    pub(super) address: Option<Network>,
    /// The key of a reader; `None` where nobody had to prove one.
    pub(super) principal: Option<Thumbprint>,
}

/// Why no more bytes are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All together have too many, and none of them can give way.
    All,
    /// This address has its share.
    Address,
    /// This principal has its share.
    Principal,
}

/// The bytes of a listener.
#[derive(Debug)]
pub(super) struct Unsent {
    max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_address: BTreeMap<Option<Network>, usize>,
    by_principal: BTreeMap<Thumbprint, usize>,
    /// The answers that are under way, of each address in the order in which they came.
    under_way: BTreeMap<(Option<Network>, u64), Weak<Answer>>,
    next: u64,
}

impl Unsent {
    /// So many in all.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            held: Mutex::default(),
        })
    }

    /// An answer of which nothing is held yet.
    pub(super) fn answer(self: &Arc<Self>, who: Who) -> Arc<Answer> {
        let mut held = self.lock();
        let number = held.next;
        held.next += 1;
        let answer = Arc::new(Answer {
            unsent: Arc::clone(self),
            who,
            number,
            rest: Mutex::new(Rest::Held(VecDeque::new())),
        });
        let place = (who.address, number);
        held.under_way.insert(place, Arc::downgrade(&answer));
        answer
    }

    /// How many are held now.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Counting cannot panic half way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for so many bytes. Where all is full the oldest answer of the address that has the most gives
    /// way, so that who reads nothing takes nothing from those who do.
    fn claim(self: &Arc<Self>, who: Who, count: usize) -> Result<Claim, Full> {
        loop {
            match self.try_claim(who, count) {
                Err(Full::All) if self.make_room() => {}
                claimed => return claimed,
            }
        }
    }

    fn try_claim(self: &Arc<Self>, who: Who, count: usize) -> Result<Claim, Full> {
        let mut held = self.lock();
        let of_address = held.by_address.get(&who.address).copied().unwrap_or(0);
        let of_principal = who.principal.map(|principal| {
            let own = held.by_principal.get(&principal).copied().unwrap_or(0);
            (principal, own + count)
        });
        if of_address + count > self.max / ADDRESS_SHARES {
            return Err(Full::Address);
        }
        if of_principal.is_some_and(|(_, own)| own > self.max / PRINCIPAL_SHARES) {
            return Err(Full::Principal);
        }
        if held.total + count > self.max {
            return Err(Full::All);
        }
        held.total += count;
        held.by_address.insert(who.address, of_address + count);
        held.by_principal.extend(of_principal);
        Ok(Claim {
            unsent: Arc::clone(self),
            who,
            count,
        })
    }

    /// Whether an answer gave way.
    pub(super) fn make_room(&self) -> bool {
        let oldest_first = {
            let held = self.lock();
            let most = held.by_address.iter().max_by_key(|(_, bytes)| **bytes);
            let Some((address, _)) = most else {
                return false;
            };
            let range = (*address, 0)..=(*address, u64::MAX);
            let answers = held.under_way.range(range);
            answers
                .map(|(_, answer)| Weak::clone(answer))
                .collect::<Vec<_>>()
        };
        // Without the lock: what is dropped here takes it.
        oldest_first
            .iter()
            .filter_map(Weak::upgrade)
            .any(|answer| answer.give_way())
    }
}

/// Bytes that count until nobody has them any more.
#[derive(Debug)]
struct Claim {
    unsent: Arc<Unsent>,
    who: Who,
    count: usize,
}

impl Claim {
    /// So many of its bytes as a claim of their own; both together are what this one was.
    fn split_off(&mut self, count: usize) -> Self {
        let count = count.min(self.count);
        self.count -= count;
        Self {
            unsent: Arc::clone(&self.unsent),
            who: self.who,
            count,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.unsent.lock();
        held.total = held.total.saturating_sub(self.count);
        give_back(&mut held.by_address, &self.who.address, self.count);
        if let Some(principal) = self.who.principal {
            give_back(&mut held.by_principal, &principal, self.count);
        }
    }
}

fn give_back<K: Ord>(shares: &mut BTreeMap<K, usize>, key: &K, count: usize) {
    if let Some(own) = shares.get_mut(key) {
        *own = own.saturating_sub(count);
        if *own == 0 {
            shares.remove(key);
        }
    }
}

/// The memory of a piece, which counts as long as somebody has it.
struct Counted {
    bytes: Vec<u8>,
    _claim: Claim,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// One answer on its way.
#[derive(Debug)]
pub(super) struct Answer {
    unsent: Arc<Unsent>,
    who: Who,
    number: u64,
    rest: Mutex<Rest>,
}

/// What is still to be sent.
#[derive(Debug)]
enum Rest {
    /// Pieces, each of them memory of its own: one that lies in a connection keeps no other alive, and
    /// what is sent does not count until the end of the answer.
    Held(VecDeque<Bytes>),
    /// It was dropped to make room.
    GaveWay,
}

/// The answer had to make room for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GaveWay;

impl Answer {
    /// Holds a copy of this frame behind what waits already, in pieces of at most [`PIECE_BYTES`]. The
    /// frame may be a part of a larger buffer, which is not kept.
    pub(super) fn hold(&self, frame: &[u8]) -> Result<(), Full> {
        let mut claim = self.unsent.claim(self.who, frame.len())?;
        let pieces = frame.chunks(PIECE_BYTES).map(|piece| {
            Bytes::from_owner(Counted {
                bytes: piece.to_vec(),
                _claim: claim.split_off(piece.len()),
            })
        });
        let pieces: Vec<Bytes> = pieces.collect();
        // Of what has given way no more is taken.
        if let Rest::Held(waiting) = &mut *self.lock() {
            waiting.extend(pieces);
        }
        Ok(())
    }

    /// The next piece; `None` where nothing waits.
    pub(super) fn piece(&self) -> Result<Option<Bytes>, GaveWay> {
        match &mut *self.lock() {
            Rest::GaveWay => Err(GaveWay),
            Rest::Held(waiting) => Ok(waiting.pop_front()),
        }
    }

    /// Whether there is nothing to say: no piece waits, and none was dropped.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&*self.lock(), Rest::Held(waiting) if waiting.is_empty())
    }

    /// Drops what is left, if anything is.
    fn give_way(&self) -> bool {
        let mut rest = self.lock();
        let has_any = matches!(&*rest, Rest::Held(waiting) if !waiting.is_empty());
        if has_any {
            let dropped = std::mem::replace(&mut *rest, Rest::GaveWay);
            drop(rest);
            drop(dropped);
        }
        has_any
    }

    fn lock(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let place = (self.who.address, self.number);
        self.unsent.lock().under_way.remove(&place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;
    use std::net::IpAddr;

    fn from(last: u8) -> Who {
        Who {
            address: Some(Network::of(IpAddr::from([127, 0, 0, last]))),
            principal: None,
        }
    }

    fn reader(last: u8, seed: u8) -> Who {
        let key = SigningKey::from_seed(&[seed; 32]).public_key();
        Who {
            principal: Some(key.thumbprint()),
            ..from(last)
        }
    }

    fn bytes(length: usize) -> Vec<u8> {
        vec![7; length]
    }

    /// So many bytes of which one address may hold all.
    const ALL: usize = 64 * PIECE_BYTES;

    #[test]
    fn each_piece_counts_until_it_is_gone_and_keeps_no_other() {
        let unsent = Unsent::new(ALL);
        let answer = unsent.answer(reader(1, 1));
        answer.hold(&bytes(2 * PIECE_BYTES + 9)).unwrap();
        let first = answer.piece().unwrap().unwrap();
        let second = answer.piece().unwrap().unwrap();
        let third = answer.piece().unwrap().unwrap();
        let lengths = [first.len(), second.len(), third.len()];
        assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, 9]);
        assert_eq!(answer.piece(), Ok(None));
        drop(first);
        drop(second);
        assert_eq!(unsent.held(), 9, "what is sent does not count");
        drop(third);
        assert_eq!(unsent.held(), 0);
        answer.hold(&bytes(50)).unwrap();
        drop(answer);
        let held = unsent.lock();
        assert!(held.by_address.is_empty() && held.by_principal.is_empty());
        assert!(held.total == 0 && held.under_way.is_empty());
    }

    #[test]
    fn an_address_and_a_principal_have_their_shares() {
        let unsent = Unsent::new(800);
        let of = |who| unsent.answer(who);
        let (one, two) = (of(reader(1, 1)), of(reader(2, 1)));
        one.hold(&bytes(60)).unwrap();
        two.hold(&bytes(40)).unwrap();
        assert_eq!(of(reader(3, 1)).hold(&bytes(1)), Err(Full::Principal));
        let (three, four) = (of(reader(1, 2)), of(from(1)));
        three.hold(&bytes(100)).unwrap();
        four.hold(&bytes(40)).unwrap();
        assert_eq!(of(from(1)).hold(&bytes(1)), Err(Full::Address));
        of(from(2)).hold(&bytes(100)).unwrap();
    }

    #[test]
    fn where_all_is_full_the_oldest_of_the_greediest_address_gives_way() {
        let unsent = Unsent::new(800);
        let hold = |last, length| {
            let answer = unsent.answer(from(last));
            answer.hold(&bytes(length)).unwrap();
            answer
        };
        let modest = hold(9, 150);
        let greedy: Vec<_> = [1, 1, 2, 2, 3, 3].map(|last| hold(last, 100)).into();
        // One of the three that have the most; which of them is nobody's right.
        let honest = hold(4, 100);
        assert!(unsent.held() <= 800);
        let firsts = greedy.iter().step_by(2);
        let gone = |it: &&Arc<Answer>| matches!(&*it.lock(), Rest::GaveWay);
        assert_eq!(firsts.filter(gone).count(), 1);
        assert_eq!(greedy.iter().filter(gone).count(), 1);
        for kept in [&modest, &honest] {
            assert!(matches!(kept.piece(), Ok(Some(_))));
        }
    }

    #[test]
    fn one_answer_that_gives_way_makes_room_although_a_piece_of_it_is_in_the_connection() {
        let unsent = Unsent::new(ALL);
        let quarter = ALL / ADDRESS_SHARES;
        let mut answers = Vec::new();
        let mut in_connection = Vec::new();
        for last in 1..=4 {
            let answer = unsent.answer(from(last));
            answer.hold(&bytes(quarter)).unwrap();
            in_connection.push(answer.piece().unwrap().unwrap());
            answers.push(answer);
        }
        let late = unsent.answer(from(5));
        late.hold(&bytes(quarter / 2)).unwrap();
        let gone = answers.iter().filter(|it| it.piece() == Err(GaveWay));
        assert_eq!(gone.count(), 1, "no more than need be");
    }

    #[test]
    fn what_is_on_its_way_out_cannot_give_way() {
        let unsent = Unsent::new(400);
        let mut out = Vec::new();
        for last in 1..=4 {
            let answer = unsent.answer(from(last));
            answer.hold(&bytes(100)).unwrap();
            out.push(answer.piece().unwrap().unwrap());
        }
        let late = unsent.answer(from(5));
        assert_eq!(late.hold(&bytes(1)), Err(Full::All));
        drop(out);
        late.hold(&bytes(1)).unwrap();
    }
}
