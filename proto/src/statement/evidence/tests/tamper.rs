//! Each part of a file changed alone.

use serde_json::Value;

use super::*;
use crate::statement::evidence::testing::{Lists, admit, finding, finding_header, organization};
use crate::statement::key::Signature;
use crate::statement::statement;
use crate::system::{Principal, PrincipalChange, RevocationReason};

type Change = fn(&mut EvidenceFile);

const CHANGES: [(&str, Change, Code); 15] = [
    (
        "genesis left out",
        |f| drop(f.chain.remove(0)),
        Code::NotUnderRoot,
    ),
    (
        "record dropped",
        |f| drop(f.records.remove(0)),
        Code::NotUnderRoot,
    ),
    (
        "statements swapped",
        |f| {
            let other = f.records[1].statement.clone();
            let first = std::mem::replace(&mut f.records[0].statement, other);
            f.records[1].statement = first;
        },
        Code::NotUnderRoot,
    ),
    (
        "index moved",
        |f| f.records[2].index = LeafIndex(7),
        Code::NotUnderRoot,
    ),
    (
        "index beyond",
        |f| f.records[2].index = LeafIndex(9),
        Code::NotUnderRoot,
    ),
    (
        "hash too many",
        |f| f.proof.push(f.proof[0]),
        Code::NotUnderRoot,
    ),
    (
        "fields of another record",
        |f| {
            f.records[0].fields = f.records[1].fields.clone();
        },
        Code::FieldsWrong,
    ),
    (
        "field at another position",
        |f| f.records[2].fields[0].index = 2,
        Code::FieldsWrong,
    ),
    (
        "field beyond the list",
        |f| f.records[2].fields[0].index = 3,
        Code::FieldsWrong,
    ),
    (
        "field left out",
        |f| drop(f.records[0].fields.pop()),
        Code::FieldsWrong,
    ),
    (
        "field proof for nothing",
        |f| f.records[2].fields.clear(),
        Code::FieldsWrong,
    ),
    (
        "head of another size",
        |f| f.head.checkpoint = f.heads[1].checkpoint.clone(),
        Code::NotUnderRoot,
    ),
    (
        "other heads swapped",
        |f| f.heads.swap(0, 1),
        Code::OtherHeadWrong,
    ),
    (
        "consistency proof cut",
        |f| f.heads[1].consistency.clear(),
        Code::OtherHeadWrong,
    ),
    (
        "receipt of another root",
        |f| {
            f.head.receipt = World::standard().receipt(8, START + 100);
        },
        Code::ReceiptWrong,
    ),
];

#[test]
fn each_change_has_its_code() {
    for (name, change, code) in CHANGES {
        let mut file = World::standard().file();
        change(&mut file);
        let report = check(&file, &trust());
        assert_eq!(report.verdict, Verdict::NotVerified, "{name}: {report}");
        assert!(codes(&report).contains(&code), "{name}: {report}");
    }
}

#[test]
fn missing_piece_of_the_chain_is_cannot_tell() {
    let world = World::standard();
    for (chain, code) in [
        (&[1, 2, 3][..], Code::GenesisMissing),
        (&[0, 1, 3], Code::KeyNotInChain),
        (&[0, 1, 2], Code::KeyNotInChain),
        (&[0], Code::KeyNotInChain),
    ] {
        let file = world.file_with(vec![world.record(5, Shown::All)], chain);
        let report = check(&file, &trust());
        assert_eq!(report.verdict, Verdict::CannotTell, "{chain:?}: {report}");
        assert_eq!(codes(&report), [code], "{chain:?}: {report}");
    }
}

#[test]
fn unknown_kind_is_cannot_tell() {
    struct Nothing;
    impl FieldLists for Nothing {
        fn field_list(&self, _kind: &str, _version: u32) -> Option<Vec<String>> {
            None
        }
    }
    assert!(Lists.field_list("finding", 2).is_none());
    let text = World::standard().file().print().unwrap();
    let report = verify(
        text.as_bytes(),
        &trust(),
        &Options {
            field_lists: &Nothing,
            ..options()
        },
    );
    assert_eq!(report.verdict, Verdict::CannotTell);
    assert!(
        codes(&report).iter().all(|code| *code == Code::KindUnknown),
        "{report}"
    );
    assert!(report.records.is_empty());
}

#[test]
fn keys_that_may_not_sign_fail_the_file() {
    let mut world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    world.system(&organization("other", seed::OTHER_ADMIN), seed::OPERATOR_A);
    world.finding(0, seed::REVIEWER);
    let foreign = world.finding(1, seed::OTHER_ADMIN).0;
    let operator = world.finding(2, seed::OPERATOR_A).0;
    let service = world.finding(3, seed::SERVICE).0;
    let early = {
        let revoke = Principal {
            change: PrincipalChange::Revoke(RevocationReason::Left),
            ..admit("p-reviewer", 99, None)
        };
        world.system(&revoke, seed::ADMIN);
        world.finding(4, seed::REVIEWER).0
    };
    for index in [foreign, operator, service, early] {
        let records = vec![world.record(6, Shown::All), world.record(index, Shown::All)];
        let report = check(&world.file_with(records, &[0, 1, 2, 3, 5, 10]), &trust());
        assert_eq!(report.verdict, Verdict::NotVerified, "{index}: {report}");
        assert_eq!(
            codes(&report),
            [Code::SignerNotAllowed],
            "{index}: {report}"
        );
        assert_eq!(report.records.len(), 1, "the record before stays as it was");
    }
}

#[test]
fn agent_must_say_what_it_is() {
    let mut world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    let (template, disclosures) = finding(0, seed::AGENT);
    let payload = template.payload().to_vec();
    let honest = finding_header(0, seed::AGENT);
    let person = finding_header(0, seed::REVIEWER);
    let mut hidden = honest.clone();
    hidden.origin = person.origin;
    let mut alone = honest.clone();
    alone.on_behalf_of = None;
    let mut boast = person;
    boast.origin = honest.origin;
    for (header, signer) in [
        (hidden, seed::AGENT),
        (alone, seed::AGENT),
        (boast, seed::REVIEWER),
    ] {
        let signed = statement::sign(&header, &payload, &key(signer)).unwrap();
        let index = world.push(signed.bytes().to_vec(), disclosures.clone()).0;
        let file = world.file_with(vec![world.record(index, Shown::All)], &[0, 1, 2, 3, 4]);
        let report = check(&file, &trust());
        assert_eq!(codes(&report), [Code::SignerNotAllowed], "{report}");
    }
}

#[test]
fn signature_by_another_key_under_the_same_kid_is_wrong() {
    let mut world = World::standard();
    let mut entry = world.entries[5].clone();
    *entry.last_mut().unwrap() ^= 1;
    let index = world.push(entry, world.disclosures[5].clone()).0;
    let file = world.file_with(vec![world.record(index, Shown::All)], &[0, 1, 2, 3]);
    let report = check(&file, &trust());
    assert_eq!(codes(&report), [Code::StatementWrongSignature], "{report}");
    assert_eq!(report.verdict, Verdict::NotVerified);
}

#[test]
fn receipt_signature_is_checked() {
    let mut file = World::standard().file();
    let mut signature = *file.head.receipt.signature().as_bytes();
    signature[0] ^= 1;
    let protected = file.head.receipt.protected().to_vec();
    file.head.receipt =
        crate::statement::receipt::HeadReceipt::from_parts(&protected, Signature(signature))
            .unwrap();
    assert_eq!(codes(&check(&file, &trust())), [Code::ReceiptWrong]);
}

/// Every text of the file is changed in four of its characters, and cut by one;
/// every number but the two claims is raised by one. Nothing of it may verify or panic.
#[test]
fn no_changed_text_or_number_verifies() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let mut pointers = Vec::new();
    collect(&golden, String::new(), &mut pointers);
    let mut tried = 0;
    for pointer in pointers {
        let value = golden.pointer(&pointer).unwrap();
        for changed in variants(value) {
            let mut file = golden.clone();
            *file.pointer_mut(&pointer).unwrap() = changed;
            let report = verify(file.to_string().as_bytes(), &trust(), &options());
            assert!(!report.verdict.is_verified(), "{pointer}: {report}");
            tried += 1;
        }
    }
    assert!(tried > 180, "{tried}");
}

/// Every byte of each decoded statement, flipped.
#[test]
fn no_flipped_byte_of_an_entry_verifies() {
    let file = World::standard().file();
    let length = file.records[0].statement.len();
    for position in 0..length {
        let mut changed = file.clone();
        changed.records[0].statement[position] ^= 0x01;
        assert!(
            !check(&changed, &trust()).verdict.is_verified(),
            "{position}"
        );
    }
}

#[test]
fn members_unknown_missing_or_twice_are_refused() {
    let twice = GOLDEN.replacen('{', "{\"origin\": \"x\",", 1);
    let unknown = GOLDEN.replacen('{', "{\"more\": 1,", 1);
    let missing = GOLDEN.replace("\"heads\"", "\"head5\"");
    let version = GOLDEN.replace("evidence/v1", "evidence/v2");
    let empty = "{}".to_owned();
    for (text, code) in [
        (twice, Code::InputMalformed),
        (unknown, Code::InputMalformed),
        (missing, Code::InputMalformed),
        (empty, Code::InputMalformed),
        (version, Code::FormatUnknown),
        (format!("{GOLDEN}x"), Code::InputMalformed),
        (
            GOLDEN.split_at(GOLDEN.len() / 2).0.to_owned(),
            Code::InputMalformed,
        ),
    ] {
        let report = verify(text.as_bytes(), &trust(), &options());
        assert_eq!(codes(&report), [code], "{report}");
    }
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if !["registered_at_ms", "register_number"].contains(&name.as_str()) {
                    collect(value, format!("{at}/{name}"), pointers);
                }
            }
        }
        Value::Array(items) => {
            for (position, value) in items.iter().enumerate() {
                collect(value, format!("{at}/{position}"), pointers);
            }
        }
        _ => pointers.push(at),
    }
}

fn variants(value: &Value) -> Vec<Value> {
    let Value::String(text) = value else {
        return vec![Value::from(value.as_u64().unwrap() + 1)];
    };
    let letters: Vec<char> = text.chars().collect();
    let mut variants: Vec<Value> = [0, letters.len() / 3, letters.len() / 2, letters.len() - 1]
        .into_iter()
        .map(|position| {
            let mut changed = letters.clone();
            changed[position] = if changed[position] == 'A' { 'B' } else { 'A' };
            Value::from(changed.into_iter().collect::<String>())
        })
        .collect();
    variants.push(Value::from(letters[1..].iter().collect::<String>()));
    variants
}
