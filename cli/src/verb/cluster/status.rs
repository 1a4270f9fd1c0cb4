//! `aimslog cluster status`: how each node says it is, and which members nobody could ask.

use std::fmt::Write as _;

use aimslog_client::Endpoints;
use aimslog_proto::pb::admin::v1::{Member, StatusResponse};
use anyhow::Result;
use serde_json::{Value, json};

use super::nodes::{Answer, Nodes};
use crate::exit::Exit;
use crate::output::Output;

/// A member that the others have not heard for so long is down, in milliseconds: they speak to each
/// other every second.
const SILENT_MS_MAX: u64 = 5_000;

/// Asks each node for itself, so that one that is cut off shows as what it is.
pub(super) async fn run(endpoints: &Endpoints, output: Output) -> Result<Exit> {
    let answers = Nodes::new(endpoints)?.ask().await?;
    let unasked = unasked(&answers);
    let asked = answers
        .iter()
        .map(|(address, answer)| said(address, answer));
    let document: Vec<Value> = asked.chain(unasked.iter().map(heard)).collect();
    output.data(&document, table(&answers, &unasked)?)?;
    Ok(verdict(&answers, &unasked))
}

/// A member of the cluster that answered at none of the endpoints.
#[derive(Debug)]
struct Unasked {
    member: Member,
    /// The node that says so.
    by: u64,
}

impl Unasked {
    /// Milliseconds since the node that names it heard it; `None` where it never did.
    fn silent_ms(&self) -> Option<u64> {
        self.member.report.as_ref().map(|report| report.silent_ms)
    }

    fn is_down(&self) -> bool {
        self.silent_ms().is_none_or(|silent| silent > SILENT_MS_MAX)
    }
}

/// The members, as the node knows them that knows best, without those that answered.
fn unasked(answers: &[(String, Answer)]) -> Vec<Unasked> {
    let all = || {
        answers
            .iter()
            .filter_map(|(_, answer)| answer.as_ref().ok())
    };
    let best =
        all().max_by_key(|status| (status.role == "leader", status.term, status.applied_index));
    let Some(best) = best else {
        return Vec::new();
    };
    let answered = |id| all().any(|status| status.node_id == id);
    let members = best
        .members
        .iter()
        .filter(|member| !answered(member.node_id));
    members
        .map(|member| Unasked {
            member: member.clone(),
            by: best.node_id,
        })
        .collect()
}

/// Silence is the worse news for a program that watches: an alarm says what to do.
fn verdict(answers: &[(String, Answer)], unasked: &[Unasked]) -> Exit {
    let silent = answers.iter().any(|(_, answer)| answer.is_err());
    let alarmed = |(_, answer): &(String, Answer)| {
        let status = answer.as_ref().ok();
        status.is_some_and(|status| !status.alarms.is_empty())
    };
    if silent || unasked.iter().any(Unasked::is_down) {
        Exit::Unreachable
    } else if answers.iter().any(alarmed) {
        Exit::NotVerified
    } else {
        Exit::Ok
    }
}

fn said(address: &str, answer: &Answer) -> Value {
    match answer {
        Err(error) => json!({ "admin_endpoint": address, "error": error.to_string() }),
        Ok(status) => json!({
            "admin_endpoint": address,
            "node": status.node_id,
            "role": status.role,
            "leader": status.leader_id,
            "term": status.term,
            "raft_log": status.last_log_index,
            "applied": status.applied_index,
            "tree_size": status.tree_size,
            "published_size": status.published_size,
            "cosigned_size": status.cosigned_size,
            "verified_size": status.verified_size,
            "head_age_ms": status.head_age_ms,
            "version": status.version,
            "level": status.level,
            "cosigner_keys": status.cosigner_keys,
            "receipt_keys": status.receipt_keys,
            "log_keys": status.log_keys,
            "log_keys_named": status.log_keys_named,
            "log_keys_signing": status.log_keys_signing,
            "alarms": status.alarms.iter()
                .map(|alarm| json!({ "name": alarm.name, "detail": alarm.detail }))
                .collect::<Vec<_>>(),
        }),
    }
}

fn heard(unasked: &Unasked) -> Value {
    json!({
        "node": unasked.member.node_id,
        "voter": unasked.member.voter,
        "peer_address": unasked.member.address,
        "heard_by": unasked.by,
        "silent_ms": unasked.silent_ms(),
        "error": "a member that answered at none of the admin endpoints",
    })
}

fn table(answers: &[(String, Answer)], unasked: &[Unasked]) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{:<24} {:>4} {:<10} {:>6} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "ADMIN ENDPOINT",
        "NODE",
        "ROLE",
        "TERM",
        "APPLIED",
        "TREE",
        "PUBLISHED",
        "COSIGNED",
        "HEAD AGE"
    )?;
    for (address, answer) in answers {
        match answer {
            Err(error) => writeln!(text, "{address:<24} {error}")?,
            Ok(status) => {
                writeln!(
                    text,
                    "{:<24} {:>4} {:<10} {:>6} {:>9} {:>9} {:>9} {:>9} {:>8}",
                    address,
                    status.node_id,
                    status.role,
                    status.term,
                    status.applied_index,
                    status.tree_size,
                    status.published_size,
                    status.cosigned_size,
                    head_age(status)
                )?;
                if let Some(keys) = keys(status) {
                    writeln!(text, "    keys: {keys}")?;
                }
                for alarm in &status.alarms {
                    writeln!(text, "    ALARM {}: {}", alarm.name, alarm.detail)?;
                }
            }
        }
    }
    for missing in unasked {
        let Unasked { member, by } = missing;
        let heard = missing.silent_ms().map_or_else(
            || format!("node {by} never heard it"),
            |silent| format!("node {by} heard it {} ago", age(silent)),
        );
        writeln!(
            text,
            "NOT ASKED: node {} ({}, peers reach it at {}) answered at none of these endpoints; {heard}",
            member.node_id,
            if member.voter { "voter" } else { "learner" },
            member.address,
        )?;
    }
    Ok(text)
}

/// The keys that a node holds, by what names them: key ids of verifier keys, and thumbprints. `None`
/// where it says of none.
fn keys(status: &StatusResponse) -> Option<String> {
    let id = |key: &String| key.split('+').nth(1).unwrap_or(key.as_str()).to_owned();
    let sorts = [
        ("log", status.log_keys.iter().map(id).collect::<Vec<_>>()),
        ("receipt", status.receipt_keys.clone()),
        ("cosigner", status.cosigner_keys.iter().map(id).collect()),
    ];
    let held = sorts
        .iter()
        .filter_map(|(sort, keys)| match keys.as_slice() {
            [] => None,
            [current] => Some(format!("{sort} {current}")),
            [current, next @ ..] => Some(format!(
                "{sort} {current}, to be followed by {}",
                next.join(", ")
            )),
        });
    let held: Vec<String> = held.collect();
    (!held.is_empty()).then(|| held.join("; "))
}

fn head_age(status: &StatusResponse) -> String {
    if status.published_size == 0 {
        return "-".to_owned();
    }
    age(status.head_age_ms)
}

/// A time for people, in the largest unit of which there is one at least.
fn age(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use aimslog_client::ClientError;
    use aimslog_proto::pb::admin::v1::{Alarm, MemberReport};

    use super::*;

    fn member(node_id: u64, silent_ms: Option<u64>) -> Member {
        Member {
            node_id,
            address: format!("n{node_id}:7001"),
            voter: true,
            report: silent_ms.map(|silent_ms| MemberReport {
                silent_ms,
                ..MemberReport::default()
            }),
            ..Member::default()
        }
    }

    /// Two nodes of three; the leader says how long it has not heard the third.
    fn two_answer(silent_ms: Option<u64>) -> Vec<(String, Answer)> {
        let node = |node_id: u64, role: &str, members: Vec<Member>| {
            let status = StatusResponse {
                node_id,
                role: role.to_owned(),
                members,
                published_size: 7,
                head_age_ms: 7_320_000,
                ..StatusResponse::default()
            };
            (format!("n{node_id}:7003"), Ok(status))
        };
        let all = vec![member(1, Some(0)), member(2, Some(0)), member(3, silent_ms)];
        vec![node(2, "follower", Vec::new()), node(1, "leader", all)]
    }

    fn judge(answers: &[(String, Answer)]) -> Exit {
        verdict(answers, &unasked(answers))
    }

    #[test]
    fn a_member_that_no_endpoint_names_is_listed_and_counts_when_it_is_silent() {
        let well = two_answer(Some(300));
        assert_eq!(judge(&well), Exit::Ok);
        let text = table(&well, &unasked(&well)).unwrap();
        assert!(
            text.contains("NOT ASKED: node 3 (voter, peers reach it at n3:7001)"),
            "{text}"
        );
        assert!(text.contains("node 1 heard it 300 ms ago"), "{text}");
        assert!(text.contains(" 2 h\n"), "{text}");
        let document = heard(&unasked(&well)[0]);
        assert_eq!(document["node"], 3);
        assert_eq!(document["silent_ms"], 300);
        for silent_ms in [None, Some(SILENT_MS_MAX + 1)] {
            assert_eq!(judge(&two_answer(silent_ms)), Exit::Unreachable);
        }
    }

    #[test]
    fn an_alarm_and_a_silent_endpoint_each_have_their_exit_code() {
        let mut answers = two_answer(Some(0));
        let alarm = Alarm {
            name: "CLOCK".to_owned(),
            detail: "off".to_owned(),
        };
        answers[0].1.as_mut().unwrap().alarms.push(alarm);
        assert_eq!(judge(&answers), Exit::NotVerified);
        let gone = ClientError::OutcomeUnknown {
            last: "no answer in time".to_owned(),
        };
        answers.push(("n3:7003".to_owned(), Err(gone)));
        assert_eq!(judge(&answers), Exit::Unreachable);
        assert!(unasked(&answers[2..]).is_empty());
    }

    #[test]
    fn the_keys_in_use_are_shown_and_those_that_follow() {
        let mut answers = two_answer(Some(0));
        let text = |answers: &[(String, Answer)]| table(answers, &[]).unwrap();
        assert!(!text(&answers).contains("keys:"));
        let status = answers[0].1.as_mut().unwrap();
        let keys = ["l.example+0a0b0c0d+AQ==", "l.example+01020304+AQ=="];
        status.log_keys = keys.map(str::to_owned).to_vec();
        status.receipt_keys = vec!["thumbprint".to_owned()];
        status.log_keys_named = status.log_keys.clone();
        let said = text(&answers);
        let words = "    keys: log 0a0b0c0d, to be followed by 01020304; receipt thumbprint\n";
        assert!(said.contains(words), "{said}");
        let document = super::said("n2:7003", &answers[0].1);
        assert_eq!(document["log_keys"], serde_json::json!(keys));
        assert_eq!(document["log_keys_named"], serde_json::json!(keys));
        assert_eq!(document["log_keys_signing"], serde_json::json!([]));
    }

    #[test]
    fn ages_are_for_people() {
        for (millis, words) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3_600_000, "1 h"),
            (200_000_000, "2 d"),
        ] {
            assert_eq!(age(millis), words);
        }
    }
}
