//! Reading the header strictly, and naming everything that is wrong with it.

use std::collections::BTreeSet;

use super::text::{is_control_id, is_id, is_origin, is_uri, is_word};
use super::{
    Algorithm, CatalogRef, Change, ContentType, ControlRef, Family, Header, Link, Origin, Revision,
    STATEMENT_TYPE,
};
use crate::limits::{HEADER_LIST_MAX, TIME_SECONDS_MAX};
use crate::reason::{Reason, Violation, Violations};
use crate::statement::cbor::{self, Item, Value};
use crate::statement::id::{EntryId, StatementId};
use crate::statement::key::Thumbprint;
use crate::time::UnixSeconds;

/// A label or a claim: its number on the wire and its name in errors.
#[derive(Clone, Copy)]
pub(super) struct Param {
    pub(super) number: i64,
    name: &'static str,
}

const fn param(number: i64, name: &'static str) -> Param {
    Param { number, name }
}

/// Labels of the protected header (RFC 9052 3.1, RFC 9597, RFC 9596).
pub(super) mod label {
    use super::{Param, param};

    pub(in super::super) const ALG: Param = param(1, "alg");
    pub(in super::super) const CONTENT_TYPE: Param = param(3, "content_type");
    pub(in super::super) const KID: Param = param(4, "kid");
    pub(in super::super) const CLAIMS: Param = param(15, "claims");
    pub(in super::super) const TYP: Param = param(16, "typ");
    pub(super) const ALL: [Param; 5] = [ALG, CONTENT_TYPE, KID, CLAIMS, TYP];
}

/// Claims (RFC 8392 4) and our private ones.
pub(super) mod claim {
    use super::{Param, param};

    pub(in super::super) const ISS: Param = param(1, "iss");
    pub(in super::super) const SUB: Param = param(2, "sub");
    pub(in super::super) const AUD: Param = param(3, "aud");
    pub(in super::super) const EXP: Param = param(4, "exp");
    pub(in super::super) const IAT: Param = param(6, "iat");
    pub(in super::super) const CTI: Param = param(7, "cti");
    pub(in super::super) const RULES: Param = param(-70_010, "rules");
    pub(in super::super) const CATALOGUES: Param = param(-70_011, "catalogues");
    pub(in super::super) const ENTITY: Param = param(-70_012, "entity");
    pub(in super::super) const PREVIOUS: Param = param(-70_013, "previous");
    pub(in super::super) const CHANGE: Param = param(-70_014, "change");
    pub(in super::super) const TRANSITION: Param = param(-70_015, "transition");
    pub(in super::super) const LINKS: Param = param(-70_016, "links");
    pub(in super::super) const ORIGIN: Param = param(-70_017, "origin");
    pub(in super::super) const ON_BEHALF_OF: Param = param(-70_018, "on_behalf_of");
    pub(in super::super) const CONTROLS: Param = param(-70_019, "controls");
    pub(super) const ALL: [Param; 16] = [
        ISS,
        SUB,
        AUD,
        EXP,
        IAT,
        CTI,
        RULES,
        CATALOGUES,
        ENTITY,
        PREVIOUS,
        CHANGE,
        TRANSITION,
        LINKS,
        ORIGIN,
        ON_BEHALF_OF,
        CONTROLS,
    ];
}

pub(super) fn decode(bytes: &[u8]) -> Result<Header, Violations> {
    let item = match cbor::parse(bytes) {
        Ok(item) => item,
        Err(error) => {
            return Err(Violation::new(error.reason(), "header", error.to_string()).into());
        }
    };
    let mut violations = Vec::new();
    let header = read_header(&item, &mut violations);
    match header {
        Some(header) if violations.is_empty() => Ok(header),
        _ => Err(violations.into()),
    }
}

/// What can be read of a header that was refused.
pub(super) fn salvage(bytes: &[u8]) -> Option<Header> {
    let item = cbor::parse(bytes).ok()?;
    let read = Read::of(&item, &mut Vec::new())?;
    let claims = read.claims.unwrap_or_default();
    Some(Header {
        algorithm: read.algorithm.unwrap_or(Algorithm::EdDsa),
        content_type: read.content_type?,
        key: Thumbprint::from_bytes(read.key.unwrap_or_default()),
        issuer: claims.issuer.unwrap_or_default(),
        subject: claims.subject.unwrap_or_default(),
        audience: claims.audience.unwrap_or_default(),
        expires: claims.expires,
        issued: claims.issued.unwrap_or(UnixSeconds(0)),
        id: claims
            .id
            .unwrap_or_else(|| StatementId::from_bytes([0; 16])),
        rules: claims.rules,
        catalogues: claims.catalogues,
        revision: claims.revision,
        transition: claims.transition,
        links: claims.links,
        origin: claims.origin,
        on_behalf_of: claims.on_behalf_of,
        controls: claims.controls,
    })
}

/// `None` only if a violation was noted.
fn read_header(item: &Item<'_>, violations: &mut Vec<Violation>) -> Option<Header> {
    let read = Read::of(item, violations)?;
    let claims = read.claims?;
    Some(Header {
        algorithm: read.algorithm?,
        content_type: read.content_type?,
        key: Thumbprint::from_bytes(read.key?),
        issuer: claims.issuer?,
        subject: claims.subject?,
        audience: claims.audience?,
        expires: claims.expires,
        issued: claims.issued?,
        id: claims.id?,
        rules: claims.rules,
        catalogues: claims.catalogues,
        revision: claims.revision,
        transition: claims.transition,
        links: claims.links,
        origin: claims.origin,
        on_behalf_of: claims.on_behalf_of,
        controls: claims.controls,
    })
}

/// The labels as far as they could be read; what is missing was noted.
struct Read {
    algorithm: Option<Algorithm>,
    content_type: Option<ContentType>,
    key: Option<[u8; 32]>,
    claims: Option<Claims>,
}

impl Read {
    /// `None` if it is no map.
    fn of(item: &Item<'_>, violations: &mut Vec<Violation>) -> Option<Self> {
        let mut map = Map::new(item, &label::ALL, "label", violations)?;
        let rule = "-8 (EdDSA) or -19 (Ed25519)";
        let algorithm = map.read(label::ALG, Need::Yes, rule, |item| {
            Algorithm::from_id(item.as_int()?)
        });
        let rule = "application/vnd.aimslog.<kind>.v<n>+json, or ...ledger.<kind>.v<n>+cbor";
        let content_type = map.read(label::CONTENT_TYPE, Need::Yes, rule, |item| {
            ContentType::parse(text(item)?)
        });
        let key = map.read(label::KID, Need::Yes, "a key thumbprint of 32 bytes", bytes);
        map.read(label::TYP, Need::Yes, STATEMENT_TYPE, |item| {
            (text(item)? == STATEMENT_TYPE).then_some(())
        });
        let claims = map.item(label::CLAIMS, Need::Yes);
        let family = content_type.as_ref().map(ContentType::family);
        let claims = claims.and_then(|item| Claims::read(item, family, violations));
        Some(Self {
            algorithm,
            content_type,
            key,
            claims,
        })
    }
}

/// The claims as far as they could be read; what is missing was noted.
#[derive(Default)]
struct Claims {
    issuer: Option<String>,
    subject: Option<String>,
    audience: Option<String>,
    expires: Option<UnixSeconds>,
    issued: Option<UnixSeconds>,
    id: Option<StatementId>,
    rules: Option<[u8; 32]>,
    catalogues: Vec<CatalogRef>,
    revision: Option<Revision>,
    transition: Option<String>,
    links: Vec<Link>,
    origin: Option<Origin>,
    on_behalf_of: Option<String>,
    controls: Vec<ControlRef>,
}

impl Claims {
    fn read(
        item: &Item<'_>,
        family: Option<Family>,
        violations: &mut Vec<Violation>,
    ) -> Option<Self> {
        let mut map = Map::new(item, &claim::ALL, "claim", violations)?;
        let evidence = if family == Some(Family::Evidence) {
            Need::Yes
        } else {
            Need::No
        };
        let rule = "https:// and 1 to 504 visible ASCII characters";
        let issuer = map.text(claim::ISS, Need::Yes, rule, |text| is_uri(text, "https://"));
        let rule = "urn:aimslog: and 1 to 500 visible ASCII characters";
        let subject = map.text(claim::SUB, Need::Yes, rule, |text| {
            is_uri(text, "urn:aimslog:")
        });
        let rule = "1 to 255 visible ASCII characters without '+'";
        let audience = map.text(claim::AUD, Need::Yes, rule, is_origin);
        let rule = "seconds since 1970, at most year 9999, after iat";
        let issued = map.read(
            claim::IAT,
            Need::Yes,
            "seconds since 1970, at most year 9999",
            time,
        );
        let expires = map.read(claim::EXP, Need::No, rule, |item| {
            time(item).filter(|expires| issued.is_none_or(|issued| issued < *expires))
        });
        let id = map
            .read(claim::CTI, Need::Yes, "16 bytes", bytes)
            .map(StatementId::from_bytes);
        let rules = map.read(claim::RULES, evidence, "a digest of 32 bytes", bytes);
        let origin = map.read(
            claim::ORIGIN,
            evidence,
            "0 person, 1 system or 2 AI agent",
            origin,
        );
        let revision = read_revision(&mut map);
        let rule = "[a-z0-9][a-z0-9._-]{0,63}";
        let transition = map.text(claim::TRANSITION, Need::No, rule, is_word);
        let rule = "[a-z0-9][a-z0-9-]{0,62}";
        let on_behalf_of = map.text(claim::ON_BEHALF_OF, Need::No, rule, is_id);
        let rule = "1 to 32 distinct [scheme, digest of 32 bytes]";
        let catalogues = map.list(claim::CATALOGUES, rule, catalogue);
        let rule = "1 to 32 distinct [relation, entry id of 32 bytes, optional origin]";
        let links = map.list(claim::LINKS, rule, link);
        let controls = map.list(
            claim::CONTROLS,
            "1 to 32 distinct [scheme, control id]",
            control,
        );
        Some(Self {
            issuer,
            subject,
            audience,
            expires,
            issued,
            id,
            rules,
            catalogues,
            revision,
            transition,
            links,
            origin,
            on_behalf_of,
            controls,
        })
    }
}

/// Entity, previous and change: all three or none.
fn read_revision(map: &mut Map<'_, '_, '_>) -> Option<Revision> {
    let together = [claim::ENTITY, claim::PREVIOUS, claim::CHANGE];
    let any = together.iter().any(|param| map.find(*param).is_some());
    let need = if any { Need::Yes } else { Need::No };
    let rule = "an entry id of 32 bytes";
    let entity = map
        .read(claim::ENTITY, need, rule, bytes)
        .map(EntryId::from_bytes);
    let previous = map
        .read(claim::PREVIOUS, need, rule, bytes)
        .map(EntryId::from_bytes);
    let change = map.read(
        claim::CHANGE,
        need,
        "0 amend, 1 correct or 2 retract",
        change,
    );
    Some(Revision {
        entity: entity?,
        previous: previous?,
        change: change?,
    })
}

/// Whether a parameter must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Yes,
    No,
}

/// A map whose parameters are read one by one; every violation is noted, none stops the reading.
struct Map<'i, 'a, 'v> {
    entries: &'i [(Item<'a>, Item<'a>)],
    unit: &'static str,
    violations: &'v mut Vec<Violation>,
}

impl<'i, 'a, 'v> Map<'i, 'a, 'v> {
    /// Notes every key that is not among `known`.
    fn new(
        item: &'i Item<'a>,
        known: &[Param],
        unit: &'static str,
        violations: &'v mut Vec<Violation>,
    ) -> Option<Self> {
        let Value::Map(entries) = &item.value else {
            let rule = format!("the {unit}s are a map");
            let field = if unit == "claim" {
                "header.claims"
            } else {
                "header"
            };
            violations.push(Violation::new(Reason::InvalidHeader, field, rule).found(shown(item)));
            return None;
        };
        for (key, _) in entries {
            let number = key.as_int();
            if !known.iter().any(|param| Some(param.number) == number) {
                let field = format!("header.{unit} {}", cbor::key_text(key));
                let rule = format!("no other {unit} than those of the profile");
                violations.push(Violation::new(Reason::UnknownHeader, field, rule));
            }
        }
        Some(Self {
            entries,
            unit,
            violations,
        })
    }

    fn find(&self, param: Param) -> Option<&'i Item<'a>> {
        let found = |key: &Item<'_>| key.as_int() == Some(param.number);
        self.entries
            .iter()
            .find(|(key, _)| found(key))
            .map(|(_, item)| item)
    }

    fn item(&mut self, param: Param, need: Need) -> Option<&'i Item<'a>> {
        let item = self.find(param);
        if item.is_none() && need == Need::Yes {
            let rule = format!("{} {} must be there", self.unit, param.number);
            let field = format!("header.{}", param.name);
            self.violations
                .push(Violation::new(Reason::MissingHeader, field, rule));
        }
        item
    }

    fn read<T>(
        &mut self,
        param: Param,
        need: Need,
        rule: &str,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> Option<T> {
        let item = self.item(param, need)?;
        let value = read(item);
        if value.is_none() {
            let rule = format!("{} {}: {rule}", self.unit, param.number);
            let reason = if param.number == label::ALG.number && self.unit == "label" {
                Reason::UnknownAlgorithm
            } else {
                Reason::InvalidHeader
            };
            let violation = Violation::new(reason, format!("header.{}", param.name), rule);
            self.violations.push(violation.found(shown(item)));
        }
        value
    }

    fn text(
        &mut self,
        param: Param,
        need: Need,
        rule: &str,
        valid: fn(&str) -> bool,
    ) -> Option<String> {
        self.read(param, need, rule, |item| {
            text(item).filter(|text| valid(text)).map(str::to_owned)
        })
    }

    /// A list that is absent where it would be empty.
    fn list<T: Ord>(
        &mut self,
        param: Param,
        rule: &str,
        read: fn(&Item<'_>) -> Option<T>,
    ) -> Vec<T> {
        let list = self.read(param, Need::No, rule, |item| {
            let Value::Array(items) = &item.value else {
                return None;
            };
            let values: Vec<T> = items.iter().map(read).collect::<Option<_>>()?;
            let distinct = values.iter().collect::<BTreeSet<_>>().len();
            let valid = distinct == values.len() && (1..=HEADER_LIST_MAX).contains(&distinct);
            valid.then_some(values)
        });
        list.unwrap_or_default()
    }
}

fn text<'a>(item: &Item<'a>) -> Option<&'a str> {
    match item.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn bytes<const N: usize>(item: &Item<'_>) -> Option<[u8; N]> {
    match item.value {
        Value::Bytes(bytes) => bytes.try_into().ok(),
        _ => None,
    }
}

fn time(item: &Item<'_>) -> Option<UnixSeconds> {
    match item.value {
        Value::Uint(seconds) if seconds <= TIME_SECONDS_MAX => Some(UnixSeconds(seconds)),
        _ => None,
    }
}

fn change(item: &Item<'_>) -> Option<Change> {
    match item.value {
        Value::Uint(0) => Some(Change::Amend),
        Value::Uint(1) => Some(Change::Correct),
        Value::Uint(2) => Some(Change::Retract),
        _ => None,
    }
}

fn origin(item: &Item<'_>) -> Option<Origin> {
    match item.value {
        Value::Uint(0) => Some(Origin::Person),
        Value::Uint(1) => Some(Origin::System),
        Value::Uint(2) => Some(Origin::AiAgent),
        _ => None,
    }
}

fn catalogue(item: &Item<'_>) -> Option<CatalogRef> {
    let Value::Array(parts) = &item.value else {
        return None;
    };
    let [scheme, digest] = parts.as_slice() else {
        return None;
    };
    let scheme = text(scheme).filter(|scheme| is_word(scheme))?.to_owned();
    Some(CatalogRef {
        scheme,
        digest: bytes(digest)?,
    })
}

fn link(item: &Item<'_>) -> Option<Link> {
    let Value::Array(parts) = &item.value else {
        return None;
    };
    let (relation, target, origin) = match parts.as_slice() {
        [relation, target] => (relation, target, None),
        [relation, target, origin] => (
            relation,
            target,
            Some(text(origin).filter(|origin| is_origin(origin))?.to_owned()),
        ),
        _ => return None,
    };
    let relation = text(relation)
        .filter(|relation| is_word(relation))?
        .to_owned();
    Some(Link {
        relation,
        target: EntryId::from_bytes(bytes(target)?),
        origin,
    })
}

fn control(item: &Item<'_>) -> Option<ControlRef> {
    let Value::Array(parts) = &item.value else {
        return None;
    };
    let [scheme, id] = parts.as_slice() else {
        return None;
    };
    let scheme = text(scheme).filter(|scheme| is_word(scheme))?.to_owned();
    let id = text(id).filter(|id| is_control_id(id))?.to_owned();
    Some(ControlRef { scheme, id })
}

/// What was found, for the error: scalars as they are, the rest by type and length.
fn shown(item: &Item<'_>) -> String {
    match &item.value {
        Value::Uint(_) | Value::Nint(_) | Value::Text(_) => cbor::key_text(item),
        Value::Bytes(bytes) => format!("byte string of {} bytes", bytes.len()),
        Value::Array(items) => format!("array of {} items", items.len()),
        Value::Map(entries) => format!("map of {} entries", entries.len()),
        Value::Bool(value) => value.to_string(),
        Value::Null => "null".to_owned(),
    }
}
