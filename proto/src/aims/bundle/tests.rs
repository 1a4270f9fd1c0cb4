use super::*;
use crate::aims::schema::ValueType;

/// Frozen with the first release: another digest is another bundle.
const DIGEST: &str = "aa66b7a1cbb8d048bb38dba65cb68c270ddb0292aaec2978b76dfebb8814185f";

#[test]
fn digest_is_frozen() {
    let digest = RuleBundle::v1().digest();
    assert_eq!(digest.to_string(), DIGEST);
    assert_eq!(parse_digest(DIGEST).expect("a digest"), digest);
    assert!(RuleBundle::v1().is_accepting(digest));
    assert!(!RuleBundle::v1().is_accepting(BundleDigest([0; 32])));
}

#[test]
fn digest_changes_with_each_file_and_with_the_schema() {
    let bundle = RuleBundle::v1();
    for index in 0..FILES.len() {
        let mut files = FILES;
        files[index].1 = "x";
        assert_ne!(
            digest_of(&files, &bundle.kinds),
            bundle.digest(),
            "{}",
            FILES[index].0
        );
    }
    let mut kinds = bundle.kinds.clone();
    let kind = kinds.values_mut().next().expect("a kind");
    kind.schema.fields[0].required = false;
    assert_ne!(digest_of(&FILES, &kinds), bundle.digest());
}

#[test]
fn the_role_that_the_registry_knows_is_one_of_the_bundle() {
    let administrator = crate::system::Role::administrator();
    let roles = RuleBundle::v1().roles();
    assert!(
        roles.iter().any(|role| role.name == administrator.as_str()),
        "{roles:?}"
    );
}

#[test]
fn refuses_a_field_list_that_differs_from_its_message() {
    let original = FILES[2].1;
    let swapped = original.replacen(
        "\"occurred_at\",\n  \"period\"",
        "\"period\",\n  \"occurred_at\"",
        1,
    );
    assert_ne!(swapped, original);
    let mut files = FILES;
    files[2].1 = swapped.leak();
    assert!(matches!(
        RuleBundle::read(files),
        Err(BundleError::FieldList { .. })
    ));
}

#[test]
fn refuses_tables_that_name_what_does_not_exist() {
    for (from, to) in [
        ("append = [\"submitter\"", "append = [\"submiter\""),
        ("retention = \"DOC10Y\"", "retention = \"DOC11Y\""),
        ("initial = [\"planned\"]", "initial = [\"plannned\"]"),
        ("kinds = [\"scope_statement\"]", "kinds = [\"scope\"]"),
        ("values = [\"ESCALATE\"]", "values = [\"ESCALATED\"]"),
        (
            "require = [\"escalated_to\"]",
            "require = [\"escalate_to\"]",
        ),
        ("\"second_review.reviewer\"", "\"second_review.who\""),
        (
            "status_field = \"lifecycle_stage\"",
            "status_field = \"risk_class\"",
        ),
    ] {
        let changed = FILES[2].1.replacen(from, to, 1);
        assert_ne!(changed, FILES[2].1, "{from}");
        let mut files = FILES;
        files[2].1 = changed.leak();
        let result = RuleBundle::read(files);
        assert!(matches!(result, Err(BundleError::Undefined { .. })), "{to}");
    }
}

#[test]
fn every_kind_has_the_envelope_first_and_fits_the_limits() {
    const ENVELOPE: [&str; 10] = [
        "occurred_at",
        "period",
        "actor",
        "method",
        "attachments",
        "confidentiality",
        "personal_data",
        "retention_class",
        "retain_until",
        "legal_hold",
    ];
    for kind in RuleBundle::v1().kinds() {
        let names: Vec<&str> = kind.field_names().collect();
        assert_eq!(names[..10], ENVELOPE, "{}", kind.name());
        assert!(
            names.len() <= crate::limits::KIND_FIELDS_MAX,
            "{}",
            kind.name()
        );
        for (index, field) in kind.fields().iter().enumerate() {
            assert_eq!(
                field.number as usize,
                index + 1,
                "{} {}",
                kind.name(),
                field.name
            );
        }
        // An enum whose values keep their prefix was named against the convention.
        for field in kind.fields() {
            if let ValueType::Enum(names) = &field.value {
                assert!(
                    !names
                        .names
                        .iter()
                        .any(|name| name.starts_with(&names.prefix))
                );
            }
        }
    }
    let names: Vec<&str> = RuleBundle::v1().kinds().map(Kind::name).collect();
    let expected = [
        "ai_system",
        "corrective_action",
        "finding",
        "internal_audit",
        "nonconformity",
        "oversight_decision",
    ];
    assert_eq!(names, expected);
}

#[test]
fn catalogue_has_all_clauses_and_all_controls() {
    let scheme = RuleBundle::v1()
        .schemes()
        .scheme("iso42001-2023")
        .expect("the catalogue");
    let controls = scheme.controls.as_ref().expect("a catalogue");
    let annex = controls
        .iter()
        .filter(|control| control.id.starts_with("A."))
        .count();
    assert_eq!((annex, controls.len() - annex), (38, 32));
    for (objective, count) in [
        ("A.2.", 3),
        ("A.3.", 2),
        ("A.4.", 5),
        ("A.5.", 4),
        ("A.6.", 9),
        ("A.7.", 5),
        ("A.8.", 4),
        ("A.9.", 3),
        ("A.10.", 3),
    ] {
        let found = controls
            .iter()
            .filter(|control| control.id.starts_with(objective))
            .count();
        assert_eq!(found, count, "{objective}");
    }
}

#[test]
fn unknown_names_come_with_the_nearest_one() {
    let bundle = RuleBundle::v1();
    let refused = bundle
        .kind("oversight_decison", 1)
        .expect_err("no such kind");
    assert_eq!(refused.reason, Reason::UnknownKind);
    assert_eq!(refused.nearest.as_deref(), Some("oversight_decision"));
    let refused = bundle.kind("finding", 2).expect_err("no such version");
    assert_eq!(refused.reason, Reason::UnknownVersion);
    assert_eq!(refused.nearest.as_deref(), Some("1"));
    let claim = ControlClaim {
        scheme: "iso42001-2023",
        id: "8.6",
    };
    let refused = bundle
        .check_control(claim)
        .expect_err("clause 8 ends at 8.4");
    assert_eq!(refused.nearest.as_deref(), Some("8.4"));
    let claim = ControlClaim {
        scheme: "iso42001-2023",
        id: "6.1",
    };
    assert_eq!(
        bundle
            .check_control(claim)
            .expect_err("not a leaf")
            .nearest
            .as_deref(),
        Some("6.1.1")
    );
}

#[test]
fn transitions_follow_the_tables() {
    let kind = RuleBundle::v1().kind("nonconformity", 1).expect("a kind");
    for (from, to, is_allowed) in [
        (None, "open", true),
        (None, "closed", false),
        (Some("open"), "open", true),
        (Some("open"), "analysed", true),
        (Some("open"), "closed", false),
        (Some("closed"), "reopened", true),
        (Some("implemented"), "analysed", false),
        (Some("open"), "analyzed", false),
    ] {
        assert_eq!(
            kind.check_transition(from, to).is_ok(),
            is_allowed,
            "{from:?} {to}"
        );
    }
    let refused = kind
        .check_transition(Some("open"), "analyzed")
        .expect_err("no such state");
    assert_eq!(refused.nearest.as_deref(), Some("analysed"));
    assert!(kind.check_link("finding", "finding").is_ok());
    assert!(kind.check_link("finding", "ai_system").is_err());
    assert_eq!(
        kind.check_relation("findings")
            .expect_err("typo")
            .nearest
            .as_deref(),
        Some("finding")
    );
}
