//! Two small kinds for tests: a job, and the check of a job. Their tables use everything that a life
//! cycle can ask for.

use super::bundle::RuleBundle;
use super::kind::{Kind, Tables};
use std::collections::BTreeMap;

const TABLES: &str = r#"
[[kind]]
name = "job"
version = 1
message = ""
fields = []
retention = "CERT"
sealed = true
subjects = ["aims"]
append = ["submitter"]
agents = []
states = ["draft", "checked", "approved", "closed"]
initial = ["draft"]
order = []
distinct = []
moves = { draft = ["checked"], checked = ["approved", "draft"], approved = ["closed"], closed = ["draft"] }
links = [{ relation = "basis", kinds = ["job", "check"] }, { relation = "plan", kinds = ["future"] }]

[[kind.guards]]
id = "JOB-PERSON"
to = ["approved", "draft"]
rule = "a person decides"
need = "person"

[[kind.guards]]
id = "JOB-OTHER"
to = ["approved"]
rule = "approved by somebody else"
need = { other_than = ["draft"] }

[[kind.guards]]
id = "JOB-BASIS"
to = ["checked"]
rule = "there is a basis"
need = { links = [{ relation = "basis", states = ["passed", "closed"] }, { relation = "plan", states = [] }] }

[[kind.guards]]
id = "JOB-ANY"
to = ["approved"]
rule = "somebody has checked it"
need = { linking = { kind = "check", relation = "job", states = ["passed", "failed"], since = ["closed"] } }

[[kind.guards]]
id = "JOB-EVERY"
to = ["closed"]
rule = "every check has passed in other hands"
need = { linking = { kind = "check", relation = "job", states = ["passed"], every = true, other_than = ["run"] } }

[[kind]]
name = "check"
version = 1
message = ""
fields = []
retention = "CERT"
sealed = true
subjects = ["aims"]
append = ["submitter"]
agents = []
states = ["run", "passed", "failed"]
initial = ["run"]
order = []
distinct = []
moves = { run = ["passed", "failed"], passed = ["run"], failed = ["run"] }
links = [{ relation = "job", kinds = ["job"] }]

[[kind.guards]]
id = "CHECK-PERSON"
to = ["failed"]
rule = "a person lets it fail"
on_entry = true
need = "person"
"#;

#[derive(serde::Deserialize)]
struct File {
    kind: Vec<Tables>,
}

/// The two kinds; their records are those of another kind, which nothing here reads.
pub(super) fn kinds() -> BTreeMap<(String, u32), Kind> {
    let of = RuleBundle::v1().kinds().next().expect("a kind");
    let file: File = toml::from_str(TABLES).expect("the tables above");
    let kinds = file.kind.into_iter().map(|tables| {
        let (name, version) = (tables.name.clone(), tables.version);
        let kind = Kind {
            name: name.clone(),
            version,
            tables,
            ..of.clone()
        };
        ((name, version), kind)
    });
    kinds.collect()
}

/// The tables of one of `kinds`.
pub(super) fn tables<'k>(
    kinds: &'k mut BTreeMap<(String, u32), Kind>,
    name: &str,
) -> &'k mut Tables {
    let kind = kinds.get_mut(&(name.to_owned(), 1)).expect("a kind");
    &mut kind.tables
}
