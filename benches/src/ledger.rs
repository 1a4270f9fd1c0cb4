//! Three nodes of the ledger on loopback, and statements that were signed before the clock starts.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aimslog_client::admin;
use aimslog_client::author::{Author, Identity, Surroundings};
use aimslog_client::{Endpoints, FinishedStatement, clock};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::parse;
use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::evidence_service_client::EvidenceServiceClient;
use aimslog_proto::statement::StatementId;
use aimslog_proto::statement::header::Origin as MadeBy;
use aimslog_proto::statement::key::{Signer, SigningKey};
use aimslog_proto::system::{
    Admission, FirstAdministrator, Holder, Making, Organization, OrganizationId, Principal,
    PrincipalChange, PrincipalId, Role, prove_principal_key, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::Origin;
use anyhow::{Context, Result, anyhow, bail};
use tokio::time::sleep;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::process::{Server, free_ports};

const ORIGIN: &str = "ledger.example.com/bench";
const ORGANIZATION: &str = "bench";

/// Three running nodes and the key of an organisation that they know.
pub(crate) struct Cluster {
    servers: Vec<Server>,
    client_ports: Vec<u16>,
    admins: Vec<admin::Cluster>,
    ca_pem: Vec<u8>,
    author: Author,
}

impl Cluster {
    /// Makes, starts and founds a cluster of this program, data under `dir`.
    pub(crate) async fn start(program: &Path, dir: &Path) -> Result<Self> {
        let ports = free_ports(9)?;
        let folder = dir.join("cluster");
        let mut init = Command::new(program);
        init.args(["init", "--origin", ORIGIN, "--operators", "1", "--dir"])
            .arg(&folder);
        for (id, ports) in (1..).zip(ports.chunks_exact(3)) {
            if let [peer, client, admin] = ports {
                init.arg("--node")
                    .arg(format!("n{id}=127.0.0.1:{peer}:{client}:{admin}"));
            }
        }
        let made = init.stdout(Stdio::null()).status();
        let made = made.with_context(|| program.display().to_string())?;
        if !made.success() {
            bail!("aimslogd init failed: {made}");
        }
        let mut servers = Vec::new();
        for id in 1..=3 {
            let mut run = Command::new(program);
            run.args(["run", "--config"])
                .arg(folder.join(format!("n{id}/aimslogd.toml")));
            servers.push(Server::start(&mut run, &dir.join(format!("n{id}.log")))?);
        }
        let column = |which: usize| ports.iter().skip(which).step_by(3).copied();
        let operator = folder.join("operator-1");
        let ca_pem = std::fs::read(operator.join("client-ca.pem"))?;
        let certificate = std::fs::read(operator.join("admin.pem"))?;
        let key = std::fs::read(operator.join("admin.key"))?;
        let admins = column(2).map(|port| {
            admin::Cluster::new(&Endpoints {
                addresses: vec![format!("127.0.0.1:{port}")],
                ca_pem: ca_pem.clone(),
                identity_pem: Some((certificate.clone(), key.clone())),
                deadline: Duration::from_secs(10),
            })
        });
        let cluster = Self {
            servers,
            client_ports: column(1).collect(),
            admins: admins.collect::<Result<_, _>>()?,
            ca_pem,
            author: author(),
        };
        cluster.found(&operator.join("operator.seed")).await?;
        Ok(cluster)
    }

    async fn found(&self, operator_seed: &Path) -> Result<()> {
        let first = self.admins.first().context("no node")?;
        retry("founding the cluster", || first.init()).await?;
        let seed = std::fs::read_to_string(operator_seed)?;
        let operator = SigningKey::parse_seed_file(&seed)?;
        for statement in registration(self.author.key.as_ref(), &operator)? {
            retry("registering the organisation", || {
                first.submit_system(&statement)
            })
            .await?;
        }
        Ok(())
    }

    /// A channel to node 1, as one client program would hold it.
    pub(crate) fn channel(&self) -> Result<Channel> {
        let port = self.client_ports.first().context("no node")?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.ca_pem));
        Ok(Endpoint::from_shared(format!("https://127.0.0.1:{port}"))?
            .tcp_nodelay(true)
            .tls_config(tls)?
            .connect_lazy())
    }

    /// CPU time of the three nodes so far, in microseconds.
    pub(crate) fn cpu_us(&self) -> Result<u64> {
        self.servers.iter().map(Server::cpu_us).sum()
    }

    /// Syncs of Raft logs and guard files of the three nodes so far.
    pub(crate) async fn syncs(&self) -> Result<u64> {
        let mut syncs = 0;
        for admin in &self.admins {
            let status = admin.status().await?;
            syncs += status.raft_syncs + status.guard_syncs;
        }
        Ok(syncs)
    }

    /// So many signed statements with their disclosures, made on all processors.
    pub(crate) fn statements(&self, count: usize) -> Result<Vec<v1::Submission>> {
        let workers = std::thread::available_parallelism()?.get();
        let share = count.div_ceil(workers);
        let made: Vec<Result<Vec<v1::Submission>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|_| scope.spawn(|| (0..share).map(|_| self.statement()).collect()))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    let joined = thread.join();
                    joined.unwrap_or_else(|_panic| Err(anyhow!("signing statements failed")))
                })
                .collect()
        });
        let made: Vec<Vec<v1::Submission>> = made.into_iter().collect::<Result<_>>()?;
        Ok(made.into_iter().flatten().take(count).collect())
    }

    fn statement(&self) -> Result<v1::Submission> {
        let submission = parse(RuleBundle::v1(), RECORD.as_bytes());
        let submission = submission.map_err(|violations| anyhow!("{violations:?}"))?;
        let mut surroundings = Surroundings {
            now: UnixSeconds(clock::unix_seconds()),
            salt: &mut rand::random,
            resolve: &|_| None,
        };
        let identity = Identity::Fresh(rand::random());
        let FinishedStatement {
            statement,
            disclosures,
            ..
        } = self
            .author
            .finish(&submission, identity, &mut surroundings)?;
        Ok(v1::Submission {
            statement,
            disclosures,
            digest_only: Vec::new(),
        })
    }
}

/// Bytes of a submission that are stored: the statement and its disclosures.
pub(crate) fn stored_bytes(submission: &v1::Submission) -> usize {
    submission.statement.len() + submission.disclosures.iter().map(Vec::len).sum::<usize>()
}

/// Submits statements and checks that each of them was logged. A ledger that says to come back later
/// is asked again; the time counts.
pub(crate) async fn submit(channel: Channel, submissions: Vec<v1::Submission>) -> Result<()> {
    let mut client = EvidenceServiceClient::new(channel);
    let request = v1::SubmitRequest {
        submissions,
        wait: v1::Wait::Committed.into(),
    };
    let answer = loop {
        match client.submit(request.clone()).await {
            Ok(answer) => break answer.into_inner(),
            Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                sleep(Duration::from_millis(2)).await;
            }
            Err(status) => return Err(status.into()),
        }
    };
    for result in answer.results {
        if let Some(v1::submit_result::Outcome::Refused(refused)) = result.outcome {
            bail!("a statement was refused: {:?}", refused.violations);
        }
    }
    Ok(())
}

/// Repeats a call for ten seconds, while nodes start and elect a leader.
async fn retry<T, E: std::error::Error + Send + Sync + 'static>(
    what: &'static str,
    call: impl AsyncFn() -> Result<T, E>,
) -> Result<T> {
    for _ in 0..99 {
        if let Ok(answer) = call().await {
            return Ok(answer);
        }
        sleep(Duration::from_millis(100)).await;
    }
    call().await.context(what)
}

fn author() -> Author {
    Author {
        key: Arc::new(SigningKey::from_seed(&rand::random())),
        organization: ORGANIZATION.to_owned(),
        service_id: ORIGIN.to_owned(),
        origin: MadeBy::Person,
        on_behalf_of: None,
    }
}

/// The statements that register the organisation, and the holder of `key` as its submitter.
fn registration(key: &dyn Signer, operator: &SigningKey) -> Result<[Vec<u8>; 2]> {
    let origin = Origin::new(ORIGIN)?;
    let organization = OrganizationId::new(ORGANIZATION)?;
    let administrator = PrincipalId::new("admin-1")?;
    let boss = SigningKey::from_seed(&rand::random());
    let first = FirstAdministrator {
        possession: prove_principal_key(&origin, &organization, &administrator, &boss)?,
        administrator,
        holder: Holder::new("holder-1")?,
        key: boss.public_key(),
    };
    let founding = Organization::register(organization.clone(), first);
    let submitter = PrincipalId::new("submitter-1")?;
    let admission = Admission {
        holder: Holder::new("holder-2")?,
        key: key.public_key(),
        possession: prove_principal_key(&origin, &organization, &submitter, key)?,
        roles: vec![Role::new("submitter")?],
        acts_for: None,
    };
    let admitting = Principal {
        organization,
        principal: submitter,
        change: PrincipalChange::Admit(Box::new(admission)),
    };
    let now = clock::unix_seconds();
    let making = || Making {
        origin: &origin,
        issued: UnixSeconds(now),
        expires: Some(UnixSeconds(now + 3_600)),
        id: StatementId::from_bytes(rand::random()),
    };
    let founding = sign_record(&founding, &making(), operator)?;
    let admitting = sign_record(&admitting, &making(), &boss)?;
    Ok([founding, admitting].map(|statement| statement.bytes().to_vec()))
}

const RECORD: &str = r#"{"meta":{"kind":"oversight_decision","subject":"sys-bench-1"},
"record":{"occurred_at":"2026-03-02T08:00:00Z","actor":{"id":"p-1","role":"reviewer"},
"confidentiality":"INTERNAL","personal_data":false,"system":"sys-bench-1","system_version":"1.0",
"decision":"APPROVE","reviewer":"p-1","reviewer_role":"reviewer",
"request_reference":"request-1","risk_class":"HIGH",
"output_digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
"context_digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
"justification":"The output agrees with the guideline.",
"presented_at":"2026-03-02T07:59:00Z","decided_at":"2026-03-02T08:00:00Z"}}"#;
