//! The bytes that are held, in all and for each address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::service::network::Network;

/// What one address gets of all: a quarter. Who stalls with all of it leaves the others the rest, and
/// many callers behind one address still have room for sixteen batches of the largest size.
const SHARES: usize = 4;

/// The bytes of one listener.
#[derive(Debug)]
pub(super) struct Bytes {
    max: usize,
    address_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_address: BTreeMap<Option<Network>, usize>,
}

/// Why no more are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All together have too many.
    All,
    /// This address has its share.
    Address,
}

/// What one request has taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    bytes: Arc<Bytes>,
    /// Callers without an address count as one.
    address: Option<Network>,
    taken: Mutex<usize>,
}

impl Bytes {
    /// So many in all.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            address_max: max / SHARES,
            held: Mutex::default(),
        })
    }

    /// Nothing yet, for a request from there.
    pub(super) fn claim(self: &Arc<Self>, address: Option<Network>) -> Claim {
        Claim {
            bytes: Arc::clone(self),
            address,
            taken: Mutex::new(0),
        }
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
}

impl Claim {
    /// Takes so many more.
    pub(super) fn take(&self, count: usize) -> Result<(), Full> {
        let mut held = self.bytes.lock();
        let of_address = held.by_address.get(&self.address).copied().unwrap_or(0);
        if held.total.saturating_add(count) > self.bytes.max {
            return Err(Full::All);
        }
        if of_address.saturating_add(count) > self.bytes.address_max {
            return Err(Full::Address);
        }
        held.total += count;
        held.by_address.insert(self.address, of_address + count);
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) += count;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let taken = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.bytes.lock();
        held.total = held.total.saturating_sub(taken);
        if let Some(own) = held.by_address.get_mut(&self.address) {
            *own = own.saturating_sub(taken);
            if *own == 0 {
                held.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn one_address_never_takes_all_and_every_byte_comes_back() {
        let bytes = Bytes::new(100);
        let from = |last| bytes.claim(Some(Network::of(IpAddr::from([127, 0, 0, last]))));
        let (first, again) = (from(1), from(1));
        first.take(20).unwrap();
        again.take(5).unwrap();
        assert_eq!(again.take(1), Err(Full::Address));
        let others = [2, 3, 4].map(from);
        for other in &others {
            other.take(25).unwrap();
        }
        assert_eq!(bytes.claim(None).take(1), Err(Full::All));
        drop(first);
        again.take(20).unwrap();
        drop((again, others));
        assert_eq!(bytes.held(), 0);
        assert!(bytes.lock().by_address.is_empty());
    }
}
