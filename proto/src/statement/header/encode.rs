//! Writing the header. What may not be written is found by reading it back.

use super::decode::{claim, label};
use super::{Change, Header, Link, Origin, STATEMENT_TYPE};
use crate::statement::cbor::{Encoder, MapEncoder};

pub(super) fn encode(header: &Header) -> Vec<u8> {
    let mut map = MapEncoder::new();
    map.entry(label::ALG.number, |value| {
        value.int(header.algorithm.id());
    });
    map.entry(label::CONTENT_TYPE.number, |value| {
        value.text(&header.content_type.to_string());
    });
    map.entry(label::KID.number, |value| {
        value.bytes(header.key.as_bytes());
    });
    map.entry(label::CLAIMS.number, |value| {
        value.map(claims(header));
    });
    map.entry(label::TYP.number, |value| {
        value.text(STATEMENT_TYPE);
    });
    Encoder::new().map(map).finish()
}

fn claims(header: &Header) -> MapEncoder {
    let mut map = MapEncoder::new();
    let texts = [
        (claim::ISS, Some(&header.issuer)),
        (claim::SUB, Some(&header.subject)),
        (claim::AUD, Some(&header.audience)),
        (claim::TRANSITION, header.transition.as_ref()),
        (claim::ON_BEHALF_OF, header.on_behalf_of.as_ref()),
    ];
    for (claim, text) in texts {
        map.optional(claim.number, text, |value, text| {
            value.text(text);
        });
    }
    let numbers = [
        (claim::EXP, header.expires.map(|time| time.0)),
        (claim::IAT, Some(header.issued.0)),
        (
            claim::CHANGE,
            header
                .revision
                .map(|revision| change_number(revision.change)),
        ),
        (claim::ORIGIN, header.origin.map(origin_number)),
    ];
    for (claim, number) in numbers {
        map.optional(claim.number, number, |value, number| {
            value.uint(number);
        });
    }
    let revision = header.revision.as_ref();
    let byte_strings = [
        (claim::CTI, Some(header.id.as_bytes().as_slice())),
        (
            claim::RULES,
            header.rules.as_ref().map(<[u8; 32]>::as_slice),
        ),
        (
            claim::ENTITY,
            revision.map(|revision| revision.entity.as_bytes().as_slice()),
        ),
        (
            claim::PREVIOUS,
            revision.map(|revision| revision.previous.as_bytes().as_slice()),
        ),
    ];
    for (claim, bytes) in byte_strings {
        map.optional(claim.number, bytes, |value, bytes| {
            value.bytes(bytes);
        });
    }
    lists(header, &mut map);
    map
}

fn lists(header: &Header, map: &mut MapEncoder) {
    let catalogues = (!header.catalogues.is_empty()).then_some(&header.catalogues);
    map.optional(claim::CATALOGUES.number, catalogues, |value, catalogues| {
        value.array(catalogues.len());
        for catalogue in catalogues {
            value
                .array(2)
                .text(&catalogue.scheme)
                .bytes(&catalogue.digest);
        }
    });
    let links = (!header.links.is_empty()).then_some(&header.links);
    map.optional(claim::LINKS.number, links, |value, links| {
        value.array(links.len());
        for link in links {
            write_link(value, link);
        }
    });
    let controls = (!header.controls.is_empty()).then_some(&header.controls);
    map.optional(claim::CONTROLS.number, controls, |value, controls| {
        value.array(controls.len());
        for control in controls {
            value.array(2).text(&control.scheme).text(&control.id);
        }
    });
}

fn write_link(value: &mut Encoder, link: &Link) {
    value.array(if link.origin.is_some() { 3 } else { 2 });
    value.text(&link.relation).bytes(link.target.as_bytes());
    if let Some(origin) = &link.origin {
        value.text(origin);
    }
}

const fn change_number(change: Change) -> u64 {
    match change {
        Change::Amend => 0,
        Change::Correct => 1,
        Change::Retract => 2,
    }
}

const fn origin_number(origin: Origin) -> u64 {
    match origin {
        Origin::Person => 0,
        Origin::System => 1,
        Origin::AiAgent => 2,
    }
}
