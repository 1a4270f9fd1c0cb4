//! The frames of the journal, as they stand in its file.

use std::ops::Range;
use std::sync::Arc;

use aimslog_proto::limits::ACCESS_READS_MAX;
use aimslog_proto::system::{Access, AccessRead, Payload as _};

const FRAME_HEADER_BYTES: usize = 8;
/// A body is the payload of a statement, which is smaller.
const BODY_BYTES_MAX: usize = 256 << 10;

/// The frames of these reads.
pub(super) fn frames(reads: &[Arc<AccessRead>]) -> Vec<u8> {
    reads.chunks(ACCESS_READS_MAX).flat_map(frame).collect()
}

pub(super) fn frame(reads: &[Arc<AccessRead>]) -> Vec<u8> {
    let access = Access {
        number: 1,
        reads: reads.iter().map(|read| AccessRead::clone(read)).collect(),
    };
    let body = access.encode();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(crc32c::crc32c(&body).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// What is in the bytes of a journal.
pub(super) struct Frames {
    /// The reads of all whole frames.
    pub(super) reads: Vec<AccessRead>,
    /// Where those are.
    pub(super) whole: Vec<Range<usize>>,
    /// What lies in front of a whole frame and is none.
    pub(super) damaged: Vec<Range<usize>>,
    /// Where the last whole frame ends.
    pub(super) end: usize,
}

/// The whole frames in these bytes, also those behind damage.
pub(super) fn read_frames(bytes: &[u8]) -> Frames {
    let mut found = Frames {
        reads: Vec::new(),
        whole: Vec::new(),
        damaged: Vec::new(),
        end: 0,
    };
    let mut place = 0;
    while let Some(rest) = bytes.get(place..).filter(|rest| !rest.is_empty()) {
        // No length can be trusted where a frame is damaged, so the next one may begin anywhere.
        let Some((access, behind)) = read_frame(rest) else {
            place += 1;
            continue;
        };
        if found.end < place {
            found.damaged.push(found.end..place);
        }
        found.end = bytes.len() - behind.len();
        found.whole.push(place..found.end);
        found.reads.extend(access.reads);
        place = found.end;
    }
    found
}

pub(super) fn read_frame(bytes: &[u8]) -> Option<(Access, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let [length, crc] =
        [header.first_chunk()?, header.last_chunk()?].map(|it| u32::from_be_bytes(*it));
    let length = usize::try_from(length).ok()?;
    if length > BODY_BYTES_MAX {
        return None;
    }
    let (body, behind) = rest.split_at_checked(length)?;
    if crc32c::crc32c(body) != crc {
        return None;
    }
    Some((Access::decode(body).ok()?, behind))
}
