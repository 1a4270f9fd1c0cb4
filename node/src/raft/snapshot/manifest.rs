//! What a snapshot consists of.

use bytes::Bytes;

use super::{MANIFEST, SnapshotError};
use crate::{
    raft::machine::Applied,
    store::raft_codec::{CodecError, Position, Reader, seal},
};

const FILES_MAX: usize = 100_000;
const NAME_MAX: usize = 64;

/// The files of a snapshot and what was applied in them.
///
/// Stored and sent as `version (u8) | has position (u32) | position (3 x u64) | membership (bytes) |
/// number of files (u32) | name, length (u64), SHA-256 of each | CRC32C`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct Manifest {
    pub(in crate::raft) applied: Applied,
    pub(in crate::raft) files: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct FileEntry {
    pub(in crate::raft) name: String,
    pub(in crate::raft) len: u64,
    pub(in crate::raft) sha256: [u8; 32],
}

impl Manifest {
    pub(in crate::raft) fn encode(&self) -> Vec<u8> {
        seal(|out| {
            let position = self.applied.last;
            out.u32(u32::from(position.is_some()));
            let position = position.unwrap_or(Position {
                term: 0,
                leader: 0,
                index: 0,
            });
            out.u64(position.term);
            out.u64(position.leader);
            out.u64(position.index);
            out.bytes(&self.applied.membership);
            // `check` bounds the number; a larger one would be refused by every reader.
            out.u32(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
            for file in &self.files {
                out.bytes(file.name.as_bytes());
                out.u64(file.len);
                out.array(&file.sha256);
            }
        })
    }

    pub(in crate::raft) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::checked(bytes)?;
        let present = reader.u32()? != 0;
        let position = Position {
            term: reader.u64()?,
            leader: reader.u64()?,
            index: reader.u64()?,
        };
        let membership = Bytes::copy_from_slice(reader.bytes()?);
        let mut files = Vec::new();
        for _ in 0..reader.u32()? {
            files.push(FileEntry {
                name: reader.text()?,
                len: reader.u64()?,
                sha256: reader.array()?,
            });
        }
        reader.end()?;
        let applied = Applied {
            last: present.then_some(position),
            membership,
        };
        Ok(Self { applied, files })
    }

    /// Refuses names that could leave the folder or hide the manifest, doubled names, and sizes
    /// beyond the limits. Names come sorted, so doubles are neighbours.
    pub(in crate::raft) fn check(&self) -> Result<(), SnapshotError> {
        let bytes = self
            .files
            .iter()
            .try_fold(0_u64, |sum, file| sum.checked_add(file.len));
        let (Some(bytes), true) = (bytes, self.files.len() <= FILES_MAX) else {
            return Err(SnapshotError::TooLarge {
                files: self.files.len(),
                bytes: u64::MAX,
            });
        };
        tracing::trace!(bytes, files = self.files.len(), "snapshot manifest checked");
        let mut previous: Option<&str> = None;
        for FileEntry { name, .. } in &self.files {
            let sorted = previous.is_none_or(|before| before < name.as_str());
            if !sorted || !allowed(name) {
                return Err(SnapshotError::Name { name: name.clone() });
            }
            previous = Some(name);
        }
        Ok(())
    }
}

fn allowed(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name != MANIFEST
        && name.bytes().all(plain)
}
