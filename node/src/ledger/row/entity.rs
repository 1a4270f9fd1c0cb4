//! The rows of an entity, and of those that link to it.
//!
//! Sets are written in their order, each element once, so that a value has one encoding.

use std::collections::{BTreeMap, BTreeSet};

use aimslog_proto::{
    aims::entity::{Entity, EntityLink, Linking, Signing, Standing},
    limits::{ENTITY_SIGNINGS_MAX, LINKING_STANDINGS_MAX, LINKS_MAX},
    statement::EntryId,
};

use super::{FIELD_BYTES_MAX, Value};
use crate::store::codec::bytes::{DecodeError, Reader, Writer};

/// States of a life cycle: a frozen table of the rule bundle, which a person has written.
const STATES_MAX: usize = 256;

/// Who signs one version: the holder of the key, and the one for whom an AI agent acts.
const HOLDERS_MAX: usize = 2;

/// One entity: the record that its versions describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityRow {
    /// What guards and versions look at.
    pub entity: Entity,
    /// Number in its register, from 1.
    pub number: u64,
    /// Number of versions.
    pub versions: u32,
    /// Index of the newest version.
    pub newest_index: u64,
}

/// The entities of one kind that link to one entity with one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkingRow(pub Linking);

/// Adds an element that comes after all in the set; others contradict the one encoding.
fn add<T: Ord>(set: &mut BTreeSet<T>, element: T, what: &'static str) -> Result<(), DecodeError> {
    if set.last().is_some_and(|last| *last >= element) {
        return Err(DecodeError::Inconsistent { what });
    }
    set.insert(element);
    Ok(())
}

/// A count in front of a list whose limit the judge keeps.
fn count(writer: Writer, len: usize) -> Writer {
    writer.u32(u32::try_from(len).unwrap_or(u32::MAX))
}

fn text(reader: &mut Reader<'_>, what: &'static str) -> Result<String, DecodeError> {
    reader.text(what, FIELD_BYTES_MAX).map(str::to_owned)
}

fn write_link(writer: Writer, link: &EntityLink) -> Writer {
    writer
        .bytes(link.relation.as_bytes())
        .raw(link.target.as_bytes())
}

/// Links in their order, each with what is known of it.
fn read_links<V>(
    reader: &mut Reader<'_>,
    what: &'static str,
    value: impl Fn(&mut Reader<'_>) -> Result<V, DecodeError>,
) -> Result<BTreeMap<EntityLink, V>, DecodeError> {
    let mut links = BTreeMap::new();
    for _ in 0..reader.count(what, LINKS_MAX)? {
        let relation = text(reader, "relation")?;
        let target = EntryId::from_bytes(reader.array("link target")?);
        let link = EntityLink { relation, target };
        let last = links.last_key_value();
        if last.is_some_and(|(last, _)| *last >= link) {
            return Err(DecodeError::Inconsistent { what });
        }
        links.insert(link, value(reader)?);
    }
    Ok(links)
}

impl Value for EntityRow {
    const WHAT: &'static str = "entity";

    fn write(&self, writer: Writer) -> Writer {
        let entity = &self.entity;
        let writer = writer
            .bytes(entity.organization.as_bytes())
            .bytes(entity.kind.as_bytes())
            .u32(entity.kind_version)
            .u64(self.number)
            .u32(self.versions)
            .raw(entity.newest.as_bytes())
            .u64(self.newest_index)
            .bytes(entity.subject.as_bytes())
            .bytes(entity.state.as_bytes())
            .u8(u8::from(entity.retracted));
        let writer = count(writer, entity.entered_by.len());
        let writer = entity
            .entered_by
            .iter()
            .fold(writer, |writer, holder| writer.bytes(holder.as_bytes()));
        let writer = count(writer, entity.signings.len());
        let writer = entity.signings.iter().fold(writer, |writer, signing| {
            writer
                .bytes(signing.state.as_bytes())
                .bytes(signing.holder.as_bytes())
        });
        let writer = count(writer.u32(entity.round), entity.links.len());
        let writer = entity.links.iter().fold(writer, |writer, (link, round)| {
            write_link(writer, link).u32(*round)
        });
        let writer = count(writer, entity.grounds.len());
        entity.grounds.iter().fold(writer, |writer, (link, state)| {
            write_link(writer, link).bytes(state.as_bytes())
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (organization, kind) = (text(reader, "organization")?, text(reader, "kind")?);
        let kind_version = reader.u32("version of the kind")?;
        let number = reader.u64("register number")?;
        let versions = reader.u32("versions")?;
        let newest = EntryId::from_bytes(reader.array("newest version")?);
        let newest_index = reader.u64("newest index")?;
        let subject = text(reader, "subject")?;
        let state = text(reader, "state")?;
        let retracted = reader.flag("retracted")?;
        let mut entered_by = BTreeSet::new();
        for _ in 0..reader.count("entered by", HOLDERS_MAX)? {
            add(&mut entered_by, text(reader, "entered by")?, "entered by")?;
        }
        let mut signings = BTreeSet::new();
        for _ in 0..reader.count("signings", ENTITY_SIGNINGS_MAX)? {
            let (state, holder) = (text(reader, "signed state")?, text(reader, "holder")?);
            add(&mut signings, Signing { state, holder }, "signings")?;
        }
        let round = reader.u32("round")?;
        let links = read_links(reader, "links", |reader| reader.u32("round of a link"))?;
        let grounds = read_links(reader, "grounds", |reader| {
            text(reader, "state of a ground")
        })?;
        let entity = Entity {
            organization,
            kind,
            kind_version,
            subject,
            newest,
            state,
            entered_by,
            retracted,
            signings,
            round,
            links,
            grounds,
        };
        Ok(Self {
            entity,
            number,
            versions,
            newest_index,
        })
    }
}

impl Value for LinkingRow {
    const WHAT: &'static str = "linking entities";

    fn write(&self, writer: Writer) -> Writer {
        let writer = count(writer, self.0.iter().len());
        self.0.iter().fold(writer, |writer, (standing, number)| {
            let writer = writer.bytes(standing.state.as_bytes());
            let writer = count(writer, standing.signed.len());
            let signed = standing.signed.iter();
            let writer = signed.fold(writer, |writer, state| writer.bytes(state.as_bytes()));
            writer.u32(standing.round).u64(number)
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut counts = BTreeMap::new();
        for _ in 0..reader.count("standings", LINKING_STANDINGS_MAX)? {
            let state = text(reader, "state")?;
            let mut signed = BTreeSet::new();
            for _ in 0..reader.count("signed states", STATES_MAX)? {
                add(&mut signed, text(reader, "signed state")?, "signed states")?;
            }
            let standing = Standing {
                state,
                signed,
                round: reader.u32("round")?,
            };
            let number = reader.u64("entities")?;
            let last = counts.last_key_value();
            if number == 0 || last.is_some_and(|(last, _)| *last >= standing) {
                return Err(DecodeError::Inconsistent { what: "standings" });
            }
            counts.insert(standing, number);
        }
        Ok(Self(Linking::new(counts)))
    }
}
