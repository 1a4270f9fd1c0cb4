//! When the entries of the log were written, roughly.

use std::collections::VecDeque;

use crate::store::raft_codec::{CodecError, Reader, seal};

/// One note in ten minutes is exact enough for a bound of a day.
const SPACING_SECS: u64 = 600;
/// A week of notes; older ones are merged into the first.
const NOTES_MAX: usize = 1008;

/// Notes of the form "at this time the log ended at this index".
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::raft) struct Ages {
    notes: VecDeque<(u64, u64)>,
}

impl Ages {
    /// Notes the end of the log; true if that was worth storing. A clock that goes back changes
    /// nothing until it has caught up.
    pub(in crate::raft) fn note(&mut self, now: u64, last: u64) -> bool {
        let due = match self.notes.back() {
            Some((at, index)) => now >= at.saturating_add(SPACING_SECS) && last > *index,
            None => true,
        };
        if due {
            self.notes.push_back((now, last));
            if self.notes.len() > NOTES_MAX {
                self.notes.pop_front();
            }
        }
        due
    }

    /// The index up to which entries must go, once the oldest is older than `age_max` seconds: then
    /// everything older than half of that, so that this happens twice a day and not every tick.
    pub(in crate::raft) fn expired(&self, now: u64, age_max: u64) -> Option<u64> {
        let (oldest, _) = self.notes.front()?;
        if now.saturating_sub(*oldest) < age_max {
            return None;
        }
        let old = |at: u64| now.saturating_sub(at) >= age_max / 2;
        self.notes
            .iter()
            .take_while(|(at, _)| old(*at))
            .map(|(_, index)| *index)
            .last()
    }

    /// Forgets notes about entries that are gone.
    pub(in crate::raft) fn purged(&mut self, upto: u64) {
        while self.notes.front().is_some_and(|(_, index)| *index <= upto) {
            self.notes.pop_front();
        }
    }

    pub(in crate::raft) fn encode(&self) -> Vec<u8> {
        seal(|out| {
            for (at, index) in &self.notes {
                out.u64(*at);
                out.u64(*index);
            }
        })
    }

    pub(in crate::raft) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::checked(bytes)?;
        let mut notes = VecDeque::new();
        while reader.end().is_err() {
            notes.push_back((reader.u64()?, reader.u64()?));
        }
        Ok(Self { notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn expires_older_half_once_the_oldest_is_too_old() {
        let mut ages = Ages::default();
        for hour in 0..=23 {
            assert!(ages.note(hour * 3_600, hour * 10));
        }
        assert_eq!(ages.expired(23 * 3_600, DAY), None);
        assert_eq!(ages.expired(DAY, DAY), Some(120));
        ages.purged(120);
        assert_eq!(ages.expired(DAY, DAY), None);
        assert_eq!(ages.expired(DAY + 13 * 3_600, DAY), Some(230));
    }

    #[test]
    fn notes_only_new_entries_and_only_now_and_then() {
        let mut ages = Ages::default();
        assert!(ages.note(1_000, 5));
        assert!(!ages.note(1_001, 6));
        assert!(!ages.note(9_000, 5));
        assert!(!ages.note(10, 7), "a clock that went back");
        assert!(ages.note(9_000, 6));
    }

    #[test]
    fn comes_back_as_stored_and_rejects_damage() {
        let mut ages = Ages::default();
        ages.note(1, 2);
        ages.note(10_000, 3);
        let mut bytes = ages.encode();
        assert_eq!(Ages::decode(&bytes).unwrap(), ages);
        bytes[3] ^= 1;
        assert!(Ages::decode(&bytes).is_err());
    }
}
