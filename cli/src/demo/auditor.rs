//! What the auditor of a demo does: two files, no network, and one of them tampered with.

use std::process::Command;

use aimslog_client::{EvidenceRequest, Ledger};
use aimslog_proto::statement::evidence::EvidenceFile;
use anyhow::{Context as _, Result, bail};

use crate::demo::folder::DemoFolder;
use crate::demo::people::SignedRecord;
use crate::output::Output;

/// The fields shown in the file of one decision.
const TWO_FIELDS: [&str; 2] = ["decision", "decided_at"];

/// Fetches the evidence of everything and checks it as the auditor would: by another process that
/// gets two files and nothing else.
pub(super) async fn audit(
    folder: &DemoFolder,
    ledger: &Ledger,
    records: &[SignedRecord],
    output: Output,
) -> Result<usize> {
    let policy = std::fs::read(folder.join("cluster/public/policy.txt"))?;
    folder.write("auditor/policy.txt", &policy)?;
    let entries = records.iter().map(|record| record.entry).collect();
    let request = EvidenceRequest {
        entries,
        ..EvidenceRequest::default()
    };
    folder.write(
        "auditor/hospital.evidence.json",
        &ledger.evidence(&request).await?,
    )?;
    let report = verify(folder, "auditor/hospital.evidence.json")?;
    let verified = report
        .pointer("/records")
        .and_then(|list| list.as_array())
        .map_or(0, Vec::len);
    let verdict = text_of(&report, "/verdict");
    if verified != records.len() || !verdict.starts_with("VERIFIED") {
        bail!(
            "the auditor's verdict is {verdict} for {verified} of {} records",
            records.len()
        );
    }
    output.tell(format!(
        "5. The auditor, with two files and no network: {verified} of {} records verified ({}).",
        records.len(),
        verdict.replace('_', " ")
    ));
    if let Some(findings) = report.pointer("/findings").and_then(|list| list.as_array()) {
        let mut codes: Vec<String> = findings
            .iter()
            .map(|finding| text_of(finding, "/code"))
            .collect();
        codes.sort();
        codes.dedup();
        for code in codes {
            output.tell(format!("   limit: {}", limit_in_words(&code)));
        }
    }
    Ok(verified)
}

fn failure_in_words(report: &serde_json::Value) -> String {
    match text_of(report, "/findings/0/code").as_str() {
        "FIELDS_WRONG" => "what it shows is not what was signed and logged: the field has another \
                           fingerprint than the one under the signature"
            .to_owned(),
        _ => text_of(report, "/findings/0/sentence"),
    }
}

fn limit_in_words(code: &str) -> String {
    match code {
        "HELD_BY_NOBODY_OUTSIDE" => {
            "no outsider has held the log yet; until one has, that nothing \
                                     was rewritten is the word of the hospital's own cluster"
                .to_owned()
        }
        other => other.replace('_', " ").to_lowercase(),
    }
}

/// Runs `aimslog verify` as a process of its own.
fn verify(folder: &DemoFolder, file: &str) -> Result<serde_json::Value> {
    let ran = Command::new(std::env::current_exe()?)
        .arg("verify")
        .arg(folder.join(file))
        .arg("--policy")
        .arg(folder.join("auditor/policy.txt"))
        .arg("--json")
        .env("AIMSLOG_HOME", folder.join("auditor"))
        .output()
        .context("cannot run the verifier")?;
    serde_json::from_slice(&ran.stdout).with_context(|| {
        format!(
            "the verifier said: {}",
            String::from_utf8_lossy(&ran.stderr)
        )
    })
}

fn text_of(report: &serde_json::Value, pointer: &str) -> String {
    report
        .pointer(pointer)
        .and_then(|text| text.as_str())
        .unwrap_or_default()
        .to_owned()
}

/// One decision, with two of its fields shown: the rest stays hidden, and provably so.
pub(super) async fn two_fields(
    folder: &DemoFolder,
    ledger: &Ledger,
    records: &[SignedRecord],
    output: Output,
) -> Result<(usize, usize)> {
    let decision = records
        .iter()
        .find(|record| record.kind == "oversight_decision");
    let decision = decision.context("the demo has no oversight decision")?;
    let request = EvidenceRequest {
        entries: vec![decision.entry],
        fields: TWO_FIELDS.map(str::to_owned).to_vec(),
        ..EvidenceRequest::default()
    };
    folder.write(
        "auditor/two-fields.evidence.json",
        &ledger.evidence(&request).await?,
    )?;
    let report = verify(folder, "auditor/two-fields.evidence.json")?;
    let shown = report
        .pointer("/records/0/fields")
        .and_then(|list| list.as_array());
    let shown = shown.map_or(0, Vec::len);
    let total = report
        .pointer("/records/0/fields_total")
        .and_then(serde_json::Value::as_u64);
    let total = usize::try_from(total.unwrap_or(0))?;
    let verdict = text_of(&report, "/verdict");
    if shown != TWO_FIELDS.len() || !verdict.starts_with("VERIFIED") {
        bail!("the file with two fields: {verdict}, {shown} of {total} fields");
    }
    output.tell(format!(
        "6. One oversight decision with {shown} of {total} fields shown ({}) verifies as well; the \
         others stay hidden.",
        TWO_FIELDS.join(", ")
    ));
    Ok((shown, total))
}

/// Flips one bit in what a record says, and shows that it does not pass.
pub(super) fn flip_a_byte(folder: &DemoFolder, output: Output) -> Result<String> {
    let original = std::fs::read(folder.join("auditor/two-fields.evidence.json"))?;
    let mut file = EvidenceFile::parse(&original)?;
    let field = file
        .records
        .first_mut()
        .and_then(|record| {
            record
                .fields
                .iter_mut()
                .find(|field| field.disclosure.contains("decision"))
        })
        .context("the decision is not in the file")?;
    let before = field.disclosure.clone();
    field.disclosure = flipped(&before);
    folder.write("auditor/flipped.evidence.json", file.print()?.as_bytes())?;
    let report = verify(folder, "auditor/flipped.evidence.json")?;
    let verdict = text_of(&report, "/verdict");
    if verdict != "NOT_VERIFIED" {
        bail!("the tampered file was answered with {verdict}");
    }
    let why = failure_in_words(&report);
    output.tell(format!(
        "7. One byte of that decision flipped: NOT VERIFIED, because {}.",
        why.trim_end_matches('.')
    ));
    Ok(why)
}

/// The text with the last letter of its value changed: `REJECT` becomes `REJECU`.
fn flipped(disclosure: &str) -> String {
    let last_letter = disclosure.rfind(|letter: char| letter.is_ascii_alphabetic());
    disclosure
        .char_indices()
        .map(|(position, letter)| match u8::try_from(letter) {
            Ok(byte) if Some(position) == last_letter => char::from(byte ^ 1),
            _ => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flips_the_last_letter_only() {
        assert_eq!(
            flipped(r#"["c2FsdA","decision","REJECT"]"#),
            r#"["c2FsdA","decision","REJECU"]"#
        );
    }
}
