//! A statement in the making, each part of which can be broken: the library writes no statement that
//! it would refuse, so this writes the bytes by hand.

use std::sync::Arc;

use aimslog_client::FinishedStatement;
use aimslog_proto::pb::v1::Submission;
use aimslog_proto::statement::cbor::{self, Encoder, Item, Value};
use aimslog_proto::statement::key::{Signer as _, SigningKey};
use aimslog_proto::statement::{Commitment, UnverifiedStatement};
use aimslog_proto::tlog::LeafHash;

/// Labels of the protected header.
pub mod label {
    /// Algorithm.
    pub const ALG: i64 = 1;
    /// Content type.
    pub const CONTENT_TYPE: i64 = 3;
    /// Key thumbprint.
    pub const KID: i64 = 4;
    /// Claims.
    pub const CLAIMS: i64 = 15;
}

/// Claims of the protected header.
pub mod claim {
    /// Issuer.
    pub const ISS: i64 = 1;
    /// Subject.
    pub const SUB: i64 = 2;
    /// Audience.
    pub const AUD: i64 = 3;
    /// Expiry.
    pub const EXP: i64 = 4;
    /// Claimed time of signing.
    pub const IAT: i64 = 6;
    /// Unique id.
    pub const CTI: i64 = 7;
    /// Rule bundle.
    pub const RULES: i64 = -70_010;
    /// Entity.
    pub const ENTITY: i64 = -70_012;
    /// Previous version.
    pub const PREVIOUS: i64 = -70_013;
    /// How the version differs.
    pub const CHANGE: i64 = -70_014;
    /// State.
    pub const TRANSITION: i64 = -70_015;
    /// Links.
    pub const LINKS: i64 = -70_016;
    /// Who made it.
    pub const ORIGIN: i64 = -70_017;
    /// For whom.
    pub const ON_BEHALF_OF: i64 = -70_018;
    /// Controls.
    pub const CONTROLS: i64 = -70_019;
}

/// What a log entry begins with: tag 18, array of four.
pub const PREFIX: [u8; 2] = [0xd2, 0x84];

/// A CBOR map as keys and values in bytes, in any order, also with a key twice.
#[derive(Debug, Clone)]
pub struct Map(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Map {
    fn of(item: &Item<'_>) -> Self {
        let Value::Map(entries) = &item.value else {
            panic!("a header of the library is a map of maps");
        };
        let entries = entries.iter();
        Self(
            entries
                .map(|(key, value)| (key.bytes.to_vec(), value.bytes.to_vec()))
                .collect(),
        )
    }

    /// Puts a value under a key, in the place that deterministic CBOR gives it.
    pub fn set(&mut self, key: i64, write: impl FnOnce(&mut Encoder)) {
        let key = Encoder::new().int(key).finish();
        let mut value = Encoder::new();
        write(&mut value);
        self.0.retain(|(known, _)| *known != key);
        let place = self.0.partition_point(|(known, _)| *known < key);
        self.0.insert(place, (key, value.finish()));
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: i64) {
        let key = Encoder::new().int(key).finish();
        self.0.retain(|(known, _)| *known != key);
    }

    /// The text under a key.
    pub fn text(&self, key: i64) -> String {
        let key = Encoder::new().int(key).finish();
        let entry = self.0.iter().find(|(known, _)| *known == key).unwrap();
        cbor::parse(&entry.1).unwrap().text("").unwrap().to_owned()
    }

    fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.0.len()).unwrap();
        assert!(count < 24, "a head of one byte");
        let mut bytes = vec![0xa0 | count];
        for (key, value) in &self.0 {
            bytes.extend(key);
            bytes.extend(value);
        }
        bytes
    }
}

/// A statement in the making. As it comes it is good.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The protected header but for the claims.
    pub labels: Map,
    /// The claims.
    pub claims: Map,
    /// The disclosures, which the commitment is made over.
    pub disclosures: Vec<Vec<u8>>,
    /// What stands in the place of the commitment.
    pub payload: Option<Vec<u8>>,
    /// Digests of files that stay at home.
    pub digest_only: Vec<Vec<u8>>,
    /// Who signs, whatever `kid` says.
    pub signer: Arc<SigningKey>,
}

impl Draft {
    /// Takes a finished statement of this signer apart.
    pub fn of(finished: FinishedStatement, signer: &Arc<SigningKey>) -> Self {
        let statement = UnverifiedStatement::parse(&finished.statement).unwrap();
        let header = cbor::parse(statement.protected_bytes()).unwrap();
        let mut labels = Map::of(&header);
        let claims = Map::of(header.fields("").unwrap().optional(label::CLAIMS).unwrap());
        labels.remove(label::CLAIMS);
        let digest_only = finished.digest_only.iter();
        Self {
            labels,
            claims,
            digest_only: digest_only.map(|digest| digest.to_vec()).collect(),
            disclosures: finished.disclosures,
            payload: None,
            signer: Arc::clone(signer),
        }
    }

    /// Lets another key sign, and names it.
    pub fn sign_as(&mut self, signer: &Arc<SigningKey>) {
        self.signer = Arc::clone(signer);
        let kid = signer.public_key().thumbprint();
        self.labels.set(label::KID, |value| {
            value.bytes(kid.as_bytes());
        });
    }

    /// The place of a field in the list of its kind.
    pub fn place(&self, name: &str) -> usize {
        let named = format!("\",\"{name}\",");
        let mut places = self.disclosures.iter();
        places
            .position(|bytes| String::from_utf8_lossy(bytes).contains(&named))
            .unwrap_or_else(|| panic!("no field {name}"))
    }

    /// Gives a field another value, as JSON, and another name if that is wanted.
    pub fn set_field(&mut self, name: &str, [new_name, value]: [&str; 2]) {
        let place = self.place(name);
        let salt = self.salt(name);
        self.disclosures[place] = format!(r#"["{salt}","{new_name}",{value}]"#).into_bytes();
    }

    /// Gives a field another value, as JSON.
    pub fn set_value(&mut self, name: &str, value: &str) {
        self.set_field(name, [name, value]);
    }

    /// The salt of a field.
    pub fn salt(&self, name: &str) -> String {
        let text = String::from_utf8(self.disclosures[self.place(name)].clone()).unwrap();
        text.split('"').nth(1).unwrap().to_owned()
    }

    /// The protected header as it is signed.
    pub fn protected(&self) -> Vec<u8> {
        let mut labels = self.labels.clone();
        let claims = self.claims.encode();
        labels.set(label::CLAIMS, |value| {
            value.raw(&claims);
        });
        labels.encode()
    }

    /// The commitment, or what stands in its place.
    pub fn committed(&self) -> Vec<u8> {
        self.payload.clone().unwrap_or_else(|| {
            let kept = self.disclosures.iter().take(256);
            let leaves: Vec<LeafHash> = kept.map(|bytes| LeafHash::of(bytes)).collect();
            Commitment::build(&leaves).unwrap().encode()
        })
    }

    /// The four items of the statement: header, unprotected header, payload, signature.
    pub fn items(&self) -> [Vec<u8>; 4] {
        self.items_over(&self.protected())
    }

    /// The same with this protected header.
    pub fn items_over(&self, protected: &[u8]) -> [Vec<u8>; 4] {
        let payload = self.committed();
        let signed = Encoder::new()
            .array(4)
            .text("Signature1")
            .bytes(protected)
            .bytes(&[])
            .bytes(&payload)
            .finish();
        let signature = self.signer.sign(&signed).unwrap();
        let bytes = |bytes: &[u8]| Encoder::new().bytes(bytes).finish();
        [
            bytes(protected),
            vec![0xa0],
            bytes(&payload),
            bytes(signature.as_bytes()),
        ]
    }

    /// The statement.
    pub fn statement(&self) -> Vec<u8> {
        join(&PREFIX, &self.items())
    }

    /// What is sent.
    pub fn submission(&self) -> Submission {
        self.submission_of(self.statement())
    }

    /// What is sent, with other bytes in the place of the statement.
    pub fn submission_of(&self, statement: Vec<u8>) -> Submission {
        Submission {
            statement,
            disclosures: self.disclosures.clone(),
            digest_only: self.digest_only.clone(),
        }
    }
}

/// Items behind a prefix.
pub fn join(prefix: &[u8], items: &[Vec<u8>]) -> Vec<u8> {
    [prefix, &items.concat()].concat()
}
