//! Who signs a state by the record's own word, over the golden records of every kind that asks for it.

use super::*;
use crate::aims::bundle::RuleBundle;
use crate::statement::commitment::Commitment;
use crate::statement::header::{
    Algorithm, Change, ContentType, ControlRef, Family, Header, Origin, Revision,
};
use crate::statement::key::SigningKey;
use crate::statement::statement::sign;
use crate::statement::{EntryId, StatementId};
use crate::time::UnixSeconds;
use std::fs;
use std::path::Path;

/// A golden record whose state is signed by whom one of its fields names.
struct Golden {
    kind: &'static Kind,
    state: String,
    field: String,
    named: PrincipalId,
    disclosures: Vec<Vec<u8>>,
    system: Option<String>,
}

fn value(kind: &Kind, disclosures: &[Vec<u8>], name: &str) -> Option<String> {
    let disclosure = disclosures.get(kind.field_index(name)?)?;
    match Disclosure::parse(disclosure).expect("golden").value() {
        Json::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn goldens() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let of = |kind: &'static Kind| {
        let path = folder.join(format!("{}.disclosures.jsonl", kind.name()));
        let lines = fs::read_to_string(path).expect("every kind has one");
        let disclosures: Vec<Vec<u8>> =
            lines.lines().map(|line| line.as_bytes().to_vec()).collect();
        let state = value(kind, &disclosures, kind.status_field()?)?.to_lowercase();
        let field = kind.tables.signer.get(&state)?.clone();
        let named = value(kind, &disclosures, &field).expect("the golden record names its signer");
        Some(Golden {
            kind,
            state,
            field,
            named: PrincipalId::new(&named).expect("a principal"),
            system: value(kind, &disclosures, "system"),
            disclosures,
        })
    };
    RuleBundle::v1().kinds().filter_map(of).collect()
}

impl Golden {
    fn statement(&self, revision: Option<Revision>) -> UnverifiedStatement {
        let key = SigningKey::from_seed(&[1; 32]);
        let about = match &self.system {
            Some(id) => format!("system:{id}"),
            None => "aims:main".to_owned(),
        };
        let header = Header {
            algorithm: Algorithm::EdDsa,
            content_type: ContentType::new(Family::Evidence, self.kind.name(), self.kind.version())
                .expect("a content type"),
            key: key.public_key().thumbprint(),
            issuer: "https://ledger.example.com/test/o/acme".to_owned(),
            subject: format!("urn:aimslog:acme:{about}"),
            audience: "ledger.example.com/test".to_owned(),
            expires: None,
            issued: UnixSeconds(1_800_000_000),
            id: StatementId::from_bytes([7; 16]),
            rules: Some(RuleBundle::v1().digest().0),
            catalogues: Vec::new(),
            revision,
            transition: Some(self.state.clone()),
            links: Vec::new(),
            origin: Some(Origin::Person),
            on_behalf_of: None,
            // Of an own catalogue, which one of the golden records names.
            controls: vec![ControlRef {
                scheme: "org".to_owned(),
                id: "GATEWAY.2".to_owned(),
            }],
        };
        let leaves: Vec<LeafHash> = self
            .disclosures
            .iter()
            .map(|bytes| LeafHash::of(bytes))
            .collect();
        let commitment = Commitment::build(&leaves).expect("fields");
        let statement = sign(&header, &commitment.encode(), &key).expect("a good statement");
        UnverifiedStatement::parse(statement.bytes()).expect("a good statement")
    }

    fn judge(&self, signer: Option<&PrincipalId>, change: Option<Change>) -> Vec<Violation> {
        let first = EntryId::from_bytes([3; 32]);
        let statement = self.statement(change.map(|change| Revision {
            entity: first,
            previous: first,
            change,
        }));
        let judged = check_content(self.kind, &statement, &self.disclosures, signer);
        judged.err().unwrap_or_default()
    }
}

#[test]
fn a_version_is_signed_by_whom_the_record_names() {
    let goldens = goldens();
    assert!(goldens.len() > 3, "{}", goldens.len());
    let other = PrincipalId::new("p-somebody-else").expect("a principal");
    for golden in goldens {
        let name = golden.kind.name();
        assert_eq!(golden.judge(Some(&golden.named), None), [], "{name}");
        let found = golden.judge(Some(&other), None);
        let [refused] = found.as_slice() else {
            panic!("{name}: {found:?}");
        };
        assert_eq!(refused.reason, Reason::NotPermitted, "{name}");
        assert_eq!(refused.field, format!("record.{}", golden.field), "{name}");
        let id = format!("{name}-{}-signer: ", golden.state).replace('_', "-");
        assert!(refused.rule.starts_with(&id.to_uppercase()), "{refused}");
        assert_eq!(refused.found.as_deref(), Some(golden.named.as_str()));
        assert_eq!(refused.nearest.as_deref(), Some(other.as_str()));
        // So is a later version, but for one that takes it back; and where nobody knows whose the key
        // is there is nothing to compare.
        for change in [Change::Amend, Change::Correct] {
            assert_eq!(golden.judge(Some(&other), Some(change)), found, "{name}");
        }
        let retracted = golden.judge(Some(&other), Some(Change::Retract));
        assert_eq!(retracted, [], "{name}");
        assert_eq!(golden.judge(None, None), [], "{name}");
    }
}
