//! The picture of the log in memory: its two ends, its newest entries, its weight.

use std::collections::VecDeque;

use super::RaftDbError;
use crate::store::raft_codec::{Position, Record, Vote};

/// Entries that are on disk leave memory beyond this. Entries that are not on disk stay whatever
/// they weigh; how many there can be is bounded by what the proposers keep in flight.
const CACHED_BYTES: u64 = 16 << 20;

/// Invariants: `records` are consecutive and end at the last entry; everything in the log before
/// them is on disk; `segments` covers all entries of the log in order.
pub(super) struct Tail {
    purged: Option<Position>,
    /// The first index that the log holds, or would hold.
    first: u64,
    last: Option<Position>,
    records: VecDeque<Record>,
    records_bytes: u64,
    /// The first index that is not on disk yet.
    unwritten: u64,
    segments: VecDeque<Segment>,
    /// Truncations that the writer has not done yet, and the lowest end that they left.
    cuts: usize,
    cut: Option<Position>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<Position>,
}

/// The weight of a run of entries. Coarse, so that a log of a million entries costs little memory.
struct Segment {
    first: u64,
    bytes: u64,
}

/// A run is closed once it weighs this much.
const SEGMENT_BYTES: u64 = 1 << 20;

impl Tail {
    pub(super) fn new(
        purged: Option<Position>,
        vote: Option<Vote>,
        committed: Option<Position>,
    ) -> Self {
        Self {
            purged,
            first: next(purged),
            last: purged,
            records: VecDeque::new(),
            records_bytes: 0,
            unwritten: next(purged),
            segments: VecDeque::new(),
            cuts: 0,
            cut: None,
            vote,
            committed,
        }
    }

    pub(super) fn purged(&self) -> Option<Position> {
        self.purged
    }

    /// The last entry, or what was purged last when there is none.
    pub(super) fn last(&self) -> Option<Position> {
        self.last
    }

    /// The first index that is in memory; everything before it is on disk or not in the log.
    pub(super) fn start(&self) -> u64 {
        self.records
            .front()
            .map_or_else(|| next(self.last), |r| r.position.index)
    }

    /// The part of `start..end` that the log holds; empty if the bounds cross.
    pub(super) fn clip(&self, start: u64, end: u64) -> (u64, u64) {
        (start.max(self.first), end.min(next(self.last)))
    }

    /// Entries in memory from `start` up to `end`, until `limit` bytes are reached.
    pub(super) fn slice(
        &self,
        start: u64,
        end: u64,
        limit: u64,
    ) -> impl Iterator<Item = Record> + '_ {
        let skip = usize::try_from(start.saturating_sub(self.start())).unwrap_or(usize::MAX);
        let mut weight = 0;
        self.records
            .iter()
            .skip(skip)
            .take_while(move |record| record.position.index < end)
            .take_while(move |record| {
                let more = weight < limit;
                weight += record.weight() as u64;
                more
            })
            .cloned()
    }

    pub(super) fn push(&mut self, record: Record) -> Result<(), RaftDbError> {
        let found = record.position.index;
        if self.last.is_none() {
            // Raft begins at 0; openraft's storage suite begins at 1. A log on disk that begins
            // behind 0 without a note of a purge is refused when it is opened.
            self.first = found;
            self.unwritten = found;
        }
        let expected = self.last.map_or(found, |last| next(Some(last)));
        if found != expected {
            return Err(RaftDbError::Hole {
                expected,
                found: Some(found),
            });
        }
        let weight = record.weight() as u64;
        match self.segments.back_mut() {
            Some(segment) if segment.bytes < SEGMENT_BYTES => segment.bytes += weight,
            _ => self.segments.push_back(Segment {
                first: found,
                bytes: weight,
            }),
        }
        self.last = Some(record.position);
        self.records_bytes += weight;
        self.records.push_back(record);
        Ok(())
    }

    /// Notes that everything up to `last` is on disk, and forgets the oldest of it if it weighs too
    /// much.
    pub(super) fn written(&mut self, last: Option<Position>) {
        self.unwritten = self.unwritten.max(next(last).min(next(self.last)));
        while self.records_bytes > CACHED_BYTES
            && self
                .records
                .front()
                .is_some_and(|r| r.position.index < self.unwritten)
        {
            self.drop_front();
        }
    }

    /// Removes everything above `last`; nothing if the log does not reach so far.
    pub(super) fn truncate_after(&mut self, last: Option<Position>) {
        let last = if next(last) < next(self.last) {
            last
        } else {
            self.last
        };
        let end = next(last);
        while let Some(record) = self.records.pop_back_if(|r| r.position.index >= end) {
            self.records_bytes -= record.weight() as u64;
        }
        // The weight of a cut run is kept: too high by at most one run.
        while self.segments.pop_back_if(|s| s.first >= end).is_some() {}
        self.last = if next(last) >= next(self.purged) {
            last
        } else {
            self.purged
        };
        self.unwritten = self.unwritten.min(end);
        if self.cuts == 0 || next(self.last) < next(self.cut) {
            self.cut = self.last;
        }
        self.cuts += 1;
    }

    /// Notes that the writer did this many truncations, and returns what may be called flushed when
    /// it has synced up to `synced`: nothing of what a later truncation took away, or a reader
    /// would believe that other entries at the same indices are on disk.
    pub(super) fn flushed(&mut self, synced: Option<Position>, cuts: usize) -> Option<Position> {
        self.cuts = self.cuts.saturating_sub(cuts);
        if self.cuts > 0 && next(self.cut) < next(synced) {
            self.cut
        } else {
            synced
        }
    }

    pub(super) fn purge(&mut self, upto: Position) {
        let end = upto.index.saturating_add(1);
        while self.records.front().is_some_and(|r| r.position.index < end) {
            self.drop_front();
        }
        while self
            .segments
            .get(1)
            .is_some_and(|second| second.first <= end)
        {
            self.segments.pop_front();
        }
        self.purged = self.purged.max(Some(upto));
        self.first = self.first.max(end);
        if next(self.last) <= end {
            self.segments.clear();
            self.last = Some(upto);
            self.unwritten = end;
        }
    }

    pub(super) fn log_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    pub(super) fn purge_point(&self, keep: u64) -> Option<u64> {
        let mut excess = self
            .log_bytes()
            .checked_sub(keep)
            .filter(|bytes| *bytes > 0)?;
        for (at, segment) in self.segments.iter().enumerate() {
            if excess <= segment.bytes {
                // Whole runs only, so the run in which the bound lies goes as well.
                let upto = self.segments.get(at + 1).map(|following| following.first);
                return upto.and_then(|first| first.checked_sub(1));
            }
            excess -= segment.bytes;
        }
        None
    }

    fn drop_front(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.records_bytes -= record.weight() as u64;
        }
    }
}

pub(super) fn next(position: Option<Position>) -> u64 {
    position.map_or(0, |p| p.index.saturating_add(1))
}
