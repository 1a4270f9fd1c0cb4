//! The single checks, from what needs nothing to what needs everything.

use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_client::trust::{HeadMemory, SignedHead};
use aimslog_client::{ClientError, Endpoints, EntryKey, Ledger, RecordFilter, clock};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::pb::v1::GetLogInfoResponse;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{Genesis, Payload as _};
use aimslog_proto::tlog::{LeafHash, LeafIndex, Policy};

use super::Finding;
use crate::context::Context;
use crate::describe::time;
use crate::exit::{Exit, exit_of};
use crate::verb::key::hex;

/// How far a cosignature may be dated ahead of this machine, in seconds.
const AHEAD_SECONDS_MAX: u64 = 5;
/// How long one endpoint may take.
const ENDPOINT_WAIT: Duration = Duration::from_secs(5);

/// Everything, in the order in which one would repair it.
pub(super) async fn all(context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    let policy = policy(context, &mut findings);
    let has_key = key(context, &mut findings);
    let Some(policy) = policy else {
        return findings;
    };
    let endpoints = match context.endpoints() {
        Ok(endpoints) => endpoints,
        Err(error) => {
            let exit = exit_of(&error);
            let advice = "set --endpoint and --ca, or `aimslog init`";
            findings.push(Finding::bad(
                "endpoints",
                exit,
                format!("{error:#}"),
                advice,
            ));
            return findings;
        }
    };
    let mut newest: Option<SignedHead> = None;
    for address in &endpoints.addresses {
        let (finding, head) = endpoint(address, &endpoints, &policy).await;
        findings.push(finding);
        if let Some(head) = head
            && newest
                .as_ref()
                .is_none_or(|known| known.head().size < head.head().size)
        {
            newest = Some(head);
        }
    }
    let Some(newest) = newest else {
        return findings;
    };
    findings.push(clock_against(&newest, clock::unix_seconds()));
    findings.extend(history(context).await);
    findings.extend(identity(context, &policy).await);
    if has_key {
        findings.push(token(context).await);
    }
    findings.extend(admin(context).await);
    findings
}

fn policy(context: &Context, findings: &mut Vec<Finding>) -> Option<Policy> {
    match context.policy() {
        Ok(policy) => {
            let detail = format!("fingerprint {}", hex(&policy.fingerprint()));
            findings.push(Finding::ok("policy", detail));
            Some(policy)
        }
        Err(error) => {
            let advice = "get policy.txt from the operator and compare its fingerprint by voice";
            let exit = exit_of(&error);
            findings.push(Finding::bad("policy", exit, format!("{error:#}"), advice));
            None
        }
    }
}

fn key(context: &Context, findings: &mut Vec<Finding>) -> bool {
    if context.settings.key.is_none() && context.settings.organization.is_none() {
        let detail = "none: enough to read what is public, to verify, and to operate";
        findings.push(Finding::ok("key", detail));
        return false;
    }
    match context.key() {
        Ok(key) => {
            let detail = format!("thumbprint {}", key.public_key().thumbprint());
            findings.push(Finding::ok("key", detail));
            true
        }
        Err(error) => {
            let advice = "make one with `aimslog key generate -o FILE` and have it registered; \
                          a context without an organisation needs none";
            let exit = exit_of(&error);
            findings.push(Finding::bad("key", exit, format!("{error:#}"), advice));
            false
        }
    }
}

/// TLS, and whether the head that it serves satisfies the policy.
async fn endpoint(
    address: &str,
    endpoints: &Endpoints,
    policy: &Policy,
) -> (Finding, Option<SignedHead>) {
    let alone = Endpoints {
        addresses: vec![address.to_owned()],
        deadline: endpoints.deadline.min(ENDPOINT_WAIT),
        ..endpoints.clone()
    };
    let head = match Ledger::new(&alone, policy.clone(), HeadMemory::in_memory()) {
        Ok(ledger) => ledger.checkpoint().await,
        Err(error) => Err(error),
    };
    match head {
        Ok(head) => {
            let detail = format!(
                "{address}: TLS, a head of {} entries that the policy accepts",
                head.head().size
            );
            (Finding::ok("endpoint", detail), Some(head))
        }
        Err(error) => (refused_endpoint(address, &error), None),
    }
}

fn refused_endpoint(address: &str, error: &ClientError) -> Finding {
    let advice = match error {
        ClientError::Unverified { .. } => {
            "the policy file does not fit this ledger: get the newest, compare its fingerprint"
        }
        ClientError::Refused(refusal) if refusal.reason == Some(Reason::NoHead) => {
            "the cluster has not published anything yet: ask its operator"
        }
        ClientError::Configuration { .. } => "correct the setting",
        _ => "is the node up, the port open, and --ca the authority of its certificate?",
    };
    let detail = format!("{address}: {error}");
    Finding::bad("endpoint", exit_of_client(error), detail, advice)
}

fn exit_of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::Refused(_) => Exit::Refused,
        ClientError::Configuration { .. } => Exit::Usage,
        ClientError::Unverified { .. } | ClientError::Fork(_) => Exit::NotVerified,
        _ => Exit::Unreachable,
    }
}

/// A clock that is behind shows by cosignatures from the future; one that is ahead shows by a read
/// token that is refused.
fn clock_against(head: &SignedHead, now: u64) -> Finding {
    let newest = head.cosigned().cosigners().iter().map(|c| c.time.0).max();
    match newest {
        Some(cosigned) if cosigned > now.saturating_add(AHEAD_SECONDS_MAX) => Finding::bad(
            "clock",
            Exit::Usage,
            format!(
                "{}, but the newest head was cosigned at {}",
                time(now),
                time(cosigned)
            ),
            "set the clock of this machine, e.g. by NTP",
        ),
        Some(cosigned) => Finding::ok(
            "clock",
            format!("{}, newest head cosigned at {}", time(now), time(cosigned)),
        ),
        None => Finding::ok(
            "clock",
            format!("{}, no cosignature to compare with", time(now)),
        ),
    }
}

/// The head that is remembered is a prefix of what is shown now.
async fn history(context: &Context) -> Option<Finding> {
    let ledger = match context.public_ledger() {
        Ok(ledger) => ledger,
        Err(error) => {
            let advice = "another policy than before? move the state folder of the context away";
            let exit = exit_of(&error);
            return Some(Finding::bad("history", exit, format!("{error:#}"), advice));
        }
    };
    Some(match ledger.checkpoint().await {
        Ok(head) => {
            let detail = format!("{} entries, extends what is remembered", head.head().size);
            Finding::ok("history", detail)
        }
        Err(error @ ClientError::Fork(_)) => {
            let advice = "keep the file, stop relying on this ledger, tell the certification body";
            Finding::bad("history", Exit::NotVerified, error.to_string(), advice)
        }
        Err(error) => {
            let advice = "repeat; if it stays, ask the operator";
            Finding::bad("history", exit_of_client(&error), error.to_string(), advice)
        }
    })
}

/// Service id, genesis and rules, as the ledger says and as the log proves.
async fn identity(context: &Context, policy: &Policy) -> Vec<Finding> {
    let asked = async {
        let ledger = context.any_ledger()?;
        let info = ledger.unverified_info().await?;
        let proven = ledger.inclusion(EntryKey::Index(LeafIndex(0))).await?;
        Ok::<_, anyhow::Error>((info, proven.leaf))
    };
    match asked.await {
        Ok((info, first)) => vec![genesis(&info, first, policy), rules(&info)],
        Err(error) => {
            let advice = "repeat; if it stays, ask the operator";
            let exit = exit_of(&error);
            vec![Finding::bad("genesis", exit, format!("{error:#}"), advice)]
        }
    }
}

fn genesis(info: &GetLogInfoResponse, first: LeafHash, policy: &Policy) -> Finding {
    let wrong = |detail: String| {
        let advice = "this is not the ledger of your policy file: ask the operator";
        Finding::bad("genesis", Exit::NotVerified, detail, advice)
    };
    if LeafHash::of(&info.genesis) != first {
        return wrong("the genesis that it shows is not the first entry of the log".to_owned());
    }
    let record = UnverifiedStatement::parse(&info.genesis)
        .map_err(|error| error.to_string())
        .and_then(|statement| {
            Genesis::decode(statement.payload()).map_err(|error| error.to_string())
        });
    let record = match record {
        Ok(record) => record,
        Err(why) => return wrong(format!("genesis: {why}")),
    };
    let origin = record.origin.as_str();
    let named = policy
        .logs()
        .iter()
        .any(|log| log.key.name().as_str() == origin);
    if !named || info.service_id != origin {
        return wrong(format!(
            "genesis is of {origin}, the ledger calls itself {}, the policy names another",
            info.service_id
        ));
    }
    let trial = if record.operators_required == 1 {
        " (a trial: one operator decides alone)"
    } else {
        ""
    };
    let detail = format!(
        "{origin}, {} of {} operators{trial}",
        record.operators_required,
        record.operators.len()
    );
    Finding::ok("genesis", detail)
}

fn rules(info: &GetLogInfoResponse) -> Finding {
    let ours = RuleBundle::v1();
    if info.rule_bundle == ours.digest().0 {
        let detail = format!("rule bundle {}, as this program has it", ours.version());
        return Finding::ok("rules", detail);
    }
    let detail = format!("the ledger has the rule bundle {}", hex(&info.rule_bundle));
    let advice = "update aimslog: records made by other rules may be refused";
    Finding::bad("rules", Exit::Usage, detail, advice)
}

/// Whether the ledger accepts a read token of the key, and for which organisation.
async fn token(context: &Context) -> Finding {
    let asked = async {
        let organization = context.organization()?.to_owned();
        let filter = RecordFilter {
            organization: organization.clone(),
            ..RecordFilter::default()
        };
        context.ledger()?.list(&filter, None).await?;
        Ok::<_, anyhow::Error>(organization)
    };
    match asked.await {
        Ok(organization) => {
            let detail = format!("the ledger lets the key read as {organization}");
            Finding::ok("role", detail)
        }
        Err(error) => {
            let reason = error
                .downcast_ref::<ClientError>()
                .and_then(|error| match error {
                    ClientError::Refused(refusal) => refusal.reason,
                    _ => None,
                });
            let advice = match reason {
                Some(Reason::Unauthenticated) => {
                    "set the clock; or the key is not registered: `aimslog principal add` by an \
                     administrator of your organisation"
                }
                Some(Reason::NotVisible) => "the key belongs to another organisation: set --org",
                _ => "set --org, or repeat later",
            };
            Finding::bad("role", exit_of(&error), format!("{error:#}"), advice)
        }
    }
}

/// For operators: the admin listeners, where they are set.
async fn admin(context: &Context) -> Vec<Finding> {
    if context.settings.admin_endpoints.is_empty() {
        return Vec::new();
    }
    let endpoints = match context.admin_endpoints() {
        Ok(endpoints) => endpoints,
        Err(error) => {
            let advice = "admin.pem, admin.key and the authority lie in the operator's folder";
            let exit = exit_of(&error);
            return vec![Finding::bad("admin", exit, format!("{error:#}"), advice)];
        }
    };
    let mut findings = Vec::new();
    for address in &endpoints.addresses {
        let alone = Endpoints {
            addresses: vec![address.clone()],
            deadline: endpoints.deadline.min(ENDPOINT_WAIT),
            ..endpoints.clone()
        };
        let status = match Cluster::new(&alone) {
            Ok(cluster) => cluster.status().await,
            Err(error) => Err(error),
        };
        findings.push(match status {
            Ok(status) if status.alarms.is_empty() => Finding::ok(
                "admin",
                format!("{address}: node {} {}", status.node_id, status.role),
            ),
            Ok(status) => {
                let alarms: Vec<String> = status
                    .alarms
                    .iter()
                    .map(|alarm| format!("{}: {}", alarm.name, alarm.detail))
                    .collect();
                let detail = format!("{address}: {}", alarms.join("; "));
                Finding::bad(
                    "admin",
                    Exit::Refused,
                    detail,
                    "see `aimslog cluster status`",
                )
            }
            Err(error) => {
                let advice = "is the node up, and the client certificate one of this cluster?";
                let detail = format!("{address}: {error}");
                Finding::bad("admin", exit_of_client(&error), detail, advice)
            }
        });
    }
    findings
}
