//! One digest over the whole state: equal on every node that applied the same commands.

use sha2::{Digest, Sha256};

use crate::store::{
    codec::Family,
    state_db::{Range, Rows, StateError},
};

/// Rows that are read at a time.
const PAGE: usize = 4096;

/// SHA-256 over every row in key order, except disclosures and attachments, which may be erased on
/// one node and not yet on another: their commitments stand in the entries.
///
/// Reads the whole state: for checks and tests, not for the hot path.
///
/// # Errors
/// When rows cannot be read.
pub fn state_digest(rows: &(impl Rows + ?Sized)) -> Result<[u8; 32], StateError> {
    let mut digest = Sha256::new();
    for family in Family::ALL
        .into_iter()
        .filter(|family| *family != Family::Payloads)
    {
        let mut from = Vec::new();
        loop {
            let range = Range {
                family,
                from,
                to: vec![0xff],
                newest_first: false,
            };
            let page = rows.scan(&range, PAGE)?;
            let Some((last, _)) = page.last() else {
                break;
            };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in &page {
                digest.update([family as u8]);
                digest.update((key.len() as u64).to_be_bytes());
                digest.update(key);
                digest.update((value.len() as u64).to_be_bytes());
                digest.update(value);
            }
        }
    }
    Ok(digest.finalize().into())
}
