//! Statements for the tests of what a node says of registers and lists.

use aimslog_proto::pb::v1;
use aimslog_proto::statement::commitment::Commitment;
use aimslog_proto::statement::header::{
    Algorithm, Change, ContentType, Family, Header, Origin, Revision,
};
use aimslog_proto::statement::id::{EntryId, StatementId};
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::statement::statement::sign;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::LeafHash;

/// The header of a nonconformity of the hospital; unique by `id`.
pub(crate) fn header(id: u8, state: &str) -> Header {
    Header {
        algorithm: Algorithm::EdDsa,
        content_type: ContentType::new(Family::Evidence, "nonconformity", 1).unwrap(),
        key: SigningKey::from_seed(&[7; 32]).public_key().thumbprint(),
        issuer: "https://ledger.example/a/o/hospital".to_owned(),
        subject: "urn:aimslog:hospital:system:triage".to_owned(),
        audience: "ledger.example/a".to_owned(),
        expires: None,
        issued: UnixSeconds(1_800_000_000),
        id: StatementId::from_bytes([id; 16]),
        rules: Some([5; 32]),
        catalogues: Vec::new(),
        revision: None,
        transition: Some(state.to_owned()),
        links: Vec::new(),
        origin: Some(Origin::Person),
        on_behalf_of: None,
        controls: Vec::new(),
    }
}

/// The same as a later version.
pub(crate) fn later(header: Header, entity: EntryId, previous: EntryId) -> Header {
    Header {
        revision: Some(Revision {
            entity,
            previous,
            change: Change::Amend,
        }),
        ..header
    }
}

pub(crate) fn signed(header: &Header) -> Vec<u8> {
    let commitment = Commitment::build(&[LeafHash::of(b"field")]).unwrap();
    let statement = sign(
        header,
        &commitment.encode(),
        &SigningKey::from_seed(&[7; 32]),
    );
    statement.unwrap().bytes().to_vec()
}

/// What an honest node says of the statement at this index, as this version of this number.
pub(crate) fn message(
    header: &Header,
    (index, number, version): (u64, u64, u32),
) -> v1::RegisterVersion {
    let statement = signed(header);
    let id = EntryId::of(&statement);
    let entity = header.revision.map_or(id, |revision| revision.entity);
    v1::RegisterVersion {
        entry: Some(v1::EntryRef {
            index,
            entry_id: id.as_bytes().to_vec(),
            leaf_hash: LeafHash::of(&statement).hash().as_bytes().to_vec(),
            registered_at: Some(<_>::default()),
            register_number: number,
        }),
        statement,
        entity_id: entity.as_bytes().to_vec(),
        version,
        state: header.transition.clone().unwrap_or_default(),
    }
}
