//! How many connections are open, in all and from one address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::service::network::Network;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Seats {
    max: usize,
    /// Less than all: whoever takes what one address can get leaves room for the others.
    address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: BTreeMap<Network, usize>,
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: Network,
}

impl Seats {
    /// So many in all, and three quarters of them for one address.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            address_max: max - max / 4,
            taken: Mutex::default(),
        })
    }

    /// Whether one more connection from there may be open.
    pub(super) fn is_free(&self, address: Network) -> bool {
        let taken = self.lock();
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        taken.total < self.max && of_address < self.address_max
    }

    /// Takes a seat, if there is one.
    pub(super) fn take(self: &Arc<Self>, address: Network) -> Option<Seat> {
        let mut taken = self.lock();
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.total >= self.max || of_address >= self.address_max {
            return None;
        }
        taken.total += 1;
        taken.by_address.insert(address, of_address + 1);
        Some(Seat {
            seats: Arc::clone(self),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Counting cannot panic half way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn one_address_never_takes_all_and_every_seat_comes_back() {
        let seats = Seats::new(8);
        let [greedy, other, third] =
            [1, 2, 3].map(|last| Network::of(IpAddr::from([127, 0, 0, last])));
        let mut held: Vec<Seat> = (0..8).filter_map(|_| seats.take(greedy)).collect();
        assert_eq!(held.len(), 6);
        assert!(!seats.is_free(greedy));
        held.extend((0..8).filter_map(|_| seats.take(other)));
        assert_eq!(held.len(), 8);
        assert!(!seats.is_free(third) && seats.take(third).is_none());
        held.remove(0);
        assert!(seats.is_free(third) && seats.is_free(greedy));
        held.clear();
        // Whoever has a network of IPv6 does not get more by changing its address.
        let network = [1, 2, 3, 4].map(|last| {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
            Network::of(address)
        });
        let mut one = network.iter().cycle().take(8);
        held.extend(one.by_ref().filter_map(|address| seats.take(*address)));
        assert_eq!(held.len(), 6);
        held.clear();
        assert!(seats.lock().by_address.is_empty());
        assert_eq!(seats.lock().total, 0);
    }
}
