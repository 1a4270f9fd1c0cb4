//! `ledger.access`: the service tells which records were read from outside their organisation.

use crate::limits::{ACCESS_READS_MAX, TIME_SECONDS_MAX};
use crate::system::SystemKind;
use crate::system::fields::{Entry, MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::{EngagementId, OrganizationId, PrincipalId};
use crate::time::UnixSeconds;
use crate::tlog::LeafIndex;

/// A batch of the journal of reads under engagements, signed by the service key.
///
/// CBOR map: 1 number (from 1, without gaps), 2 array of `[organisation id, engagement id, principal
/// id of the reader, index of the entry, time in seconds]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// How many batches the log has with this one: none can be left out unseen.
    pub number: u64,
    /// At least one, in the order in which they were answered.
    pub reads: Vec<AccessRead>,
}

/// One record that was shown to another organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRead {
    /// Whose record it is.
    pub organization: OrganizationId,
    /// By which engagement of that organisation; it names the body that read.
    pub engagement: EngagementId,
    /// Which principal of the body.
    pub principal: PrincipalId,
    /// The entry that was shown.
    pub entry: LeafIndex,
    /// When, by the clock of the node that answered.
    pub time: UnixSeconds,
}

impl Payload for Access {
    const KIND: SystemKind = SystemKind::Access;

    fn write(&self, map: &mut MapWriter) {
        map.uint(1, self.number);
        map.list(2, &self.reads, |encoder, read| {
            encoder.array(5);
            encoder.text(read.organization.as_str());
            encoder.text(read.engagement.as_str());
            encoder.text(read.principal.as_str());
            encoder.uint(read.entry.0);
            encoder.uint(read.time.0);
        });
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let number = map.required(1, "number")?.uint()?;
        let reads = map.required(2, "reads")?;
        let reads = reads.list(1..=ACCESS_READS_MAX, read_one)?;
        Ok(Self { number, reads })
    }

    fn subject_part(&self) -> String {
        "access".to_owned()
    }
}

fn read_one(entry: Entry<'_, '_>) -> Result<AccessRead, PayloadError> {
    let [organization, engagement, principal, index, time] = entry.tuple()?;
    let seconds = time.uint()?;
    if seconds > TIME_SECONDS_MAX {
        return Err(time.wrong("seconds, at most those of the year 9999"));
    }
    Ok(AccessRead {
        organization: organization.parsed(OrganizationId::new)?,
        engagement: engagement.parsed(EngagementId::new)?,
        principal: principal.parsed(PrincipalId::new)?,
        entry: LeafIndex(index.uint()?),
        time: UnixSeconds(seconds),
    })
}
