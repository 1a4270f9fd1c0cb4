use super::*;
use crate::import::links::{Outside, refuse_dangling};
use crate::import::mapping::Known;
use crate::import::table_of_csv;
use aimslog_proto::aims::submission::Target;

const NC: &str = "\
NC ID,Date,Requirement / Process,Finding,Root Cause,Correction,Corrective Action,Owner,Due Date,Status,Effectiveness Check
NC-1,2026-03-02,Clause 7.2; A.9.2,Two reviewers had no training,Nobody watched the dates,They were trained,Remind four weeks before,p-105,2026-04-30,Closed,No lapse for a quarter
NC-2,2026-03-09,9.2.1,The programme leaves out A.10.3,,,,p-105,2026-06-30,Open,
";

fn constants() -> Vec<Constant> {
    [("source", "AUDIT"), ("grade", "MINOR")]
        .map(|(path, value)| Constant {
            path: path.to_owned(),
            value: value.to_owned(),
        })
        .into()
}

fn nc(text: &str, constants: &[Constant]) -> Vec<Made> {
    let table = table_of_csv(text);
    let mapping = Mapping::parse(Known::Nc.text()).unwrap();
    assert_eq!(columns(&table, &mapping), Columns::default());
    let mut made = make(&table, &mapping, (constants, &mut Shelf::default())).unwrap();
    refuse_dangling(&mut made, &Outside::default());
    made
}

#[test]
fn a_row_gives_the_records_that_its_mapping_says() {
    let made = nc(NC, &constants());
    let kinds: Vec<(&str, &str)> = made
        .iter()
        .map(|one| (one.place.as_str(), one.kind.as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("nc.csv!2", "nonconformity"),
            ("nc.csv!2", "corrective_action"),
            ("nc.csv!3", "nonconformity"),
        ]
    );
    let first = made[0]
        .result
        .as_ref()
        .unwrap_or_else(|found| panic!("{found:#?}"));
    let kind = RuleBundle::v1().newest_kind("nonconformity").unwrap();
    let text = String::from_utf8(first.record.canonical_bytes(kind)).unwrap();
    for part in [
        r#""requirements":["iso42001-2023/7.2","iso42001-2023/A.9.2"]"#,
        r#""detected_at":"2026-03-02T00:00:00Z""#,
        r#""due_at":"2026-04-30T23:59:00Z""#,
        r#""source":"AUDIT""#,
        r#""status_reason":"Status in the register: Closed""#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let action = made[1]
        .result
        .as_ref()
        .unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!(action.links[0].target, Target::Key("NC-1".to_owned()));
    assert!(made[2].result.is_ok());
    // The same file gives the same records: that is what makes a second run safe.
    let again = nc(NC, &constants());
    for (one, other) in made.iter().zip(&again) {
        assert_eq!(one.result.as_ref().unwrap(), other.result.as_ref().unwrap());
    }
}

/// What is written, what is written instead, the cell that is refused for it, and a word of the rule.
const SLIPS: [(&str, &str, &str, &str); 10] = [
    ("2026-03-02", "2 March", "nc.csv!B2", "a date or time"),
    ("Clause 7.2", "Training", "nc.csv!C2", "catalogue"),
    ("A.9.2", "A.9.5", "nc.csv!C2", "A.9.4"),
    (
        "Two reviewers had no training",
        "TBD",
        "nc.csv!D2",
        "placeholder",
    ),
    (
        "Two reviewers had no training",
        "sdf",
        "nc.csv!D2",
        "placeholder",
    ),
    ("Two reviewers had no training", "", "nc.csv!D2", "required"),
    (
        "Two reviewers had no training",
        "=A1&B1",
        "nc.csv!D2",
        "formula",
    ),
    ("p-105,2026-04", "Jane Doe,2026-04", "nc.csv!H2", "--person"),
    ("2026-04-30", "2026-02-01", "nc.csv!I2", "not before"),
    ("No lapse for a quarter", "", "nc.csv!K2", "required"),
];

#[test]
fn what_is_wrong_has_its_cell_its_rule_and_what_was_found() {
    for (from, to, cell, word) in SLIPS {
        let text = NC.replacen(from, to, 1);
        assert_ne!(text, NC, "{from}");
        let made = nc(&text, &constants());
        let refused: Vec<&Broken> = made
            .iter()
            .filter_map(|one| one.result.as_ref().err())
            .flatten()
            .collect();
        let is =
            |broken: &&&Broken| broken.place() == Some(cell) && broken.to_string().contains(word);
        assert!(
            refused.iter().any(|broken| is(&broken)),
            "{to}: {refused:#?}"
        );
    }
}

#[test]
fn what_no_column_feeds_is_said_with_what_to_do() {
    let made = nc(NC, &[]);
    let found = made[0].result.as_ref().unwrap_err();
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(
        said.iter()
            .any(|said| said.contains("--set 'source=VALUE'")),
        "{said:?}"
    );
    assert_eq!(found[0].place(), Some("nc.csv!2"));
    assert!(made[1].result.is_err(), "its nonconformity cannot be sent");
}

#[test]
fn one_thing_stands_in_one_row() {
    let text = NC.replace("NC-2", "NC-1");
    let made = nc(&text, &constants());
    let found = made[2].result.as_ref().unwrap_err();
    assert!(found[0].to_string().contains("nc.csv!2 too"), "{found:?}");
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let text = NC
        .replacen("Due Date", "Deadline", 1)
        .replacen("Effectiveness Check", "Note", 1);
    let mapping = Mapping::parse(Known::Nc.text()).unwrap();
    let fit = columns(&table_of_csv(&text), &mapping);
    assert_eq!(fit.missing, ["Due Date", "Effectiveness Check"]);
    assert_eq!(fit.unused, ["Deadline", "Note"]);
    let text = NC
        .replacen("Due Date", "Du Date", 1)
        .replacen("Effectiveness Check", "", 1)
        .replacen("Root Cause", "Owner", 1);
    let fit = columns(&table_of_csv(&text), &mapping);
    let missing = [
        "Due Date (nearest: Du Date)",
        "Effectiveness Check",
        "Root Cause",
    ];
    assert_eq!(fit.missing, missing);
    assert_eq!(fit.doubled, ["Owner (nc.csv!E1, nc.csv!H1)"]);
    assert_eq!(fit.unnamed, ["K (nc.csv!K2)"]);
}

#[test]
fn rows_have_the_line_of_the_file() {
    let text = NC.replacen("NC-2", "\n\nNC-2", 1);
    let made = nc(&text, &constants());
    assert_eq!(made[2].place, "nc.csv!5");
}

#[test]
fn several_controls_of_a_cell_are_all_there() {
    for cell in ["\"Clause 7.2, A.9.2\"", "\"7.2\nA.9.2\""] {
        let text = NC.replacen("Clause 7.2; A.9.2", cell, 1);
        let made = nc(&text, &constants());
        let submission = made[0].result.as_ref().unwrap();
        let kind = RuleBundle::v1().newest_kind("nonconformity").unwrap();
        let text = String::from_utf8(submission.record.canonical_bytes(kind)).unwrap();
        let both = r#""requirements":["iso42001-2023/7.2","iso42001-2023/A.9.2"]"#;
        assert!(text.contains(both), "{cell}: {text}");
    }
    let text = NC.replacen("Clause 7.2; A.9.2", "Clauses 7.2 and A.9.2", 1);
    let made = nc(&text, &constants());
    let found = made[0].result.as_ref().unwrap_err();
    assert_eq!(found[0].place(), Some("nc.csv!C2"), "{found:?}");
}

#[test]
fn advice_to_give_a_value_is_for_what_is_missing() {
    let wrong = [Constant {
        path: "source".to_owned(),
        value: "AUDITS".to_owned(),
    }];
    let made = nc(NC, &wrong);
    let found = made[0].result.as_ref().unwrap_err();
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    let of = |field: &str| {
        let mut said = said.iter();
        said.find(|said| said.contains(field))
            .unwrap_or_else(|| panic!("{field}: {found:?}"))
    };
    assert!(of("grade").contains("--set"), "{said:?}");
    assert!(!of("AUDITS").contains("--set"), "{said:?}");
}

#[test]
fn links_lead_to_what_earlier_runs_have_logged() {
    let text = NC.replacen("NC ID,", "Action ID,NC ID,", 1);
    let text = text
        .replacen("NC-1,", "CA-1,NC-0,", 1)
        .replacen("NC-2,", "CA-2,NC-1,", 1);
    let mapping = "
        [[record]]
        kind = \"corrective_action\"
        when = [\"Corrective Action\"]
        meta.key = \"{Action ID}\"
        links = [[\"nonconformity\", \"key:{NC ID}\"]]
        [record.fields]
        occurred_at = { column = \"Date\", as = \"date\" }
        \"actor.id\" = { column = \"Owner\", as = \"person\" }
        \"actor.role\" = \"owner\"
        confidentiality = \"INTERNAL\"
        personal_data = false
        action_reference = \"{Action ID}\"
        nonconformity_reference = \"{NC ID}\"
        status = \"PLANNED\"
        action_type = \"CORRECTIVE\"
        action = \"{Corrective Action}\"
        owner = { column = \"Owner\", as = \"person\" }
        due_at = { column = \"Due Date\", as = \"date\" }
        effectiveness_criterion = \"{Effectiveness Check}\"
    ";
    let mapping = Mapping::parse(mapping).unwrap();
    let made = || make(&table_of_csv(&text), &mapping, (&[], &mut Shelf::default())).unwrap();
    let mut alone = made();
    refuse_dangling(&mut alone, &Outside::default());
    let found = alone[0].result.as_ref().unwrap_err();
    assert_eq!(found[0].place(), Some("nc.csv!B2"), "{found:?}");
    assert!(found[0].to_string().contains("--known"), "{found:?}");
    let mut known = made();
    let outside = Outside {
        keys: BTreeSet::from(["NC-0".to_owned()]),
        memory: None,
    };
    refuse_dangling(&mut known, &outside);
    assert!(known[0].result.is_ok(), "{known:?}");
}

#[test]
fn constants_that_no_record_has_are_found() {
    let mapping = Mapping::parse(Known::Nc.text()).unwrap();
    let wrong = [Constant {
        path: "sorce".to_owned(),
        value: "AUDIT".to_owned(),
    }];
    assert_eq!(
        unknown_constants(&mapping, &wrong),
        ["sorce (nearest: source)"]
    );
    assert_eq!(unknown_constants(&mapping, &constants()), [""; 0]);
}

/// What a cell says is not a template, and a value that has no place is not lost.
#[test]
fn names_in_braces_within_a_cell_are_its_text() {
    let mapping = |fields: &str| {
        let text = format!(
            "[[record]]\nkind = \"finding\"\nmeta.key = \"{{ID}}\"\n[record.fields]\n{fields}\n"
        );
        Mapping::parse(&text).unwrap()
    };
    let table = table_of_csv("ID,Text,Secret\nF-1,see {Secret} {,hidden\n");
    let source = mapping("title = \"{ID}: {Text}; { {Nobody}\"");
    let Some(Source::Text(text)) = source.record[0].fields.get("title") else {
        panic!("{source:?}")
    };
    let mut maker = Maker {
        table: &table,
        row: &table.rows[0],
        mapping: &source,
        record: &source.record[0],
        cells: Vec::new(),
        found: Vec::new(),
    };
    let filled = maker.text("record.title", text);
    assert_eq!(filled.as_deref(), Some("F-1: see {Secret} {; {"));
}

#[test]
fn values_whose_path_leads_nowhere_are_refused() {
    let mut given = constants();
    given.push(Constant {
        path: "attachments[101].name".to_owned(),
        value: "a.pdf".to_owned(),
    });
    let made = nc(NC, &given);
    let found = made[0].result.as_ref().unwrap_err();
    assert_eq!(found[0].field(), "record.attachments[101].name");
}

#[test]
fn every_link_that_leads_nowhere_is_told_at_its_cell() {
    let text = NC.replacen("NC ID,", "Other,NC ID,", 1);
    let text = text
        .replacen("NC-1,", "NC-8,NC-9,", 1)
        .replacen("NC-2,", "NC-8,NC-9,", 1);
    let mapping = Known::Nc
        .text()
        .replace(
            "links = [[\"nonconformity\", \"key:{NC ID}\"]]",
            "links = [[\"nonconformity\", \"key:{NC ID}\"], [\"nonconformity\", \"key:{Other}\"]]",
        )
        .replace(
            "kind = \"nonconformity\"",
            "kind = \"nonconformity\"\nwhen = [\"Nobody\"]",
        );
    let mapping = Mapping::parse(&mapping).unwrap();
    let table = table_of_csv(&text);
    let mut made = make(&table, &mapping, (&constants(), &mut Shelf::default())).unwrap();
    assert!(made[0].result.is_ok(), "{made:?}");
    refuse_dangling(&mut made, &Outside::default());
    let found = made[0].result.as_ref().unwrap_err();
    let places: Vec<_> = found.iter().filter_map(Broken::place).collect();
    assert_eq!(places, ["nc.csv!B2", "nc.csv!A2"]);
}
