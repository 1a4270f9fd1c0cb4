use super::*;
use crate::aims::schema::ValueType;

/// Frozen with the first release: another digest is another bundle.
const DIGEST: &str = "af90c20e4f569cf5dc3cb8c0cdfb8599f0d877596e2b2b49b8d511f1d56275ec";

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
        let mut files = FILES.to_vec();
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
    assert_ne!(digest_of(FILES, &kinds), bundle.digest());
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
    let files = changed(
        "\"occurred_at\",\n  \"period\"",
        "\"period\",\n  \"occurred_at\"",
    );
    assert!(matches!(
        RuleBundle::read(&files),
        Err(BundleError::FieldList { .. })
    ));
}

/// The files with the first `from` in a table of kinds replaced.
fn changed(from: &str, to: &str) -> Vec<File> {
    changed_in("kinds/", from, to)
}

/// The files with the first `from` in a file of this folder replaced.
fn changed_in(folder: &str, from: &str, to: &str) -> Vec<File> {
    let mut files = FILES.to_vec();
    let (_, text) = files
        .iter_mut()
        .find(|(name, text)| name.starts_with(folder) && text.contains(from))
        .expect("a table with this text");
    *text = text.replacen(from, to, 1).leak();
    files
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
        ("each = \"needs\"", "each = \"need\""),
        ("each = \"phases\"", "each = \"resources\""),
        ("require = [\"treatment\"]", "require = [\"treatments\"]"),
        (
            "status_field = \"lifecycle_stage\"",
            "status_field = \"risk_class\"",
        ),
    ] {
        let result = RuleBundle::read(&changed(from, to));
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
}

#[test]
fn refuses_catalogues_that_name_what_does_not_exist() {
    for (from, to) in [
        ("\"iso42001-2023/A.9.2\"", "\"iso42001-2023/A.9.5\""),
        ("\"iso42001-2023/A.9.2\"", "\"iso42001/A.9.2\""),
        ("kinds = [\"improvement\"]", "kinds = [\"improvment\"]"),
    ] {
        let result = RuleBundle::read(&changed_in("catalogues/", from, to));
        assert!(matches!(result, Err(BundleError::Undefined { .. })), "{to}");
    }
    let twice = changed_in("catalogues/", "scheme = \"guide\"", "scheme = \"org\"");
    assert!(matches!(
        RuleBundle::read(&twice),
        Err(BundleError::Duplicate(_))
    ));
    let broken = changed_in("catalogues/", "id = \"A.9.2\"", "id = \"A.9.3\"");
    assert!(matches!(
        RuleBundle::read(&broken),
        Err(BundleError::Catalogue { .. })
    ));
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

#[test]
fn who_signs_a_state_is_named_by_a_text_of_a_state_that_there_is() {
    for (from, to) in [
        ("accepted = \"decided_by\"", "acepted = \"decided_by\""),
        ("accepted = \"decided_by\"", "accepted = \"decided_from\""),
        ("accepted = \"decided_by\"", "accepted = \"decided_at\""),
    ] {
        let result = RuleBundle::read(&changed(from, to));
        assert!(matches!(result, Err(BundleError::Undefined { .. })), "{to}");
    }
}

#[test]
fn refuses_guards_that_do_not_guard() {
    let undefined = changed("need = { other_than = [\"", "need = { other_than = [\"un");
    assert!(matches!(
        RuleBundle::read(&undefined),
        Err(BundleError::Undefined { .. })
    ));
    let empty = changed(
        "need = { other_than = [\"",
        "need = { other_than = [] }\nx = [[\"",
    );
    assert!(matches!(
        RuleBundle::read(&empty),
        Err(BundleError::Toml { .. })
    ));
}
