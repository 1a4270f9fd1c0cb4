//! The log itself: its entries in order, for whoever repeats what the ledger decided.

use aimslog_proto::pb::v1;
use aimslog_proto::tlog::LeafIndex;

use crate::error::ClientError;
use crate::ledger::Ledger;

/// Consecutive entries of the log as one node hands them over. They prove themselves together only:
/// the root over all of them is that of a verified head, or it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPage {
    /// Index and Signed Statement, ascending.
    pub entries: Vec<(LeafIndex, Vec<u8>)>,
    /// Where to go on; `None` where the newest published head is reached.
    pub next: Option<LeafIndex>,
}

/// Which entries are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    /// Every one.
    All,
    /// Registry statements (`ledger.*`) alone.
    System,
}

impl Ledger {
    /// A page of entries from `start` on. That they stand in the log, and for [`Entries::System`] that
    /// none was left out, is the word of the node that answered.
    pub async fn unverified_entries(
        &self,
        start: LeafIndex,
        which: Entries,
    ) -> Result<EntryPage, ClientError> {
        let message = v1::GetEntriesRequest {
            start_index: start.0,
            page_size: 0,
            system_only: which == Entries::System,
        };
        let (endpoint, answer) = self
            .log(async |mut client| {
                Ok(client
                    .get_entries(self.request(message)?)
                    .await?
                    .into_inner())
            })
            .await?;
        let page = EntryPage {
            entries: answer
                .entries
                .into_iter()
                .map(|entry| (LeafIndex(entry.index), entry.statement))
                .collect(),
            next: Some(answer.next_index)
                .filter(|next| *next > 0)
                .map(LeafIndex),
        };
        check(start, which, &page).map_err(|why| ClientError::Unverified { endpoint, why })?;
        Ok(page)
    }
}

/// Whether the page is one that was asked for, and the next one gets further.
fn check(start: LeafIndex, which: Entries, page: &EntryPage) -> Result<(), String> {
    let mut expected = start;
    for (index, _) in &page.entries {
        let fits = match which {
            Entries::All => *index == expected,
            Entries::System => *index >= expected,
        };
        if !fits {
            return Err(format!(
                "the entry at {} came where {} was asked for",
                index.0, expected.0
            ));
        }
        expected = LeafIndex(index.0.saturating_add(1));
    }
    match page.next {
        Some(next) if next < expected || next <= start => {
            Err(format!("the next page would begin at {} again", next.0))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(indices: &[u64], next: Option<u64>) -> EntryPage {
        EntryPage {
            entries: indices
                .iter()
                .map(|index| (LeafIndex(*index), Vec::new()))
                .collect(),
            next: next.map(LeafIndex),
        }
    }

    #[test]
    fn a_page_goes_on_where_it_was_asked_for_and_ends() {
        let asked = |which, page: EntryPage| check(LeafIndex(5), which, &page).is_ok();
        assert!(asked(Entries::All, page(&[5, 6, 7], Some(8))));
        assert!(asked(Entries::All, page(&[5], None)));
        assert!(!asked(Entries::All, page(&[6, 7], None)), "begins later");
        assert!(!asked(Entries::All, page(&[5, 7], None)), "a gap");
        assert!(!asked(Entries::All, page(&[5, 6], Some(6))), "goes back");
        assert!(!asked(Entries::All, page(&[], Some(5))), "never ends");
        assert!(asked(Entries::System, page(&[7, 20], Some(21))));
        assert!(!asked(Entries::System, page(&[7, 7], None)), "twice");
    }
}
